"""A throw-away PKI with a real responder on loopback, a verifier that trusts it, and a clock to turn."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from local.sandbox.pki import CallbackSigner, SandboxPki
from local.sandbox.responder import Responder
from shared.domain.errors import VerificationFailed
from shared.providers.pkisigning.callback import CallbackVerifier, VerificationPolicy
from shared.verification.raw import RawCallback, VerifiedCallback

SIGNING_ID = "6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e11"
BODY = b'{"pkisId":"6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e11","dossierStatus":"Completed","authenticationKey":"k"}'
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


class World:
    """`deliver` signs and verifies at `now`; `advance` turns the clock of both the PKI and the receiver."""

    def __init__(self, pki: SandboxPki, responder: Responder, http: httpx.AsyncClient) -> None:
        self.pki = pki
        self.responder = responder
        self.http = http
        self.now = NOW

    def policy(self, **changes: Any) -> VerificationPolicy:
        return VerificationPolicy(**{"trust_anchors": self.pki.trust_bundle_pem(), **changes})

    def verifier(self, **changes: Any) -> CallbackVerifier:
        return CallbackVerifier(self.policy(**changes), self.http)

    @property
    def signer(self) -> CallbackSigner:
        return self.pki.signer()

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)
        self.pki.clock = lambda: self.now

    def raw(self, body: bytes, headers: Mapping[str, str]) -> RawCallback:
        return RawCallback("POST", dict(headers), body, self.now)

    def signed(self, signer: CallbackSigner | None = None, body: bytes = BODY, **knobs: Any) -> RawCallback:
        return self.raw(body, (signer or self.signer).headers(body, **{"now": self.now, **knobs}))

    async def deliver(
        self,
        signer: CallbackSigner | None = None,
        body: bytes = BODY,
        *,
        verifier: CallbackVerifier | None = None,
        **knobs: Any,
    ) -> VerifiedCallback:
        return await (verifier or self.verifier()).verify(self.signed(signer, body, **knobs))


@asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    listener = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    responder = Responder(SandboxPki.create(base_url, NOW))
    app = web.Application()
    app.add_routes(responder.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            yield World(responder.pki, responder, http)
    finally:
        await runner.cleanup()


async def refused(verification: Any) -> VerificationFailed:
    """The refusal that awaiting `verification` must end in."""
    with pytest.raises(VerificationFailed) as caught:
        await verification
    return caught.value
