"""The app in this process, on real Azurite and a simulator, with its queues worked off by hand: what counts calls and
measures stages without the host around them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import Azurite
from local.players import PLAYERS, Player
from local.receiver import Receiver
from local.stack import app_settings
from shared import settings as settings_module
from shared.api import signings
from shared.bootstrap import Deployment, build, utc_now
from shared.domain.messages import DownloadDocuments, NotifyCaller, ProviderEvent, Queue, RunStart
from shared.flow import apply, download, notify, receive, start
from shared.verification.raw import RawCallback


@dataclass
class InProcess:
    deployment: Deployment
    player: Player
    sandbox: Any
    receiver: Receiver
    azurite: Azurite
    settings: Mapping[str, str]
    # What came to the callback address: account, token and the callback itself.
    arrived: list[tuple[str, str, RawCallback]] = field(default_factory=list)

    async def drain(self) -> int:
        """Works off every message that is visible now; the host's own receiving is not counted as the app's."""
        worked = 0
        async with QueueServiceClient.from_connection_string(self.azurite.connection_string) as service:
            for queue in Queue:
                client = service.get_queue_client(queue.value)
                async for message in client.receive_messages(max_messages=32, visibility_timeout=600):
                    await self._run(queue, message.content)
                    await client.delete_message(message)
                    worked += 1
        return worked

    async def _run(self, queue: Queue, text: str) -> None:
        app = self.deployment.app
        if queue is Queue.STARTS:
            await start.run(app, RunStart.model_validate_json(text))
        elif queue is Queue.EVENTS:
            await apply.run(app, ProviderEvent.model_validate_json(text), redelivered=False)
        elif queue is Queue.DOWNLOADS:
            await download.run(app, DownloadDocuments.model_validate_json(text))
        elif queue is Queue.NOTIFICATIONS:
            await notify.run(app, NotifyCaller.model_validate_json(text))
        else:
            raise AssertionError("nobody orders by queue here")

    async def settle(self) -> None:
        """Until neither a callback nor a message is on its way."""
        await self.sandbox.settle()
        while await self.drain():
            await self.sandbox.settle()

    async def callback(self, request: web.Request) -> web.Response:
        path = request.match_info
        headers = {name.lower(): value for name, value in request.headers.items()}
        raw = RawCallback(request.method, headers, await request.read(), utc_now(), dict(request.query))
        self.arrived.append((path["account"], path["token"], raw))
        status = await receive.run(self.deployment.app, path["provider"], path["account"], path["token"], raw)
        return web.Response(status=status)

    async def start(self, content: bytes, account: str | None = None, **headers: str) -> dict[str, Any]:
        """A started signing, as the API answers it."""
        body = self.order(content, account or self.player.account)
        answer = await signings.start(self.deployment.app, body, headers)
        if answer.status != 201:
            raise RuntimeError(str(answer.body))
        return dict(answer.body)

    def order(self, content: bytes, account: str) -> bytes:
        """The HTTP body that starts a signing of `content`."""
        person = {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org"}
        return json.dumps(
            {
                "account": account,
                "title": "Lease 2026-17",
                # The same reference with the same document would be the same order.
                "reference": f"lease-{secrets.token_hex(6)}",
                "documents": [{"name": "lease.pdf", "content": base64.b64encode(content).decode()}],
                "participants": [person | dict(self.player.participant)],
                "notify": {"url": self.receiver.url},
            }
        ).encode()


@asynccontextmanager
async def running_in_process(azurite: Azurite, provider: str = "pkisigning") -> AsyncIterator[InProcess]:
    """The app with one provider's accounts, callbacks included."""
    player = PLAYERS[provider]
    async with player.start(0) as sandbox, Receiver.start() as receiver:
        holder: list[InProcess] = []

        async def forward(request: web.Request) -> web.Response:
            return await holder[0].callback(request)

        application = web.Application(client_max_size=1 << 20)
        application.router.add_route("*", "/api/callbacks/{provider}/{account}/{token:.+}", forward)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        if "rate_limit" in type(sandbox.options).model_fields:
            sandbox.options.rate_limit = 1_000_000
        settings = app_settings(azurite, {provider: sandbox}, runner.addresses[0][1])
        settings |= {f"Accounts__{account}__CallsPerMinute": "1000000" for account in player.accounts(sandbox)}
        deployment = build(settings_module.read(settings))
        await deployment.clients.ensure_layout()
        holder.append(InProcess(deployment, player, sandbox, receiver, azurite, settings))
        try:
            yield holder[0]
        finally:
            await deployment.aclose()
            await runner.cleanup()
