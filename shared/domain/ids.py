"""Signing ids: UUIDv7 (RFC 9562 5.7), so that they sort by time. Pure: time and randomness are arguments."""

from __future__ import annotations

import uuid
from datetime import datetime


def signing_id(now: datetime, randomness: bytes) -> str:
    """A UUIDv7 from the millisecond of `now` and ten random bytes."""
    value = bytearray(int(now.timestamp() * 1000).to_bytes(6, "big") + randomness[:10])
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return str(uuid.UUID(bytes=bytes(value)))


def is_signing_id(text: str) -> bool:
    """True for the canonical text of a UUIDv7 and nothing else."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return False
    return str(parsed) == text and parsed.version == 7
