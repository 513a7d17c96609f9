"""Connective as the provider contract suite sees it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from local.sandbox.connective import ConnectiveSandbox, Options
from local.sandbox.faults import FaultKind
from shared.ports import StartOrder
from shared.providers.connective.provider import ConnectiveProvider
from shared.verification.raw import RawCallback
from tests.providers.connective.samples import document, order, provider_at, signing
from tests.providers.stand_ins import ScriptedServer, Seen


class ConnectiveWorld:
    """Implements `tests.contracts.provider_world.ProviderWorld`."""

    ends = frozenset({"declined", "expired", "cancelled", "failed"})

    def __init__(
        self,
        sandbox: ConnectiveSandbox,
        provider: ConnectiveProvider,
        receiver: ScriptedServer,
        inviting_operation: str,
    ) -> None:
        self.inviting_operation = inviting_operation
        self.sandbox, self.provider, self._receiver = sandbox, provider, receiver
        self._began = datetime.now(UTC)

    def order(self, **changes: Any) -> StartOrder:
        """Each with a signing id, hence with a callback address, of its own."""
        signing_id, people = str(uuid.uuid4()), tuple(changes.pop("participants", ()))
        documents = tuple(document(one + 1) for one in range(changes.pop("documents", 1)))
        wish = signing(*people, documents=documents, **({"id": signing_id} | changes))
        return order(wish, f"{self._receiver.base_url}/api/callbacks/connective/main/{wish.id}/mac")

    async def complete(self, provider_signing_id: str) -> None:
        await self.sandbox.complete(provider_signing_id)

    async def sign_next(self, provider_signing_id: str) -> None:
        await self.sandbox.sign(provider_signing_id)

    async def decline(self, provider_signing_id: str, reason: str) -> None:
        await self.sandbox.decline(provider_signing_id, reason)

    async def expire(self, provider_signing_id: str) -> None:
        self.sandbox.expire(provider_signing_id)

    async def withdraw(self, provider_signing_id: str) -> None:
        self.sandbox.withdraw(provider_signing_id)

    async def fail(self, provider_signing_id: str) -> None:
        self.sandbox.fail(provider_signing_id)

    def invitations(self, provider_signing_id: str) -> int:
        return self.sandbox.invitations_sent(provider_signing_id)

    async def callbacks(self, provider_signing_id: str) -> Sequence[RawCallback]:
        """Waits until those that were announced have arrived."""
        await self.sandbox.settle()
        about = (one for one in self.sandbox.callbacks_sent if one.package_id == provider_signing_id)
        paths = {urlsplit(one.url).path for one in about}
        arrived = [one for one in self._receiver.seen if urlsplit(one.raw_path).path in paths]
        return [_raw(one, self._began + timedelta(seconds=at)) for at, one in enumerate(arrived)]

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
        return next(reversed(self.sandbox.state.packages), None)

    def exhaust_credits(self) -> bool:
        return False

    def late_seal(self, *, times: int = 1) -> None:
        self.sandbox.fault(FaultKind.LATE_SEAL, "DownloadDocumentFromPackage", times=times)

    @property
    def calls_made(self) -> Sequence[str]:
        return [one.operation for one in self.sandbox.calls if not one.operation.startswith("_")]


def _raw(seen: Seen, at: datetime) -> RawCallback:
    headers = {name.lower(): value for name, value in seen.headers.items()}
    query = dict(parse_qsl(urlsplit(seen.raw_path).query))
    return RawCallback(seen.method, headers, seen.body, at, query)


@asynccontextmanager
async def running_world(options: Options | None = None, **account: Any) -> AsyncIterator[ConnectiveWorld]:
    """`account` changes the configuration."""
    chosen = options or Options(rate_limit=10_000, visible_signatures=False)
    async with (
        ConnectiveSandbox.start(options=chosen) as sandbox,
        ScriptedServer.start() as receiver,
        provider_at(sandbox, **account) as provider,
    ):
        inviting = "CreateInstantPackage" if account.get("instant") else "SetPackageStatus"
        yield ConnectiveWorld(sandbox, provider, receiver, inviting)
