"""Addresses in container `inbox`, where callers put documents to be signed. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from shared.domain.blob_address import is_plain

_PREFIX = "inbox/"
# What a blob's name may not hold here: other separators, the ends of a path, control characters.
_FORBIDDEN = re.compile(r"[\\?#\x00-\x1f\x7f]")
_LONGEST = 906


def inbox_address(address: str, container_url: str) -> str | None:
    """`inbox/path` of a blob given as that, or by its URL in the container at `container_url`; None for all else.

    Nothing outside is ever fetched for a caller. A URL with a query is refused too: it may hold a token.
    """
    if "://" not in address:
        return address if is_inbox_address(address) else None
    try:
        given, ours = urlsplit(address), urlsplit(container_url)
        same_server = (given.scheme, given.netloc.lower()) == (ours.scheme, ours.netloc.lower())
    except ValueError:
        return None
    folder = ours.path.rstrip("/") + "/"
    if not same_server or given.query or given.fragment or not given.path.startswith(folder):
        return None
    found = _PREFIX + unquote(given.path.removeprefix(folder))
    return found if is_inbox_address(found) else None


def is_inbox_address(text: str) -> bool:
    """Whether this is `inbox/` with a plain path behind it, which leads nowhere else when it is resolved."""
    path = text.removeprefix(_PREFIX)
    if path in {text, ""} or len(text) > _LONGEST or _FORBIDDEN.search(path):
        return False
    return is_plain(text)
