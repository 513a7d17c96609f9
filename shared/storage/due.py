"""Table `due`: an index by time, so that a reconcile tick reads what is due and never all that is open.

PartitionKey = five-minute bucket and shard, RowKey = exact time and signing id. Rows sort by time, hence everything up
to the present bucket is one range at the front of the table, whatever lies behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import HttpResponseError
from azure.data.tables import TransactionOperation

from shared.ports import DueSigning
from shared.storage.clients import DUE, StorageClients
from shared.storage.tables import TRANSACTION_LIMIT, is_missing, time_of, time_text

BUCKET_SECONDS = 300
# New rows of one moment spread over this many partitions.
SHARDS = 8
_PAGE = 1000
_AT_A_TIME = 8

Row = dict[str, str]
Rows = Sequence[Row]


class DueIndex:
    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients
        self._table = clients.table(DUE)

    async def mark(self, signing_id: str, due_at: datetime) -> None:
        await self._table.upsert_entity(due_row(signing_id, due_at))

    async def read(self, now: datetime, limit: int) -> list[DueSigning]:
        """At most `limit` rows whose time has come, oldest bucket first."""
        if limit < 1:
            return []
        after = _bucket(now + timedelta(seconds=BUCKET_SECONDS))
        rows = self._table.query_entities(
            "PartitionKey lt @after and due_at le @now",
            parameters={"after": after, "now": time_text(now)},
            results_per_page=min(limit, _PAGE),
        )
        found: list[DueSigning] = []
        async for row in rows:
            found.append(DueSigning(row["signing_id"], time_of(row["due_at"]), (row["PartitionKey"], row["RowKey"])))
            if len(found) == limit:
                break
        return found

    async def settle(self, row: DueSigning) -> None:
        # The SDK passes over a missing row in silence.
        await self._table.delete_entity(*row.handle)

    async def mark_all(self, times: Mapping[str, datetime]) -> None:
        rows = [due_row(signing_id, due_at) for signing_id, due_at in times.items()]
        await self._each(_by_partition(rows), self._mark_some)

    async def settle_all(self, rows: Sequence[DueSigning]) -> None:
        handles = [
            {"PartitionKey": partition, "RowKey": row_key} for partition, row_key in dict.fromkeys(map(_handle, rows))
        ]
        await self._each(_by_partition(handles), self._settle_some)

    async def _each(self, groups: Sequence[Rows], work: Callable[[Rows], Awaitable[None]]) -> None:
        limit = asyncio.Semaphore(_AT_A_TIME)

        async def one(rows: Rows) -> None:
            async with limit:
                await work(rows)

        await asyncio.gather(*map(one, groups))

    async def _mark_some(self, rows: Rows) -> None:
        if len(rows) == 1:
            await self._table.upsert_entity(rows[0])
        else:
            await self._clients.transact(DUE, [(TransactionOperation.UPSERT, row) for row in rows])

    async def _settle_some(self, rows: Rows) -> None:
        if len(rows) > 1:
            try:
                await self._clients.transact(DUE, [(TransactionOperation.DELETE, row) for row in rows])
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
            else:
                return
        # One by one also where another timer run has removed some of them: a transaction then removes none.
        for row in rows:
            await self._table.delete_entity(row["PartitionKey"], row["RowKey"])


def _handle(row: DueSigning) -> tuple[str, str]:
    return row.handle


def _by_partition(rows: Iterable[Row]) -> list[Rows]:
    """Groups that fit in one transaction each."""
    partitions: dict[str, list[Row]] = {}
    for row in rows:
        partitions.setdefault(row["PartitionKey"], []).append(row)
    return [
        own[start : start + TRANSACTION_LIMIT]
        for own in partitions.values()
        for start in range(0, len(own), TRANSACTION_LIMIT)
    ]


def due_row(signing_id: str, due_at: datetime) -> dict[str, str]:
    shard = hashlib.sha256(signing_id.encode()).digest()[0] % SHARDS
    return {
        "PartitionKey": f"{_bucket(due_at)}-{shard}",
        "RowKey": f"{due_at.astimezone(UTC):%Y%m%dT%H%M%S%f}-{signing_id}",
        "signing_id": signing_id,
        "due_at": time_text(due_at),
    }


def _bucket(at: datetime) -> str:
    start = int(at.timestamp()) // BUCKET_SECONDS * BUCKET_SECONDS
    return f"{datetime.fromtimestamp(start, UTC):%Y%m%dT%H%M}"
