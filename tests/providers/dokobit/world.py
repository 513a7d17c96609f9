"""Dokobit for the provider contract: the provider as built, its simulator, and a callback address that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from local.sandbox.dokobit import DokobitSandbox, Options
from local.sandbox.faults import FaultKind
from shared.domain.signing import ResultFormat
from shared.ports import StartOrder
from shared.providers.dokobit import operations
from shared.providers.dokobit.provider import DokobitProvider
from shared.verification.raw import RawCallback
from tests.providers.dokobit.samples import document, order, placed, provider_at, signing
from tests.providers.stand_ins import ScriptedServer


class DokobitWorld:
    """Implements `ProviderWorld`. Tokens are the provider signing ids."""

    # A sender cancels by deleting, after which the signing is as unknown as one that never was: no end of this list.
    ends = frozenset({"declined", "expired", "failed"})
    inviting_operation = operations.CREATE_EXTERNAL.id

    def __init__(self, provider: DokobitProvider, sandbox: DokobitSandbox, receiver: ScriptedServer) -> None:
        self.provider, self.sandbox, self.receiver = provider, sandbox, receiver
        self._arrived: list[RawCallback] = []

    def order(self, **changes: Any) -> StartOrder:
        """Several documents need a container; there nothing is placed on a page."""
        count = changes.pop("documents", 1)
        if count > 1:
            changes = {"format": ResultFormat.ASIC_E} | changes
        people = changes.pop("participants", None)
        if people is None:
            people = (placed().model_copy(update={"placements": ()} if count > 1 else {}),)
        documents = tuple(document(number) for number in range(1, count + 1))
        wish = signing(*people, documents=documents, **({"id": str(uuid4())} | changes))
        return order(wish, f"{self.receiver.base_url}/api/callbacks/dokobit/main/{wish.id}/mac")

    async def complete(self, provider_signing_id: str) -> None:
        await self.sandbox.complete(provider_signing_id)

    async def sign_next(self, provider_signing_id: str) -> None:
        await self.sandbox.sign(provider_signing_id)

    async def decline(self, provider_signing_id: str, reason: str) -> None:
        await self.sandbox.decline(provider_signing_id)

    async def expire(self, provider_signing_id: str) -> None:
        found = self.sandbox.state.signings[provider_signing_id]
        found.hard_deadline = True
        self.sandbox.expire(provider_signing_id)

    async def withdraw(self, provider_signing_id: str) -> None:
        """Left as it is: see `ends`."""

    async def fail(self, provider_signing_id: str) -> None:
        self.sandbox.fail(provider_signing_id)

    def invitations(self, provider_signing_id: str) -> int:
        return self.sandbox.invitations_sent(provider_signing_id)

    async def callbacks(self, provider_signing_id: str) -> Sequence[RawCallback]:
        await self.sandbox.settle()
        now = datetime.now(UTC)
        for seen in self.receiver.seen[len(self._arrived) :]:
            headers = {name.lower(): value for name, value in seen.headers.items()}
            self._arrived.append(RawCallback(seen.method, headers, seen.body, now))
        return [one for one in self._arrived if provider_signing_id.encode() in one.body]

    def forged(self, callback: RawCallback) -> RawCallback | None:
        return None

    def throttle(self, operation_id: str, *, times: int = 1, retry_after: int = 1) -> None:
        self.sandbox.fault(FaultKind.STATUS, operation_id, times=times, status=429, retry_after=retry_after)

    def break_down(self, operation_id: str, *, times: int = 1, status: int = 500) -> None:
        self.sandbox.fault(FaultKind.STATUS, operation_id, times=times, status=status)

    def lose_answer(self, operation_id: str) -> None:
        self.sandbox.fault(FaultKind.LOST_ANSWER, operation_id)

    def hold_answer(self, operation_id: str) -> None:
        self.sandbox.fault(FaultKind.SLOW_ANSWER, operation_id, seconds=3600)

    def late_status(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_STATUS, times=times)

    def newest(self) -> str | None:
        return next(reversed(self.sandbox.state.signings), None)

    def exhaust_credits(self) -> bool:
        return False

    def late_seal(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_SEAL, operations.DOWNLOAD_EXTERNAL.id, times=times)

    @property
    def calls_made(self) -> Sequence[str]:
        return [one.operation for one in self.sandbox.calls if one.operation and not one.operation.startswith("_")]


@asynccontextmanager
async def running_world(**settings: Any) -> AsyncIterator[DokobitWorld]:
    """`settings` are fields of the account's configuration; its signings are external unless these say otherwise."""
    async with (
        DokobitSandbox.start(options=Options(visible_signatures=False)) as sandbox,
        ScriptedServer.start() as receiver,
        provider_at(sandbox, **({"flow": "external"} | settings)) as provider,
    ):
        yield DokobitWorld(provider, sandbox, receiver)
