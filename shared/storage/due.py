"""Table `due`: an index by time, so that a reconcile tick reads what is due and never all that is open.

PartitionKey = five-minute bucket and shard, RowKey = exact time and signing id. Rows sort by time, hence everything up
to the present bucket is one range at the front of the table, whatever lies behind it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from shared.ports import DueSigning
from shared.storage.clients import DUE, StorageClients
from shared.storage.tables import time_of, time_text

BUCKET_SECONDS = 300
# New rows of one moment spread over this many partitions.
SHARDS = 8
_PAGE = 1000


class DueIndex:
    def __init__(self, clients: StorageClients) -> None:
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
