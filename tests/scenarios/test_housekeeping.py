"""The timer that clears up, in the whole app."""

from __future__ import annotations

import time

import pytest
from azure.storage.blob.aio import BlobServiceClient

from shared.storage.clients import LOOKUPS, StorageClients
from shared.storage.signings import TableSigningStore
from tests.scenarios.play import PATIENCE_SECONDS, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_left_over_goes_and_what_is_needed_stays(play: Play) -> None:
    signing = await play.start(reference="housekeeping")
    await play.until(signing["id"], "started")
    left = f"{signing['id']}/9"
    clients = StorageClients.from_settings(connection_string=play.stack.azurite.connection_string)
    async with clients, BlobServiceClient.from_connection_string(play.stack.azurite.connection_string) as blobs:
        staging = blobs.get_container_client("staging")
        await staging.upload_blob(left, b"%PDF")
        await staging.upload_blob(f"operations/{signing['id']}/x", b"%PDF")
        claims = {"housekeeping over": "nobody", "housekeeping open": signing["id"]}
        for key, owner in claims.items():
            await TableSigningStore(clients).claim("idempotency-key", key, owner, {})
        mine = f"signing_id eq 'nobody' or signing_id eq '{signing['id']}'"
        async for row in clients.table(LOOKUPS).query_entities(mine):
            await clients.table(LOOKUPS).upsert_entity({**row, "created_at": "2020-01-01T00:00:00.000000+00:00"})
        deadline = time.monotonic() + PATIENCE_SECONDS
        # Blobs are as old as storage says, and here they may go after two seconds.
        while await play.blobs_of(signing["id"], "staging"):
            assert time.monotonic() < deadline
            await play.keep_house()
        fresh = TableSigningStore(clients)
        assert await fresh.find("idempotency-key", "housekeeping over") is None
        assert await fresh.find("idempotency-key", "housekeeping open") == signing["id"]
        provider_key = f"{signing['account']}\n{signing['providerSigningId']}"
        assert await fresh.find("provider_signing_id", provider_key) == signing["id"]
