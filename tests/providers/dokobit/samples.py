"""Signings, accounts and a built provider for the Dokobit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from local.sandbox.dokobit import DokobitSandbox
from local.sandbox.pdf import sample_contract
from shared.domain.signing import Document, Participant, Placement, Role, Signing, StartProgress
from shared.ports import Started, StartOrder
from shared.providers.dokobit import PDF, Config
from shared.providers.dokobit.manage import Pause
from shared.providers.dokobit.provider import DokobitProvider
from tests.providers.stand_ins import tireless

NOW = datetime.now(UTC).replace(microsecond=0)
CALLBACK_URL = "http://127.0.0.1:9/api/callbacks/dokobit/main/x/y"
RETURN_URL = "https://app.example.org/thanks"
PDF_BYTES = sample_contract("Lease", ["Ona Jonaite", "Jonas Petraitis"])


def signer(number: int = 1, **changes: Any) -> Participant:
    values: dict[str, Any] = {
        "number": number,
        "given_name": "Ona",
        "family_name": f"Jonaite{number}",
        "email": f"ona{number}@example.org",
    }
    return Participant(**(values | changes))


def observer(number: int, **changes: Any) -> Participant:
    return signer(number, **({"role": Role.OBSERVER} | changes))


def placed(number: int = 1, **changes: Any) -> Participant:
    return signer(number, placements=(Placement(page=1, x=10, y=50),), **changes)


def document(number: int = 1, media_type: str = PDF, name: str | None = None) -> Document:
    name = name or f"lease-{number}.pdf"
    return Document(number=number, name=name, media_type=media_type, size=10, sha256="0" * 64, blob=f"staging/{number}")


def signing(*participants: Participant, documents: tuple[Document, ...] = (document(),), **changes: Any) -> Signing:
    values: dict[str, Any] = {
        "id": "0190163d-8694-739b-aea5-966c26f8ad90",
        "account": "main",
        "provider": "dokobit",
        "title": "Lease 2030-17",
        "documents": documents,
        "participants": participants or (signer(),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Signing(**(values | changes))


def internal(*participants: Participant, **changes: Any) -> Signing:
    options = {"flow": "internal", "redirect_uri": RETURN_URL} | changes.pop("options", {})
    return signing(*participants, options=options, **changes)


async def read_document(document: Document) -> bytes:
    return PDF_BYTES


def order(of: Signing, callback_url: str = CALLBACK_URL) -> StartOrder:
    return StartOrder(of, callback_url, read_document)


def after_start(of: Signing, started: Started, **facts: str) -> Signing:
    """What the flow remembers of a start."""
    progress = StartProgress(facts={**facts, **started.facts})
    return of.model_copy(update={"provider_signing_id": started.provider_signing_id, "start": progress})


def config(sandbox: DokobitSandbox, **changes: Any) -> Config:
    surface = changes.get("surface", "connector")
    values: dict[str, Any] = {
        "api_url": sandbox.connector_url if surface == "connector" else sandbox.universal_url,
        "access_token": sandbox.access_token,
        "calls_per_minute": 10_000,
    }
    return Config.model_validate(values | changes)


async def no_pause(_: float) -> None:
    """Waiting for a validation takes no time in tests."""


@asynccontextmanager
async def provider_at(
    sandbox: DokobitSandbox, *, pause: Pause = no_pause, **changes: Any
) -> AsyncIterator[DokobitProvider]:
    """A provider as it is built for real, except for the pauses and a call budget that tests do not reach."""
    account = config(sandbox, **changes)
    built = DokobitProvider.configured("main", account, lambda: datetime.now(UTC), circuit=tireless(), pause=pause)
    try:
        yield built
    finally:
        await built.aclose()
