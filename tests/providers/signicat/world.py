"""What the contract suite of all providers needs to know of Signicat (tests/contracts/provider_world.py)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from local.sandbox.faults import FaultKind
from local.sandbox.signicat import Options, SignicatSandbox
from shared.ports import StartOrder
from shared.providers.signicat.provider import SignicatProvider
from shared.verification.raw import RawCallback
from tests.providers.signicat.samples import document, order, provider_at, signing
from tests.providers.stand_ins import ScriptedServer, Seen


class World:
    """A provider, its simulator, and a receiver of callbacks that keeps them as they come."""

    ends = frozenset({"declined", "expired", "cancelled", "failed"})
    inviting_operation = "createSigningOrder"

    def __init__(self, sandbox: SignicatSandbox, provider: SignicatProvider, receiver: ScriptedServer) -> None:
        self.sandbox, self.provider, self.receiver = sandbox, provider, receiver

    def order(self, **changes: Any) -> StartOrder:
        """Each with a signing id, hence with a callback address, of its own."""
        signing_id, people = str(uuid.uuid4()), tuple(changes.pop("participants", ()))
        documents = tuple(document(number) for number in range(1, changes.pop("documents", 1) + 1))
        of = signing(*people, documents=documents, **({"id": signing_id} | changes))
        return order(of, f"{self.receiver.base_url}/api/callbacks/signicat/main/{signing_id}/mac")

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
        reference = self.sandbox.order(provider_signing_id).body.clientReference or ""
        return [as_raw(one) for one in self.receiver.seen if reference in one.raw_path]

    def forged(self, callback: RawCallback) -> RawCallback | None:
        return None

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
        return next(reversed(self.sandbox.state.orders), None)

    def exhaust_credits(self) -> bool:
        return False

    def late_seal(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_SEAL, "getPackagingTaskResult", times=times)

    @property
    def calls_made(self) -> Sequence[str]:
        return [one.operation for one in self.sandbox.calls if not one.operation.startswith("_")]


def as_raw(seen: Seen) -> RawCallback:
    """A callback as it comes in through the app's own trigger."""
    headers = {name.lower(): value for name, value in seen.headers.items()}
    return RawCallback(
        seen.method, headers, seen.body, datetime.now(UTC), dict(parse_qsl(urlsplit(seen.raw_path).query))
    )


@asynccontextmanager
async def running_world(**changes: Any) -> AsyncIterator[World]:
    """`changes` are settings of the account. Packaging takes no time."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(ScriptedServer.start())
        sandbox = await stack.enter_async_context(SignicatSandbox.start(options=Options(packaging_seconds=0)))
        provider = await stack.enter_async_context(provider_at(sandbox, **changes))
        yield World(sandbox, provider, receiver)
