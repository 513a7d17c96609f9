"""A caller's side of the notifications: keeps the CloudEvents that arrive, and can be told to answer badly."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One delivery: the event, its headers (lower-case names), and what was answered."""

    event: dict[str, Any]
    headers: dict[str, str]
    body: bytes
    status: int


class Receiver:
    """`url` is what a caller would put into `notify.url`."""

    def __init__(self) -> None:
        self.url = ""
        self.deliveries: list[Received] = []
        # What to answer instead of 204: for the next deliveries, or for the next ones with a certain reference.
        self.next_statuses: deque[int] = deque()
        self.statuses_for: dict[str, deque[int]] = {}
        self._arrived = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def start(cls, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
        """Listens on loopback until the block is left; 0 picks a free port. With `tls` it speaks https."""
        receiver = cls()
        application = web.Application()
        application.router.add_post("/events", receiver._receive)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
            await site.start()
            host, actual_port = runner.addresses[0][:2]
            receiver.url = f"{'https' if tls else 'http'}://{host}:{actual_port}/events"
            yield receiver
        finally:
            await runner.cleanup()

    def states(self, signing_id: str) -> list[str]:
        """The states told of one signing, in the order of their first accepted delivery."""
        found: dict[str, str] = {}
        for delivery in self.deliveries:
            if delivery.event.get("subject") == signing_id and delivery.status < 300:
                found.setdefault(delivery.event["id"], delivery.event["data"]["state"])
        return list(found.values())

    async def wait_for(self, condition: Callable[[], bool], timeout_seconds: float = 90.0) -> None:
        """Returns once `condition` holds; looks again at every delivery. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds), self._arrived:
            await self._arrived.wait_for(condition)

    async def _receive(self, request: web.Request) -> web.Response:
        body, event = await request.read(), await request.json()
        planned = self.statuses_for.get(str(event["data"].get("reference"))) or self.next_statuses
        status = planned.popleft() if planned else 204
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.deliveries.append(Received(event, headers, body, status))
        async with self._arrived:
            self._arrived.notify_all()
        return web.Response(status=status)
