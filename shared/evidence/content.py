"""Looks at the content of one member while it goes by: size, CRC, hash, kind, and whether a PDF in it is signed."""

from __future__ import annotations

import hashlib
import zlib

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import PDF, PDF_MAGIC, ArchiveLimits, Entry, Member, check_total, mismatch

# Of a signature dictionary (ISO 32000-1 12.8.1). It cannot be inside a compressed object, because its offsets are
# those of the file.
_SIGNATURE_MARK = b"/ByteRange"
_OVERLAP = len(_SIGNATURE_MARK) - 1

# Input is inflated in pieces of this size, output comes in pieces no larger than the second: a bomb cannot fill memory.
PIECE = 256 * 1024
_OUTPUT = 1024 * 1024


class Content:
    """Takes the uncompressed bytes of one member in order. SHA-256 is about half of the work."""

    def __init__(self, *, hashed: bool = True) -> None:
        self.size = 0
        self.crc32 = 0
        self.signed = False
        self._hash = hashlib.sha256() if hashed else None
        self._head = b""
        self._last = b""

    def add(self, piece: bytes | memoryview) -> None:
        self.size += len(piece)
        self.crc32 = zlib.crc32(piece, self.crc32)
        if self._hash is not None:
            self._hash.update(piece)
        if len(self._head) < len(PDF_MAGIC):
            self._head += bytes(piece[: len(PDF_MAGIC) - len(self._head)])
        if not self.signed:
            self._look_for_signature(bytes(piece))

    @property
    def is_pdf(self) -> bool:
        return self._head == PDF_MAGIC

    def member(self, entry: Entry) -> Member:
        """What the header said and the content showed. Raises ArchiveNotReady when they disagree."""
        if self.size != entry.size:
            raise mismatch()
        if self.crc32 != entry.crc32:
            raise ArchiveNotReady("crc_mismatch", "A file in the archive is damaged.")
        return Member(
            name=entry.name,
            size=self.size,
            compressed_size=entry.compressed_size,
            crc32=self.crc32,
            offset=entry.offset,
            sha256=None if self._hash is None else self._hash.hexdigest(),
            media_type=PDF if self.is_pdf else None,
            signed=self.is_pdf and self.signed,
        )

    def _look_for_signature(self, piece: bytes) -> None:
        if len(self._head) == len(PDF_MAGIC) and not self.is_pdf:
            return
        self.signed = _SIGNATURE_MARK in piece or _SIGNATURE_MARK in self._last + piece[:_OVERLAP]
        self._last = (self._last + piece[-_OVERLAP:])[-_OVERLAP:]


class Inflater:
    """Inflates one member into its content within the limits. `consumed` counts the compressed bytes used."""

    def __init__(self, content: Content, total_before: int, limits: ArchiveLimits) -> None:
        self.consumed = 0
        self._content = content
        self._total_before = total_before
        self._limits = limits
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def done(self) -> bool:
        return self._stream.eof

    def add(self, view: memoryview) -> int:
        """How many bytes of `view` belonged to this member: all of them, unless its end was there."""
        used = 0
        while used < len(view) and not self.done:
            used += self._inflate(view[used : used + PIECE])
        return used

    def _inflate(self, piece: memoryview | bytes) -> int:
        offered = len(piece)
        before = self.consumed
        while True:
            try:
                output = self._stream.decompress(piece, _OUTPUT)
            except zlib.error as error:
                raise ArchiveNotReady("crc_mismatch", "A file in the archive is damaged.") from error
            piece = self._stream.unconsumed_tail
            self.consumed = before + offered - len(piece) - len(self._stream.unused_data)
            self._content.add(output)
            check_total(self._total_before + self._content.size, self._limits)
            # Output that did not fit waits inside the stream even when all input has been taken.
            if self.done or (not piece and len(output) < _OUTPUT):
                return self.consumed - before
