"""Storage queues: plain JSON text (`messageEncoding: none`), messages that do not expire, one client per queue."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from azure.core.exceptions import ResourceNotFoundError

from shared.domain.errors import ReplyRefused
from shared.domain.messages import POISON_SUFFIX, Message, Queue
from shared.domain.reply_queues import may_be_replied_to
from shared.storage.clients import StorageClients

# 64 KiB, counted as it travels: escaped, and with the XML around it. Storage may count less strictly, never more so.
MESSAGE_BYTES = 64 * 1024 - 128
DELAY_SECONDS = 7 * 24 * 3600
_NO_EXPIRY = -1

# Not allowed in the XML that carries a message, yet left as they are by JSON writers.
_NOT_XML = re.compile("[\ufffe\uffff]")


class MessageTooLarge(ValueError):
    """A message that the queue would refuse. A programming error: everything large belongs in a blob."""


class StorageMessageQueue:
    """`ports.MessageQueue` on storage queues."""

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        text = _fitting(to_text(message), type(message).__name__)
        delay = min(max(math.ceil(delay_seconds), 0), DELAY_SECONDS)
        await self._clients.queue(queue).send_message(text, time_to_live=_NO_EXPIRY, visibility_timeout=delay)

    async def put_back_poison(self, queue: Queue, text: str, *, delay_seconds: float) -> None:
        # It has been in a queue before, so it fits.
        client = self._clients.foreign_queue(queue.value + POISON_SUFFIX)
        await client.send_message(text, time_to_live=_NO_EXPIRY, visibility_timeout=math.ceil(delay_seconds))


class StorageReplyQueues:
    """`ports.ReplyQueues` on storage queues of the same account, as far as `allowed` goes."""

    def __init__(self, clients: StorageClients, allowed: Sequence[str]) -> None:
        self._clients = clients
        self._allowed = tuple(allowed)

    async def send(self, queue: str, text: str) -> None:
        if not may_be_replied_to(queue, self._allowed):
            raise ReplyRefused("Answers may not be put on this queue.")
        content = _fitting(_for_xml(text), "reply")
        try:
            await self._clients.foreign_queue(queue).send_message(content, time_to_live=_NO_EXPIRY)
        except ResourceNotFoundError:
            raise ReplyRefused("There is no such queue.", code="reply_queue_missing") from None


def to_text(message: Message) -> str:
    """The message's JSON, with only characters that XML can carry."""
    return _for_xml(message.model_dump_json())


def _for_xml(json_text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\u{ord(found.group()):04x}", json_text)


def _fitting(text: str, kind: str) -> str:
    size = len(escape(text).encode())
    if size > MESSAGE_BYTES:
        raise MessageTooLarge(f"a {kind} of {size} bytes does not fit in a queue message")
    return text
