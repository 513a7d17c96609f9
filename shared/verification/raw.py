"""A callback before and after verification. Parsing accepts only the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

_VERIFIER = object()


@dataclass(frozen=True)
class RawCallback:
    """An inbound HTTP message as it came: nothing in it is to be believed.

    `headers` have lower-case names; the Functions host joins repeated headers with a comma before we see them.
    `body` is the raw bytes. `received_at` is aware UTC.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VerifiedCallback:
    """A callback whose verification succeeded. Only `verified()` below makes one, and only verifiers call it.

    `headers` are those that were checked, `verdicts` what was found for each numbered check (stable words),
    `event_key` identifies the delivery: the same for an exact repeat.
    """

    raw: RawCallback
    headers: Mapping[str, str]
    verdicts: Mapping[str, str]
    event_key: str
    proof: object = None

    def __post_init__(self) -> None:
        if self.proof is not _VERIFIER:
            raise TypeError("a VerifiedCallback is made by verification only")


def verified(
    raw: RawCallback, *, headers: Mapping[str, str], verdicts: Mapping[str, str], event_key: str
) -> VerifiedCallback:
    """Call this at the end of a verifier's checklist, nowhere else."""
    return VerifiedCallback(raw, dict(headers), dict(verdicts), event_key, _VERIFIER)
