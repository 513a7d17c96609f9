"""The neutral port, spoken to Connective eSignatures (spec connective 7)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Self

from shared import telemetry
from shared.domain.errors import NotReady, ProviderError, ProviderNotFound, Unauthorised
from shared.domain.notices import StatusNotice
from shared.domain.signing import Participant, Signing
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
from shared.providers.connective import NAME, Config, capabilities_of, limits, mapping, operations
from shared.providers.connective.callback import CallbackReceiver, events
from shared.providers.connective.manage import Manager, id_of, refuse
from shared.providers.connective.start import Starter, read_package
from shared.providers.http import ByteReply, CallBudget, Credentials, HttpPool, ProviderClient
from shared.providers.peek import head_of, rejoined
from shared.providers.raw import operate
from shared.verification.raw import RawCallback, VerifiedCallback

_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 64
_PDF = "application/pdf"


class BasicAuth:
    """User name and password on every call (spec 1)."""

    def __init__(self, username: str, password: str) -> None:
        pair = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        self._credentials = Credentials({"Authorization": f"Basic {pair}"})

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        """Raises Unauthorised after a refusal: there are no others to try."""
        if refused is not None:
            raise Unauthorised("Connective refused the account's user name or password.", provider_status_code=401)
        return self._credentials


class ConnectiveProvider:
    """One account. `build()` in the package makes it."""

    name = NAME

    def __init__(
        self, account: str, config: Config, *, http: HttpPool, client: ProviderClient, supported_by: SupportedBy
    ) -> None:
        self.account, self.capabilities = account, capabilities_of(config)
        self._config, self._http, self._client, self._supported_by = config, http, client, supported_by
        self._starter, self._manager = Starter(config, client), Manager(client)
        self._callbacks = CallbackReceiver()

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
        client = ProviderClient(
            config.base_url,
            BasicAuth(config.username, config.password.get_secret_value()),
            http,
            provider=NAME,
            account=account,
            budget=CallBudget(config.calls_per_minute),
            now=now,
            circuit=circuit,
            judge=mapping.judge(now),
        )
        return cls(account, config, http=http, client=client, supported_by=supported_by or nobody)

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
        """With `signing` the answer also tells which participants have acted."""
        return mapping.status_of(await read_package(self._client, provider_signing_id), signing)

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        """The documents one by one, whose names are known then, and the audit proof (spec 2.9)."""
        package = await read_package(self._client, id_of(signing))
        return mapping.deliverables_of(signing, package, with_proof=self._config.audit_proof)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        """What the file is is told by its first bytes: a page or an error is not the document (spec 2.9)."""
        package_id = id_of(signing)
        async with AsyncExitStack() as stack:
            reply = await self._open(stack, package_id, deliverable)
            head = await head_of(reply.chunks, _HEAD_BYTES)
            if not _is(deliverable.media_type, head):
                raise NotReady(f"What the provider sent is not {deliverable.media_type} yet.")
            yield Download(rejoined(head, reply.chunks), deliverable.media_type, reply.length)

    async def _open(self, stack: AsyncExitStack, package_id: str, deliverable: Deliverable) -> ByteReply:
        document_id = deliverable.facts.get("document_id")
        if document_id is None:
            operation, ids = operations.PACKAGE_AUDIT_PROOF, {"packageId": package_id}
        else:
            operation = operations.DOWNLOAD_DOCUMENT_FROM_PACKAGE
            ids = {"id": package_id, "documentId": document_id}
        try:
            return await stack.enter_async_context(self._client.stream(operation, ids, not_ready_on=(202, 409)))
        except ProviderNotFound:
            await read_package(self._client, package_id)  # raises the same when the package itself is gone
            raise NotReady("The provider has no such file yet.", provider_status_code=404) from None

    # ------------------------------------------------------------------------------------------------- actions

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        await self._manager.cancel(signing)

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        if number is not None:
            raise refuse("remind_one")
        await self._manager.remind(signing)

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        raise refuse("add_participant")

    async def remove_participant(self, signing: Signing, number: int) -> None:
        raise refuse("remove_participant")

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        await self._manager.extend(signing, deadline)

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
        return self._callbacks.verify(raw)

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return events(callback)

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return self._callbacks.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        self._callbacks.remember(callback)

    @property
    def account_webhook_wanted(self) -> bool:
        """Callback addresses are given per package, and nowhere else (spec 3)."""
        return False

    async def subscribe(self, url: str) -> str:
        raise refuse("subscribe")

    # ------------------------------------------------------------------------------------------------- health

    async def is_reachable(self) -> bool:
        """Basic credentials prove themselves only in a call: the shortest list there is."""
        try:
            await self._client.call(operations.PACKAGE_LIST, MaxQuantity=1)
        except ProviderError as error:
            telemetry.warning("provider_unreachable", account=self.account, provider=NAME, code=error.code)
            return False
        return True

    async def aclose(self) -> None:
        await self._http.aclose()


def _is(media_type: str, head: bytes) -> bool:
    """A PDF begins with its magic; XML with a tag, though not with that of a web page."""
    if media_type == _PDF:
        return head.startswith(b"%PDF")
    start = head.removeprefix(_BOM).lstrip().lower()
    return start.startswith(b"<") and not start.startswith((b"<html", b"<!doctype html"))
