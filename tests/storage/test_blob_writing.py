"""What only shows on real blobs: many blocks, two writers' blocks side by side, memory, and what the blob carries."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from shared.domain.errors import AlreadyExists, ArchiveNotReady
from shared.storage.blobs import BlobDocumentStore
from shared.storage.blocks import BLOCK_BYTES, full_blocks
from shared.storage.clients import StorageClients
from tests.storage.samples import new_id
from tests.storage.test_documents_contract import ZIP, Watching, chunks, cut_off, signed_blob

MIB = 1024 * 1024


class Slow(Watching):
    """Looks longer at a block than its upload takes."""

    def feed(self, block: memoryview) -> None:
        time.sleep(0.05)
        super().feed(block)


async def _stream(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


async def test_many_blocks_are_hashed_and_inspected_in_order(clients: StorageClients) -> None:
    store, blob = BlobDocumentStore(clients), signed_blob()
    content, inspector = os.urandom(2 * BLOCK_BYTES + 12345), Slow()
    clients.calls.clear()
    written = await store.write_once(blob, _stream(content, 1_000_003), media_type=ZIP, tags={}, inspector=inspector)
    assert clients.calls == {"blob:PUT signed block": 3, "blob:PUT signed blocklist": 1}
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert inspector.fed == content
    reader = store.open_random(written)
    assert await reader.read(0, reader.size) == content


async def test_two_writers_never_mix_their_blocks(clients: StorageClients) -> None:
    store, blob = BlobDocumentStore(clients), signed_blob()
    contents = [bytes([number]) * (BLOCK_BYTES + 5) for number in (1, 2)]
    answers = await asyncio.gather(
        *(store.write_once(blob, _stream(content, MIB), media_type=ZIP, tags={}) for content in contents),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, AlreadyExists)]
    assert len(refused) == 1
    described = await store.describe(blob)
    assert described is not None
    reader = store.open_random(described)
    assert await reader.read(0, reader.size) in contents


async def test_a_small_file_is_one_request_and_still_written_once(clients: StorageClients) -> None:
    store, blob, inspector = BlobDocumentStore(clients), signed_blob(), Watching()
    clients.calls.clear()
    written = await store.write_once(blob, chunks(b"PK", b"small"), media_type=ZIP, tags={}, inspector=inspector)
    assert clients.calls == {"blob:PUT signed": 1}
    assert inspector.fed == b"PKsmall"
    assert await store.describe(blob) == written
    with pytest.raises(AlreadyExists):
        await store.write_once(blob, chunks(b"other"), media_type=ZIP, tags={})
    clients.calls.clear()
    reader = store.open_random(written)
    assert (await reader.read(0, 2), await reader.read(2, 99)) == (b"PK", b"small")
    assert clients.calls == {"blob:GET signed": 1}


async def test_only_staged_documents_are_deleted_as_such(clients: StorageClients) -> None:
    store, blob = BlobDocumentStore(clients), signed_blob()
    await store.write_once(blob, chunks(b"kept"), media_type=ZIP, tags={})
    with pytest.raises(ValueError, match="staged"):
        await store.delete_staged([blob])
    assert await store.describe(blob) is not None


async def test_an_error_in_the_middle_stops_the_reading(clients: StorageClients) -> None:
    store, blob, inspector = BlobDocumentStore(clients), signed_blob(), Watching(refuse_at=1)
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += MIB
            yield b"<html>" * (MIB // 6)

    with pytest.raises(ArchiveNotReady):
        await store.write_once(blob, endless(), media_type=ZIP, tags={}, inspector=inspector)
    assert taken < 6 * BLOCK_BYTES
    assert await store.describe(blob) is None


async def test_a_stream_cut_after_some_blocks_leaves_nothing(clients: StorageClients) -> None:
    store, blob = BlobDocumentStore(clients), signed_blob()
    with pytest.raises(ConnectionResetError):
        await store.write_once(blob, cut_off(bytes(BLOCK_BYTES), bytes(100)), media_type=ZIP, tags={})
    assert await store.describe(blob) is None


async def test_forty_mebibytes_need_four_blocks_of_memory(clients: StorageClients) -> None:
    store, blob = BlobDocumentStore(clients), signed_blob()
    piece = os.urandom(MIB)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield piece

    class Counting:
        size = 0

        def feed(self, block: memoryview) -> None:
            self.size += len(block)

        def finish(self) -> None:
            return

    inspector = Counting()
    tracemalloc.start()
    try:
        await store.write_once(blob, stream(), media_type=ZIP, tags={}, inspector=inspector)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inspector.size == 40 * MIB
    assert peak < 40 * MIB


async def test_a_large_document_can_be_staged(clients: StorageClients) -> None:
    store, content = BlobDocumentStore(clients), os.urandom(5 * MIB)
    blob = f"staging/{new_id()}/1"
    await store.stage(blob, content, "application/pdf")
    assert await store.read_staged(blob) == content


async def test_an_inspector_that_is_still_looking_is_waited_for(clients: StorageClients) -> None:
    inspector = Slow()
    with pytest.raises(ConnectionResetError):
        await BlobDocumentStore(clients).write_once(
            signed_blob(), cut_off(bytes(2 * BLOCK_BYTES), b"x"), media_type=ZIP, tags={}, inspector=inspector
        )
    seen = len(inspector.fed)
    await asyncio.sleep(0.15)
    assert len(inspector.fed) == seen


async def test_the_blob_says_what_it_is(clients: StorageClients) -> None:
    blob = f"{signed_blob().rpartition('/')[0]}/été & co.zip"
    tags = {"reference": "order #7 é" + "x" * 300, "state": "stored"} | {f"more{n}": "1" for n in range(12)}
    await BlobDocumentStore(clients).write_once(blob, chunks(b"PK"), media_type=ZIP, tags=tags)
    client = clients.blob(*blob.split("/", 1))
    found = await client.get_blob_properties()
    assert found.content_settings.content_type == ZIP
    assert found.content_settings.content_disposition == "attachment; filename*=UTF-8''%C3%A9t%C3%A9%20%26%20co.zip"
    stored = await client.get_blob_tags()
    assert len(stored) == 10
    assert stored["state"] == "stored"
    assert stored["reference"] == "order _7 _" + "x" * 246


@pytest.mark.parametrize("sizes", [[], [1], [BLOCK_BYTES], [BLOCK_BYTES + 1], [3, 2 * BLOCK_BYTES, 0, BLOCK_BYTES - 3]])
async def test_chunks_of_any_size_become_full_blocks(sizes: list[int]) -> None:
    lengths = [block.getbuffer().nbytes async for block in full_blocks(chunks(*map(bytes, sizes)))]
    assert sum(lengths) == sum(sizes)
    assert all(length == BLOCK_BYTES for length in lengths[:-1])
    assert all(lengths)


@pytest.mark.parametrize("blob", ["inbox/../signed/x", "inbox/a/../../signed/x", "inbox/./x", "inbox//x", "inbox/.."])
async def test_an_address_with_steps_in_it_is_never_sent(clients: StorageClients, blob: str) -> None:
    """HTTP clients resolve them: what starts with `inbox/` would be read from another container."""
    clients.calls.clear()
    with pytest.raises(ValueError, match="container/path"):
        await BlobDocumentStore(clients).read_staged(blob)
    assert not clients.calls
