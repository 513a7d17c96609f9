"""`ports.MessageQueue` on storage queues: what arrives is the plain JSON that the host will read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.errors import ReplyRefused
from shared.domain.messages import DownloadDocuments, NotifyCaller, Queue
from shared.storage.clients import StorageClients
from shared.storage.queues import MESSAGE_BYTES, MessageTooLarge, StorageMessageQueue, StorageReplyQueues
from tests.storage.samples import new_id


@pytest.fixture
async def queue(clients: StorageClients) -> StorageMessageQueue:
    await clients.queue(Queue.DOWNLOADS).clear_messages()
    await clients.queue(Queue.NOTIFICATIONS).clear_messages()
    return StorageMessageQueue(clients)


async def test_a_message_arrives_as_plain_json_and_stays(clients: StorageClients, queue: StorageMessageQueue) -> None:
    sent = DownloadDocuments(signing_id=new_id(), traceparent="00-a-b-01")
    clients.calls.clear()
    await queue.send(Queue.DOWNLOADS, sent)
    assert clients.calls == {"queue:POST document-downloads": 1}
    message = await clients.queue(Queue.DOWNLOADS).receive_message()
    assert message is not None
    assert message.content == sent.model_dump_json()
    assert message.expires_on is not None
    assert message.expires_on > datetime.now(UTC) + timedelta(days=3650)


async def test_text_that_xml_cannot_carry_arrives_unchanged(
    clients: StorageClients, queue: StorageMessageQueue
) -> None:
    event = {"odd": "\uffff\ufffe\x00\r\n<&>]]> \U0001f58a \u2028", "nothing": None}
    sent = NotifyCaller(signing_id=new_id(), seq=1, url="https://example.com", event=event)
    await queue.send(Queue.NOTIFICATIONS, sent)
    message = await clients.queue(Queue.NOTIFICATIONS).receive_message()
    assert message is not None
    assert NotifyCaller.model_validate_json(message.content) == sent


async def test_a_delayed_message_waits(clients: StorageClients, queue: StorageMessageQueue) -> None:
    await queue.send(Queue.DOWNLOADS, DownloadDocuments(signing_id=new_id()), delay_seconds=30 * 24 * 3600)
    assert await clients.queue(Queue.DOWNLOADS).receive_message() is None
    properties = await clients.queue(Queue.DOWNLOADS).get_queue_properties()
    assert properties.approximate_message_count == 1


async def test_a_fraction_of_a_second_is_rounded_up(clients: StorageClients, queue: StorageMessageQueue) -> None:
    await queue.send(Queue.DOWNLOADS, DownloadDocuments(signing_id=new_id()), delay_seconds=0.2)
    assert await clients.queue(Queue.DOWNLOADS).receive_message() is None


async def test_a_message_beyond_the_limit_is_refused_with_its_size(
    clients: StorageClients, queue: StorageMessageQueue
) -> None:
    empty = NotifyCaller(signing_id="s", seq=1, url="u", event={"data": ""})
    room = MESSAGE_BYTES - len(empty.model_dump_json())
    await queue.send(Queue.NOTIFICATIONS, empty.model_copy(update={"event": {"data": "é" * (room // 2)}}))
    with pytest.raises(MessageTooLarge, match="NotifyCaller of 654"):
        await queue.send(Queue.NOTIFICATIONS, empty.model_copy(update={"event": {"data": "é" * (room // 2 + 1)}}))
    properties = await clients.queue(Queue.NOTIFICATIONS).get_queue_properties()
    assert properties.approximate_message_count == 1


async def test_a_reply_arrives_as_it_was_written_and_stays(clients: StorageClients) -> None:
    text = '{"odd": "\uffff <&>]]> \U0001f58a"}'
    queue = clients.foreign_queue(f"replies-{new_id()}")
    await queue.create_queue()
    await StorageReplyQueues(clients, ["replies-*"]).send(queue.queue_name, text)
    message = await queue.receive_message()
    assert message is not None
    assert json.loads(message.content) == json.loads(text)
    assert message.expires_on is not None
    assert message.expires_on > datetime.now(UTC) + timedelta(days=3650)


async def test_a_reply_goes_to_allowed_queues_that_exist(clients: StorageClients) -> None:
    replies = StorageReplyQueues(clients, ["*"])
    with pytest.raises(ReplyRefused) as missing:
        await replies.send("nobody-made-this", "{}")
    assert missing.value.code == "reply_queue_missing"
    for name in ("signing-starts", "signing-requests", "x-poison", "azure-webjobs-x", "Signing-Replies", "a/../b"):
        clients.calls.clear()
        with pytest.raises(ReplyRefused) as refused:
            await replies.send(name, "{}")
        assert (refused.value.code, clients.calls) == ("reply_refused", {})
    with pytest.raises(ReplyRefused):
        await StorageReplyQueues(clients, ["erp-*"]).send("signing-replies", "{}")
    with pytest.raises(MessageTooLarge):
        await replies.send("signing-replies", '"' + "x" * MESSAGE_BYTES + '"')


async def test_a_poison_message_is_put_back_as_it_came(clients: StorageClients, queue: StorageMessageQueue) -> None:
    poison = clients.foreign_queue("document-downloads-poison")
    await poison.clear_messages()
    text = '{ "title":\t"Zo\u00eb <&>" }\n'
    await queue.put_back_poison(Queue.DOWNLOADS, text, delay_seconds=0)
    message = await poison.receive_message()
    assert message is not None
    assert message.content == text
    await poison.delete_message(message)
