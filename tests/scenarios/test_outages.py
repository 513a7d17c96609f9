"""A provider that is down or throttles, through the whole app: everything waits, nothing is lost, and others go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import Azurite
from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.stack import Stack, running_stack
from shared.domain.messages import POISON_SUFFIX, Queue
from shared.storage.clients import StorageClients
from shared.storage.letters import TableDeadLetterStore
from tests.scenarios.conftest import FAST
from tests.scenarios.play import Play
from tests.scenarios.secrecy import check_log

pytestmark = pytest.mark.asyncio(loop_scope="session")

OUTAGE_SECONDS = 9.0
FAILURES = 5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_stack() -> AsyncIterator[Stack]:
    with Azurite.start() as azurite:
        async with running_stack(azurite=azurite, overrides=FAST, max_polling_seconds=0.2) as running:
            running.sandbox.options.rate_limit = 100_000
            yield running
            check_log(running)


@pytest_asyncio.fixture(loop_scope="session")
async def play(own_stack: Stack) -> AsyncIterator[Play]:
    async with own_stack.client() as client:
        yield Play(own_stack, client)
    own_stack.sandbox.faults.clear()


async def circuit(play: Play, account: str) -> dict[str, Any]:
    accounts = (await play.client.get("/api/accounts")).json()["accounts"]
    found: dict[str, Any] = next(one["circuit"] for one in accounts if one["account"] == account)
    return found


async def until_circuit(play: Play, account: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while (seen := await circuit(play, account))["state"] not in states:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)
    return seen


async def nothing_is_poison(play: Play) -> None:
    """Nor on its way there: with one failed run of a worker a message has begun to use its dequeue count up."""
    runs = [line for line in play.stack.host.log_text().splitlines() if " invocation " in line]
    assert [line for line in runs if "outcome=succeeded" not in line] == []
    assert runs
    async with QueueServiceClient.from_connection_string(play.stack.azurite.connection_string) as queues:
        for queue in Queue:
            properties = await queues.get_queue_client(queue.value + POISON_SUFFIX).get_queue_properties()
            assert properties.approximate_message_count == 0
    async with StorageClients.from_settings(connection_string=play.stack.azurite.connection_string) as clients:
        assert await TableDeadLetterStore(clients).list(10) == []


async def test_a_provider_that_is_down_for_long_costs_nothing_but_time(play: Play) -> None:
    sandbox = play.stack.sandbox
    accounts = (V2_ACCOUNT, V1_ACCOUNT)
    fetching = [await play.start(account) for account in accounts]
    sandbox.fault("status", "Requests_Download", times=None, status=503)
    for signing in fetching:
        await sandbox.complete(signing["providerSigningId"])
        await play.until(signing["id"], "completed")
    called_back = [await play.start(account) for account in accounts]
    sandbox.fault("status", times=None, status=503)
    down_since = time.monotonic()
    for signing in called_back:
        await sandbox.complete(signing["providerSigningId"])
    # Not with V1: whether its one call was acted upon could only be told by a callback, and none would come.
    starting = [await play.start(V2_ACCOUNT) for _ in range(3)]
    assert {one["state"] for one in starting} == {"requested"}
    opened = await until_circuit(play, V2_ACCOUNT, "open", "half_open")
    assert opened["reason"] == "provider_unavailable"
    assert opened["failures"] >= FAILURES
    began = time.monotonic()
    starting.append(await play.start(V2_ACCOUNT))
    assert time.monotonic() - began < 5
    await asyncio.sleep(max(OUTAGE_SECONDS - (time.monotonic() - down_since), 0))
    await nothing_is_poison(play)

    sandbox.faults.clear()
    started = [await play.until(one["id"], "started") for one in starting]
    for signing in started:
        await sandbox.complete(signing["providerSigningId"])
    for signing in (*fetching, *called_back, *started):
        stored = await play.until(signing["id"], "stored")
        await play.check_stored(stored)
        assert "attention" not in stored
        assert play.invitations(stored) == 1
    await until_circuit(play, V2_ACCOUNT, "closed")
    await nothing_is_poison(play)


async def test_a_throttled_account_slows_alone(play: Play) -> None:
    sandbox = play.stack.sandbox
    # Only the one API has this operation.
    sandbox.fault("status", "Requests_Create", times=None, status=429, retry_after=600)
    slow = await play.start(V2_ACCOUNT)
    assert slow["state"] == "requested"
    assert (await until_circuit(play, V2_ACCOUNT, "open"))["reason"] == "provider_throttled"
    quick = await play.start(V1_ACCOUNT)
    assert quick["state"] == "started"
    await sandbox.complete(quick["providerSigningId"])
    await play.check_stored(await play.until(quick["id"], "stored"))
    assert (await circuit(play, V1_ACCOUNT))["state"] == "closed"
    assert (await play.get(slow["id"]))["state"] == "requested"
    sandbox.faults.clear()
    started = await play.until(slow["id"], "started")
    assert play.invitations(started) == 1
    await nothing_is_poison(play)
