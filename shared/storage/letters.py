"""Table `deadletters`: messages that nobody could act on, newest first.

One partition, because there are few and they are read together. Each letter has two rows in one transaction: `t-…`
(by time, with the content) and `i-…` (by id, empty), which makes adding one twice a conflict and thus harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.data.tables import TransactionOperation

from shared.ports import DeadLetter
from shared.storage.clients import DEAD_LETTERS, StorageClients
from shared.storage.tables import digest, is_conflict, joined, newest_first, pieces, time_of, time_text

_PARTITION = "letters"
_PAGE = 1000


class TableDeadLetterStore:
    """`ports.DeadLetterStore` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients

    async def add(self, letter: DeadLetter) -> None:
        marker = {"PartitionKey": _PARTITION, "RowKey": f"i-{digest(letter.id)}"}
        try:
            await self._clients.transact(
                DEAD_LETTERS,
                [(TransactionOperation.CREATE, marker), (TransactionOperation.CREATE, _to_row(letter))],
            )
        except HttpResponseError as error:
            if not is_conflict(error):
                raise

    async def list(self, limit: int) -> list[DeadLetter]:
        if limit < 1:
            return []
        rows = self._clients.table(DEAD_LETTERS).query_entities(
            "PartitionKey eq @partition and RowKey ge 't-' and RowKey lt 'u'",
            parameters={"partition": _PARTITION},
            results_per_page=min(limit, _PAGE),
        )
        found: list[DeadLetter] = []
        async for row in rows:
            found.append(_from_row(row))
            if len(found) == limit:
                break
        return found


def _to_row(letter: DeadLetter) -> dict[str, Any]:
    row = {
        "PartitionKey": _PARTITION,
        "RowKey": f"t-{newest_first(letter.at)}-{digest(letter.id)}",
        "id": letter.id,
        "at": time_text(letter.at),
        "queue": letter.queue,
        "reason": letter.reason,
        **pieces(letter.detail, "detail"),
        **pieces(letter.body),
    }
    if letter.encoding != "text":
        row["encoding"] = letter.encoding
    return row if letter.signing_id is None else {**row, "signing_id": letter.signing_id}


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
    )
