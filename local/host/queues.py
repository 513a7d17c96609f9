"""The queue trigger: one listener per function, as the Storage extension behaves (host guide C2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.host import convert, messages
from local.host.config import QueueOptions
from local.host.index import IndexedFunction, QueueTrigger
from local.host.invoke import Invoker
from local.host.messages import Verdict

logger = logging.getLogger("host.queue")


class QueueListener:
    """Takes messages in batches and runs `function` for each, until `stop`."""

    def __init__(self, function: IndexedFunction, trigger: QueueTrigger, options: QueueOptions, invoker: Invoker):
        self._function = function
        self._options = options
        self._invoker = invoker
        self._queue = _client(trigger.connection_string, trigger.queue)
        self._poison_name = messages.poison_queue_name(trigger.queue)
        self._poison = _client(trigger.connection_string, self._poison_name) if self._poison_name else None
        self._backoff = messages.Backoff(options.max_polling_seconds)
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Poll until `stop`; then return when the messages under way are done."""
        while not self._stopping.is_set():
            batch = await self._receive()
            for message in batch:
                task = asyncio.create_task(self._process(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            if batch:
                self._backoff.reset()
                await self._wait_for_room()
            else:
                await _wait(self._stopping, self._backoff.next_seconds())
        while self._running:
            await asyncio.wait(self._running)
        await self._close()

    def stop(self) -> None:
        self._stopping.set()

    async def _wait_for_room(self) -> None:
        while len(self._running) > self._options.new_batch_threshold and not self._stopping.is_set():
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED, timeout=1)

    async def _receive(self) -> list[QueueMessage]:
        size = self._options.batch_size
        pages = self._queue.receive_messages(
            messages_per_page=size, max_messages=size, visibility_timeout=round(self._options.invisibility_seconds)
        )
        try:
            return [message async for message in pages]
        except ResourceNotFoundError:  # never created by the trigger: look again later
            return []
        except AzureError as error:
            logger.warning("receive_failed", extra={**self._ids(""), "error": type(error).__name__})
            return []

    async def _process(self, message: QueueMessage) -> None:
        """Never raises: what goes wrong here leaves the message invisible, so that it comes back."""
        lease = _Lease(self._queue, message, self._options.invisibility_seconds)
        try:
            verdict = await self._run_function(message, lease)
            await self._carry_out(verdict, message, lease)
        except Exception:
            logger.exception("message_not_settled", extra=self._ids(message.id))

    async def _run_function(self, message: QueueMessage, lease: _Lease) -> Verdict:
        count, limit = message.dequeue_count or 0, self._options.max_dequeue_count
        if not messages.may_run(count, limit):
            return messages.verdict_without_running(self._poison_name)
        try:
            text = messages.decode(message.content, self._options.encoding)
        except messages.UndecodableMessage:
            logger.warning("undecodable_message", extra=self._ids(message.id))
            return messages.verdict_without_running(self._poison_name)
        async with lease.renewed():
            succeeded = await self._succeeds(convert.queue_message(text, _facts(message)))
        return messages.verdict_after_running(succeeded, count, limit, self._poison_name)

    async def _succeeds(self, argument: object) -> bool:
        try:
            await self._invoker.call(self._function, argument)
        except Exception:
            return False
        return True

    async def _carry_out(self, verdict: Verdict, message: QueueMessage, lease: _Lease) -> None:
        match verdict:
            case Verdict.DELETE:
                await lease.delete()
            case Verdict.RELEASE:
                await lease.release(self._options.visibility_seconds)
            case Verdict.POISON if self._poison is not None:
                await _send_creating(self._poison, message.content)
                logger.warning("message_poisoned", extra=self._ids(message.id))
                await lease.delete()
            case _:
                logger.warning("message_left_invisible", extra=self._ids(message.id))

    async def _close(self) -> None:
        await self._queue.close()
        if self._poison is not None:
            await self._poison.close()

    def _ids(self, message_id: str) -> dict[str, str]:
        return {"function": self._function.name, "queue": self._queue.queue_name, "message_id": message_id}


class _Lease:
    """Our hold on one message: every change of its visibility gives a new pop receipt, and only the newest counts.
    A receipt gone stale means that somebody else has the message now, which is theirs to settle."""

    def __init__(self, queue: QueueClient, message: QueueMessage, invisibility_seconds: float) -> None:
        self._queue = queue
        self._id = message.id
        self._receipt = message.pop_receipt
        self._invisibility_seconds = invisibility_seconds

    @contextlib.asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew at half-life while the block runs. The renewal is let finish, never cancelled: a request cut off
        half-way would leave us without the valid receipt."""
        done = asyncio.Event()
        renewal = asyncio.create_task(self._renew_until(done))
        try:
            yield
        finally:
            done.set()
            await renewal

    async def _renew_until(self, done: asyncio.Event) -> None:
        while not await _wait(done, self._invisibility_seconds / 2):
            try:
                await self._hide_for(self._invisibility_seconds)
            except AzureError as error:
                logger.warning("renewal_failed", extra={"message_id": self._id, "error": type(error).__name__})
                return

    async def _hide_for(self, seconds: float) -> None:
        updated = await self._queue.update_message(self._id, self._receipt, visibility_timeout=round(seconds))
        self._receipt = updated.pop_receipt

    async def release(self, seconds: float) -> None:
        with _stale_receipt_ignored():
            await self._hide_for(seconds)

    async def delete(self) -> None:
        with _stale_receipt_ignored():
            await self._queue.delete_message(self._id, self._receipt)


@contextlib.contextmanager
def _stale_receipt_ignored() -> Iterator[None]:
    try:
        yield
    except HttpResponseError as error:
        if getattr(error, "error_code", None) not in {"PopReceiptMismatch", "MessageNotFound", "QueueNotFound"}:
            raise


async def _send_creating(queue: QueueClient, text: str) -> None:
    try:
        await queue.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(text)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within the time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _client(connection_string: str, queue: str) -> QueueClient:
    # Short retries: the listener itself comes back, and a stopped emulator must not hold up the host's end.
    return QueueClient.from_connection_string(connection_string, queue, retry_total=2, initial_backoff=1)


def _facts(message: QueueMessage) -> convert.MessageFacts:
    return convert.MessageFacts(
        id=message.id,
        dequeue_count=message.dequeue_count or 0,
        pop_receipt=message.pop_receipt or "",
        inserted_at=message.inserted_on,
        expires_at=message.expires_on,
        next_visible_at=message.next_visible_on,
    )
