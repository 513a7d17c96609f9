"""The way of a download: written block by block under the inspector's eyes, then looked at again where it lies."""

from __future__ import annotations

import asyncio
import os
import zipfile
from collections.abc import AsyncIterator, Iterator

import pytest

from local.azurite import Azurite
from shared.domain.errors import ArchiveNotReady
from shared.evidence.inspector import ArchiveInspector
from shared.evidence.reading import confirm_stored
from shared.storage.blobs import BlobDocumentStore
from shared.storage.clients import StorageClients
from tests.evidence.zips import SIGNED_PDF, make
from tests.storage.samples import new_id

NOISE = os.urandom(9 * 1024 * 1024)


@pytest.fixture
async def documents(azurite: Azurite) -> AsyncIterator[BlobDocumentStore]:
    async with StorageClients.from_settings(connection_string=azurite.connection_string) as clients:
        await clients.ensure_layout()
        yield BlobDocumentStore(clients)


def in_chunks(content: bytes) -> Iterator[bytes]:
    return (content[start : start + 65_000] for start in range(0, len(content), 65_000))


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for chunk in in_chunks(content):
        yield chunk
        await asyncio.sleep(0)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_large_archive_is_stored_and_confirmed(
    documents: BlobDocumentStore, method: int, streamed: bool
) -> None:
    content = make({"scan.bin": NOISE, "contract.pdf": SIGNED_PDF}, method=method, streamed=streamed)
    blob, inspector = f"signed/acme/{new_id()}/archive.zip", ArchiveInspector()
    written = await documents.write_once(
        blob, stream(content), media_type="application/zip", tags={}, inspector=inspector
    )
    scan, contract = await confirm_stored(inspector, documents.open_random(written))
    assert (scan.size, scan.signed) == (len(NOISE), False)
    assert contract.signed is True


async def test_a_damaged_archive_never_becomes_visible(documents: BlobDocumentStore) -> None:
    content = bytearray(make({"scan.bin": NOISE, "contract.pdf": SIGNED_PDF}))
    content[5_000_000] ^= 1
    blob = f"signed/acme/{new_id()}/archive.zip"
    with pytest.raises(ArchiveNotReady) as refused:
        await documents.write_once(
            blob, stream(bytes(content)), media_type="application/zip", tags={}, inspector=ArchiveInspector()
        )
    assert refused.value.reason == "crc_mismatch"
    assert await documents.describe(blob) is None
