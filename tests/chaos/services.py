"""Another Azure service: it puts orders on the queue, again when nobody answers, reads the replies and tidies up."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.blob.aio import BlobServiceClient

from local.stack import Stack
from shared.domain.messages import Queue
from shared.storage.clients import INBOX
from tests.chaos.plan import Part
from tests.chaos.storms import queue_client

REPLIES = "signing-replies"
_TRIES = 25
_PATIENCE_SECONDS = 6.0
_LOOK_SECONDS = 0.25


@dataclass
class Service:
    stack: Stack
    # By the reference that was the order's correlation id.
    replies: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    sent: int = 0

    async def order(self, part: Part, content: Mapping[str, Any], document: bytes) -> Mapping[str, Any]:
        """The first reply. Raises AssertionError when there never is one."""
        blob = f"{part.reference}.pdf"
        await self._upload(blob, document)
        documents = [{"name": "contract.pdf", "blob": f"{INBOX}/{blob}"}]
        aside = {"replyTo": REPLIES, "correlationId": part.reference}
        message = _message(part, {**content, "documents": documents, **aside})
        for _ in range(_TRIES):
            await self._put(message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    reply = await self._reply(part)
                # Copies of the order may still be on their way.
                await self._clear(blob)
                return reply
        raise AssertionError(f"{part.reference} was never answered")

    async def _put(self, message: str) -> None:
        async with queue_client(self.stack, Queue.REQUESTS.value) as client:
            with contextlib.suppress(ResourceExistsError):  # the app may not have come to making it
                await client.create_queue()
            await client.send_message(message)
        self.sent += 1

    async def _reply(self, part: Part) -> Mapping[str, Any]:
        while not self.replies[part.reference]:
            await asyncio.sleep(_LOOK_SECONDS)
        return self.replies[part.reference][0]

    async def _upload(self, name: str, content: bytes) -> None:
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as service:
            with contextlib.suppress(ResourceExistsError):
                await service.create_container(INBOX)
            await service.get_blob_client(INBOX, name).upload_blob(content, overwrite=True)

    async def _clear(self, name: str) -> None:
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as service:
            await service.get_blob_client(INBOX, name).delete_blob()

    async def collect(self) -> None:
        """Reads replies until it is cancelled."""
        async with queue_client(self.stack, REPLIES) as client:
            with contextlib.suppress(ResourceExistsError):
                await client.create_queue()
            while True:
                with contextlib.suppress(AzureError):
                    async for message in client.receive_messages(messages_per_page=32):
                        reply = json.loads(message.content)
                        await client.delete_message(message)
                        self.replies[reply["correlationId"]].append(reply)
                await asyncio.sleep(_LOOK_SECONDS)


def _message(part: Part, order: Mapping[str, Any]) -> str:
    """Recognised when it comes again by its reference, by its own key, or by the id of the event around it."""
    match part.number // 6 % 3:
        case 0:
            return json.dumps(order)
        case 1:
            return base64.b64encode(json.dumps({**order, "idempotencyKey": f"key-{part.number}"}).encode()).decode()
        case _:
            event = {"specversion": "1.0", "id": f"event-{part.number}", "source": "/chaos", "type": "order"}
            return json.dumps({**event, "data": order})
