"""The neutral port, spoken to Signicat (spec signicat 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Self

from shared.domain.errors import NotReady, Permanent, ProviderError, ProviderNotFound
from shared.domain.notices import StatusNotice
from shared.domain.signing import Participant, Role, Signing
from shared.ports import (
    Deliverable,
    Download,
    OperationAnswer,
    ProviderStatus,
    SigningLink,
    Started,
    StartLog,
    StartOrder,
    StartProof,
)
from shared.providers.checks import SupportedBy, nobody
from shared.providers.circuit import Circuit
from shared.providers.http import Auth, CallBudget, HttpPool, ProviderClient
from shared.providers.oauth import BearerAuth, ClientCredentials, TokenEndpoint
from shared.providers.operation import BYTES, Operation
from shared.providers.peek import head_of, rejoined
from shared.providers.raw import operate
from shared.providers.redirects import Redirects
from shared.providers.signicat import NAME, Config, capabilities_of, limits, operations
from shared.providers.signicat.callback import CallbackReader, events
from shared.providers.signicat.manage import Manager, id_of, refuse
from shared.providers.signicat.start import Starter, read_order
from shared.verification.raw import RawCallback, VerifiedCallback

# Evidence is kept byte for byte, not as far as we understand it.
_EVENTS_AS_THEY_COME = replace(operations.GET_TASK_EVENTS, answers={200: BYTES})

# Of a result: each signer's copy may grow threefold (spec 4, project defaults).
_GROWTH = 3
_ALLOWANCE_BYTES = 5 * 1024 * 1024
_HEAD_BYTES = 16
_NO_EVIDENCE = (b"<!doctype html", b"<html", b"{")


class SignicatProvider:
    """One account. `build()` in the package makes it."""

    name = NAME

    def __init__(
        self,
        account: str,
        config: Config,
        *,
        http: HttpPool,
        auth: Auth,
        client: ProviderClient,
        supported_by: SupportedBy,
    ) -> None:
        self.account, self.capabilities = account, capabilities_of(config)
        self._config, self._http, self._auth, self._client = config, http, auth, client
        self._supported_by = supported_by
        self._starter, self._manager = Starter(config, client), Manager(client)
        self._callbacks = CallbackReader()

    @classmethod
    def configured(
        cls,
        account: str,
        config: Config,
        now: Callable[[], datetime],
        supported_by: SupportedBy | None = None,
        *,
        circuit: Circuit | None = None,
    ) -> Self:
        http = HttpPool()
        auth = _auth_of(account, config, http, now)
        client = ProviderClient(
            config.api_url,
            auth,
            http,
            provider=NAME,
            account=account,
            budget=CallBudget(config.calls_per_minute),
            now=now,
            circuit=circuit,
            redirects=Redirects(config.api_url, config.trusted_hosts),
        )
        return cls(account, config, http=http, auth=auth, client=client, supported_by=supported_by or nobody)

    # ------------------------------------------------------------------------------------------------- start

    def check(self, signing: Signing) -> None:
        limits.check(signing, self._config, self._supported_by)

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        return await self._starter.start(order, log)

    async def prove_start(self, order: StartOrder, log: StartLog) -> StartProof:
        return await self._starter.prove(order, log)

    # --------------------------------------------------------------------------------------- status and files

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        """With `signing` the answer also tells who has acted, and an order made for another signing is not found."""
        return await self._manager.status(provider_signing_id, signing)

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        return await self._manager.deliverables(signing)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        """Only the order's own operations are called; addresses in answers or callbacks are not."""
        operation, arguments = _where(signing, deliverable)
        opening = self._client.stream(operation, arguments, not_ready_on=(202, 409))
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(opening)
            except ProviderNotFound:
                await read_order(self._client, id_of(signing))  # raises the same when the order itself is gone
                raise NotReady("The provider has not made this file yet.", provider_status_code=404) from None
            head = await head_of(reply.chunks, _HEAD_BYTES)
            if not _is_file(head, deliverable):
                raise NotReady("What the provider sent is not the file that was asked for yet.")
            chunks = _at_most(_limit(signing), rejoined(head, reply.chunks))
            yield Download(chunks, deliverable.media_type, reply.length)

    # ------------------------------------------------------------------------------------------------- actions

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        await self._manager.cancel(signing)

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        raise refuse("remind")

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        raise refuse("add_participant")

    async def remove_participant(self, signing: Signing, number: int) -> None:
        raise refuse("remove_participant")

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        raise refuse("extend")

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        return await self._manager.links(signing)

    async def delete(self, signing: Signing) -> None:
        await self._manager.delete(signing)

    def operate(
        self, operation_id: str, arguments: Mapping[str, object]
    ) -> AbstractAsyncContextManager[OperationAnswer]:
        return operate(operations.OPERATIONS, lambda _: self._client, operation_id, arguments)

    # ---------------------------------------------------------------------------------------------- callbacks

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        return await self._callbacks.verify(raw)

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return events(callback)

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return self._callbacks.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        self._callbacks.remember(callback)

    @property
    def account_webhook_wanted(self) -> bool:
        return False

    async def subscribe(self, url: str) -> str:
        raise refuse("subscribe")

    # ------------------------------------------------------------------------------------------------ the rest

    async def is_reachable(self) -> bool:
        try:
            await self._auth.credentials()
        except ProviderError:
            return False
        return True

    async def aclose(self) -> None:
        await self._http.aclose()


def _auth_of(account: str, config: Config, http: HttpPool, now: Callable[[], datetime]) -> BearerAuth:
    endpoint = TokenEndpoint(
        config.token_url,
        config.client_id,
        config.client_secret.get_secret_value(),
        http,
        account=account,
        now=now,
        client_auth=config.client_auth,
    )
    return BearerAuth(ClientCredentials(endpoint, tuple(config.scope.split())), now)


def _where(signing: Signing, deliverable: Deliverable) -> tuple[Operation, dict[str, object]]:
    facts, ids = deliverable.facts, {"orderId": id_of(signing)}
    if "package" in facts:
        return operations.GET_PACKAGING_RESULT, {**ids, "packagingTaskId": facts["package"]}
    if "result" in facts:
        return operations.GET_TASK_RESULT, {**ids, "taskId": facts["task"], "documentId": facts["result"]}
    return _EVENTS_AS_THEY_COME, {**ids, "taskId": facts["task"]}


def _limit(signing: Signing) -> int:
    signers = sum(one.role is Role.SIGNER for one in signing.participants)
    return _GROWTH * max(signers, 1) * sum(one.size for one in signing.documents) + _ALLOWANCE_BYTES


def _is_file(head: bytes, deliverable: Deliverable) -> bool:
    """Maintenance pages and problems may come with status 200 too, and evidence is not looked into later."""
    start = head.lstrip()
    if deliverable.kind == "document":
        return start.startswith(b"%PDF")
    if deliverable.media_type == "application/json":
        return start.startswith(b"[")
    return bool(start) and not start.lower().startswith(_NO_EVIDENCE)


async def _at_most(limit: int, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise Permanent(f"The file is larger than the {limit} bytes expected at most.", code="result_too_large")
        yield chunk
