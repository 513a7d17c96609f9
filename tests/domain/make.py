"""Signings for tests of pure code."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.domain.signing import Document, Notify, Participant, Placement, Signing, State

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIGNING_ID = "0193b0a0-0000-7000-8000-000000000001"


def signing(state: State = State.REQUESTED, **updates: object) -> Signing:
    """One document, one signer, and a caller who wants to be told."""
    made = Signing(
        id=SIGNING_ID,
        account="pki",
        provider="pkisigning",
        title="Lease 2026-17",
        state=state,
        notify=Notify(url="https://example.logic.azure.com/hook"),
        documents=(
            Document(
                number=1, name="lease.pdf", media_type="application/pdf", size=9, sha256="0" * 64, blob="staging/x/1"
            ),
        ),
        participants=(
            Participant(
                number=1,
                given_name="Ada",
                family_name="Jansen",
                email="ada@example.org",
                phone="+31600000001",
                placements=(Placement(text="_signer1_"),),
            ),
        ),
        created_at=NOW,
        updated_at=NOW,
    )
    return made.model_copy(update=updates)
