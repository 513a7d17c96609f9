"""Table `lookups`: natural keys to signing ids. A row is made once, so that exactly one wins; it changes hands only
where a key may be claimed again, and then conditionally."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import UpdateMode

from shared.domain.errors import ConcurrentUpdate
from shared.ports import OldClaim
from shared.storage.clients import LOOKUPS, StorageClients
from shared.storage.tables import (
    digest,
    etag_of,
    is_conflict,
    is_missing,
    is_stale,
    joined,
    pieces,
    safe_key,
    time_text,
)

_REMEMBERED = 10_000


class Lookups:
    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(LOOKUPS)
        self._known: dict[tuple[str, str], str] = {}

    async def claim(self, kind: str, key: str, signing_id: str, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        """None for the one call that made the row, the first claimant's facts for every other."""
        attempt = secrets.token_hex(8)
        row = _row(kind, key, signing_id, facts, attempt)
        try:
            await self._table.create_entity(row)
        except HttpResponseError as error:
            if not is_conflict(error):
                raise
            return await self._first(kind, key, attempt)
        self._remember(kind, key, signing_id)
        return None

    async def reclaim(
        self, kind: str, key: str, holder: str, signing_id: str, facts: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """None when the row was given from `holder` to `signing_id`, else the facts of the one that has it now."""
        attempt = secrets.token_hex(8)
        present = await self._read(kind, key)
        if present is None or present["signing_id"] != holder:
            return await self._first(kind, key, attempt)
        try:
            await self._table.update_entity(
                _row(kind, key, signing_id, facts, attempt),
                mode=UpdateMode.REPLACE,
                etag=etag_of(present),
                match_condition=MatchConditions.IfNotModified,
            )
        except HttpResponseError as error:
            if not (is_stale(error) or is_missing(error)):
                raise
            return await self._first(kind, key, attempt)
        self._remember(kind, key, signing_id)
        return None

    async def find(self, kind: str, key: str) -> str | None:
        """A row of a kind that is looked up never changes, so one that was seen is not read again by this process."""
        known = self._known.get((kind, key))
        if known is not None:
            return known
        row = await self._read(kind, key)
        if row is None:
            return None
        self._remember(kind, key, str(row["signing_id"]))
        return str(row["signing_id"])

    async def claimed(self, kind: str, key: str) -> Mapping[str, str] | None:
        """The facts of the row as it is now."""
        row = await self._read(kind, key)
        facts: Mapping[str, str] | None = json.loads(joined(row)) if row is not None else None
        return facts

    async def made_before(self, kind: str, before: datetime) -> AsyncIterator[OldClaim]:
        """All partitions of the kind, from one chosen at random onwards and round to it."""
        name, begin = safe_key(kind), secrets.randbelow(256)
        for first, end in ((f"{begin:02x}", "g"), ("", f"{begin:02x}")):
            rows = self._table.query_entities(
                "PartitionKey ge @first and PartitionKey lt @end and created_at lt @before",
                parameters={"first": f"{name}-{first}", "end": f"{name}-{end}", "before": time_text(before)},
                select=["PartitionKey", "RowKey", "signing_id"],
            )
            async for row in rows:
                yield OldClaim(str(row["signing_id"]), (row["PartitionKey"], row["RowKey"], etag_of(row)))

    async def forget(self, claim: OldClaim) -> None:
        partition, row_key, etag = claim.handle
        try:
            # The SDK passes over a missing row in silence.
            await self._table.delete_entity(
                partition, row_key, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        except HttpResponseError as error:
            if not is_stale(error):
                raise

    def _remember(self, kind: str, key: str, signing_id: str) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[kind, key] = signing_id

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


def _row(kind: str, key: str, signing_id: str, facts: Mapping[str, str], attempt: str) -> dict[str, str]:
    return {
        **_keys(kind, key),
        **pieces(json.dumps({**facts, "signing_id": signing_id})),
        "signing_id": signing_id,
        # Nothing decides by this time: it is for clearing out old rows.
        "created_at": time_text(datetime.now(UTC)),
        "attempt": attempt,
    }


def _keys(kind: str, key: str) -> dict[str, str]:
    hashed = digest(key)
    return {"PartitionKey": f"{safe_key(kind)}-{hashed[:2]}", "RowKey": hashed}
