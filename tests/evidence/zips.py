"""Archives to look at: honest ones in every form that writers make, and the tools to spoil them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from shared.evidence.archive import ArchiveLimits
from shared.evidence.inspector import ArchiveInspector

SIGNED_PDF = b"%PDF-1.7\n" + b"page " * 300 + b"<< /Type /Sig /ByteRange [0 10 20 30] >>\n%%EOF\n"
PLAIN_PDF = b"%PDF-1.7\n" + random.Random(7).randbytes(700) + b"\n%%EOF\n"
FILES: Mapping[str, bytes] = {"contract.pdf": SIGNED_PDF, "map/audit trail.pdf": PLAIN_PDF, "leeg.txt": b""}


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors, as a provider does who streams."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.content += piece
        return len(piece)


def make(
    files: Mapping[str, bytes] = FILES,
    *,
    method: int = zipfile.ZIP_DEFLATED,
    streamed: bool = False,
    zip64: bool = False,
    comment: bytes = b"",
) -> bytes:
    target = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.comment = comment
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return target.content if isinstance(target, Unseekable) else target.getvalue()


def inspect(content: bytes, sizes: Sequence[int] = (), limits: ArchiveLimits | None = None) -> ArchiveInspector:
    """Feeds `content` in pieces of the given sizes and the rest in one. Each piece's memory is taken back after."""
    inspector = ArchiveInspector(limits)
    at = 0
    for size in (*sizes, len(content)):
        piece = bytearray(content[at : at + size])
        with memoryview(piece) as block:
            inspector.feed(block)
        piece.clear()
        at += size
    inspector.finish()
    return inspector


def patched(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def central(content: bytes, number: int = 0) -> int:
    """Where the directory's entry of that number starts."""
    at = -1
    for _ in range(number + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return at


def renamed(content: bytes, old: bytes, new: bytes) -> bytes:
    """One name for another of the same length, in both places."""
    if len(old) != len(new):
        raise ValueError("names of different length")
    return content.replace(old, new)


def with_end(content: bytes, **fields: int) -> bytes:
    """The end record with some fields changed: here, total, size, offset."""
    at = content.rindex(b"PK\x05\x06")
    places = {"here": (8, "<H"), "total": (10, "<H"), "size": (12, "<L"), "offset": (16, "<L")}
    for name, value in fields.items():
        offset, form = places[name]
        content = patched(content, at + offset, struct.pack(form, value))
    return content


def with_descriptor(content: bytes, *, signature: bool, wide: bool) -> bytes:
    """An archive of one deflated member, written with the given form of descriptor."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    crc = zlib.crc32(content)
    name = b"a.pdf"
    local = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", 45, 8, 8, 0, 0x21, 0, 0, 0, len(name), 0) + name
    sizes = struct.pack("<LQQ" if wide else "<LLL", crc, len(packed), len(content))
    body = local + packed + (b"PK\x07\x08" if signature else b"") + sizes
    facts = (b"PK\x01\x02", 45, 45, 8, 8, 0, 0x21, crc, len(packed), len(content), len(name), 0, 0, 0, 0, 0, 0)
    directory = struct.pack("<4sHHHHHHLLLHHHHHLL", *facts) + name
    return body + directory + struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(body), 0)
