"""The neutral port, spoken to Dokobit (spec dokobit 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Self

from shared import telemetry
from shared.domain.errors import (
    NotReady,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Unauthorised,
    UnsupportedFeature,
)
from shared.domain.notices import StatusNotice
from shared.domain.signing import Participant, Signing
from shared.domain.states import EventKind
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
from shared.providers.answers import said
from shared.providers.checks import SupportedBy, nobody
from shared.providers.circuit import Circuit
from shared.providers.dokobit import NAME, Config, capabilities_of, limits, mapping, operations
from shared.providers.dokobit.callback import CallbackVerifier, events
from shared.providers.dokobit.manage import Files, Manager, Pause
from shared.providers.dokobit.start import Starter, read_status, read_status_anywhere
from shared.providers.http import CallBudget, Credentials, HttpPool, ProviderClient
from shared.providers.operation import Operation
from shared.providers.raw import operate
from shared.verification.raw import RawCallback, VerifiedCallback

# No signing can have it: tokens are long and random. There is no call that only asks whether one may call (spec 1.2).
_NOBODYS_TOKEN = "countersign-health"  # noqa: S105  (not a secret)

_IN_PROGRESS = "validation is still in progress"
# The token is all that these two send, so the one documented failure can only mean that (INFERRED, spec 6).
_TOKEN_ONLY = frozenset({operations.STATUS_EXTERNAL.id, operations.STATUS_INTERNAL.id})


class DokobitProvider:
    """One account. `build()` in the package makes it."""

    name = NAME
    account_webhook_wanted = False

    def __init__(
        self,
        account: str,
        config: Config,
        *,
        http: HttpPool,
        client: ProviderClient,
        now: Callable[[], datetime],
        supported_by: SupportedBy,
        pause: Pause,
    ) -> None:
        self.account, self.capabilities = account, capabilities_of(config)
        self._config, self._http, self._client, self._now = config, http, client, now
        self._supported_by = supported_by
        self._starter, self._manager = Starter(config, client), Manager(config, client, now)
        self._files, self._verifier = Files(config, client, now, pause), CallbackVerifier()

    @classmethod
    def configured(
        cls,
        account: str,
        config: Config,
        now: Callable[[], datetime],
        supported_by: SupportedBy | None = None,
        *,
        circuit: Circuit | None = None,
        pause: Pause = asyncio.sleep,
    ) -> Self:
        http = HttpPool()
        client = ProviderClient(
            config.api_base_url,
            FixedToken(config),
            http,
            provider=NAME,
            account=account,
            budget=CallBudget(config.calls_per_minute),
            now=now,
            circuit=circuit,
            judge=judge,
        )
        granting = supported_by or nobody
        return cls(account, config, http=http, client=client, now=now, supported_by=granting, pause=pause)

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
        try:
            if signing is None:
                read = await read_status_anywhere(self._client, provider_signing_id)
            else:
                read = await read_status(self._client, limits.flow_of(signing, self._config), provider_signing_id)
        except ProviderNotFound:
            if not self._manager.has_cancelled(provider_signing_id):
                raise
            return ProviderStatus("deleted", EventKind.CANCELLED)
        return mapping.status_of(read, self._now(), self._config, signing)

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        return await self._files.deliverables(signing)

    def fetch(self, signing: Signing, deliverable: Deliverable) -> AbstractAsyncContextManager[Download]:
        return self._files.fetch(signing, deliverable)

    # ------------------------------------------------------------------------------------------------- actions

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        await self._manager.cancel(signing)

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        await self._manager.remind(signing, number)

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        await self._manager.add(signing, participant)

    async def remove_participant(self, signing: Signing, number: int) -> None:
        await self._manager.remove(signing, number)

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
        return self._verifier.verify(raw)

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return events(callback)

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return self._verifier.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        self._verifier.remember(callback)

    async def subscribe(self, url: str) -> str:
        raise UnsupportedFeature("Dokobit takes an address with each signing, and none for all.", field="webhook")

    # ------------------------------------------------------------------------------------------------- health

    async def is_reachable(self) -> bool:
        """A signing that cannot exist is answered as unknown only to those whose token is accepted (INFERRED)."""
        try:
            await self._client.call(operations.STATUS_EXTERNAL, token=_NOBODYS_TOKEN)
        except (ProviderNotFound, Rejected):
            return True
        except ProviderError as error:
            telemetry.warning("provider_unreachable", account=self.account, provider=NAME, code=error.code)
            return False
        return True

    async def aclose(self) -> None:
        await self._http.aclose()


class FixedToken:
    """The account's one access token, where its surface wants it (spec 1.1). There is no other to try when it is
    refused."""

    def __init__(self, config: Config) -> None:
        token = config.access_token.get_secret_value()
        in_header = config.surface == "connector"
        self._credentials = (
            Credentials(headers={"X-Access-Token": token})
            if in_header
            else Credentials(query=(("access_token", token),))
        )

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        if refused is not None:
            raise Unauthorised("Dokobit does not accept the access token.", provider_status_code=401)
        return self._credentials


def judge(operation: Operation, status: int, answer: Mapping[str, object]) -> ProviderError | None:
    """The `Judge` of this provider: errors come with status 400, and with 200 too (spec 1.6, 3.8, 4.1)."""
    words = said(answer)
    if status in (200, 400) and _IN_PROGRESS in words.lower():
        return NotReady(f"{NAME} is not ready with {operation.id} yet.", provider_status_code=status)
    if status == 400 and operation.id in _TOKEN_ONLY:
        return ProviderNotFound(f"{NAME} does not know this signing.", provider_status_code=status)
    if status == 200 and _is_error(operation, answer):
        sentence = f"{NAME} refused {operation.id} inside an answer of success" + (f": {words}" if words else ".")
        return Rejected(sentence, provider_status_code=status)
    return None


def _is_error(operation: Operation, answer: Mapping[str, object]) -> bool:
    """`status` is the state of the signing in a read-back, where the word may be one that we do not know yet."""
    is_state = operation.id in _TOKEN_ONLY and not {"message", "error_code", "errors"} & answer.keys()
    return answer.get("status") == "error" and not is_state
