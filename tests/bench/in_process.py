"""The app in this process, on real Azurite and the simulator, with its queues worked off by hand: what counts calls and
measures stages without the host around them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from azure.storage.queue.aio import QueueServiceClient

from local.azurite import Azurite
from local.receiver import Receiver
from local.sandbox.pkisigning import PkisigningSandbox
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
    sandbox: PkisigningSandbox
    receiver: Receiver
    azurite: Azurite

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
        else:
            await notify.run(app, NotifyCaller.model_validate_json(text))

    async def callback(self, request: web.Request) -> web.Response:
        path = request.match_info
        headers = {name.lower(): value for name, value in request.headers.items()}
        raw = RawCallback(request.method, headers, await request.read(), utc_now())
        status = await receive.run(self.deployment.app, path["provider"], path["account"], path["token"], raw)
        return web.Response(status=status)

    async def start(self, body: bytes, headers: Mapping[str, str]) -> dict[str, object]:
        answer = await signings.start(self.deployment.app, body, headers)
        if answer.status != 201:
            raise RuntimeError(str(answer.body))
        return dict(answer.body)


@asynccontextmanager
async def running_in_process(azurite: Azurite, overrides: Mapping[str, str] | None = None) -> AsyncIterator[InProcess]:
    async with PkisigningSandbox.start() as sandbox, Receiver.start() as receiver:
        application = web.Application(client_max_size=1 << 20)
        runner = web.AppRunner(application, access_log=None)
        holder: list[InProcess] = []

        async def forward(request: web.Request) -> web.Response:
            return await holder[0].callback(request)

        application.router.add_post("/api/callbacks/{provider}/{account}/{token:.+}", forward)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        sandbox.options.rate_limit = 1_000_000
        deployment = build(settings_module.read(app_settings(azurite, sandbox, port) | dict(overrides or {})))
        await deployment.clients.ensure_layout()
        holder.append(InProcess(deployment, sandbox, receiver, azurite))
        try:
            yield holder[0]
        finally:
            await deployment.aclose()
            await runner.cleanup()


def order_body(content: bytes, account: str, notify_url: str) -> bytes:
    return json.dumps(
        {
            "account": account,
            "title": "Lease 2026-17",
            "reference": "lease-2026-17",
            "documents": [{"name": "lease.pdf", "content": base64.b64encode(content).decode()}],
            "participants": [
                {
                    "givenName": "Ada",
                    "familyName": "Jansen",
                    "email": "ada@example.org",
                    "phone": "+31600000001",
                    "placements": [{"text": "_signer1_"}],
                }
            ],
            "notify": {"url": notify_url},
        }
    ).encode()
