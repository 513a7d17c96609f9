"""The two tables: archives that must be let through, and archives that must be refused with which word."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

from shared.evidence.archive import ArchiveLimits
from tests.evidence.zips import SIGNED_PDF, central, make, patched, renamed, with_end

STORED = zipfile.ZIP_STORED
LIMITS = ArchiveLimits(max_members=5, max_total_bytes=300_000, max_ratio=50, ratio_from_bytes=10_000)

HONEST = {
    "deflated": make(),
    "stored": make(method=STORED),
    "deflated, streamed": make(streamed=True),
    "zip64": make(zip64=True),
    "zip64, streamed": make(zip64=True, streamed=True),
    "zip64, stored": make(zip64=True, method=STORED),
    "with a comment": make(comment=b"made by a provider " * 3),
}


def _two_names(first: str, second: str) -> bytes:
    return make({first: b"1", second: b"2"})


def _with_mode(mode: int, system: int) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        info = zipfile.ZipInfo("contract.pdf")
        info.external_attr, info.create_system = mode << 16, system
        target.writestr(info, "/etc/passwd")
    return archive.getvalue()


def _without_first_in_directory(content: bytes) -> bytes:
    start, second = central(content), central(content, 1)
    end = content.rindex(b"PK\x05\x06")
    shorter = content[:start] + content[second:]
    return with_end(shorter, here=2, total=2, size=end - second)


def _overlapping() -> bytes:
    """Two entries of the directory that share one member: the trick behind the smallest bombs."""
    content = _two_names("a.pdf", "b.pdf")
    return patched(content, central(content, 1) + 42, struct.pack("<L", 0))


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing": ("empty", lambda: b""),
    "no files": ("empty", lambda: make({})),
    "an error page": ("not_an_archive", lambda: b"<!doctype html><title>Sign in</title>"),
    "one byte": ("not_an_archive", lambda: b"x"),
    "something before it": ("not_an_archive", lambda: b"MZ" + make()),
    "a spanned archive": ("not_an_archive", lambda: b"PK\x07\x08" + make()),
    "a pdf without end": ("truncated", lambda: SIGNED_PDF.replace(b"%%EOF", b"%%EO") + b" " * 2000),
    "a pdf that ended long ago": ("truncated", lambda: SIGNED_PDF + b" " * 2000),
    "trailing bytes": ("trailing_data", lambda: make() + b"x"),
    "a second archive behind": ("trailing_data", lambda: make() + make()),
    "a comment that looks like the end": ("directory_mismatch", lambda: make(comment=b"PK\x05\x06" + bytes(18))),
    "something between members and directory": (
        "directory_mismatch",
        lambda: make()[: central(make())] + b"junk" + make()[central(make()) :],
    ),
    "encrypted in front": ("encrypted", lambda: patched(make(), 6, b"\x01")),
    "encrypted in the directory": ("encrypted", lambda: patched(make(), central(make()) + 8, b"\x01")),
    "strongly encrypted": ("encrypted", lambda: patched(make(), 6, b"\x40")),
    "bzip2": ("unsupported_method", lambda: make(method=zipfile.ZIP_BZIP2)),
    "lzma": ("unsupported_method", lambda: make(method=zipfile.ZIP_LZMA)),
    "way up": ("unsafe_name", lambda: make({"../contract.pdf": b""})),
    "way up inside": ("unsafe_name", lambda: make({"a/../../contract.pdf": b""})),
    "absolute": ("unsafe_name", lambda: make({"/etc/passwd": b""})),
    "drive": ("unsafe_name", lambda: make({"C:contract.pdf": b""})),
    "backslash": ("unsafe_name", lambda: renamed(make({"..x..xa.pdf": b""}), b"..x..xa.pdf", b"..\\..\\a.pdf")),
    "null": ("unsafe_name", lambda: renamed(make({"a.pdf.exe": b""}), b"a.pdf.exe", b"a.pdf\x00exe")),
    "control character": ("unsafe_name", lambda: make({"a\r\n.pdf": b""})),
    "no name": ("unsafe_name", lambda: make({"": b""})),
    "not utf-8": ("unsafe_name", lambda: renamed(make({"é.pdf": b""}), "é".encode(), b"\xff\xfe")),
    "one name twice": ("duplicate_name", lambda: renamed(_two_names("a.pdf", "b.pdf"), b"b.pdf", b"a.pdf")),
    "one name in two cases": ("duplicate_name", lambda: _two_names("a.pdf", "A.PDF")),
    "one name in two forms": ("duplicate_name", lambda: _two_names("\u00e9.pdf", "e\u0301.pdf")),
    "file and folder": ("duplicate_name", lambda: make({"a": b"", "a/": b""})),
    "a link": ("special_file", lambda: _with_mode(stat.S_IFLNK | 0o777, 3)),
    "a link that claims to be from DOS": ("special_file", lambda: _with_mode(stat.S_IFLNK | 0o777, 0)),
    "a device": ("special_file", lambda: _with_mode(stat.S_IFCHR | 0o666, 3)),
    "a folder with content": ("directory_mismatch", lambda: make({"a/": b"hidden"}, method=STORED)),
    "too many members": ("too_many_members", lambda: make({f"{n}.pdf": b"" for n in range(6)})),
    "too large": ("too_large", lambda: make({"a.pdf": bytes(200_000), "b.pdf": bytes(200_000)}, method=STORED)),
    "too large, deflated": ("too_large", lambda: make({"a.pdf": bytes(400_000)})),
    "too large, streamed": ("too_large", lambda: make({"a.pdf": bytes(400_000)}, streamed=True)),
    "a bare pdf that is too large": ("too_large", lambda: SIGNED_PDF + bytes(300_000)),
    "a bomb": ("bomb", lambda: make({"a.pdf": bytes(200_000)})),
    "a streamed bomb": ("bomb", lambda: make({"a.pdf": bytes(200_000)}, streamed=True)),
    "wrong crc in both places": (
        "crc_mismatch",
        lambda: patched(patched(make(method=STORED), 14, b"\0\0\0\0"), central(make(method=STORED)) + 16, b"\0\0\0\0"),
    ),
    "damaged stored content": ("crc_mismatch", lambda: make(method=STORED).replace(b"page page", b"page PAGE", 1)),
    "damaged deflated content": ("crc_mismatch", lambda: patched(make(), 60, b"\xff\xff\xff")),
    "a wrong data descriptor": (
        "directory_mismatch",
        lambda: make(streamed=True).replace(struct.pack("<L", zlib.crc32(SIGNED_PDF)), b"abcd", 1),
    ),
    "other name in the directory": (
        "directory_mismatch",
        lambda: patched(make(), central(make()) + 46, b"kontract.pdf"),
    ),
    "other size in the directory": (
        "directory_mismatch",
        lambda: patched(make(), central(make()) + 24, struct.pack("<L", 5)),
    ),
    "other place in the directory": (
        "directory_mismatch",
        lambda: patched(make(), central(make()) + 42, struct.pack("<L", 5)),
    ),
    "a member that the directory hides": ("directory_mismatch", lambda: _without_first_in_directory(make())),
    "two entries for one member": ("directory_mismatch", _overlapping),
    "a count too many": ("directory_mismatch", lambda: with_end(make(), total=4)),
    "another directory size": ("directory_mismatch", lambda: with_end(make(), size=1)),
    "another directory offset": ("directory_mismatch", lambda: with_end(make(), offset=1)),
    "announced zip64 that is not there": ("directory_mismatch", lambda: with_end(make(), offset=0xFFFFFFFF)),
    "a stored member of two sizes": ("directory_mismatch", lambda: patched(make(method=STORED), 22, b"\x01\0\0\0")),
    "a deflated member longer than announced": ("directory_mismatch", lambda: patched(make(), 18, b"\x05\0\0\0")),
}
