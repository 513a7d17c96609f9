"""ZIP archives as providers send them: the parts, the limits, and which names are safe.

Formats: PKWARE APPNOTE 6.3.10. Everything a reader could understand in two ways is refused.

Reasons of ArchiveNotReady in this package:

    empty  not_an_archive  truncated  crc_mismatch           what a provider that is not ready yet may send
    documents_missing  signature_missing                     whole, but not (yet) what was asked for
    directory_mismatch  trailing_data  duplicate_name        understandable in two ways
    encrypted  unsupported_method                            nobody could read it
    unsafe_name  special_file                                nobody should unpack it
    bomb  too_large  too_many_members  directory_too_large   beyond the limits
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.errors import ArchiveNotReady

PDF = "application/pdf"
PDF_MAGIC = b"%PDF-"

LOCAL_HEADER = b"PK\x03\x04"
CENTRAL_HEADER = b"PK\x01\x02"
ZIP64_END = b"PK\x06\x06"
ZIP64_LOCATOR = b"PK\x06\x07"
END = b"PK\x05\x06"
DESCRIPTOR = b"PK\x07\x08"

STORED, DEFLATED = 0, 8
FLAG_ENCRYPTED = 0x2041  # bit 0, bit 6 (strong encryption), bit 13 (masked headers)
FLAG_SIZES_FOLLOW = 0x0008
FLAG_UTF8 = 0x0800

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class ArchiveLimits:
    """What an honest archive stays within. `max_ratio` counts for members of more than `ratio_from_bytes`."""

    max_members: int = 1000
    max_total_bytes: int = 4 * 1024**3
    max_ratio: int = 200
    ratio_from_bytes: int = 1024**2
    max_directory_bytes: int = 4 * 1024**2


@dataclass(frozen=True)
class Entry:
    """What a header says about one member."""

    raw_name: bytes
    flags: int
    method: int
    crc32: int
    compressed_size: int
    size: int
    offset: int
    mode: int = 0

    @property
    def name(self) -> str:
        """Raises ArchiveNotReady for bytes that are not the text they claim to be."""
        try:
            return self.raw_name.decode("utf-8" if self.flags & FLAG_UTF8 else "cp437")
        except UnicodeDecodeError as error:
            raise ArchiveNotReady("unsafe_name", "A file name in the archive is not readable text.") from error


@dataclass(frozen=True)
class Member:
    """One file in the archive. The last three are None where only the directory was read, not the content."""

    name: str
    size: int
    compressed_size: int
    crc32: int
    offset: int
    sha256: str | None = None
    media_type: str | None = None
    signed: bool | None = None

    @property
    def is_directory(self) -> bool:
        return self.name.endswith("/")

    @property
    def is_pdf(self) -> bool:
        return self.media_type == PDF


def truncated() -> ArchiveNotReady:
    return ArchiveNotReady("truncated", "The archive ends before it is complete.")


def mismatch() -> ArchiveNotReady:
    return ArchiveNotReady("directory_mismatch", "The archive's directory disagrees with its content.")


def check_entry(entry: Entry) -> None:
    """Raises ArchiveNotReady for a member that nobody should unpack.

    1. not encrypted, 2. stored or deflated, 3. a name that stays where it is unpacked, 4. a plain file or a folder,
    5. folders and stored members have the size that they say.
    """
    if entry.flags & FLAG_ENCRYPTED:  # 1
        raise ArchiveNotReady("encrypted", "The archive is encrypted.")
    if entry.method not in (STORED, DEFLATED):  # 2
        raise ArchiveNotReady("unsupported_method", f"The archive uses compression method {entry.method}.")
    if not is_safe_name(entry.name):  # 3
        raise ArchiveNotReady("unsafe_name", "The archive holds a file name that points outside of it.")
    if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):  # 4
        raise ArchiveNotReady("special_file", "The archive holds a link or another special file.")
    if entry.name.endswith("/") and entry.size:  # 5
        raise mismatch()
    if entry.method == STORED and entry.size != entry.compressed_size:
        raise mismatch()


def check_entries(entries: Iterable[Entry], limits: ArchiveLimits) -> list[Entry]:
    """The entries in the order of the file. Raises ArchiveNotReady for a member that nobody should unpack, for a name
    used twice in whatever case, and for numbers beyond the limits."""
    listed = sorted(entries, key=lambda entry: entry.offset)
    if not listed:
        raise ArchiveNotReady("empty", "The provider sent an archive without files.")
    if len(listed) > limits.max_members:
        raise ArchiveNotReady("too_many_members", f"The archive holds more than {limits.max_members} files.")
    names: set[str] = set()
    for entry in listed:
        check_entry(entry)
        check_ratio(entry.size, entry.compressed_size, limits)
        names.add(unicodedata.normalize("NFC", entry.name).casefold().rstrip("/"))
    if len(names) < len(listed):
        raise ArchiveNotReady("duplicate_name", "The archive holds one file name twice.")
    check_total(sum(entry.size for entry in listed), limits)
    return listed


def check_total(total: int, limits: ArchiveLimits) -> None:
    if total > limits.max_total_bytes:
        raise ArchiveNotReady("too_large", f"The archive unpacks to more than {limits.max_total_bytes} bytes.")


def check_ratio(size: int, compressed_size: int, limits: ArchiveLimits) -> None:
    if size > limits.ratio_from_bytes and size > limits.max_ratio * compressed_size:
        raise ArchiveNotReady("bomb", f"A file in the archive unpacks to more than {limits.max_ratio} times its size.")


def listed_member(entry: Entry) -> Member:
    """A member as the directory describes it, its content unread."""
    return Member(entry.name, entry.size, entry.compressed_size, entry.crc32, entry.offset)


def is_safe_name(name: str) -> bool:
    """True for a relative path with forward slashes and no way up, without control characters."""
    if not name or name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return False
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return False
    return ".." not in name.split("/")
