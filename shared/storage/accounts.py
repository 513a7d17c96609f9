"""Tables `subscriptions` and `tokens`: what all instances share about one account at a provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from shared.domain.errors import ConcurrentUpdate
from shared.ports import TokenRow
from shared.storage.clients import SUBSCRIPTIONS, TOKENS, StorageClients
from shared.storage.tables import (
    etag_of,
    is_conflict,
    is_missing,
    is_stale,
    joined,
    pieces,
    safe_key,
    time_of,
    time_text,
)

HELD_BY_ANOTHER = ""
_TOKEN = "token"  # noqa: S105 - a row key


class TableSubscriptionStore:
    """`ports.SubscriptionStore` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(SUBSCRIPTIONS)

    async def claim(self, account: str, address_digest: str, now: datetime, stale_after_seconds: float) -> str | None:
        fresh = {**_subscription_keys(account, address_digest), "claimed_at": time_text(now)}
        try:
            await self._table.create_entity(fresh)
        except HttpResponseError as error:
            if not is_conflict(error):
                raise
        else:
            return None
        row = await self._table.get_entity(fresh["PartitionKey"], fresh["RowKey"])
        if "provider_webhook_id" in row:
            return str(row["provider_webhook_id"])
        if (now - time_of(row["claimed_at"])).total_seconds() < stale_after_seconds:
            return HELD_BY_ANOTHER
        return await self._take_over(fresh, etag_of(row))

    async def record(self, account: str, address_digest: str, provider_webhook_id: str, now: datetime) -> None:
        facts = {"provider_webhook_id": provider_webhook_id, "recorded_at": time_text(now)}
        await self._table.upsert_entity({**_subscription_keys(account, address_digest), **facts})

    async def _take_over(self, fresh: Mapping[str, str], etag: str) -> str | None:
        try:
            await _replace_if_unchanged(self._table, fresh, etag)
        except ConcurrentUpdate:
            return HELD_BY_ANOTHER
        return None


class TableTokenStore:
    """`ports.TokenStore` on table storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = clients.table(TOKENS)

    async def read(self, account: str) -> TokenRow | None:
        try:
            row = await self._table.get_entity(safe_key(account), _TOKEN)
        except HttpResponseError as error:
            if is_missing(error):
                return None
            raise
        lease = row.get("lease_until")
        return TokenRow(etag_of(row), joined(row, "sealed"), time_of(lease) if lease else None)

    async def write(self, account: str, row: TokenRow) -> TokenRow:
        entity = {"PartitionKey": safe_key(account), "RowKey": _TOKEN, **pieces(row.sealed, "sealed")}
        if row.lease_until is not None:
            entity["lease_until"] = time_text(row.lease_until)
        etag = await self._write(entity, row.etag)
        return TokenRow(etag, row.sealed, row.lease_until)

    async def _write(self, entity: Mapping[str, str], etag: str | None) -> str:
        if etag is not None:
            return await _replace_if_unchanged(self._table, entity, etag)
        try:
            return etag_of(await self._table.create_entity(entity))
        except HttpResponseError as error:
            if is_conflict(error):
                raise ConcurrentUpdate("another worker wrote the token row first") from error
            raise


async def _replace_if_unchanged(table: TableClient, entity: Mapping[str, Any], etag: str) -> str:
    try:
        answer = await table.update_entity(
            entity, mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
        )
    except HttpResponseError as error:
        if is_stale(error) or is_missing(error):
            raise ConcurrentUpdate("the row was changed meanwhile") from error
        raise
    return etag_of(answer)


def _subscription_keys(account: str, address_digest: str) -> dict[str, str]:
    return {"PartitionKey": safe_key(account), "RowKey": safe_key(address_digest)}
