"""Signings, accounts and a built provider for the Signicat tests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from local.sandbox.pdf import sample_contract
from local.sandbox.signicat import Options, SignicatSandbox
from shared.domain.signing import Document, Participant, Role, Signing
from shared.ports import StartOrder
from shared.providers.signicat import PDF, Config
from shared.providers.signicat.provider import SignicatProvider
from tests.providers.stand_ins import tireless

NOW = datetime.now(UTC).replace(microsecond=0)
PDF_BYTES = sample_contract("Lease", ["Ada Jansen", "Bob Visser"])
CALLBACK_URL = "https://app.example.org/api/callbacks/signicat/main/x/y"
SIGNING_ID = "0190163d-8694-739b-aea5-966c26f8ad90"
# Packaging takes no time in tests, unless they are about it.
QUICK = Options(packaging_seconds=0)


def signer(number: int = 1, **changes: Any) -> Participant:
    values: dict[str, Any] = {
        "number": number,
        "given_name": "Ada",
        "family_name": f"Jansen{number}",
        "email": f"ada{number}@example.org",
    }
    return Participant(**(values | changes))


def observer(number: int, **changes: Any) -> Participant:
    return signer(number, **({"role": Role.OBSERVER} | changes))


def document(number: int = 1, **changes: Any) -> Document:
    values: dict[str, Any] = {
        "number": number,
        "name": f"lease-{number}.pdf",
        "media_type": PDF,
        "size": len(PDF_BYTES),
        "sha256": hashlib.sha256(PDF_BYTES).hexdigest(),
        "blob": f"staging/{number}",
    }
    return Document(**(values | changes))


def signing(*participants: Participant, documents: tuple[Document, ...] = (document(),), **changes: Any) -> Signing:
    values: dict[str, Any] = {
        "id": SIGNING_ID,
        "account": "main",
        "provider": "signicat",
        "title": "Lease 2030-17",
        "documents": documents,
        "participants": participants or (signer(),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Signing(**(values | changes))


async def read_document(_: Document) -> bytes:
    return PDF_BYTES


def order(of: Signing, callback_url: str = CALLBACK_URL) -> StartOrder:
    return StartOrder(of, callback_url, read_document)


def started(of: Signing, provider_signing_id: str) -> Signing:
    return of.model_copy(update={"provider_signing_id": provider_signing_id})


def id_of(of: Signing) -> str:
    assert of.provider_signing_id is not None
    return of.provider_signing_id


def config(sandbox: SignicatSandbox, **changes: Any) -> Config:
    values: dict[str, Any] = {
        "api_url": sandbox.api_url,
        "token_url": sandbox.token_url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "signature_methods": "nbid-sign:SIGNED_STATEMENT, sbid-sign:THIRD_PARTY",
        "calls_per_minute": 100_000,
    }
    return Config.model_validate(values | changes)


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def provider_at(sandbox: SignicatSandbox, **changes: Any) -> AsyncIterator[SignicatProvider]:
    """A provider as it is built for real, except for a call budget that tests do not reach."""
    built = SignicatProvider.configured("main", config(sandbox, **changes), utc_now, circuit=tireless())
    try:
        yield built
    finally:
        await built.aclose()
