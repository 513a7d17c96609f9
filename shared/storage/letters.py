"""Table `deadletters`: messages that nobody could act on, newest first.

One partition, because there are few and they are read together. Each letter has two rows, written in one transaction:

    t-{reversed time}-{digest of the id}   the letter and what became of it; its etag guards every change
    i-{digest of the id}                   leads to the first, and makes adding one twice a conflict and thus harmless

A cursor is the key of the last row that was shown: letters that come in between are newer and do not move the rest.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TransactionOperation, UpdateMode

from shared.domain.errors import ConcurrentUpdate, FieldError, InvalidRequest
from shared.domain.letters import LetterFilter, LetterStatus, Outcome, no_such_letter
from shared.ports import DeadLetter, LetterPage, LoadedLetter
from shared.storage.clients import DEAD_LETTERS, StorageClients
from shared.storage.tables import (
    digest,
    etag_of,
    is_conflict,
    is_missing,
    is_stale,
    joined,
    newest_first,
    pieces,
    time_of,
    time_text,
)

_PARTITION = "letters"
_PAGE = 1000
_ROW_KEY = re.compile(r"t-[0-9-][0-9]{12}-[0-9a-f]{64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# All but the body, which may be 64 KiB long.
_SUMMARY = (
    *("PartitionKey", "RowKey", "Timestamp", "id", "at", "queue", "reason", "signing_id", "encoding", "detail0"),
    *("outcome", "settled_at", "note", "replays", "busy_until"),
)

Row = dict[str, Any]


class TableDeadLetterStore:
    """`ports.DeadLetterStore` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients

    async def add(self, letter: DeadLetter) -> bool:
        row = _to_row(letter)
        marker = {"PartitionKey": _PARTITION, "RowKey": _marker_key(letter.id), "row": row["RowKey"]}
        try:
            await self._clients.transact(
                DEAD_LETTERS, [(TransactionOperation.CREATE, marker), (TransactionOperation.CREATE, row)]
            )
        except HttpResponseError as error:
            if not is_conflict(error):
                raise
            return False
        return True

    async def get(self, letter_id: str) -> LoadedLetter:
        table = self._clients.table(DEAD_LETTERS)
        try:
            marker = await table.get_entity(_PARTITION, _marker_key(letter_id))
            row = await table.get_entity(_PARTITION, marker["row"])
        except HttpResponseError as error:
            if is_missing(error):
                raise no_such_letter() from error
            raise
        return LoadedLetter(_from_row(row), etag_of(row))

    async def update(self, loaded: LoadedLetter, status: LetterStatus) -> LoadedLetter:
        row = {"PartitionKey": _PARTITION, "RowKey": _row_key(loaded.letter), **_status_columns(status)}
        try:
            answer = await self._clients.table(DEAD_LETTERS).update_entity(
                row, mode=UpdateMode.MERGE, etag=loaded.etag, match_condition=MatchConditions.IfNotModified
            )
        except HttpResponseError as error:
            if not (is_stale(error) or is_missing(error)):
                raise
            raise ConcurrentUpdate(f"dead letter {loaded.letter.id} was changed meanwhile") from error
        return LoadedLetter(replace(loaded.letter, status=status), etag_of(answer))

    async def page(self, wanted: LetterFilter, limit: int, cursor: str | None = None) -> LetterPage:
        after = None if cursor is None else _row_of(cursor)
        rows: list[Mapping[str, Any]] = []
        # One row more than asked for tells whether there is a next page.
        async for row in self._rows(wanted, after, limit + 1, _SUMMARY):
            rows.append(row)
            if len(rows) > limit:
                break
        shown = rows[: max(limit, 0)]
        letters = tuple(_from_row(row) for row in shown)
        return LetterPage(letters, _cursor(shown[-1]["RowKey"]) if shown and len(rows) > limit else None)

    async def remove_settled(self, before: datetime, limit: int) -> int:
        # What was settled before then was there before then.
        wanted = LetterFilter(before=before, is_open=False)
        settled = self._rows(wanted, None, _PAGE, _SUMMARY)
        old: list[Mapping[str, Any]] = []
        async for row in settled:
            if len(old) >= limit:
                break
            if row["settled_at"] < time_text(before):
                old.append(row)
        return sum([await self._remove(row) for row in old])

    async def list(self, limit: int) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        async for row in self._rows(LetterFilter(), None, limit, None):
            if len(found) >= limit:
                break
            found.append(_from_row(row))
        return found

    async def _remove(self, row: Mapping[str, Any]) -> bool:
        """False when it was taken up again, or removed by another, since it was read."""
        unchanged = {"etag": etag_of(row), "match_condition": MatchConditions.IfNotModified}
        keys = {"PartitionKey": _PARTITION, "RowKey": row["RowKey"]}
        marker = {"PartitionKey": _PARTITION, "RowKey": _marker_key(row["id"])}
        try:
            await self._clients.transact(
                DEAD_LETTERS,
                [(TransactionOperation.DELETE, keys, unchanged), (TransactionOperation.DELETE, marker)],
            )
        except HttpResponseError as error:
            if not (is_stale(error) or is_missing(error)):
                raise
            return False
        return True

    async def _rows(
        self, wanted: LetterFilter, after: str | None, limit: int, columns: Sequence[str] | None
    ) -> AsyncIterator[Mapping[str, Any]]:
        conditions, values = _conditions(wanted, after)
        rows = self._clients.table(DEAD_LETTERS).query_entities(
            " and ".join(conditions),
            parameters=values,
            select=None if columns is None else [*columns],
            results_per_page=min(max(limit, 1), _PAGE),
        )
        async for row in rows:
            yield row


def _conditions(wanted: LetterFilter, after: str | None) -> tuple[list[str], dict[str, str]]:
    """The range of keys first: only what lies in it is looked at by the service."""
    begin, end = "t-", "u"
    if wanted.before is not None:
        begin = f"t-{newest_first(max(wanted.before, _EPOCH))}"
    if wanted.since is not None:
        # "." comes right after "-": behind the last row of that millisecond.
        end = f"t-{newest_first(max(wanted.since, _EPOCH))}."
    conditions = ["PartitionKey eq @partition", "RowKey ge @begin", "RowKey lt @end"]
    values = {"partition": _PARTITION, "begin": begin, "end": end}
    comparisons = {
        "RowKey gt": after,
        "reason eq": wanted.reason,
        "queue eq": wanted.queue,
        "signing_id eq": wanted.signing_id,
        "at ge": None if wanted.since is None else time_text(wanted.since),
        "at lt": None if wanted.before is None else time_text(wanted.before),
        "outcome eq" if wanted.is_open else "outcome ne": None if wanted.is_open is None else Outcome.OPEN.value,
    }
    for number, (comparison, value) in enumerate(comparisons.items()):
        if value is not None:
            conditions.append(f"{comparison} @value{number}")
            values[f"value{number}"] = value
    return conditions, values


def _cursor(row_key: str) -> str:
    return base64.urlsafe_b64encode(row_key.encode()).decode().rstrip("=")


def _row_of(cursor: str) -> str:
    try:
        row_key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        row_key = ""
    if not _ROW_KEY.fullmatch(row_key):
        raise InvalidRequest("The cursor does not fit.", fields=[FieldError("cursor", "not one that a list has given")])
    return row_key


def _marker_key(letter_id: str) -> str:
    return f"i-{digest(letter_id)}"


def _row_key(letter: DeadLetter) -> str:
    return f"t-{newest_first(letter.at)}-{digest(letter.id)}"


def _to_row(letter: DeadLetter) -> Row:
    row = {
        "PartitionKey": _PARTITION,
        "RowKey": _row_key(letter),
        "id": letter.id,
        "at": time_text(letter.at),
        "queue": letter.queue,
        "reason": letter.reason,
        "encoding": letter.encoding,
        **pieces(letter.detail, "detail"),
        **pieces(letter.body),
        **_status_columns(letter.status),
    }
    return row if letter.signing_id is None else {**row, "signing_id": letter.signing_id}


def _status_columns(status: LetterStatus) -> Row:
    """Empty text stands for None: a merge cannot take a column away."""
    return {
        "outcome": status.outcome.value,
        "settled_at": time_text(status.settled_at) if status.settled_at else "",
        "note": status.note or "",
        "replays": status.replays,
        "busy_until": time_text(status.busy_until) if status.busy_until else "",
    }


def _from_row(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        id=row["id"],
        at=time_of(row["at"]),
        queue=row["queue"],
        reason=row["reason"],
        detail=joined(row, "detail"),
        body=joined(row),
        signing_id=row.get("signing_id"),
        encoding="base64" if row.get("encoding") == "base64" else "text",
        status=_status_of(row),
    )


def _status_of(row: Mapping[str, Any]) -> LetterStatus:
    return LetterStatus(
        outcome=Outcome(row["outcome"]),
        settled_at=time_of(row["settled_at"]) if row["settled_at"] else None,
        note=row["note"] or None,
        replays=row["replays"],
        busy_until=time_of(row["busy_until"]) if row["busy_until"] else None,
    )
