"""Storage queues: plain JSON text (`messageEncoding: none`), messages that do not expire, one client per queue."""

from __future__ import annotations

import math
import re
from xml.sax.saxutils import escape

from shared.domain.messages import Message, Queue
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
        text = to_text(message)
        size = len(escape(text).encode())
        if size > MESSAGE_BYTES:
            raise MessageTooLarge(f"a {type(message).__name__} of {size} bytes does not fit in a queue message")
        delay = min(max(math.ceil(delay_seconds), 0), DELAY_SECONDS)
        await self._clients.queue(queue).send_message(text, time_to_live=_NO_EXPIRY, visibility_timeout=delay)

    async def send_text(self, queue: Queue, text: str) -> None:
        # It has been in a queue before, so it fits.
        await self._clients.queue(queue).send_message(text, time_to_live=_NO_EXPIRY)


def to_text(message: Message) -> str:
    """The message's JSON, with only characters that XML can carry."""
    return _NOT_XML.sub(lambda found: f"\\u{ord(found.group()):04x}", message.model_dump_json())
