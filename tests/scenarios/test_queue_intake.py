"""Orders that other services put on `signing-requests`, in the forms that they have there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from typing import Any

import pytest
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from local.players import V2_ACCOUNT
from shared.ports import DeadLetter
from shared.storage.clients import StorageClients
from shared.storage.letters import TableDeadLetterStore
from tests.scenarios.play import CONTRACT, PATIENCE_SECONDS, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNREADABLE = "please sign the lease \ufeffof 2026 <&>"


def order(play: Play, reference: str, document: dict[str, Any]) -> dict[str, Any]:
    """Small enough for a queue: the file lies in blob storage."""
    return play.order(
        V2_ACCOUNT,
        reference=reference,
        documents=[{"name": "lease.pdf", **document}],
        replyTo="signing-replies",
        correlationId=reference,
    )


def b64(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.b64encode(text.encode()).decode()


async def received(queues: QueueServiceClient, count: int) -> dict[str, dict[str, Any]]:
    """That many replies, by correlation id."""
    found: dict[str, dict[str, Any]] = {}
    queue = queues.get_queue_client("signing-replies")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        async for message in queue.receive_messages(visibility_timeout=300):
            reply = json.loads(message.content)
            found[reply["correlationId"]] = reply
            await queue.delete_message(message)
        await asyncio.sleep(0.1)
    return found


async def until_empty(queues: QueueServiceClient, name: str) -> None:
    """Counts hidden messages too: what is worked on is not yet done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (await queues.get_queue_client(name).get_queue_properties()).approximate_message_count:
        assert time.monotonic() < deadline, f"{name} never gets empty"
        await asyncio.sleep(0.1)


async def letters(play: Play, bodies: list[str]) -> list[DeadLetter]:
    async with StorageClients.from_settings(connection_string=play.stack.azurite.connection_string) as clients:
        found = await TableDeadLetterStore(clients).list(1000)
    return [letter for letter in found if letter.body in bodies]


async def test_orders_in_every_form_are_signed_and_the_unreadable_is_kept(play: Play) -> None:
    assert (await play.client.get("/api/health")).status_code == 200  # the first use makes containers and queues
    async with BlobServiceClient.from_connection_string(play.stack.azurite.connection_string) as blobs:
        blob = blobs.get_blob_client("inbox", "queue/lease 1.pdf")
        await blob.upload_blob(CONTRACT, overwrite=True)
        by_path, by_url = {"blob": "inbox/queue/lease 1.pdf"}, {"blob": blob.url}
    digest = {"sha256": hashlib.sha256(CONTRACT).hexdigest()}
    event = {"specversion": "1.0", "id": "queue-e-1", "source": "/erp", "type": "order"}
    grid = {"id": "queue-g-1", "topic": "/t", "subject": "s", "eventType": "order"}
    messages = [
        json.dumps(order(play, "queue-plain", by_path)),
        "\ufeff" + json.dumps(order(play, "queue-mark", by_url), ensure_ascii=False),
        b64(b64(order(play, "queue-twice", by_path | digest))),
        json.dumps([grid | {"data": order(play, "queue-grid", by_path)}]),
        json.dumps(event | {"data_base64": b64(order(play, "queue-cloud", by_url))}),
        json.dumps([order(play, "queue-first", by_path), order(play, "queue-none", {"blob": "inbox/queue/none.pdf"})]),
        UNREADABLE,
    ]
    async with QueueServiceClient.from_connection_string(play.stack.azurite.connection_string) as queues:
        for message in messages:
            await queues.get_queue_client("signing-requests").send_message(message)
        replies = await received(queues, 7)
        assert {reference: reply["outcome"] for reference, reply in replies.items()} == {
            "queue-plain": "accepted",
            "queue-mark": "accepted",
            "queue-twice": "accepted",
            "queue-grid": "accepted",
            "queue-cloud": "accepted",
            "queue-first": "accepted",
            "queue-none": "refused",
        }
        await until_empty(queues, "signing-requests")
        await until_empty(queues, "signing-requests-poison")
    for reference, reply in replies.items():
        if reply["outcome"] == "accepted":
            await signed(play, reply["signing"], reference)
    unreadable, missing = sorted(await letters(play, messages), key=lambda letter: letter.reason, reverse=True)
    assert (unreadable.reason, unreadable.body) == ("unreadable_encoding", UNREADABLE)
    assert (missing.reason, missing.body) == ("invalid_request", messages[5])


async def signed(play: Play, signing: dict[str, Any], reference: str) -> None:
    started = await play.until_it(signing["id"], lambda one: one["state"] != "requested")
    assert (started["state"], started["reference"]) == ("started", reference)
    await play.stack.sandbox.complete(started["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    assert play.invitations(started) == 1
