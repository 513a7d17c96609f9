"""Reads an archive that is already stored, by ranged reads: its directory, and if asked every member through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from shared.evidence.archive import (
    FLAG_SIZES_FOLLOW,
    LOCAL_HEADER,
    STORED,
    ArchiveLimits,
    Entry,
    Member,
    check_entries,
    check_entry,
    listed_member,
    mismatch,
    truncated,
)
from shared.evidence.content import Content, Inflater
from shared.evidence.headers import (
    DESCRIPTOR_LOOKAHEAD,
    END_BYTES,
    LOCAL,
    descriptor_length,
    find_directory,
    local_entry,
    local_lengths,
    parse_directory,
)
from shared.evidence.inspector import ArchiveInspector

_READ = 4 * 1024 * 1024


class RangedReader(Protocol):
    """The part of `ports.RandomAccess` that is needed here."""

    size: int

    async def read(self, offset: int, length: int) -> bytes: ...


async def read_archive(
    blob: RangedReader, limits: ArchiveLimits | None = None, *, verify_all: bool = False
) -> list[Member]:
    """The members in the order of the file. Raises ArchiveNotReady.

    Without `verify_all` only the directory is read. With it, every member is read, inflated and compared with its CRC,
    and nothing may hide between them.
    """
    limits = limits or ArchiveLimits()
    if not (await blob.read(0, 4)).startswith(LOCAL_HEADER):
        return await _read_through(blob, limits)
    entries, directory_at = await _directory(blob, limits)
    if not verify_all:
        return [listed_member(entry) for entry in entries]
    ends = [*(entry.offset for entry in entries[1:]), directory_at]
    if entries[0].offset != 0:
        raise mismatch()
    total = 0
    members: list[Member] = []
    for entry, end in zip(entries, ends, strict=True):
        members.append(await _verified(blob, entry, end, total, limits))
        total += entry.size
    return members


async def confirm_stored(
    inspector: ArchiveInspector, blob: RangedReader, limits: ArchiveLimits | None = None
) -> list[Member]:
    """The members of an archive that `inspector` agreed to, once what is stored says the same. Raises ArchiveNotReady;
    the blob must then be removed.

    Reads the directory only; or everything, where the inspector could not follow.
    """
    if inspector.is_bare_pdf:
        if blob.size != inspector.members[0].size:
            raise mismatch()
        return list(inspector.members)
    listed = await read_archive(blob, limits, verify_all=not inspector.followed)
    require_same(inspector.members, listed)
    return list(inspector.members) if inspector.followed else listed


def require_same(seen: Sequence[Member], listed: Sequence[Member]) -> None:
    """Raises ArchiveNotReady unless what is stored lists what went by."""
    if [_identity(member) for member in seen] != [_identity(member) for member in listed]:
        raise mismatch()


async def _read_through(blob: RangedReader, limits: ArchiveLimits) -> list[Member]:
    """A bare PDF, or what nobody wants: it has no directory, so the inspector decides."""
    inspector = ArchiveInspector(limits)
    for offset in range(0, blob.size, _READ):
        piece = await blob.read(offset, _READ)
        await asyncio.to_thread(inspector.feed, memoryview(piece))
    inspector.finish()
    return list(inspector.members)


async def _directory(blob: RangedReader, limits: ArchiveLimits) -> tuple[list[Entry], int]:
    end_offset = max(blob.size - END_BYTES, 0)
    end = await blob.read(end_offset, END_BYTES)
    start = find_directory(end, end_offset)
    if not blob.size - limits.max_directory_bytes - END_BYTES <= start < blob.size:
        raise mismatch()
    tail = end[start - end_offset :] if start >= end_offset else await blob.read(start, blob.size - start)
    return check_entries(parse_directory(tail, start, limits), limits), start


async def _verified(blob: RangedReader, entry: Entry, end: int, total: int, limits: ArchiveLimits) -> Member:
    """1. the header in front says the same, 2. the content fills the room up to the next header, 3. sizes stay within
    the limits while they grow, 4. size and CRC are right."""
    local, data_at = await _local(blob, entry.offset)
    _require_agreement(local, entry)  # 1
    data_end = data_at + entry.compressed_size
    if data_end + await _descriptor_length(blob, local, entry, data_end) != end:  # 2
        raise mismatch()
    content = Content()
    inflater = None if entry.method == STORED else Inflater(content, total, limits)  # 3
    for offset in range(data_at, data_end, _READ):
        piece = await blob.read(offset, min(_READ, data_end - offset))
        await asyncio.to_thread(_take_in, content, inflater, piece)
    if inflater is not None and not (inflater.done and inflater.consumed == entry.compressed_size):
        raise mismatch()
    return content.member(entry)  # 4


def _take_in(content: Content, inflater: Inflater | None, piece: bytes) -> None:
    if inflater is None:
        content.add(piece)
    else:
        inflater.add(memoryview(piece))


async def _local(blob: RangedReader, offset: int) -> tuple[Entry, int]:
    """The header in front of a member, and where its content starts."""
    fixed = await blob.read(offset, LOCAL.size)
    if len(fixed) < LOCAL.size:
        raise truncated()
    if not fixed.startswith(LOCAL_HEADER):
        raise mismatch()
    names, extras = local_lengths(fixed)
    variable = await blob.read(offset + LOCAL.size, names + extras)
    return local_entry(fixed, variable[:names], variable[names:], offset), offset + LOCAL.size + names + extras


def _require_agreement(local: Entry, listed: Entry) -> None:
    check_entry(local)
    if (local.raw_name, local.name, local.method) != (listed.raw_name, listed.name, listed.method):
        raise mismatch()
    sizes = (local.crc32, local.compressed_size, local.size)
    if not local.flags & FLAG_SIZES_FOLLOW and sizes != (listed.crc32, listed.compressed_size, listed.size):
        raise mismatch()


async def _descriptor_length(blob: RangedReader, local: Entry, listed: Entry, at: int) -> int:
    if not local.flags & FLAG_SIZES_FOLLOW:
        return 0
    ahead = await blob.read(at, DESCRIPTOR_LOOKAHEAD)
    length = descriptor_length(ahead, listed.crc32, listed.compressed_size, listed.size)
    if length is None:
        raise mismatch()
    return length


def _identity(member: Member) -> tuple[object, ...]:
    return member.offset, member.name, member.size, member.compressed_size, member.crc32
