"""The neutral port, spoken to PKIsigning (spec pkisigning 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Self

from shared import telemetry
from shared.domain.errors import NotReady, Permanent, ProviderError, ProviderNotFound, Unauthorised
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
    TokenStore,
)
from shared.providers.checks import SupportedBy, nobody
from shared.providers.circuit import Circuit
from shared.providers.http import Auth, CallBudget, HttpPool, ProviderClient
from shared.providers.oauth import BearerAuth, ClientCredentials, SharedRefreshToken, TokenEndpoint
from shared.providers.peek import head_of, rejoined
from shared.providers.pkisigning import NAME, Config, capabilities_of, limits, mapping, operations
from shared.providers.pkisigning.callback import CallbackVerifier, VerificationPolicy, events
from shared.providers.pkisigning.manage import Manager, refuse
from shared.providers.pkisigning.start import Pause, Starter, read_request
from shared.providers.pkisigning.wire import (
    OrganisationIdModel,
    WebhookRequestConfig,
    WebhookRequestModel,
    WebhookResponseModel,
)
from shared.providers.raw import operate
from shared.verification.raw import RawCallback, VerifiedCallback

_ARCHIVE = Deliverable(name="signed.zip", kind="archive", media_type="application/zip")
_MAGIC = {b"PK": "application/zip", b"%PDF": "application/pdf"}


class PkisigningProvider:
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
        pause: Pause,
    ) -> None:
        self.account, self.capabilities = account, capabilities_of(config)
        self._config, self._http, self._auth, self._client = config, http, auth, client
        self._supported_by = supported_by
        self._starter, self._manager = Starter(config, client, pause), Manager(client)
        self._policy = _policy_of(config)
        self._verifier: CallbackVerifier | None = None

    @classmethod
    def configured(
        cls,
        account: str,
        config: Config,
        tokens: TokenStore,
        now: Callable[[], datetime],
        supported_by: SupportedBy | None = None,
        *,
        circuit: Circuit | None = None,
        pause: Pause = asyncio.sleep,
    ) -> Self:
        http = HttpPool()
        auth = _auth_of(account, config, http, tokens, now)
        client = ProviderClient(
            config.api_base_url,
            auth,
            http,
            provider=NAME,
            account=account,
            budget=CallBudget(config.calls_per_minute),
            now=now,
            circuit=circuit,
        )
        granting = supported_by or nobody
        return cls(account, config, http=http, auth=auth, client=client, supported_by=granting, pause=pause)

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
        """With `signing` the answer also tells which participants have acted.

        What the access key adds is not known (spec 3.2); one that is refused must not hide what the token may see.
        """
        try:
            request = await read_request(self._client, provider_signing_id, access_key)
        except Unauthorised:
            if access_key is None:
                raise
            request = await read_request(self._client, provider_signing_id)
        return mapping.status_of(request, signing)

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        return (_ARCHIVE,)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        """The kind of file is told by its first bytes, for three are declared (spec 1.5, operation 5)."""
        request_id = signing.provider_signing_id
        if request_id is None:
            raise ProviderNotFound("The signing has no id at the provider.")
        opening = self._client.stream(operations.REQUESTS_DOWNLOAD, not_ready_on=(202, 409), requestId=request_id)
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(opening)
            except ProviderNotFound:
                await read_request(self._client, request_id)  # raises the same when the request itself is gone
                raise NotReady("The provider has no file for this signing yet.", provider_status_code=404) from None
            head = await head_of(reply.chunks, max(map(len, _MAGIC)))
            media_type = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
            if media_type is None:
                raise NotReady("What the provider sent is neither a ZIP archive nor a PDF yet.")
            yield Download(rejoined(head, reply.chunks), media_type, reply.length)

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
        raise refuse("links")

    async def delete(self, signing: Signing) -> None:
        await self._manager.delete(signing)

    def operate(
        self, operation_id: str, arguments: Mapping[str, object]
    ) -> AbstractAsyncContextManager[OperationAnswer]:
        return operate(operations.OPERATIONS, lambda _: self._client, operation_id, arguments)

    # ---------------------------------------------------------------------------------------------- callbacks

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        return await self._callbacks().verify(raw)

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return events(callback)

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return self._callbacks().was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        self._callbacks().remember(callback)

    def _callbacks(self) -> CallbackVerifier:
        """Made on first use, because its HTTP client belongs to the running loop."""
        if self._verifier is None:
            self._verifier = CallbackVerifier(self._policy, self._http.client())
        return self._verifier

    @property
    def account_webhook_wanted(self) -> bool:
        return self._config.wants_webhook

    async def subscribe(self, url: str) -> str:
        body = WebhookRequestModel(Config=WebhookRequestConfig(url=url))
        organisation_id = self._config.organisation_id or await self._organisation_id()
        reply = await self._client.call(operations.WEBHOOKS_CREATE, body=body, organisationId=organisation_id)
        return str(reply.read(WebhookResponseModel).id)

    async def _organisation_id(self) -> str:
        """An array is answered although one is meant (spec 1.5, operation 20)."""
        found = (await self._client.call(operations.ORGANISATIONS_CURRENT)).read_list(OrganisationIdModel)
        if len(found) != 1:
            raise Permanent(
                f"The account's user belongs to {len(found)} organisations.",
                code="organisation_unclear",
                next_step="Configure organisation_id for this account.",
            )
        return str(found[0].id)

    # ------------------------------------------------------------------------------------------------- health

    async def is_reachable(self) -> bool:
        try:
            await self._auth.credentials()
        except ProviderError as error:
            telemetry.warning("provider_unreachable", account=self.account, provider=NAME, code=error.code)
            return False
        return True

    async def aclose(self) -> None:
        await self._http.aclose()


def _policy_of(config: Config) -> VerificationPolicy:
    """Raises ConfigurationError for certificates that cannot be used."""
    return VerificationPolicy(
        trust_anchors=config.trust_anchors.encode(),
        intermediates=config.intermediates.encode(),
        revocation=config.revocation,
        window_seconds=config.callback_window_seconds,
        future_tolerance_seconds=min(60.0, config.callback_window_seconds),
        verdict_cap_seconds=config.verdict_cap_seconds,
        unsafe_accept_unsigned=config.unsafe_accept_unsigned,
    )


def _auth_of(
    account: str, config: Config, http: HttpPool, tokens: TokenStore, now: Callable[[], datetime]
) -> BearerAuth:
    secret = config.client_secret.get_secret_value()
    endpoint = TokenEndpoint(config.token_url, config.client_id, secret, http, account=account, now=now)
    if config.grant == "client_credentials" or config.refresh_token is None:
        return BearerAuth(ClientCredentials(endpoint, config.client_scopes), now)
    seed = config.refresh_token.get_secret_value()
    source = SharedRefreshToken(endpoint, tokens, account=account, seed=seed, client_secret=secret, now=now)
    return BearerAuth(source, now)
