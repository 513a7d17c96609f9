"""Table `accounts`: which instances hold calls of an account back, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.data.tables import UpdateMode

from shared.domain.circuits import CircuitState, Standing
from shared.storage.clients import ACCOUNTS, StorageClients
from shared.storage.tables import is_missing, safe_key, time_of, time_text


class TableCircuitBoard:
    """`ports.CircuitBoard` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(ACCOUNTS)

    async def post(self, account: str, instance: str, standing: Standing) -> None:
        keys = {"PartitionKey": safe_key(account), "RowKey": safe_key(instance)}
        if standing.state is not CircuitState.CLOSED:
            await self._table.upsert_entity({**keys, **_columns(standing)}, mode=UpdateMode.REPLACE)
            return
        try:
            await self._table.delete_entity(keys["PartitionKey"], keys["RowKey"])
        except HttpResponseError as error:
            if not is_missing(error):
                raise

    async def read(self, account: str) -> list[Standing]:
        found = self._table.query_entities("PartitionKey eq @account", parameters={"account": safe_key(account)})
        return [_standing(row) async for row in found]


def _columns(standing: Standing) -> dict[str, Any]:
    values = {
        "state": standing.state.value,
        "since": time_text(standing.since) if standing.since else None,
        "until": time_text(standing.until) if standing.until else None,
        "reason": standing.reason,
        "failures": standing.failures,
    }
    return {name: value for name, value in values.items() if value is not None}


def _standing(row: Mapping[str, Any]) -> Standing:
    return Standing(
        CircuitState(row["state"]), _time(row, "since"), _time(row, "until"), row.get("reason"), int(row["failures"])
    )


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    text = row.get(name)
    return time_of(text) if text else None
