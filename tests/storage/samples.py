"""Signings to store. Each call has an id of its own, so that tests can share one emulator."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.ids import signing_id
from shared.domain.signing import Document, Participant, Signing

NOW = datetime(2026, 11, 22, 9, 30, 15, 123456, tzinfo=UTC)


def new_id() -> str:
    return signing_id(NOW, secrets.token_bytes(10))


def signing(documents: int = 2, participants: int = 3, **changes: Any) -> Signing:
    own = new_id()
    facts: dict[str, Any] = {
        "id": own,
        "account": "acme",
        "provider": "pkisigning",
        "title": "Huurovereenkomst — été",
        "reference": "order/7 & co",
        "documents": tuple(_document(own, number) for number in range(1, documents + 1)),
        "participants": tuple(_participant(number) for number in range(1, participants + 1)),
        "options": {"nested": {"list": [1, None, "x"]}},
        "access_key": "opaque",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Signing.model_validate({**facts, **changes})


def with_entries(before: Signing, *kinds: EntryKind) -> tuple[Signing, Sequence[HistoryEntry]]:
    entries: list[HistoryEntry] = []
    for kind in kinds:
        before, entry = record(before, kind, NOW, {"state": before.state.value})
        entries.append(entry)
    return before, entries


def _document(own: str, number: int) -> Document:
    return Document(
        number=number,
        name=f"contract {number}.pdf",
        media_type="application/pdf",
        size=1000 + number,
        sha256=f"{number:064x}",
        blob=f"staging/{own}/{number}",
    )


def _participant(number: int) -> Participant:
    return Participant(number=number, given_name="Zoë", family_name="Jansen", email=f"z{number}@example.com")
