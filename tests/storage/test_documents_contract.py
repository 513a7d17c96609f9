"""`ports.DocumentStore`, in memory and on blobs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.errors import AlreadyExists, ArchiveNotReady, NotFound, TooLarge
from tests.storage.conftest import Stores
from tests.storage.samples import new_id

ZIP = "application/zip"


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def cut_off(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ConnectionResetError("the provider hung up")


class Watching:
    """Keeps what it is fed, and refuses when told to."""

    def __init__(self, *, refuse_at: int | None = None, refuse_in_the_end: bool = False) -> None:
        self.fed = b""
        self._refuse_at = refuse_at
        self._refuse_in_the_end = refuse_in_the_end

    def feed(self, block: memoryview) -> None:
        self.fed += block
        if self._refuse_at is not None and len(self.fed) >= self._refuse_at:
            raise ArchiveNotReady("not_an_archive", "refused on the way")

    def finish(self) -> None:
        if self._refuse_in_the_end:
            raise ArchiveNotReady("truncated", "refused in the end")


def signed_blob() -> str:
    return f"signed/acme/2026/11/{new_id()}/archive.zip"


async def test_what_was_written_is_described_and_read(stores: Stores) -> None:
    blob, content = signed_blob(), b"PK-one" + b"PK-two" * 1000
    inspector = Watching()
    written = await stores.documents.write_once(
        blob, chunks(content[:6], b"", content[6:]), media_type=ZIP, tags={}, inspector=inspector
    )
    assert (written.blob, written.size) == (blob, len(content))
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert abs(written.written_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert inspector.fed == content
    assert await stores.documents.describe(blob) == written
    reader = stores.documents.open_random(written)
    assert reader.size == len(content)
    assert await reader.read(3, 7) == content[3:10]
    assert await reader.read(len(content) - 2, 100) == content[-2:]
    assert await reader.read(len(content), 1) == b""


async def test_a_blob_is_never_written_over(stores: Stores) -> None:
    blob = signed_blob()
    first = await stores.documents.write_once(blob, chunks(b"first"), media_type=ZIP, tags={})
    with pytest.raises(AlreadyExists):
        await stores.documents.write_once(blob, chunks(b"second"), media_type=ZIP, tags={})
    assert await stores.documents.describe(blob) == first


@pytest.mark.parametrize("inspector", [Watching(refuse_at=4), Watching(refuse_in_the_end=True)], ids=["early", "end"])
async def test_what_the_inspector_refuses_never_becomes_visible(stores: Stores, inspector: Watching) -> None:
    blob = signed_blob()
    with pytest.raises(ArchiveNotReady):
        await stores.documents.write_once(blob, chunks(b"some", b"more"), media_type=ZIP, tags={}, inspector=inspector)
    assert await stores.documents.describe(blob) is None
    await stores.documents.write_once(blob, chunks(b"good"), media_type=ZIP, tags={})


async def test_a_stream_that_breaks_off_leaves_nothing(stores: Stores) -> None:
    blob, inspector = signed_blob(), Watching()
    with pytest.raises(ConnectionResetError):
        await stores.documents.write_once(blob, cut_off(b"x" * 100), media_type=ZIP, tags={}, inspector=inspector)
    assert await stores.documents.describe(blob) is None


async def test_an_empty_stream_can_be_stored(stores: Stores) -> None:
    written = await stores.documents.write_once(signed_blob(), chunks(), media_type=ZIP, tags={})
    assert written.size == 0
    assert written.sha256 == hashlib.sha256(b"").hexdigest()


async def test_of_two_writers_one_wins_whole(stores: Stores) -> None:
    blob = signed_blob()

    async def write(byte: bytes) -> str | None:
        try:
            written = await stores.documents.write_once(blob, chunks(byte * 70_000), media_type=ZIP, tags={})
        except AlreadyExists:
            return None
        return written.sha256

    hashes = [sha256 for sha256 in await asyncio.gather(*(write(b"%d" % n) for n in range(6))) if sha256]
    assert len(hashes) == 1
    described = await stores.documents.describe(blob)
    assert described is not None
    reader = stores.documents.open_random(described)
    assert hashlib.sha256(await reader.read(0, reader.size)).hexdigest() == hashes[0]


async def test_only_the_blob_that_was_written_is_deleted(stores: Stores) -> None:
    blob = signed_blob()
    first = await stores.documents.write_once(blob, chunks(b"first"), media_type=ZIP, tags={})
    await stores.documents.delete(blob, '"0x0"')
    assert await stores.documents.describe(blob) == first
    await stores.documents.delete(blob, first.etag)
    assert await stores.documents.describe(blob) is None
    await stores.documents.delete(blob, first.etag)


async def test_a_reader_sees_one_version_or_nothing(stores: Stores) -> None:
    blob = signed_blob()
    first = await stores.documents.write_once(blob, chunks(b"first"), media_type=ZIP, tags={})
    reader = stores.documents.open_random(first)
    await stores.documents.delete(blob, first.etag)
    with pytest.raises(NotFound):
        await reader.read(0, 5)
    await stores.documents.write_once(blob, chunks(b"other"), media_type=ZIP, tags={})
    with pytest.raises(NotFound):
        await reader.read(0, 5)


async def test_staged_documents_come_back_and_go_together(stores: Stores) -> None:
    own, other = new_id(), new_id()
    await stores.documents.stage(f"staging/{own}/1", b"one", "application/pdf")
    await stores.documents.stage(f"staging/{own}/2", b"old", "application/pdf")
    await stores.documents.stage(f"staging/{own}/2", b"two", "application/pdf")
    await stores.documents.stage(f"staging/{other}/1", b"other", "application/pdf")
    assert await stores.documents.read_staged(f"staging/{own}/2") == b"two"
    both = [f"staging/{own}/1", f"staging/{own}/2"]
    await stores.documents.delete_staged(both)
    await stores.documents.delete_staged(both)
    for number in (1, 2):
        with pytest.raises(NotFound):
            await stores.documents.read_staged(f"staging/{own}/{number}")
    assert await stores.documents.read_staged(f"staging/{other}/1") == b"other"


async def test_what_is_not_there_is_not_found(stores: Stores) -> None:
    assert await stores.documents.describe(signed_blob()) is None
    with pytest.raises(NotFound):
        await stores.documents.read_staged("staging/nobody/1")


@pytest.mark.parametrize("address", ["elsewhere/x", "signed", "signed/", "inbox/../signed/x", "inbox/./x"])
async def test_an_address_outside_of_the_containers_is_a_bug(stores: Stores, address: str) -> None:
    with pytest.raises(ValueError, match="container/path"):
        await stores.documents.stage(address, b"", ZIP)


async def test_a_file_beyond_the_limit_is_not_read(stores: Stores) -> None:
    blob = f"staging/{new_id()}/1"
    await stores.documents.stage(blob, b"x" * 11, "application/pdf")
    with pytest.raises(TooLarge):
        await stores.documents.read_staged(blob, max_bytes=10)
    assert await stores.documents.read_staged(blob, max_bytes=11) == b"x" * 11


async def test_old_staged_documents_are_found_and_removed_by_etag(stores: Stores) -> None:
    own = new_id()
    for number in (1, 2):
        await stores.documents.stage(f"staging/{own}/{number}", b"%PDF", "application/pdf")
    soon = datetime.now(UTC) + timedelta(minutes=1)
    found = [one async for one in stores.documents.staged_before(soon) if own in one.blob]
    assert [one.blob for one in found] == [f"staging/{own}/1", f"staging/{own}/2"]
    assert [one async for one in stores.documents.staged_before(soon - timedelta(hours=1)) if own in one.blob] == []
    await stores.documents.stage(f"staging/{own}/1", b"%PDF again", "application/pdf")
    for one in found:
        await stores.documents.delete(one.blob, one.etag)
    assert await stores.documents.read_staged(f"staging/{own}/1") == b"%PDF again"
    assert await stores.documents.describe(f"staging/{own}/2") is None
