"""A signing's own record of moves: append-only, hash-chained, free of personal data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from shared.domain.signing import Model, Signing


class EntryKind(StrEnum):
    REQUESTED = "requested"
    START_ATTEMPT = "start_attempt"
    CHECKPOINT = "checkpoint"
    INVITING = "inviting"
    MOVED = "moved"
    IGNORED = "ignored"
    CONFLICT = "conflict"
    PROGRESS = "progress"
    ATTENTION = "attention"
    ATTENTION_CLEARED = "attention_cleared"
    DOWNLOAD_RETRY = "download_retry"
    FILE_STORED = "file_stored"
    POISONED = "poisoned"
    MANAGED = "managed"


class HistoryEntry(Model):
    """One move. `facts` are ids, codes, hashes and states only: never names, addresses or links.

    `hash` is SHA-256 over the entry before it and this one's content, so that a removed or altered entry shows.
    """

    seq: int
    at: datetime
    kind: EntryKind
    facts: Mapping[str, str] = Field(default_factory=dict)
    previous_hash: str
    hash: str


def _digest(previous_hash: str, seq: int, at: datetime, kind: EntryKind, facts: Mapping[str, str]) -> str:
    content = [previous_hash, seq, at.isoformat(), kind.value, sorted(facts.items())]
    return hashlib.sha256(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def record(
    signing: Signing, kind: EntryKind, at: datetime, facts: Mapping[str, str | None] | None = None
) -> tuple[Signing, HistoryEntry]:
    """The signing with one more entry counted in, and that entry. Facts that are None are left out."""
    known = {name: value for name, value in (facts or {}).items() if value is not None}
    seq = signing.history_seq + 1
    digest = _digest(signing.history_hash, seq, at, kind, known)
    entry = HistoryEntry(seq=seq, at=at, kind=kind, facts=known, previous_hash=signing.history_hash, hash=digest)
    return signing.model_copy(update={"history_seq": seq, "history_hash": digest, "updated_at": at}), entry


def is_intact(entries: Iterable[HistoryEntry]) -> bool:
    """True when the entries are numbered from 1 without a gap and every hash follows from the one before."""
    previous, expected_seq = "", 1
    for entry in entries:
        if entry.seq != expected_seq or entry.previous_hash != previous:
            return False
        if entry.hash != _digest(previous, entry.seq, entry.at, entry.kind, entry.facts):
            return False
        previous, expected_seq = entry.hash, expected_seq + 1
    return True
