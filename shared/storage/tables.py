"""What all tables share: keys, long text in pieces, sortable times, and what the service's refusals mean."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import HttpResponseError

# A string property holds 32 Ki UTF-16 units. One character is at most two of them.
PIECE = 16_000
# A transaction holds this many operations; Azurite drops the connection on more (host guide A3).
TRANSACTION_LIMIT = 100

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LAST_MILLISECOND = 9_999_999_999_999


def digest(text: str) -> str:
    """SHA-256 in hex, for keys that may hold any characters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def safe_key(text: str) -> str:
    """`text` where a table key may be exactly that, else its digest (which no plain name resembles)."""
    return text if _PLAIN_KEY.fullmatch(text) else f"~{digest(text)}"


def pieces(text: str, name: str = "body") -> dict[str, str]:
    """`text` as the columns body0, body1, ..., each within the limit of one property."""
    return {f"{name}{start // PIECE}": text[start : start + PIECE] for start in range(0, max(len(text), 1), PIECE)}


def joined(row: Mapping[str, Any], name: str = "body") -> str:
    """The text that `pieces` took apart."""
    parts: list[str] = []
    while (part := row.get(f"{name}{len(parts)}")) is not None:
        parts.append(str(part))
    return "".join(parts)


def time_text(at: datetime) -> str:
    """Fixed width, so that text order is time order."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def newest_first(at: datetime) -> str:
    """Fixed width, so that text order is reverse time order."""
    return f"{_LAST_MILLISECOND - int(at.timestamp() * 1000):013d}"


def etag_of(row: Mapping[str, Any]) -> str:
    """The etag in the metadata of a row that was read (`TableEntity.metadata`) or of a write's answer."""
    metadata = getattr(row, "metadata", row)
    return str(metadata["etag"])


def is_conflict(error: HttpResponseError) -> bool:
    """Somebody was there first. Table errors lack `error_code` in places, so the status decides (host guide A3)."""
    return error.status_code == 409


def is_stale(error: HttpResponseError) -> bool:
    return error.status_code == 412


def is_missing(error: HttpResponseError) -> bool:
    return error.status_code == 404
