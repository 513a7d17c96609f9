"""Nothing waits silently in a poison queue, and a caller who cannot be reached is not forgotten."""

from __future__ import annotations

from collections import deque

import pytest
from azure.storage.queue.aio import QueueClient

from shared.domain.messages import RunStart
from shared.storage.clients import StorageClients
from shared.storage.letters import TableDeadLetterStore
from tests.scenarios.play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def letters(play: Play) -> dict[str, str]:
    """Reason by signing id."""
    clients = StorageClients.from_settings(connection_string=play.stack.azurite.connection_string)
    try:
        return {str(one.signing_id): one.reason for one in await TableDeadLetterStore(clients).list(1000)}
    finally:
        await clients.aclose()


async def test_a_poison_message_is_taken_out_and_tied_to_its_signing(play: Play) -> None:
    signing = await play.start()
    name = "signing-starts-poison"
    async with QueueClient.from_connection_string(play.stack.azurite.connection_string, name) as queue:
        await queue.send_message(RunStart(signing_id=signing["id"]).model_dump_json())
        flagged = await play.until_it(signing["id"], lambda one: "attention" in one)
        assert flagged["attention"]["code"] == "poison"
        assert [item async for item in queue.receive_messages(visibility_timeout=1)] == []
    assert (await letters(play))[signing["id"]] == "processing_failed"
    # A callback of the started signing may have been applied since, so it need not be the last entry.
    (poisoned,) = [entry for entry in await play.history(signing["id"]) if entry["kind"] == "poisoned"]
    assert poisoned["facts"]["queue"] == "signing-starts"


async def test_a_caller_who_answers_badly_is_tried_again(play: Play) -> None:
    play.stack.receiver.statuses_for["badly"] = deque([500, 503])
    signing = await play.start(reference="badly")
    await play.told(signing["id"], "started")
    ids = [one.event["id"] for one in play.stack.receiver.deliveries if one.event["subject"] == signing["id"]]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    told = await play.until_it(signing["id"], lambda one: one["notifications"][0]["deliveredAt"] is not None)
    assert told["notifications"][0]["attempts"] == 3


async def test_a_caller_who_never_answers_well_is_a_dead_letter(play: Play) -> None:
    play.stack.receiver.statuses_for["never"] = deque([500, 500, 500])
    signing = await play.start(reference="never")
    given_up = await play.until_it(signing["id"], lambda one: "attention" in one)
    assert given_up["attention"]["code"] == "notify_failed"
    assert given_up["notifications"][0]["givenUpReason"] == "http_500"
    assert (await letters(play))[signing["id"]] == "http_500"
