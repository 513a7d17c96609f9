"""Signings, accounts and a built provider for the PKIsigning tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from local.sandbox.pdf import sample_contract
from local.sandbox.pkisigning import PkisigningSandbox
from shared.domain.signing import Document, Participant, Placement, Role, Signing
from shared.ports import StartOrder
from shared.providers.pkisigning import DOCX, PDF, Config
from shared.providers.pkisigning.provider import PkisigningProvider
from shared.providers.pkisigning.start import Pause
from tests.providers.stand_ins import MemoryTokens, tireless

NOW = datetime.now(UTC).replace(microsecond=0)


def signer(number: int = 1, *, document: int = 1, **changes: Any) -> Participant:
    values: dict[str, Any] = {
        "number": number,
        "given_name": "Ada",
        "family_name": f"Jansen{number}",
        "email": f"ada{number}@example.org",
        "phone": "+31600000000",
        "placements": (Placement(document=document, text=f"_signer{number}_"),),
    }
    return Participant(**(values | changes))


def observer(number: int, **changes: Any) -> Participant:
    return signer(number, **({"role": Role.OBSERVER, "placements": ()} | changes))


def document(number: int = 1, media_type: str = PDF, name: str | None = None) -> Document:
    name = name or f"lease-{number}{'.docx' if media_type == DOCX else '.pdf'}"
    return Document(number=number, name=name, media_type=media_type, size=10, sha256="0" * 64, blob=f"staging/{number}")


def signing(*participants: Participant, documents: tuple[Document, ...] = (document(),), **changes: Any) -> Signing:
    values: dict[str, Any] = {
        "id": "0190163d-8694-739b-aea5-966c26f8ad90",
        "account": "main",
        "provider": "pkisigning",
        "title": "Lease 2030-17",
        "documents": documents,
        "participants": participants or (signer(),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Signing(**(values | changes))


PDF_BYTES = sample_contract("Lease", ["Ada Jansen", "Bob Visser"])


def _docx() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    return stream.getvalue()


DOCX_BYTES = _docx()


async def read_document(document: Document) -> bytes:
    return DOCX_BYTES if document.media_type == DOCX else PDF_BYTES


def order(of: Signing) -> StartOrder:
    return StartOrder(of, "https://app.example.org/api/callbacks/pkisigning/main/x/y", read_document)


def config(sandbox: PkisigningSandbox, **changes: Any) -> Config:
    values: dict[str, Any] = {
        "api_url": sandbox.base_url,
        "identity_url": sandbox.base_url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "refresh_token": sandbox.refresh_token,
        "trust_anchors": sandbox.trust_bundle_pem.decode(),
    }
    return Config.model_validate(values | changes)


async def no_pause(_: float) -> None:
    """Waiting for a document to be processed takes no time in tests."""


@asynccontextmanager
async def provider_at(
    sandbox: PkisigningSandbox, *, pause: Pause = no_pause, **changes: Any
) -> AsyncIterator[PkisigningProvider]:
    """A provider as it is built for real, except for the pauses and a call budget that tests do not reach."""
    account = config(sandbox, **({"calls_per_minute": 10_000} | changes))
    built = PkisigningProvider.configured(
        "main", account, MemoryTokens(), lambda: datetime.now(UTC), circuit=tireless(), pause=pause
    )
    try:
        yield built
    finally:
        await built.aclose()
