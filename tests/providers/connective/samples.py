"""Signings, accounts and a built provider for the Connective tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from local.sandbox.connective import ConnectiveSandbox
from local.sandbox.pdf import sample_contract
from shared.domain.signing import Document, Participant, Placement, Role, Signing
from shared.ports import StartOrder
from shared.providers.connective import PDF, Config
from shared.providers.connective.provider import ConnectiveProvider
from tests.providers.stand_ins import tireless

NOW = datetime.now(UTC).replace(microsecond=0)
SIGNING_ID = "0190163d-8694-739b-aea5-966c26f8ad90"
GONE = "6f0d1c1e-0000-4000-8000-000000000001"


def signer(number: int = 1, *, document: int = 1, **changes: Any) -> Participant:
    values: dict[str, Any] = {
        "number": number,
        "given_name": "Ada",
        "family_name": f"Jansen{number}",
        "email": f"ada{number}@example.org",
        "phone": "+31 6 0000 0000",
        "placements": (Placement(document=document, text=f"_signer{number}_"),),
    }
    return Participant(**(values | changes))


def observer(number: int, **changes: Any) -> Participant:
    return signer(number, **({"role": Role.OBSERVER, "placements": ()} | changes))


def approver(number: int, **changes: Any) -> Participant:
    return signer(number, **({"role": Role.APPROVER, "placements": ()} | changes))


def document(number: int = 1, media_type: str = PDF, **changes: Any) -> Document:
    values: dict[str, Any] = {
        "number": number,
        "name": f"lease-{number}.pdf",
        "media_type": media_type,
        "size": 10,
        "sha256": "0" * 64,
        "blob": f"staging/{number}",
    }
    return Document(**(values | changes))


def signing(*participants: Participant, documents: tuple[Document, ...] = (document(),), **changes: Any) -> Signing:
    values: dict[str, Any] = {
        "id": SIGNING_ID,
        "account": "main",
        "provider": "connective",
        "title": "Lease 2030-17",
        "documents": documents,
        "participants": participants or (signer(),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Signing(**(values | changes))


PDF_BYTES = sample_contract("Lease", ["Ada Jansen", "Bob Visser", "Cem Kaya", "Dee Moor"])


async def read_document(document: Document) -> bytes:
    return PDF_BYTES


def order(of: Signing, callback_url: str = "http://127.0.0.1:9/api/callbacks/connective/main/x/y") -> StartOrder:
    """Nobody listens at the callback address unless a test gives one."""
    return StartOrder(of, callback_url, read_document)


ACCOUNT = Config.model_validate(
    {"host": "esig.example.org", "username": "api", "password": "hidden-1", "initiator": "sender@example.org"}
)


def config(sandbox: ConnectiveSandbox, **changes: Any) -> Config:
    values: dict[str, Any] = {
        "host": sandbox.base_url,
        "path_prefix": sandbox.options.prefix,
        "username": sandbox.username,
        "password": sandbox.password,
        "initiator": "sender@example.org",
        "calls_per_minute": 10_000,
    }
    return Config.model_validate(values | changes)


@asynccontextmanager
async def provider_at(sandbox: ConnectiveSandbox, **changes: Any) -> AsyncIterator[ConnectiveProvider]:
    """A provider as it is built for real, except for a call budget that tests do not reach."""
    account = config(sandbox, **changes)
    built = ConnectiveProvider.configured("main", account, lambda: datetime.now(UTC), circuit=tireless())
    try:
        yield built
    finally:
        await built.aclose()


def id_of(of: Signing) -> str:
    assert of.provider_signing_id is not None
    return of.provider_signing_id
