"""The in-memory provider behind real HTTP: each of its steps is a call of the real client that can be spoilt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from shared.domain.signing import Signing
from shared.ports import Deliverable, Download, ProviderStatus, Started, StartLog, StartOrder, StartProof
from shared.providers.circuit import Circuit, CircuitLimits
from shared.providers.http import CallBudget, HttpPool, ProviderClient
from shared.providers.oauth import BearerAuth, ClientCredentials, TokenEndpoint
from shared.providers.operation import BYTES, Operation
from tests.domain.make import NOW
from tests.fakes.provider import MemoryProvider
from tests.flow.archives import GOOD
from tests.flow.world import World
from tests.providers.stand_ins import ScriptedServer

CREATE = Operation("Create", "POST", "/create", "Create", answers={204: None})
INVITE = Operation("Invite", "POST", "/invite", "Invite", answers={204: None})
STATUS = Operation("Status", "GET", "/status", "Read", answers={204: None})
SUBSCRIBE = Operation("Subscribe", "POST", "/subscribe", "Subscribe", answers={204: None})
FILE = Operation("File", "GET", "/file", "Fetch", answers={200: BYTES})

Answer = Callable[[], Awaitable[web.StreamResponse]]


class CalledProvider(MemoryProvider):
    """`spoilt` answers in place of the provider: by path, or under `*` for all of them, the token endpoint included."""

    server: ScriptedServer
    http: HttpPool
    auth: BearerAuth
    client: ProviderClient
    circuit: Circuit
    budget: CallBudget
    spoilt: dict[str, Answer]
    shorten_patience: Callable[[], None]

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        known = log.facts.get("provider_signing_id")
        if known is None:
            await self.client.call(CREATE)
            known = f"p-{len(self.created) + 1}"
            self.created.append(known)
            await log.checkpoint(provider_signing_id=known)
        await log.inviting()
        await self.client.call(INVITE)
        self.invited.append(known)
        return Started(known, "Pending")

    async def prove_start(self, order: StartOrder, log: StartLog) -> StartProof:
        await self.client.call(STATUS)
        known = log.facts.get("provider_signing_id")
        is_invited = known in self.invited
        return StartProof(is_invited, Started(str(known), "Pending") if is_invited else None)

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        await self.client.call(STATUS)
        return await super().status(provider_signing_id, access_key, signing=signing)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        async with self.client.stream(FILE, not_ready_on=(409,)) as reply:
            yield Download(reply.chunks, reply.media_type, reply.length)

    async def subscribe(self, url: str) -> str:
        await self.client.call(SUBSCRIBE)
        return await super().subscribe(url)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        spoilt = self.spoilt.get(request.path, self.spoilt.get("*"))
        if spoilt is not None:
            return await spoilt()
        if request.path == "/token":
            return web.json_response({"access_token": "token", "expires_in": 3600})
        if request.path == "/file":
            return web.Response(body=GOOD, content_type="application/zip")
        return web.Response(status=204)


@asynccontextmanager
async def called_world() -> AsyncIterator[tuple[World, CalledProvider]]:
    provider = CalledProvider()
    world = World(provider=provider)
    policy = world.app.policy
    limits = CircuitLimits(
        policy.circuit_failures,
        policy.circuit_first_seconds,
        policy.circuit_longest_seconds,
        policy.throttle_max_seconds,
    )

    def monotonic() -> float:
        return (world.clock - NOW).total_seconds()

    provider.spoilt = {}
    provider.circuit = Circuit(lambda: world.clock, limits)
    provider.budget = CallBudget(1000, 60, monotonic)
    provider.http = HttpPool()
    async with ScriptedServer.start() as server:
        provider.server = server
        server.handler = provider._answer
        endpoint = TokenEndpoint(
            f"{server.base_url}/token", "id", "secret", provider.http, account="memory", now=lambda: world.clock
        )
        provider.auth = BearerAuth(ClientCredentials(endpoint, ("sign",)), lambda: world.clock)
        provider.client = ProviderClient(
            server.base_url,
            provider.auth,
            provider.http,
            provider="memory",
            account="memory",
            budget=provider.budget,
            now=lambda: world.clock,
            circuit=provider.circuit,
        )
        try:
            yield world, provider
        finally:
            await provider.http.aclose()


async def hanging() -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()
