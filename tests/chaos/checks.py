"""What has to hold after the storm, looked up in storage, in the simulators and at the receiver. A line a problem."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure.storage.blob.aio import BlobServiceClient

from local.receiver import Received
from local.stack import Stack
from shared.domain.history import EntryKind, HistoryEntry, is_intact
from shared.domain.messages import POISON_SUFFIX, Queue
from shared.domain.signing import AttentionCode, Signing, State
from shared.storage.clients import DEAD_LETTERS, SIGNED, SIGNINGS, STAGING, StorageClients
from shared.storage.signings import TableSigningStore
from tests.chaos.callers import Cast
from tests.chaos.journal import Journal
from tests.chaos.plan import Part
from tests.chaos.storms import queue_client
from tests.chaos.truth import Theirs

# Where nothing can be looked up, a call that may have invited stays uncertain unless a callback tells.
WITHOUT_PROOF = frozenset({"pki_v1", "dokobit", "dokobit_universal", "signicat"})
_POISONED = re.compile(r"message_poisoned function=\S+ queue=(\S+) message_id=(\S+)")


@dataclass
class Inspection:
    """Reads everything anew at each question."""

    stack: Stack
    cast: Cast
    clients: StorageClients
    journal: Journal
    # Those whose start nobody can tell the end of, by part number. Once an operator has decided them, there are none.
    uncertain: set[int] = field(default_factory=set)
    is_decided_by_operator: bool = False

    # --------------------------------------------------------------------------------------------- one signing

    async def signing(self, part: Part) -> Signing:
        loaded = await TableSigningStore(self.clients).load(self.cast.signing_ids[part.number])
        return loaded.signing

    async def unsettled(self, parts: Iterable[Part]) -> list[Part]:
        """Those that are not yet where they have to get, or whose callers do not know it yet."""
        return [part for part in parts if not await self._is_settled(part)]

    async def _is_settled(self, part: Part) -> bool:
        signing = await self.signing(part)
        told = all(owed.is_settled for owed in signing.announcements)
        return told and not self._state_problems(part, signing)

    async def is_decided(self, part: Part) -> bool:
        """Whether it is known if anybody was invited, or a person was told that it is not."""
        signing = await self.signing(part)
        return signing.state is not State.REQUESTED or _is_flagged_uncertain(signing)

    async def of_signing(self, part: Part) -> list[str]:
        signing = await self.signing(part)
        entries = await TableSigningStore(self.clients).history(signing.id)
        problems = self._state_problems(part, signing) + self._history_problems(entries)
        problems += self._notification_problems(signing, entries)
        problems += await self._file_problems(signing, self.cast.theirs(part))
        problems += self._reply_problems(part, signing)
        return [f"{part.reference} ({part.account}, {part.fate}, {signing.id}): {one}" for one in problems]

    def _state_problems(self, part: Part, signing: Signing) -> list[str]:
        found = self.cast.theirs(part)
        invitations = sum(one.invitations for one in found)
        invited = next((one for one in found if one.invitations), None)
        problems = [f"invited {invitations} times"] if invitations > 1 else []
        if _is_flagged_uncertain(signing) and (invited is None or part.account in WITHOUT_PROOF):
            self.uncertain.add(part.number)
            return [*problems, "is uncertain still"] if self.is_decided_by_operator else problems
        self.uncertain.discard(part.number)
        if invited is None:
            return [*problems, f"is {signing.state}, attention {_attention(signing)}, but nobody was ever invited"]
        wanted = State.STORED if invited.state is State.COMPLETED else invited.state
        if signing.state is not wanted:
            said = f"is {signing.state}, attention {_attention(signing)}; the provider says {invited.state}"
            problems.append(f"{said} of {invited.id}")
        return problems

    def _history_problems(self, entries: Sequence[HistoryEntry]) -> list[str]:
        return [] if is_intact(entries) else ["its history's chain is broken"]

    def _notification_problems(self, signing: Signing, entries: Sequence[HistoryEntry]) -> list[str]:
        moves = {f"{signing.id}:{one.seq}": one.facts["to"] for one in entries if one.kind is EntryKind.MOVED}
        deliveries = [one for one in self.stack.receiver.deliveries if one.event["subject"] == signing.id]
        told = {one.event["id"]: one.event["data"]["state"] for one in deliveries if one.status < 300}
        problems = [f"nobody was told of move {one} to {moves[one]}" for one in moves.keys() - told.keys()]
        problems += [f"told of a move that never was: {one}" for one in told.keys() - moves.keys()]
        problems += [f"event {one} tells of another state" for one in moves.keys() & told if moves[one] != told[one]]
        return problems + _changed_events(deliveries)

    def _reply_problems(self, part: Part, signing: Signing) -> list[str]:
        """However often an order was put on the queue, the same signing is what it became."""
        replies = self.cast.service.replies.get(part.reference, [])
        ids = {reply["signing"]["id"] if reply["signing"] else reply["problem"]["code"] for reply in replies}
        return [f"a reply names {one}" for one in sorted(ids - {signing.id})]

    async def _file_problems(self, signing: Signing, found: Sequence[Theirs]) -> list[str]:
        if signing.state is not State.STORED:
            return []
        contents = {file.blob: await self._content(file.blob) for file in signing.download.files}
        problems = [
            f"{file.blob} is not what was recorded"
            for file in signing.download.files
            if hashlib.sha256(contents[file.blob]).hexdigest() != file.sha256
        ]
        parts = {piece for content in contents.values() for piece in _pieces(content)}
        invited = next(one for one in found if one.invitations)
        if not invited.files or not parts.issuperset(invited.files):
            problems.append("what is stored is not what the provider has")
        return problems

    async def _content(self, address: str) -> bytes:
        container, _, path = address.partition("/")
        content: bytes = await (await self.clients.blob(container, path).download_blob()).readall()
        return content

    # ---------------------------------------------------------------------------------------------- everything

    async def of_everything(self, parts: Sequence[Part]) -> list[str]:
        signings = {self.cast.signing_ids[part.number]: await self.signing(part) for part in parts}
        return [
            *await self._row_problems(signings),
            *await self._blob_problems(signings),
            *await self.queue_problems(),
            *await self._poison_problems(),
        ]

    async def _row_problems(self, signings: Mapping[str, Signing]) -> list[str]:
        rows = self.clients.table(SIGNINGS).query_entities("RowKey eq 'signing'", select=["PartitionKey"])
        known = {row["PartitionKey"] async for row in rows}
        return [f"signing {one} belongs to no order" for one in known - signings.keys()]

    async def _blob_problems(self, signings: Mapping[str, Signing]) -> list[str]:
        """Each signed file was created once and is still the one that was created."""
        expected = {file.blob for signing in signings.values() for file in signing.download.files}
        created = _creations(self.journal)
        problems = []
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as service:
            async for blob in service.get_container_client(SIGNED).list_blobs():
                address, etag = f"{SIGNED}/{blob.name}", blob.etag.strip('"')
                if address not in expected:
                    problems.append(f"{address} belongs to no stored signing")
                if len(created[address]) > 1:
                    problems.append(f"{address} was created {len(created[address])} times")
                if created[address] and etag not in created[address]:
                    problems.append(f"{address} is not the one that was written")
                expected.discard(address)
        return problems + [f"{one} is missing" for one in sorted(expected)]

    async def staged(self, parts: Sequence[Part]) -> list[str]:
        """Addresses of staged blobs whose signings do not need them any more."""
        starting = {
            signing.id for signing in [await self.signing(part) for part in parts] if signing.state is State.REQUESTED
        }
        names = [blob.name async for blob in self.clients.container(STAGING).list_blobs()]
        return [f"{STAGING}/{name}" for name in names if name.split("/")[0] not in starting]

    async def queue_problems(self) -> list[str]:
        problems = []
        for name in [f"{queue.value}{suffix}" for queue in Queue for suffix in ("", POISON_SUFFIX)]:
            async with queue_client(self.stack, name) as client:
                left = (await client.get_queue_properties()).approximate_message_count
            if left:
                problems.append(f"{left} messages are left in {name}")
        return problems

    async def _poison_problems(self) -> list[str]:
        """Each message that the host gave up has a letter; one may have two, when its host died in between."""
        rows = self.clients.table(DEAD_LETTERS).list_entities()
        letters = Counter([str(row["queue"]) async for row in rows if "queue" in row])
        poisoned: dict[str, set[str]] = defaultdict(set)
        for queue, message_id in _POISONED.findall(self.stack.log_text()):
            poisoned[queue].add(message_id)
        return [
            f"{len(ids)} messages of {queue} were poisoned, and there are {letters[queue]} letters"
            for queue, ids in poisoned.items()
            if letters[queue] < len(ids)
        ]


def _is_flagged_uncertain(signing: Signing) -> bool:
    """Told to a person; a poisoned message of the same signing may be what is shown now."""
    shown = signing.attention.code if signing.attention else None
    is_open = signing.state is State.REQUESTED and signing.start.is_uncertain
    return is_open and shown in {AttentionCode.START_UNCERTAIN, AttentionCode.POISON}


def _attention(signing: Signing) -> str:
    return signing.attention.code.value if signing.attention else "none"


def _changed_events(deliveries: Sequence[Received]) -> list[str]:
    first: dict[str, Any] = {}
    changed = set()
    for one in deliveries:
        known = first.setdefault(one.event["id"], one.event)
        if known != one.event:
            names = known["data"].keys() | one.event["data"].keys()
            differing = sorted(name for name in names if known["data"].get(name) != one.event["data"].get(name))
            changed.add(f"event {one.event['id']} did not always say the same: {differing}")
    return sorted(changed)


def _pieces(content: bytes) -> list[bytes]:
    """The file itself, and what is in it when it is an archive."""
    if not content.startswith(b"PK"):
        return [content]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [content, *(archive.read(name) for name in archive.namelist())]


def _creations(journal: Journal) -> dict[str, list[str]]:
    """Etags by address, without those of files that failed the check after writing and were removed."""
    removed = {(one["blob"], one["etag"].strip('"')) for one in journal.read("removal")}
    found: dict[str, list[str]] = defaultdict(list)
    for one in journal.read("commit"):
        etag = one["etag"].strip('"')
        if (one["blob"], etag) not in removed:
            found[one["blob"]].append(etag)
    return found
