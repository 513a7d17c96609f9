"""Table `pace`: up to when the time of one account is given away. One row an account, changed conditionally."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import UpdateMode

from shared.domain.errors import ConcurrentUpdate
from shared.storage.clients import PACE, StorageClients
from shared.storage.tables import etag_of, is_conflict, is_missing, is_stale, safe_key, time_of, time_text

_SLOTS = "slots"
_MAX_TRIES = 20


class TablePaceStore:
    """`ports.PaceStore` on table storage. A write that was done although its answer was lost costs a gap, no more."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(PACE)

    async def reserve(self, account: str, calls: int, seconds_per_call: float, now: datetime) -> datetime:
        for _ in range(_MAX_TRIES):
            row = await self._read(account)
            first = now if row is None else max(now, time_of(row["taken_until"]))
            until = first + timedelta(seconds=calls * seconds_per_call)
            if await self._write(account, until, row):
                return first
        raise ConcurrentUpdate(f"the slots of account {account} were taken {_MAX_TRIES} times in a row")

    async def _read(self, account: str) -> Mapping[str, Any] | None:
        try:
            return await self._table.get_entity(safe_key(account), _SLOTS)
        except HttpResponseError as error:
            if is_missing(error):
                return None
            raise

    async def _write(self, account: str, until: datetime, before: Mapping[str, Any] | None) -> bool:
        entity = {"PartitionKey": safe_key(account), "RowKey": _SLOTS, "taken_until": time_text(until)}
        try:
            if before is None:
                await self._table.create_entity(entity)
            else:
                await self._table.update_entity(
                    entity,
                    mode=UpdateMode.REPLACE,
                    etag=etag_of(before),
                    match_condition=MatchConditions.IfNotModified,
                )
        except HttpResponseError as error:
            if is_conflict(error) or is_stale(error) or is_missing(error):
                return False
            raise
        return True
