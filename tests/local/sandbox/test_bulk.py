"""The big generated archive is a well-formed ZIP and comes fast, without being held in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local.sandbox.pkisigning import PkisigningSandbox
from local.sandbox.pkisigning.bulk import BulkArchive
from tests.local.sandbox.client import Client

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MIB = 1024**2


@pytest.mark.parametrize("form", ["stored", "deflate"])
async def test_a_bulk_archive_opens_and_its_checksums_match(
    sandbox: PkisigningSandbox, client: Client, form: str
) -> None:
    request_id = await client.sent()
    await sandbox.complete(request_id)
    size = 20 * MIB + 12345
    asked = await client.http.post("/_sandbox/bulk", json={"size_bytes": size, "form": form})
    assert asked.status_code == 204
    answer = await client.http.get(f"/requests/{request_id}/Download")
    assert len(answer.content) == int(answer.headers["content-length"])
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.namelist() == ["lease.pdf", "Audit trail.pdf", "Attachment.bin"]
    assert archive.testzip() is None
    assert archive.getinfo("Attachment.bin").file_size == size
    assert archive.read("lease.pdf").startswith(b"%PDF-")
    await sandbox.bulk_download(0)
    assert len((await client.http.get(f"/requests/{request_id}/Download")).content) < MIB


class Sparse(io.RawIOBase):
    """A file that keeps only its first and last pieces: enough to read the directory of a huge archive."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._pieces: list[tuple[int, bytes]] = []
        self.size = 0
        for chunk in chunks:
            if len(chunk) < MIB:
                self._pieces.append((self.size, chunk))
            self.size += len(chunk)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self.size - self._at)
        view[:wanted] = bytes(wanted)
        for start, piece in self._pieces:
            low, high = max(start, self._at), min(start + len(piece), self._at + wanted)
            if low < high:
                view[low - self._at : high - self._at] = piece[low - start : high - start]
        self._at += wanted
        return wanted


def test_beyond_four_gibibytes_the_archive_is_zip64() -> None:
    size = 4 * 1024 * MIB + 5
    bulk = BulkArchive(size)
    files = [("lease.pdf", b"%PDF-1.7 small")]
    whole = Sparse(bulk.chunks(files))
    assert whole.size == bulk.length(files)
    archive = zipfile.ZipFile(io.BufferedReader(whole))
    assert [(one.filename, one.file_size) for one in archive.infolist()] == [
        ("lease.pdf", len(files[0][1])),
        ("Attachment.bin", size),
    ]
    assert archive.read("lease.pdf") == files[0][1]
    with archive.open("Attachment.bin") as member:
        assert len(member.read(10)) == 10
