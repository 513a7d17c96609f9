"""The queue trigger through a running host (host guide C2)."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from local.host.process import HostProcess

from .conftest import Sample, until

MakeSample = Callable[..., Sample]


def counts_seen(host: HostProcess, event: str = "order_seen", n: int | None = None) -> list[int]:
    """The dequeue counts under which a function saw a message."""
    which = r"(?:n=\d+ )?" if n is None else f"n={n} "
    return [int(count) for count in re.findall(rf"{event} {which}dequeue_count=(\d+)", host.log_text())]


async def take(queue: QueueClient, seconds: float = 60.0) -> str:
    """The text of the message that will be on `queue`, created meanwhile by the host."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            message = await queue.receive_message()
        except ResourceNotFoundError:
            message = None
        if message is not None:
            return str(message.content)
        await asyncio.sleep(0.05)
    raise AssertionError(f"nothing arrived on {queue.queue_name}")


async def left(queue: QueueClient) -> int:
    return (await queue.get_queue_properties()).approximate_message_count or 0


async def until_empty(queue: QueueClient, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while await left(queue):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.03)


async def receive_often(queue: QueueClient, times: int) -> None:
    """Drive a message's dequeue count up."""
    for _ in range(times):
        message = await queue.receive_message()
        assert message is not None
        await queue.update_message(message, visibility_timeout=0)


async def test_plain_messages(make_sample: MakeSample) -> None:
    sample = make_sample(messageEncoding="none", maxDequeueCount=3)
    async with (
        sample.queue("ORDERS") as orders,
        sample.queue("ORDERS", "-poison") as poison,
        sample.queue("LATE") as late,
    ):
        await orders.create_queue()
        await orders.send_message('{"n": 0}')
        await receive_often(orders, 3)
        async with sample.host() as host:
            # taken too often before: poison without running
            assert await take(poison) == '{"n": 0}'
            assert counts_seen(host) == []

            # success: seen once, with the service's facts, then deleted
            sent = await orders.send_message('{"n": 1}')
            await until(lambda: "order_done n=1" in host.log_text(), host)
            assert f"order_seen n=1 dequeue_count=1 message_id={sent.id} aware=True" in host.log_text()
            await until_empty(orders)

            # failure: tried maxDequeueCount times, then the same text on the poison queue
            text = '{ "n": 2,  "fail": true }'
            await orders.send_message(text)
            assert await take(poison) == text
            assert counts_seen(host, n=2) == [1, 2, 3]
            await until_empty(orders)

            # a missing trigger queue is not created, and noticed once it exists
            with pytest.raises(ResourceNotFoundError):
                await late.get_queue_properties()
            await late.create_queue()
            await late.send_message("better late")
            await until(lambda: 'late_seen text="better late"' in host.log_text(), host)


async def test_a_value_without_a_binding_fails_the_message(make_sample: MakeSample) -> None:
    sample = make_sample(messageEncoding="none", maxDequeueCount=1)
    async with sample.queue("ANSWERING") as queue, sample.queue("ANSWERING", "-poison") as poison:
        await queue.create_queue()
        await queue.send_message("x")
        async with sample.host() as host:
            assert await take(poison) == "x"
            assert "function=answering" in host.log_text()


async def test_base64_messages(make_sample: MakeSample) -> None:
    sample = make_sample(maxDequeueCount=2)
    async with sample.queue("ORDERS") as orders, sample.queue("ORDERS", "-poison") as poison:
        await orders.create_queue()
        async with sample.host() as host:
            await orders.send_message(base64.b64encode(b'{"n": 1}').decode())
            await until(lambda: "order_done n=1" in host.log_text(), host)

            # undecodable: poison at once, never seen by the function
            await orders.send_message('{"n": 2}')
            assert await take(poison) == '{"n": 2}'
            assert counts_seen(host) == [1]
            await until_empty(orders)


async def test_no_more_messages_at_once_than_a_batch_and_the_threshold(make_sample: MakeSample) -> None:
    sample = make_sample(messageEncoding="none", batchSize=2, newBatchThreshold=1)
    async with sample.queue("ORDERS") as orders:
        await orders.create_queue()
        for n in range(6):
            await orders.send_message(json.dumps({"n": n, "sleep": 1 + n % 2}))
        async with sample.host() as host:
            await until(lambda: host.log_text().count("order_done") == 6, host)
            running = most_running = 0
            for event in re.findall("order_(seen|done)", host.log_text()):
                running += 1 if event == "seen" else -1
                most_running = max(most_running, running)
            assert most_running == 3


async def test_messages_that_take_long_or_fail_late(make_sample: MakeSample) -> None:
    """Three things that need time, in one: renewal, the pause after a failure, poison queues."""
    sample = make_sample(messageEncoding="none", maxDequeueCount=2, visibilityTimeout="00:00:02")
    async with sample.queue("ORDERS") as orders, sample.queue("DEAD", "-poison") as dead:
        await orders.create_queue()
        await dead.create_queue()
        async with sample.host(invisibility_seconds=6) as host:
            await orders.send_message('{"n": 1, "sleep": 7.5}')
            await orders.send_message('{"n": 2, "fail": true}')
            await dead.send_message("x")
            started = time.monotonic()

            # a failing message comes back after visibilityTimeout, and then goes to poison
            await until(lambda: counts_seen(host, n=2) == [1, 2], host)
            assert time.monotonic() - started > 1.5

            # a poison queue has no poison queue: the message waits out its invisibility, and is not run for ever
            await until(lambda: counts_seen(host, "dead_seen") == [1, 2], host)

            # a long run keeps its message, and only one run sees it
            await until(lambda: "order_done n=1" in host.log_text(), host)
            await until_empty(orders)
            assert counts_seen(host, n=1) == [1]

            await until(lambda: "message_left_invisible" in host.log_text(), host)
            assert await left(dead) == 1
        with pytest.raises(ResourceNotFoundError):
            async with sample.queue("DEAD", "-poison-poison") as poison:
                await poison.get_queue_properties()


async def test_a_killed_host_delays_its_messages_and_loses_none(make_sample: MakeSample) -> None:
    sample = make_sample(messageEncoding="none")
    async with sample.queue("ORDERS") as orders:
        await orders.create_queue()
        await orders.send_message('{"n": 1, "sleep": 1}')
        async with sample.host(invisibility_seconds=2) as host:
            address = host.base_url
            await until(lambda: counts_seen(host) == [1], host)
            host.kill()
            assert host.exit_code not in (0, None)
            await host.start()

            assert host.base_url == address
            await until(lambda: "order_done n=1" in host.log_text(), host)
            assert counts_seen(host) == [1, 2]
            await until_empty(orders)


async def test_a_stopping_host_lets_messages_finish(make_sample: MakeSample) -> None:
    sample = make_sample(messageEncoding="none")
    async with sample.queue("ORDERS") as orders:
        await orders.create_queue()
        async with sample.host() as host:
            await orders.send_message('{"n": 1, "sleep": 1}')
            await until(lambda: counts_seen(host) == [1], host)
            assert await host.stop() == 0
            assert "order_done n=1" in host.log_text()
            assert await left(orders) == 0
