"""Table `lookups`: natural keys to signing ids. A row is made once and never changed, so that exactly one wins."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import HttpResponseError

from shared.domain.errors import ConcurrentUpdate
from shared.storage.clients import LOOKUPS, StorageClients
from shared.storage.tables import digest, is_conflict, is_missing, joined, pieces, safe_key, time_text


class Lookups:
    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(LOOKUPS)

    async def claim(self, kind: str, key: str, signing_id: str, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        """None for the one call that made the row, the first claimant's facts for every other."""
        attempt = secrets.token_hex(8)
        row = {
            **_keys(kind, key),
            **pieces(json.dumps({**facts, "signing_id": signing_id})),
            "signing_id": signing_id,
            # Nothing decides by this time: it is for clearing out old rows.
            "created_at": time_text(datetime.now(UTC)),
            "attempt": attempt,
        }
        try:
            await self._table.create_entity(row)
        except HttpResponseError as error:
            if not is_conflict(error):
                raise
            return await self._first(kind, key, attempt)
        return None

    async def find(self, kind: str, key: str) -> str | None:
        row = await self._read(kind, key)
        return None if row is None else str(row["signing_id"])

    async def _first(self, kind: str, key: str, attempt: str) -> Mapping[str, str] | None:
        row = await self._read(kind, key)
        if row is None:
            raise ConcurrentUpdate("the lookup row was removed while it was being claimed")
        # Written by ourselves: the SDK repeats a request whose answer was a 500, and the first may have been done.
        if row.get("attempt") == attempt:
            return None
        facts: Mapping[str, str] = json.loads(joined(row))
        return facts

    async def _read(self, kind: str, key: str) -> Mapping[str, Any] | None:
        keys = _keys(kind, key)
        try:
            return await self._table.get_entity(keys["PartitionKey"], keys["RowKey"])
        except HttpResponseError as error:
            if is_missing(error):
                return None
            raise


def _keys(kind: str, key: str) -> dict[str, str]:
    hashed = digest(key)
    return {"PartitionKey": f"{safe_key(kind)}-{hashed[:2]}", "RowKey": hashed}
