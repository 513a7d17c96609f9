"""Follows an archive while it is being written to storage, so that a bad one never becomes visible (design 5).

The scan is one generator that suspends when it needs bytes that have not come yet: the code reads in the order of the
file whatever the sizes of the blocks.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import (
    CENTRAL_HEADER,
    END,
    FLAG_SIZES_FOLLOW,
    LOCAL_HEADER,
    PDF_MAGIC,
    STORED,
    ArchiveLimits,
    Entry,
    Member,
    check_entries,
    check_entry,
    check_ratio,
    check_total,
    listed_member,
    mismatch,
    truncated,
)
from shared.evidence.bytestream import ByteStream
from shared.evidence.content import PIECE, Content, Inflater
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

BARE_PDF_NAME = "document.pdf"
_PDF_END = b"%%EOF"
_PDF_END_WITHIN = 1024
Scan = Generator[None, None, None]


class ArchiveInspector:
    """`ports.Inspector` for a ZIP archive or a bare PDF.

    After `finish()` has agreed, `members` holds what went by. `followed` is False for an archive that cannot be read
    from front to back (a stored member of unannounced length): its members come from the directory alone, and
    `reading.confirm_stored` must look at the content before anybody believes it.

    1. it starts as a ZIP or a PDF, 2. every member is one to unpack (`check_entry`), 3. sizes and ratio stay within the
    limits while they grow, 4. content has the size and CRC that it claims, 5. the directory lists exactly what went by,
    6. no name twice, numbers within the limits, 7. nothing is missing and nothing follows.
    """

    def __init__(self, limits: ArchiveLimits | None = None, *, hash_members: bool = True) -> None:
        self.followed = True
        self.is_bare_pdf = False
        self.members: tuple[Member, ...] = ()
        self._limits = limits or ArchiveLimits()
        self._hash_members = hash_members
        self._bytes = ByteStream()
        self._seen: list[tuple[Entry, Member]] = []
        self._total = 0
        self._refusal: ArchiveNotReady | None = None
        self._scan = self._run()
        next(self._scan)

    def feed(self, block: memoryview) -> None:
        """Raises ArchiveNotReady as soon as it is certain."""
        if self._refusal is None:
            self._bytes.offer(block)
            self._resume()
            self._bytes.let_go()

    def finish(self) -> None:
        if self._refusal is None and not self._bytes.ended:
            self._bytes.ended = True
            self._resume()
        if self._refusal is not None:
            raise self._refusal

    def _resume(self) -> None:
        try:
            next(self._scan)
        except StopIteration:
            return
        except ArchiveNotReady as refusal:
            self._bytes.let_go()
            self._refusal = refusal
            raise

    def _run(self) -> Scan:
        if not (yield from self._bytes.has_more()):
            raise ArchiveNotReady("empty", "The provider sent an empty file.")
        start = yield from self._bytes.peek(len(PDF_MAGIC))
        if start == PDF_MAGIC:  # 1
            yield from self._bare_pdf()
        elif start.startswith(LOCAL_HEADER):
            yield from self._archive()
        elif start.startswith(END):
            raise ArchiveNotReady("empty", "The provider sent an archive without files.")
        elif LOCAL_HEADER.startswith(start) or PDF_MAGIC.startswith(start):
            raise truncated()
        else:
            raise ArchiveNotReady("not_an_archive", "The provider sent something that is neither a ZIP nor a PDF.")

    def _bare_pdf(self) -> Scan:
        self.is_bare_pdf = True
        content = Content(hashed=self._hash_members)
        last = b""
        while (yield from self._bytes.has_more()):
            last = (last + bytes(self._bytes.view[:PIECE][-_PDF_END_WITHIN:]))[-_PDF_END_WITHIN:]
            self._eat(content, PIECE)
        if _PDF_END not in last:
            raise truncated()
        entry = Entry(BARE_PDF_NAME.encode(), 0, STORED, content.crc32, content.size, content.size, 0)
        self.members = (content.member(entry),)

    def _archive(self) -> Scan:
        while True:
            offset = self._bytes.offset
            signature = yield from self._bytes.peek(4)
            if signature == CENTRAL_HEADER:
                yield from self._directory(offset)
                return
            if signature != LOCAL_HEADER:
                raise truncated() if len(signature) < 4 else mismatch()
            yield from self._member(offset)
            if not self.followed:
                yield from self._unfollowed()
                return

    def _member(self, offset: int) -> Scan:
        if len(self._seen) == self._limits.max_members:
            raise ArchiveNotReady("too_many_members", f"The archive holds more than {len(self._seen)} files.")
        entry = yield from self._header(offset)
        sizes_follow = bool(entry.flags & FLAG_SIZES_FOLLOW)
        check_entry(entry)  # 2
        content = Content(hashed=self._hash_members)
        if entry.method != STORED:
            compressed_size = yield from self._deflated(content)
        elif entry.compressed_size or not sizes_follow:
            compressed_size = yield from self._stored(content, entry.compressed_size)
        else:
            # Of unannounced length: only an empty one can be told.
            compressed_size = 0
            ahead = yield from self._bytes.peek(DESCRIPTOR_LOOKAHEAD)
            if descriptor_length(ahead, 0, 0, 0) is None:
                self.followed = False
                return
        if sizes_follow:
            entry = yield from self._described(entry, content, compressed_size)
        elif compressed_size != entry.compressed_size:
            raise mismatch()
        check_ratio(content.size, compressed_size, self._limits)  # 3
        self._total += content.size
        self._seen.append((entry, content.member(entry)))  # 4

    def _header(self, offset: int) -> Generator[None, None, Entry]:
        fixed = yield from self._bytes.take(LOCAL.size)
        names, extras = local_lengths(fixed)
        name = yield from self._bytes.take(names)
        extra = yield from self._bytes.take(extras)
        return local_entry(fixed, name, extra, offset)

    def _deflated(self, content: Content) -> Generator[None, None, int]:
        inflater = Inflater(content, self._total, self._limits)  # 3
        while not inflater.done:
            if not (yield from self._bytes.has_more()):
                raise truncated()
            self._bytes.skip(inflater.add(self._bytes.view))
        return inflater.consumed

    def _stored(self, content: Content, size: int) -> Generator[None, None, int]:
        while content.size < size:
            if not (yield from self._bytes.has_more()):
                raise truncated()
            self._eat(content, size - content.size)
        return size

    def _eat(self, content: Content, most: int) -> None:
        content.add(self._bytes.view[: min(most, PIECE)])
        self._bytes.skip(min(most, PIECE, len(self._bytes.view)))
        check_total(self._total + content.size, self._limits)  # 3

    def _described(self, entry: Entry, content: Content, compressed_size: int) -> Generator[None, None, Entry]:
        ahead = yield from self._bytes.peek(DESCRIPTOR_LOOKAHEAD)
        length = descriptor_length(ahead, content.crc32, compressed_size, content.size)
        if length is None:
            raise truncated() if len(ahead) < DESCRIPTOR_LOOKAHEAD else mismatch()
        yield from self._bytes.take(length)
        return replace(entry, crc32=content.crc32, compressed_size=compressed_size, size=content.size)

    def _directory(self, start: int) -> Scan:
        tail = yield from self._rest(self._limits.max_directory_bytes + END_BYTES)
        entries = parse_directory(tail, start, self._limits)  # 7
        listed = check_entries(entries, self._limits)  # 6
        if [_facts(entry) for entry in listed] != [_facts(entry) for entry, _ in self._seen]:  # 5
            raise mismatch()
        self.members = tuple(member for _, member in self._seen)

    def _unfollowed(self) -> Scan:
        kept = self._limits.max_directory_bytes + END_BYTES
        tail = yield from self._last(kept)
        tail_offset = self._bytes.offset - len(tail)
        start = find_directory(tail, tail_offset)
        if not tail_offset <= start < self._bytes.offset:
            raise mismatch()
        entries = parse_directory(tail[start - tail_offset :], start, self._limits)  # 7
        self.members = tuple(listed_member(entry) for entry in check_entries(entries, self._limits))  # 6

    def _rest(self, most: int) -> Generator[None, None, bytes]:
        rest = bytearray()
        while (yield from self._bytes.has_more()):
            rest += self._bytes.view[: most + 1]
            self._bytes.skip(len(self._bytes.view))
            if len(rest) > most:
                raise ArchiveNotReady("directory_too_large", "The archive's directory is too large.")
        return bytes(rest)

    def _last(self, most: int) -> Generator[None, None, bytes]:
        last = bytearray()
        while (yield from self._bytes.has_more()):
            last += self._bytes.view[-most:]
            self._bytes.skip(len(self._bytes.view))
            del last[:-most]
        return bytes(last)


def _facts(entry: Entry) -> tuple[object, ...]:
    return entry.offset, entry.raw_name, entry.name, entry.method, entry.crc32, entry.compressed_size, entry.size
