"""Signings in table storage (design 8).

Table `signings`, PartitionKey = signing id:

    signing      the aggregate without documents and participants, and its etag
    d-{n:04}     one document
    n-{seq:06}   one announcement; the only row that changes without the aggregate (`record_delivery`)
    p-{n:04}     one participant
    h-{seq:06}   one history entry

A change of the aggregate and its history entries are one transaction, conditional on the etag of the `signing` row.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TransactionOperation, UpdateMode

from shared.domain.errors import AlreadyExists, ConcurrentUpdate, NotFound
from shared.domain.history import HistoryEntry
from shared.domain.signing import Announcement, Document, Model, Participant, Signing
from shared.ports import DueSigning, Loaded, OldClaim
from shared.storage.clients import SIGNINGS, StorageClients
from shared.storage.due import DueIndex
from shared.storage.lookups import Lookups
from shared.storage.tables import (
    TRANSACTION_LIMIT,
    etag_of,
    is_conflict,
    is_missing,
    is_stale,
    joined,
    pieces,
    time_text,
)

_AGGREGATE = "signing"
# The fields of the aggregate that are rows of their own, by the prefix of their keys.
_PARTS = {"d-": "documents", "n-": "announcements", "p-": "participants"}

Part = Document | Announcement | Participant
Row = dict[str, Any]
Operation = tuple[Any, ...]


class TableSigningStore:
    """`ports.SigningStore` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients
        self._lookups = Lookups(clients)
        self._due = DueIndex(clients)

    async def create(self, signing: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        attempt = secrets.token_hex(8)
        operations: list[Operation] = [(TransactionOperation.CREATE, _aggregate_row(signing, attempt))]
        operations += [(TransactionOperation.CREATE, row) for row in _part_rows(signing).values()]
        operations += [(TransactionOperation.CREATE, _history_row(signing.id, entry)) for entry in entries]
        try:
            return Loaded(signing, await self._transact(operations))
        except HttpResponseError as error:
            if not is_conflict(error):
                raise
            etag = await self._written_by(signing.id, attempt)
            if etag is None:
                raise AlreadyExists(f"signing {signing.id} exists") from error
            return Loaded(signing, etag)

    async def load(self, signing_id: str) -> Loaded:
        rows = await self._query(signing_id, "(RowKey lt 'h' or RowKey ge 'i')")
        aggregate = next((row for row in rows if row["RowKey"] == _AGGREGATE), None)
        if aggregate is None:
            raise NotFound(f"There is no signing {signing_id}.")
        parts = {
            field: [json.loads(joined(row)) for row in rows if row["RowKey"].startswith(prefix)]
            for prefix, field in _PARTS.items()
        }
        return Loaded(Signing.model_validate({**json.loads(joined(aggregate)), **parts}), etag_of(aggregate))

    async def save(self, loaded: Loaded, changed: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        attempt = secrets.token_hex(8)
        condition = {
            "mode": UpdateMode.REPLACE,
            "etag": loaded.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        operations: list[Operation] = [(TransactionOperation.UPDATE, _aggregate_row(changed, attempt), condition)]
        operations += _part_changes(loaded.signing, changed)
        operations += [(TransactionOperation.CREATE, _history_row(changed.id, entry)) for entry in entries]
        try:
            return Loaded(changed, await self._transact(operations))
        except HttpResponseError as error:
            if not (is_stale(error) or is_conflict(error) or is_missing(error)):
                raise
            etag = await self._written_by(changed.id, attempt)
            if etag is None:
                raise ConcurrentUpdate(f"signing {changed.id} was changed meanwhile") from error
            return Loaded(changed, etag)

    async def history(self, signing_id: str) -> list[HistoryEntry]:
        rows = await self._query(signing_id, "RowKey ge 'h-' and RowKey lt 'i'")
        return [HistoryEntry.model_validate_json(joined(row)) for row in rows]

    async def record_delivery(self, signing_id: str, announcement: Announcement) -> None:
        """Raises NotFound when there is no such announcement."""
        row = _part_row(signing_id, announcement)
        try:
            await self._clients.table(SIGNINGS).update_entity(row, mode=UpdateMode.REPLACE)
        except HttpResponseError as error:
            if is_missing(error):
                raise NotFound(f"Signing {signing_id} has no announcement {announcement.seq}.") from error
            raise

    async def claim(self, kind: str, key: str, signing_id: str, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        return await self._lookups.claim(kind, key, signing_id, facts)

    async def reclaim(
        self, kind: str, key: str, holder: str, signing_id: str, facts: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        return await self._lookups.reclaim(kind, key, holder, signing_id, facts)

    async def find(self, kind: str, key: str) -> str | None:
        return await self._lookups.find(kind, key)

    async def claimed(self, kind: str, key: str) -> Mapping[str, str] | None:
        return await self._lookups.claimed(kind, key)

    async def mark_due(self, signing_id: str, due_at: datetime) -> None:
        await self._due.mark(signing_id, due_at)

    async def due(self, now: datetime, limit: int) -> list[DueSigning]:
        return await self._due.read(now, limit)

    async def settle_due(self, row: DueSigning) -> None:
        await self._due.settle(row)

    async def mark_all_due(self, times: Mapping[str, datetime]) -> None:
        await self._due.mark_all(times)

    async def settle_all_due(self, rows: Sequence[DueSigning]) -> None:
        await self._due.settle_all(rows)

    def claims_before(self, kind: str, before: datetime) -> AsyncIterator[OldClaim]:
        return self._lookups.made_before(kind, before)

    async def forget_claim(self, claim: OldClaim) -> None:
        await self._lookups.forget(claim)

    async def _transact(self, operations: list[Operation]) -> str:
        """The new etag of the aggregate's row, which must be the first operation."""
        if len(operations) > TRANSACTION_LIMIT:
            raise ValueError(f"{len(operations)} rows do not fit in one transaction")
        answers = await self._clients.transact(SIGNINGS, operations)
        return etag_of(answers[0])

    async def _query(self, signing_id: str, rows: str) -> list[Mapping[str, Any]]:
        found = self._clients.table(SIGNINGS).query_entities(
            f"PartitionKey eq @id and {rows}", parameters={"id": signing_id}
        )
        return [row async for row in found]

    async def _written_by(self, signing_id: str, attempt: str) -> str | None:
        """The etag, when the refused write had in truth been done: the SDK repeats a request whose answer was a 500,
        and storage may have carried out the first."""
        try:
            row = await self._clients.table(SIGNINGS).get_entity(signing_id, _AGGREGATE)
        except HttpResponseError as error:
            if is_missing(error):
                return None
            raise
        return etag_of(row) if row.get("attempt") == attempt else None


def _aggregate_row(signing: Signing, attempt: str) -> Row:
    """The columns beside `body` are for people who look into the table; nothing reads them."""
    readable = {
        "state": signing.state.value,
        "account": signing.account,
        "provider": signing.provider,
        "provider_signing_id": signing.provider_signing_id,
        "reference": signing.reference,
        "attention": signing.attention.code.value if signing.attention else None,
        "updated_at": time_text(signing.updated_at),
    }
    known = {name: value for name, value in readable.items() if value is not None}
    body = signing.model_dump_json(exclude=set(_PARTS.values()))
    return {"PartitionKey": signing.id, "RowKey": _AGGREGATE, **known, **pieces(body), "attempt": attempt}


def _part_rows(signing: Signing) -> dict[str, Row]:
    """Documents, announcements and participants by row key."""
    return {_part_key(part): _part_row(signing.id, part) for part in _parts(signing)}


def _part_changes(before: Signing, after: Signing) -> list[Operation]:
    """Only what differs: a change of state leaves fifty participants' rows alone, and never takes back a delivery that
    was recorded since the signing was read."""
    old = {_part_key(part): part for part in _parts(before)}
    new = {_part_key(part): part for part in _parts(after)}
    written = [_part_row(after.id, part) for key, part in new.items() if old.get(key) != part]
    gone = [{"PartitionKey": after.id, "RowKey": key} for key in old.keys() - new.keys()]
    replace = {"mode": UpdateMode.REPLACE}
    return [
        *((TransactionOperation.UPSERT, row, replace) for row in written),
        *((TransactionOperation.DELETE, row) for row in gone),
    ]


def _parts(signing: Signing) -> list[Part]:
    return [*signing.documents, *signing.announcements, *signing.participants]


def _part_key(part: Part) -> str:
    if isinstance(part, Announcement):
        return f"n-{part.seq:06}"
    return f"{'d' if isinstance(part, Document) else 'p'}-{part.number:04}"


def _part_row(signing_id: str, part: Part) -> Row:
    return _row(signing_id, _part_key(part), part)


def _history_row(signing_id: str, entry: HistoryEntry) -> Row:
    return {**_row(signing_id, f"h-{entry.seq:06}", entry), "kind": entry.kind.value, "at": time_text(entry.at)}


def _row(signing_id: str, row_key: str, model: Model) -> Row:
    return {"PartitionKey": signing_id, "RowKey": row_key, **pieces(model.model_dump_json())}
