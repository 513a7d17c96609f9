"""In-memory storage ports with real conditions: etags change with every write and stale ones are refused.

Values are copied through JSON where the real stores do so, so that what cannot be stored fails here too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

from shared.domain.errors import AlreadyExists, ConcurrentUpdate, NotFound
from shared.domain.history import HistoryEntry
from shared.domain.messages import Message, Queue
from shared.domain.signing import Announcement, Signing
from shared.ports import DeadLetter, DueSigning, Inspector, Loaded, RandomAccess, TokenRow, WrittenBlob


@dataclass
class _StoredSigning:
    body: str
    etag: str
    entries: list[str] = field(default_factory=list)


class MemorySigningStore:
    """`ports.SigningStore`. `etags` are never reused."""

    def __init__(self) -> None:
        self._etags = count(1)
        self._signings: dict[str, _StoredSigning] = {}
        self._claims: dict[tuple[str, str], dict[str, str]] = {}
        self._due: dict[tuple[str, str], DueSigning] = {}

    async def create(self, signing: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        await asyncio.sleep(0)
        if signing.id in self._signings:
            raise AlreadyExists(f"signing {signing.id} exists")
        return self._write(signing, [], entries)

    async def load(self, signing_id: str) -> Loaded:
        await asyncio.sleep(0)
        stored = self._signings.get(signing_id)
        if stored is None:
            raise NotFound(f"There is no signing {signing_id}.")
        return Loaded(Signing.model_validate_json(stored.body), stored.etag)

    async def save(self, loaded: Loaded, changed: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        await asyncio.sleep(0)
        stored = self._signings.get(changed.id)
        if stored is None or stored.etag != loaded.etag:
            raise ConcurrentUpdate(f"signing {changed.id} was changed meanwhile")
        taken = {HistoryEntry.model_validate_json(entry).seq for entry in stored.entries}
        if taken & {entry.seq for entry in entries}:
            raise ConcurrentUpdate(f"signing {changed.id} has that history entry already")
        self._write(_keeping_deliveries(stored, loaded.signing, changed), stored.entries, entries)
        return Loaded(changed, self._signings[changed.id].etag)

    async def history(self, signing_id: str) -> list[HistoryEntry]:
        await asyncio.sleep(0)
        stored = self._signings.get(signing_id)
        entries = [HistoryEntry.model_validate_json(entry) for entry in stored.entries] if stored else []
        return sorted(entries, key=lambda entry: entry.seq)

    async def record_delivery(self, signing_id: str, announcement: Announcement) -> None:
        await asyncio.sleep(0)
        stored = self._signings.get(signing_id)
        signing = Signing.model_validate_json(stored.body) if stored else None
        if stored is None or signing is None or announcement.seq not in _by_seq(signing):
            raise NotFound(f"Signing {signing_id} has no announcement {announcement.seq}.")
        rows = {**_by_seq(signing), announcement.seq: announcement}
        stored.body = signing.model_copy(update={"announcements": tuple(rows.values())}).model_dump_json()

    async def claim(self, kind: str, key: str, signing_id: str, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        await asyncio.sleep(0)
        first = self._claims.get((kind, key))
        if first is None:
            self._claims[kind, key] = {**facts, "signing_id": signing_id}
        return None if first is None else dict(first)

    async def find(self, kind: str, key: str) -> str | None:
        await asyncio.sleep(0)
        facts = self._claims.get((kind, key))
        return None if facts is None else facts["signing_id"]

    async def mark_due(self, signing_id: str, due_at: datetime) -> None:
        await asyncio.sleep(0)
        handle = (due_at.astimezone(UTC).isoformat(timespec="microseconds"), signing_id)
        self._due[handle] = DueSigning(signing_id, due_at, handle)

    async def due(self, now: datetime, limit: int) -> list[DueSigning]:
        await asyncio.sleep(0)
        return [row for _, row in sorted(self._due.items()) if row.due_at <= now][:limit]

    async def settle_due(self, row: DueSigning) -> None:
        await asyncio.sleep(0)
        self._due.pop(row.handle, None)

    def _write(self, signing: Signing, before: list[str], entries: Sequence[HistoryEntry]) -> Loaded:
        written = [entry.model_dump_json() for entry in entries]
        etag = f'"{next(self._etags)}"'
        self._signings[signing.id] = _StoredSigning(signing.model_dump_json(), etag, before + written)
        return Loaded(signing, etag)


def _keeping_deliveries(stored: _StoredSigning, read: Signing, changed: Signing) -> Signing:
    """A save writes only the announcements that it changes: deliveries recorded since the reading stay."""
    present, before = _by_seq(Signing.model_validate_json(stored.body)), _by_seq(read)
    kept = tuple(present.get(row.seq, row) if before.get(row.seq) == row else row for row in changed.announcements)
    return changed.model_copy(update={"announcements": kept})


def _by_seq(signing: Signing) -> dict[int, Announcement]:
    return {announcement.seq: announcement for announcement in signing.announcements}


@dataclass(frozen=True)
class _Blob:
    content: bytes
    written: WrittenBlob
    media_type: str
    tags: Mapping[str, str]


class MemoryDocumentStore:
    """`ports.DocumentStore`. Tests may look into `blobs`."""

    def __init__(self) -> None:
        self._etags = count(1)
        self.blobs: dict[str, _Blob] = {}

    async def stage(self, blob: str, content: bytes, media_type: str) -> None:
        await asyncio.sleep(0)
        self._put(blob, content, media_type, {})

    async def read_staged(self, blob: str) -> bytes:
        await asyncio.sleep(0)
        found = self.blobs.get(blob)
        if found is None:
            raise NotFound(f"There is no staged document {blob}.")
        return found.content

    async def delete_staged(self, blobs: Sequence[str]) -> None:
        await asyncio.sleep(0)
        for blob in blobs:
            self.blobs.pop(blob, None)

    async def write_once(
        self,
        blob: str,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        tags: Mapping[str, str],
        inspector: Inspector | None = None,
    ) -> WrittenBlob:
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if inspector is not None:
                await asyncio.to_thread(inspector.feed, memoryview(chunk))
        if inspector is not None:
            inspector.finish()
        if blob in self.blobs:
            raise AlreadyExists(f"blob {blob} exists")
        return self._put(blob, bytes(content), media_type, tags)

    async def describe(self, blob: str) -> WrittenBlob | None:
        await asyncio.sleep(0)
        found = self.blobs.get(blob)
        return None if found is None else found.written

    def open_random(self, written: WrittenBlob) -> RandomAccess:
        return _OneVersion(self, written)

    async def delete(self, blob: str, etag: str) -> None:
        await asyncio.sleep(0)
        found = self.blobs.get(blob)
        if found is not None and found.written.etag == etag:
            del self.blobs[blob]

    def _put(self, blob: str, content: bytes, media_type: str, tags: Mapping[str, str]) -> WrittenBlob:
        container, _, path = blob.partition("/")
        if container not in {"staging", "signed"} or not path:
            raise ValueError("a blob address is container/path")
        digest = hashlib.sha256(content).hexdigest()
        now = datetime.now(UTC).replace(microsecond=0)
        written = WrittenBlob(blob, len(content), digest, f'"{next(self._etags)}"', now)
        self.blobs[blob] = _Blob(content, written, media_type, dict(tags))
        return written


class _OneVersion:
    """Reads what was written, for as long as that is there."""

    def __init__(self, store: MemoryDocumentStore, written: WrittenBlob) -> None:
        self.size = written.size
        self._store = store
        self._written = written

    async def read(self, offset: int, length: int) -> bytes:
        await asyncio.sleep(0)
        found = self._store.blobs.get(self._written.blob)
        if found is None or found.written.etag != self._written.etag:
            raise NotFound("This version of the blob is gone.")
        return found.content[offset : offset + length]


class MemoryRandomAccess:
    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self.reads = 0
        self._content = content

    async def read(self, offset: int, length: int) -> bytes:
        await asyncio.sleep(0)
        self.reads += 1
        return self._content[offset : offset + length]


@dataclass(frozen=True)
class SentMessage:
    queue: Queue
    message: Message
    delay_seconds: float


class MemoryQueue:
    """`ports.MessageQueue`. Tests read `sent`, or take messages off with `take`."""

    def __init__(self) -> None:
        self.sent: list[SentMessage] = []

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        await asyncio.sleep(0)
        if len(message.model_dump_json().encode()) > 64 * 1024:
            raise ValueError(f"a {type(message).__name__} does not fit in a queue message")
        self.sent.append(SentMessage(queue, message, delay_seconds))

    def on(self, queue: Queue) -> list[Message]:
        return [sent.message for sent in self.sent if sent.queue == queue]

    def take(self) -> list[SentMessage]:
        """All that was sent, in order; the queue is empty afterwards."""
        taken, self.sent = self.sent, []
        return taken


class MemoryDeadLetterStore:
    def __init__(self) -> None:
        self._letters: dict[str, DeadLetter] = {}

    async def add(self, letter: DeadLetter) -> None:
        await asyncio.sleep(0)
        self._letters.setdefault(letter.id, letter)

    async def list(self, limit: int) -> list[DeadLetter]:
        await asyncio.sleep(0)
        return sorted(self._letters.values(), key=lambda letter: letter.at, reverse=True)[:limit]


@dataclass(frozen=True)
class _Subscription:
    claimed_at: datetime
    provider_webhook_id: str | None = None


class MemorySubscriptionStore:
    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Subscription] = {}

    async def claim(self, account: str, address_digest: str, now: datetime, stale_after_seconds: float) -> str | None:
        await asyncio.sleep(0)
        row = self._rows.get((account, address_digest))
        if row is not None and row.provider_webhook_id is not None:
            return row.provider_webhook_id
        if row is not None and (now - row.claimed_at).total_seconds() < stale_after_seconds:
            return ""
        self._rows[account, address_digest] = _Subscription(now)
        return None

    async def record(self, account: str, address_digest: str, provider_webhook_id: str, now: datetime) -> None:
        await asyncio.sleep(0)
        row = self._rows.get((account, address_digest), _Subscription(now))
        self._rows[account, address_digest] = replace(row, provider_webhook_id=provider_webhook_id)


class MemoryTokenStore:
    def __init__(self) -> None:
        self._etags = count(1)
        self._rows: dict[str, TokenRow] = {}

    async def read(self, account: str) -> TokenRow | None:
        await asyncio.sleep(0)
        return self._rows.get(account)

    async def write(self, account: str, row: TokenRow) -> TokenRow:
        await asyncio.sleep(0)
        present = self._rows.get(account)
        if (present.etag if present else None) != row.etag:
            raise ConcurrentUpdate("another worker wrote the token row first")
        self._rows[account] = replace(row, etag=f'"{next(self._etags)}"')
        return self._rows[account]
