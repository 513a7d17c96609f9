"""Reads ZIP headers from memory: local headers, data descriptors, and the directory with its end records."""

from __future__ import annotations

import struct

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import (
    CENTRAL_HEADER,
    DESCRIPTOR,
    END,
    LOCAL_HEADER,
    ZIP64_END,
    ZIP64_LOCATOR,
    ArchiveLimits,
    Entry,
    mismatch,
    truncated,
)

LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_ZIP64_END = struct.Struct("<4sQHHLLQQQQ")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_EXTRA = struct.Struct("<HH")

_ZIP64_TAG = 0x0001
_IN_ZIP64 = 0xFFFFFFFF
_IN_ZIP64_SHORT = 0xFFFF

# The longest descriptor and the signature of what comes after it. A whole archive always has as much left there.
DESCRIPTOR_LOOKAHEAD = 28
_MAX_COMMENT = 0xFFFF
# The directory's end records at their longest: what has to be read from the end of an archive to find the directory.
END_BYTES = _ZIP64_END.size + _ZIP64_LOCATOR.size + _END.size + _MAX_COMMENT


def local_lengths(fixed: bytes) -> tuple[int, int]:
    """Lengths of name and extra field behind the fixed part of a local header."""
    fields = LOCAL.unpack(fixed)
    return fields[9], fields[10]


def local_entry(fixed: bytes, name: bytes, extra: bytes, offset: int) -> Entry:
    _, _, flags, method, _, _, crc, compressed_size, size, _, _ = LOCAL.unpack(fixed)
    size, compressed_size = _wide(extra, [size, compressed_size])
    return Entry(name, flags, method, crc, compressed_size, size, offset)


def descriptor_length(ahead: bytes, crc: int, compressed_size: int, size: int) -> int | None:
    """How long the data descriptor at the start of `ahead` is, or None when none with these values is there.

    It comes in four forms: with and without signature, with sizes of four or eight bytes. The values are known by now
    and another header must follow, so the form can be told for certain.
    """
    for sizes in ("<LQQ", "<LLL"):
        if sizes == "<LLL" and max(compressed_size, size) > _IN_ZIP64:
            continue
        values = struct.pack(sizes, crc, compressed_size, size)
        for form in (DESCRIPTOR + values, values):
            if ahead.startswith(form) and ahead[len(form) :].startswith((LOCAL_HEADER, CENTRAL_HEADER)):
                return len(form)
    return None


def find_directory(end: bytes, end_offset: int) -> int:
    """Where the directory starts, from the last bytes of an archive, which begin at `end_offset`."""
    at = end.rfind(END)
    while at >= 0:
        if len(end) - at >= _END.size and _END.unpack_from(end, at)[7] == len(end) - at - _END.size:
            return _directory_start(end, at, end_offset)
        at = end.rfind(END, 0, at)
    raise truncated()


def _directory_start(end: bytes, at: int, end_offset: int) -> int:
    start = int(_END.unpack_from(end, at)[6])
    locator_at = at - _ZIP64_LOCATOR.size
    if locator_at < 0 or not end.startswith(ZIP64_LOCATOR, locator_at):
        return start
    record_at = _ZIP64_LOCATOR.unpack_from(end, locator_at)[2] - end_offset
    if not 0 <= record_at <= locator_at - _ZIP64_END.size:
        raise mismatch()
    return int(_ZIP64_END.unpack_from(end, record_at)[9])


def parse_directory(tail: bytes, start: int, limits: ArchiveLimits) -> list[Entry]:
    """The entries of a directory that starts at offset `start` of the archive and, with its end records and comment,
    fills `tail` exactly. Entries come in the directory's order.

    1. every entry whole, 2. no more entries than allowed, 3. the end records agree with what is there, 4. nothing after
    the end.
    """
    entries: list[Entry] = []
    at = 0
    while tail.startswith(CENTRAL_HEADER, at):
        entry, at = _central_entry(tail, at)  # 1
        entries.append(entry)
        if len(entries) > limits.max_members:  # 2
            raise ArchiveNotReady("too_many_members", f"The archive holds more than {limits.max_members} files.")
    directory_size = at
    at = _skip_zip64_end(tail, at, start, len(entries))  # 3
    _check_end(tail, at, start, directory_size, len(entries))  # 3, 4
    return entries


def _central_entry(tail: bytes, at: int) -> tuple[Entry, int]:
    if len(tail) - at < _CENTRAL.size:
        raise truncated()
    fields = _CENTRAL.unpack_from(tail, at)
    flags, method = fields[3], fields[4]
    crc, compressed_size, size, names, extras, comments, disk = fields[7:14]
    attributes, offset = fields[15], fields[16]
    name_at = at + _CENTRAL.size
    after = name_at + names + extras + comments
    if after > len(tail):
        raise truncated()
    extra = tail[name_at + names : name_at + names + extras]
    size, compressed_size, offset = _wide(extra, [size, compressed_size, offset])
    if disk not in (0, _IN_ZIP64_SHORT):
        raise mismatch()
    name = tail[name_at : name_at + names]
    # The upper half is the Unix mode, whatever system the archive claims to come from.
    return Entry(name, flags, method, crc, compressed_size, size, offset, mode=attributes >> 16), after


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """`values` with those that do not fit in four bytes taken from the ZIP64 extra field, in the order given."""
    if _IN_ZIP64 not in values:
        return values
    content = _extra_field(extra, _ZIP64_TAG)
    wide: list[int] = []
    for value in values:
        if value != _IN_ZIP64:
            wide.append(value)
            continue
        if len(content) < 8:
            raise mismatch()
        wide.append(int.from_bytes(content[:8], "little"))
        content = content[8:]
    return wide


def _extra_field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= _EXTRA.size:
        tag, length = _EXTRA.unpack_from(extra)
        if tag == wanted:
            return extra[_EXTRA.size : _EXTRA.size + length]
        extra = extra[_EXTRA.size + length :]
    return b""


def _skip_zip64_end(tail: bytes, at: int, start: int, count: int) -> int:
    """Past the ZIP64 end record and its locator, when they are there and agree."""
    if not tail.startswith(ZIP64_END, at):
        return at
    after = at + _ZIP64_END.size
    if len(tail) < after + _ZIP64_LOCATOR.size:
        raise truncated()
    _, length, _, _, disk, first_disk, here, total, size, offset = _ZIP64_END.unpack_from(tail, at)
    # The record counts its length without the first twelve bytes; an extensible part is not something we know.
    if (length, disk, first_disk) != (_ZIP64_END.size - 12, 0, 0) or (here, total, size, offset) != (
        count,
        count,
        at,
        start,
    ):
        raise mismatch()
    signature, _, record_at, disks = _ZIP64_LOCATOR.unpack_from(tail, after)
    if signature != ZIP64_LOCATOR or record_at != start + at or disks > 1:
        raise mismatch()
    return after + _ZIP64_LOCATOR.size


def _check_end(tail: bytes, at: int, start: int, directory_size: int, count: int) -> None:
    if len(tail) - at < _END.size:
        raise truncated()
    signature, disk, first_disk, here, total, size, offset, comment = _END.unpack_from(tail, at)
    if signature != END:
        raise mismatch()
    wide = at != directory_size
    expected = ((disk, 0), (first_disk, 0), (here, count), (total, count))
    if any(said != true and not (wide and said == _IN_ZIP64_SHORT) for said, true in expected):
        raise mismatch()
    if any(
        said != true and not (wide and said == _IN_ZIP64) for said, true in ((size, directory_size), (offset, start))
    ):
        raise mismatch()
    left = len(tail) - at - _END.size
    if left < comment:
        raise truncated()
    if left > comment:
        raise ArchiveNotReady("trailing_data", "Something follows the end of the archive.")
    if END in tail[at + _END.size :]:  # a comment that some readers take for the end
        raise mismatch()
