"""In-memory storage ports with real conditions: etags change with every write and stale ones are refused.

Values are copied through JSON where the real stores do so, so that what cannot be stored fails here too.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from shared.domain.circuits import CircuitState, Standing
from shared.domain.errors import (
    AlreadyExists,
    ConcurrentUpdate,
    FieldError,
    InvalidRequest,
    NotFound,
    ReplyRefused,
    TooLarge,
)
from shared.domain.history import HistoryEntry
from shared.domain.inbox import inbox_address
from shared.domain.letters import LetterFilter, LetterStatus, no_such_letter
from shared.domain.messages import Message, Queue
from shared.domain.reply_queues import DEFAULT_REPLY_QUEUES, may_be_replied_to
from shared.domain.signing import Announcement, Signing
from shared.ports import (
    DeadLetter,
    DueSigning,
    Inspector,
    LetterPage,
    Loaded,
    LoadedLetter,
    OldClaim,
    RandomAccess,
    TokenRow,
    WrittenBlob,
)

INBOX_URL = "https://memory.blob.example/inbox"


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
        self.claimed_at: dict[tuple[str, str], datetime] = {}
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
            self.claimed_at[kind, key] = datetime.now(UTC)
        return None if first is None else dict(first)

    async def reclaim(
        self, kind: str, key: str, holder: str, signing_id: str, facts: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        await asyncio.sleep(0)
        present = self._claims.get((kind, key))
        if present is None:
            raise ConcurrentUpdate("the lookup row was removed while it was being claimed")
        if present["signing_id"] != holder:
            return dict(present)
        self._claims[kind, key] = {**facts, "signing_id": signing_id}
        self.claimed_at[kind, key] = datetime.now(UTC)
        return None

    async def find(self, kind: str, key: str) -> str | None:
        await asyncio.sleep(0)
        facts = self._claims.get((kind, key))
        return None if facts is None else facts["signing_id"]

    async def claimed(self, kind: str, key: str) -> Mapping[str, str] | None:
        await asyncio.sleep(0)
        facts = self._claims.get((kind, key))
        return None if facts is None else dict(facts)

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

    async def mark_all_due(self, times: Mapping[str, datetime]) -> None:
        for signing_id, due_at in times.items():
            await self.mark_due(signing_id, due_at)

    async def settle_all_due(self, rows: Sequence[DueSigning]) -> None:
        for row in rows:
            await self.settle_due(row)

    async def claims_before(self, kind: str, before: datetime) -> AsyncIterator[OldClaim]:
        await asyncio.sleep(0)
        for (own_kind, key), facts in list(self._claims.items()):
            if own_kind == kind and self.claimed_at[own_kind, key] < before:
                yield OldClaim(facts["signing_id"], (kind, key, ""))

    async def forget_claim(self, claim: OldClaim) -> None:
        await asyncio.sleep(0)
        kind, key, _ = claim.handle
        if self._claims.get((kind, key), {}).get("signing_id") == claim.signing_id:
            del self._claims[kind, key]

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

    async def read_staged(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        await asyncio.sleep(0)
        found = self.blobs.get(blob)
        if found is None:
            raise NotFound(f"There is no staged document {blob}.")
        if max_bytes is not None and len(found.content) > max_bytes:
            raise TooLarge(f"The blob has {len(found.content)} bytes.")
        return found.content

    def inbox_address(self, address: str) -> str | None:
        return inbox_address(address, INBOX_URL)

    async def delete_staged(self, blobs: Sequence[str]) -> None:
        await asyncio.sleep(0)
        for blob in blobs:
            self.blobs.pop(blob, None)

    async def staged_before(self, before: datetime) -> AsyncIterator[WrittenBlob]:
        await asyncio.sleep(0)
        for blob in list(self.blobs.values()):
            if blob.written.blob.startswith("staging/") and blob.written.written_at < before:
                yield blob.written

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
        if container not in {"inbox", "staging", "signed"} or not path or {".", ".."} & set(path.split("/")):
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
        self.put_back: list[tuple[Queue, str, float]] = []

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        await asyncio.sleep(0)
        if len(message.model_dump_json().encode()) > 64 * 1024:
            raise ValueError(f"a {type(message).__name__} does not fit in a queue message")
        self.sent.append(SentMessage(queue, message, delay_seconds))

    async def put_back_poison(self, queue: Queue, text: str, *, delay_seconds: float) -> None:
        await asyncio.sleep(0)
        self.put_back.append((queue, text, delay_seconds))

    def on(self, queue: Queue) -> list[Message]:
        return [sent.message for sent in self.sent if sent.queue == queue]

    def take(self) -> list[SentMessage]:
        """All that was sent, in order; the queue is empty afterwards."""
        taken, self.sent = self.sent, []
        return taken


class MemoryPaceStore:
    """`ports.PaceStore`. Tests may look into `taken_until`."""

    def __init__(self) -> None:
        self.taken_until: dict[str, datetime] = {}

    async def reserve(self, account: str, calls: int, seconds_per_call: float, now: datetime) -> datetime:
        await asyncio.sleep(0)
        first = max(now, self.taken_until.get(account, now))
        self.taken_until[account] = first + timedelta(seconds=calls * seconds_per_call)
        return first


class MemoryReplyQueues:
    """`ports.ReplyQueues`. What was sent stands in `sent`, by queue; only the queues in there exist."""

    def __init__(self, allowed: Sequence[str] = DEFAULT_REPLY_QUEUES) -> None:
        self.allowed = tuple(allowed)
        self.sent: dict[str, list[str]] = {name: [] for name in DEFAULT_REPLY_QUEUES}

    async def send(self, queue: str, text: str) -> None:
        await asyncio.sleep(0)
        if not may_be_replied_to(queue, self.allowed):
            raise ReplyRefused("Answers may not be put on this queue.")
        if queue not in self.sent:
            raise ReplyRefused("There is no such queue.", code="reply_queue_missing")
        if len(text.encode()) > 64 * 1024:
            raise ValueError("the reply does not fit in a queue message")
        self.sent[queue].append(text)


class MemoryDeadLetterStore:
    """`ports.DeadLetterStore`. A cursor is the place of the last letter that was shown."""

    def __init__(self) -> None:
        self._etags = count(1)
        self._letters: dict[str, LoadedLetter] = {}

    async def add(self, letter: DeadLetter) -> bool:
        await asyncio.sleep(0)
        if letter.id in self._letters:
            return False
        self._letters[letter.id] = LoadedLetter(letter, f'"{next(self._etags)}"')
        return True

    async def get(self, letter_id: str) -> LoadedLetter:
        await asyncio.sleep(0)
        found = self._letters.get(letter_id)
        if found is None:
            raise no_such_letter()
        return found

    async def update(self, loaded: LoadedLetter, status: LetterStatus) -> LoadedLetter:
        await asyncio.sleep(0)
        present = self._letters.get(loaded.letter.id)
        if present is None or present.etag != loaded.etag:
            raise ConcurrentUpdate(f"dead letter {loaded.letter.id} was changed meanwhile")
        changed = LoadedLetter(replace(present.letter, status=status), f'"{next(self._etags)}"')
        self._letters[loaded.letter.id] = changed
        return changed

    async def page(self, wanted: LetterFilter, limit: int, cursor: str | None = None) -> LetterPage:
        await asyncio.sleep(0)
        if cursor is not None and not re.fullmatch(r"[0-9]{20}-[0-9a-f]{64}", cursor):
            raise InvalidRequest("The cursor does not fit.", fields=[FieldError("cursor", "not one of ours")])
        behind = [
            replace(letter, body="")
            for letter in self._sorted()
            if (cursor is None or _letter_place(letter) > cursor) and _is_wanted(letter, wanted)
        ]
        shown = behind[: max(limit, 0)]
        return LetterPage(tuple(shown), _letter_place(shown[-1]) if shown and len(behind) > limit else None)

    async def remove_settled(self, before: datetime, limit: int) -> int:
        await asyncio.sleep(0)
        old = [
            letter.id
            for letter in self._sorted()
            if letter.status.settled_at is not None and letter.status.settled_at < before
        ][:limit]
        for letter_id in old:
            del self._letters[letter_id]
        return len(old)

    async def list(self, limit: int) -> list[DeadLetter]:
        await asyncio.sleep(0)
        return [*self._sorted()[:limit]]

    def _sorted(self) -> Sequence[DeadLetter]:
        return sorted((loaded.letter for loaded in self._letters.values()), key=_letter_place)


def _letter_place(letter: DeadLetter) -> str:
    reversed_time = 10**13 - int(letter.at.timestamp() * 1000)
    return f"{reversed_time:020}-{hashlib.sha256(letter.id.encode()).hexdigest()}"


def _is_wanted(letter: DeadLetter, wanted: LetterFilter) -> bool:
    return (
        wanted.reason in (None, letter.reason)
        and wanted.queue in (None, letter.queue)
        and wanted.signing_id in (None, letter.signing_id)
        and (wanted.since is None or letter.at >= wanted.since)
        and (wanted.before is None or letter.at < wanted.before)
        and wanted.is_open in (None, letter.status.is_open)
    )


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


class MemoryCircuitBoard:
    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Standing] = {}

    async def post(self, account: str, instance: str, standing: Standing) -> None:
        await asyncio.sleep(0)
        if standing.state is CircuitState.CLOSED:
            self._rows.pop((account, instance), None)
        else:
            self._rows[account, instance] = standing

    async def read(self, account: str) -> list[Standing]:
        await asyncio.sleep(0)
        return [standing for (known, _), standing in self._rows.items() if known == account]
