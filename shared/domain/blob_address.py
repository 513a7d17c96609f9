"""Addresses of blobs, `container/path`, as they stand in requests and records. Pure."""

from __future__ import annotations


def is_plain(address: str) -> bool:
    """True when the address names what it seems to name. `.` and `..` are resolved by HTTP clients before storage sees
    them, so `inbox/../signed/x` would be read from another container than the one it starts with."""
    container, *path = address.split("/")
    return bool(container and path) and not any(part in {"", ".", ".."} or "\\" in part for part in [container, *path])
