"""PKIsigning as the provider contract suite sees it: V1, whose callbacks come to an address per signing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning import Options, PkisigningSandbox
from shared.ports import StartOrder
from shared.providers.pkisigning.provider import PkisigningProvider
from shared.verification.raw import RawCallback
from tests.providers.pkisigning.samples import document, provider_at, read_document, signer, signing
from tests.providers.stand_ins import ScriptedServer


class PkisigningWorld:
    """Implements `tests.contracts.provider_world.ProviderWorld`, for either API."""

    ends = frozenset({"declined", "expired", "cancelled", "failed"})

    def __init__(
        self, sandbox: PkisigningSandbox, provider: PkisigningProvider, receiver: ScriptedServer, api: str
    ) -> None:
        self.sandbox, self.provider, self._receiver = sandbox, provider, receiver
        self.inviting_operation = "Share_StartSignFlow" if api == "v1" else "Requests_Send"

    @property
    def calls_made(self) -> Sequence[str]:
        return [one.operation for one in self.sandbox.calls if not one.operation.startswith(("_", "Connect_"))]

    def order(self, **changes: Any) -> StartOrder:
        count = changes.pop("documents", 1)
        people = tuple(changes.pop("participants", ())) or tuple(
            signer(number, document=number) for number in range(1, count + 1)
        )
        documents = tuple(document(number) for number in range(1, count + 1))
        wish = signing(*people, documents=documents, **({"id": str(uuid.uuid4())} | changes))
        return StartOrder(wish, f"{self._receiver.base_url}/api/callbacks/pkisigning/main/{wish.id}/mac", read_document)

    async def complete(self, provider_signing_id: str) -> None:
        await self.sandbox.complete(provider_signing_id)

    async def sign_next(self, provider_signing_id: str) -> None:
        await self.sandbox.sign(provider_signing_id)

    async def decline(self, provider_signing_id: str, reason: str) -> None:
        await self.sandbox.decline(provider_signing_id, reason=reason)

    async def expire(self, provider_signing_id: str) -> None:
        self.sandbox.expire(provider_signing_id)

    async def withdraw(self, provider_signing_id: str) -> None:
        self.sandbox.withdraw(provider_signing_id)

    async def fail(self, provider_signing_id: str) -> None:
        self.sandbox.fail(provider_signing_id)

    def invitations(self, provider_signing_id: str) -> int:
        return self.sandbox.invitations_sent(provider_signing_id)

    async def callbacks(self, provider_signing_id: str) -> Sequence[RawCallback]:
        await self.sandbox.settle()
        return [
            RawCallback("POST", {name.lower(): value for name, value in one.headers.items()}, one.body, one.created)
            for one in self.sandbox.callbacks_sent
            if one.request_id == provider_signing_id
        ]

    def forged(self, callback: RawCallback) -> RawCallback | None:
        body = callback.body.replace(b"Completed", b"Withdrawn").replace(b"Pending", b"Forging")
        return RawCallback(callback.method, callback.headers, body, callback.received_at)

    def throttle(self, operation_id: str, *, times: int = 1, retry_after: int = 1) -> None:
        self.sandbox.fault(FaultKind.STATUS, operation_id, status=429, times=times, retry_after=retry_after)

    def break_down(self, operation_id: str, *, times: int = 1, status: int = 500) -> None:
        self.sandbox.fault(FaultKind.STATUS, operation_id, status=status, times=times)

    def lose_answer(self, operation_id: str) -> None:
        self.sandbox.fault(FaultKind.LOST_ANSWER, operation_id)

    def hold_answer(self, operation_id: str) -> None:
        self.sandbox.fault(FaultKind.SLOW_ANSWER, operation_id, seconds=3600)

    def late_status(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_STATUS, times=times)

    def newest(self) -> str | None:
        return next(reversed(self.sandbox.state.requests), None)

    def exhaust_credits(self) -> bool:
        self.sandbox.set_credits(0)
        return True

    def late_seal(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_SEAL, "Requests_Download", times=times)


@asynccontextmanager
async def running_world(api: str) -> AsyncIterator[PkisigningWorld]:
    options = Options(rate_limit=10_000, visible_signatures=False)
    async with (
        PkisigningSandbox.start(options=options) as sandbox,
        ScriptedServer.start() as receiver,
        provider_at(sandbox, api=api) as provider,
    ):
        if api == "v2":
            await provider.subscribe(f"{receiver.base_url}/api/callbacks/pkisigning/main/account/mac")
        yield PkisigningWorld(sandbox, provider, receiver, api)
