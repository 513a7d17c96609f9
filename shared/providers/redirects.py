"""Which redirects of a download are followed, and which of them may see our credentials. Pure.

Addresses are read by the very library that calls them, so that both see the same host in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LAST_PORT = 65535
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]+|[0-9a-fA-F:.]+")

Origin = tuple[str, str, int]


@dataclass(frozen=True)
class Hop:
    """The next address of a download. `trusted` means that it belongs to the provider itself."""

    url: str = field(repr=False)
    trusted: bool


class Redirects:
    """`base_url` is where calls go; `trusted` are further addresses whose origins belong to the provider."""

    MOST = 5

    def __init__(self, base_url: str, trusted: Iterable[str] = ()) -> None:
        base = httpx.URL(base_url)
        self._trusted = frozenset(filter(None, (_origin(base), *(_origin(httpx.URL(one)) for one in trusted))))
        self._is_local = _is_plain_loopback(base)

    def next(self, url: str, location: str) -> Hop | None:
        """Where `location`, answered by `url`, leads; None when nobody may go there.

        1. It is an address with a plain host and a port that there is; no backslashes, which some read as slashes.
        2. It is https (plain http from this machine to this machine only).
        3. It carries no user name or password of its own.
        4. Only the very same scheme, host and port as a trusted address counts as trusted.
        """
        target = _joined(url, location)
        origin = None if target is None or "\\" in location else _origin(target)
        if target is None or origin is None:  # 1
            return None
        if target.scheme != "https" and not (self._is_local and _is_plain_loopback(target)):  # 2
            return None
        if target.userinfo:  # 3
            return None
        return Hop(str(target), origin in self._trusted)  # 4


def _joined(url: str, location: str) -> httpx.URL | None:
    try:
        target = httpx.URL(url).join(location.strip())
        return target if _PLAIN_HOST.fullmatch(target.host) else None
    except (httpx.InvalidURL, ValueError):  # the second from the standard library and from IDNA
        return None


def _origin(url: httpx.URL) -> Origin | None:
    port = url.port or _DEFAULT_PORTS.get(url.scheme)
    return (url.scheme, url.host, port) if url.host and port and port <= _LAST_PORT else None


def _is_plain_loopback(url: httpx.URL) -> bool:
    return url.scheme == "http" and url.host in _LOOPBACK
