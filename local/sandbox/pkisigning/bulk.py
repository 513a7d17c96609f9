"""A ZIP of any size, made while it is sent: the request's own files and one big filler (spec: ZIP64 APPNOTE 4.3).

The filler repeats one random block, so nothing but that block is held in memory. Checksum and packed size are worked
out once per instance; afterwards an answer costs no more than copying the block to the socket.
"""

from __future__ import annotations

import base64
import random
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1024**2
_LIMIT_32 = 0xFFFFFFFF
_DOS_TIME = (0, (2030 - 1980) << 9 | 1 << 5 | 1)
_UTF8_NAMES = 0x0800


@dataclass(frozen=True)
class Member:
    """What the headers of one ZIP member say."""

    name: str
    method: int
    crc: int
    packed: int
    size: int

    @property
    def _wide(self) -> bool:
        return max(self.packed, self.size) >= _LIMIT_32

    def local_header(self) -> bytes:
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.packed) if self._wide else b""
        return b"PK\x03\x04" + self._fields(wide=self._wide) + struct.pack("<H", len(extra)) + self._name() + extra

    def directory_entry(self, offset: int) -> bytes:
        wide = self._wide or offset >= _LIMIT_32
        extra = struct.pack("<HHQQQ", 1, 24, self.size, self.packed, offset) if wide else b""
        attributes = struct.pack("<HHHHLL", len(extra), 0, 0, 0, 0, _LIMIT_32 if wide else offset)
        made_by = struct.pack("<H", 45)
        return b"PK\x01\x02" + made_by + self._fields(wide=wide) + attributes + self._name() + extra

    def _fields(self, *, wide: bool) -> bytes:
        """The run of fields that both headers share, version to name length."""
        packed, size = (_LIMIT_32, _LIMIT_32) if wide else (self.packed, self.size)
        version, name_length = 45 if wide else 20, len(self._name())
        head = struct.pack("<HHHHH", version, _UTF8_NAMES, self.method, *_DOS_TIME)
        return head + struct.pack("<LLLH", self.crc, packed, size, name_length)

    def _name(self) -> bytes:
        return self.name.encode()


@dataclass
class BulkArchive:
    """`size_bytes` of filler called `member`, stored or deflated, behind the request's own files."""

    size_bytes: int
    form: Literal["stored", "deflate"] = "stored"
    member: str = "Attachment.bin"

    def chunks(self, files: list[tuple[str, bytes]]) -> Iterator[bytes]:
        offset, directory = 0, b""
        for member, content in _own(files):
            header = member.local_header()
            directory += member.directory_entry(offset)
            offset += len(header) + len(content)
            yield header
            yield content
        header = self._filler.local_header()
        directory += self._filler.directory_entry(offset)
        offset += len(header) + self._filler.packed
        yield header
        yield from self._packed_chunks()
        yield directory + _end(len(files) + 1, len(directory), offset)

    def length(self, files: list[tuple[str, bytes]]) -> int:
        offset = directory = 0
        for member, content in [*_own(files), (self._filler, b"")]:
            directory += len(member.directory_entry(offset))
            offset += len(member.local_header()) + (len(content) or member.packed)
        return offset + directory + len(_end(len(files) + 1, directory, offset))

    def prepare(self) -> None:
        """Work out the checksum now (about a second per GiB) instead of during the first answer."""
        self._filler  # noqa: B018

    @cached_property
    def _block(self) -> bytes:
        # Base64 text: as random as bytes, but something to do for whoever has to inflate it.
        return base64.b64encode(random.Random(self.size_bytes).randbytes(_BLOCK_BYTES // 4 * 3))

    @cached_property
    def _filler(self) -> Member:
        whole, rest = divmod(self.size_bytes, _BLOCK_BYTES)
        crc = 0
        for _ in range(whole):
            crc = zlib.crc32(self._block, crc)
        crc = zlib.crc32(self._block[:rest], crc)
        packed = self.size_bytes
        if self.form == "deflate":
            packed = whole * len(self._deflated_block) + len(self._deflated_rest)
        return Member(self.member, 8 if self.form == "deflate" else 0, crc, packed, self.size_bytes)

    @cached_property
    def _deflated_block(self) -> bytes:
        """Ends with a full flush, so it stands on its own and may be repeated within one deflate stream."""
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(self._block) + packer.flush(zlib.Z_FULL_FLUSH)

    @cached_property
    def _deflated_rest(self) -> bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(self._block[: self.size_bytes % _BLOCK_BYTES]) + packer.flush()

    def _packed_chunks(self) -> Iterator[bytes]:
        whole, rest = divmod(self.size_bytes, _BLOCK_BYTES)
        deflated = self.form == "deflate"
        for _ in range(whole):
            yield self._deflated_block if deflated else self._block
        yield self._deflated_rest if deflated else self._block[:rest]


def _own(files: list[tuple[str, bytes]]) -> list[tuple[Member, bytes]]:
    return [(Member(name, 0, zlib.crc32(body), len(body), len(body)), body) for name, body in files]


def _end(count: int, directory: int, offset: int) -> bytes:
    """End of central directory, with its ZIP64 form in front when the offset does not fit."""
    wide = b""
    if offset >= _LIMIT_32:
        wide = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, directory, offset)
        wide += b"PK\x06\x07" + struct.pack("<LQL", 0, offset + directory, 1)
    shown = min(offset, _LIMIT_32)
    return wide + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, count, count, directory, shown, 0)
