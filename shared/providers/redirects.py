"""Which redirects of a download are followed, and which of them may see our credentials. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

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
        self._trusted = frozenset(filter(None, map(_origin, (base_url, *trusted))))
        self._is_local = _is_plain_loopback(base_url)

    def next(self, url: str, location: str) -> Hop | None:
        """Where `location`, answered by `url`, leads; None when nobody may go there.

        1. It is an address with a host, and https (plain http from this machine to this machine only).
        2. It carries no user name or password of its own.
        3. Only the very same scheme, host and port as a trusted address counts as trusted.
        """
        target = _joined(url, location)
        origin = _origin(target)
        if origin is None:
            return None
        if origin[0] != "https" and not (self._is_local and _is_plain_loopback(target)):  # 1
            return None
        if "@" in urlsplit(target).netloc:  # 2
            return None
        return Hop(target, origin in self._trusted)  # 3


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location.strip())
    except ValueError:
        return ""


def _origin(url: str) -> Origin | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname, port


def _is_plain_loopback(url: str) -> bool:
    origin = _origin(url)
    return origin is not None and origin[0] == "http" and origin[1] in _LOOPBACK
