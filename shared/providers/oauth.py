"""OAuth 2.0 access tokens for provider calls: client credentials, and refresh tokens that all instances share.

A token is kept in the process until shortly before its end, and asked for once however many calls wait for it. Refresh
tokens may be good for one use only, so the newest one lives, sealed, in the `TokenStore`: whoever renews it first takes
a short lease on the row by a conditional write, the others wait and read. A crash in between ends with the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate, Throttled, Unauthorised, Unavailable
from shared.ports import TokenRow, TokenStore
from shared.providers.answers import retry_after
from shared.providers.http import Credentials, HttpPool
from shared.providers.sealing import HeldTokens, TokenSeal

# A token is not used in its last minute; one that lives two minutes or less is used for half its life.
_MARGIN = timedelta(seconds=60)
_DEFAULT_LIFETIME_SECONDS = 300
_LONGEST_LIFETIME_SECONDS = 24 * 3600
# The lease outlives the request made under it, so that only a crashed or stalled holder loses it.
_REQUEST_SECONDS = 20.0
_LEASE = timedelta(seconds=30)
_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.2
_SAVE_ATTEMPTS = 5


class _TokenAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, defer_build=True)

    # RFC 6750 2.1, b64token: nothing that could break out of a header.
    access_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9\-._~+/]+=*$")]
    expires_in: Annotated[float, Field(allow_inf_nan=False)] = _DEFAULT_LIFETIME_SECONDS
    refresh_token: str | None = None


@dataclass(frozen=True)
class Granted:
    """What the token endpoint gave. `usable_until` already leaves the margin out."""

    access_token: str = field(repr=False)
    usable_until: datetime
    refresh_token: str | None = field(default=None, repr=False)


class InvalidGrant(Unauthorised):
    """The refresh token is not, or no longer, good."""

    code = "consent_needed"
    next_step = "A person must consent again; configure the new refresh token."


class TokenEndpoint:
    """The token endpoint of one account.

    `ask` raises InvalidGrant, Unauthorised, Throttled, or Unavailable(sent=False): the provider call that needs the
    token has not been made, whatever happened to the request for the token.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        http: HttpPool,
        *,
        account: str,
        now: Callable[[], datetime],
        client_auth: Literal["form", "basic"] = "form",
    ) -> None:
        """`client_auth` says where the client's own credentials go: in the form, or in an Authorization header."""
        self._url, self._http, self._account, self._now = url, http, account, now
        self._in_form = {"client_id": client_id, "client_secret": client_secret} if client_auth == "form" else {}
        self._basic = httpx.BasicAuth(client_id, client_secret) if client_auth == "basic" else None

    async def ask(self, form: Mapping[str, str]) -> Granted:
        fields = {**form, **self._in_form}
        asked_at = self._now()
        status = 0
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                response = await self._http.client().post(
                    self._url,
                    data=fields,
                    headers={"Accept": "application/json"},
                    auth=self._basic or httpx.USE_CLIENT_DEFAULT,
                    follow_redirects=False,
                )
            status = response.status_code
        except (httpx.RequestError, OSError, TimeoutError) as error:
            raise Unavailable(f"No token could be had ({type(error).__name__}).", sent=False) from error
        finally:
            telemetry.info("token_asked", account=self._account, status=status)
        if status != 200:
            raise _refusal(response, asked_at)
        return _granted(response.content, asked_at)


def _refusal(response: httpx.Response, now: datetime) -> Unauthorised | Throttled | Unavailable:
    status = response.status_code
    if status == 429:
        seconds = retry_after(response.headers, now)
        return Throttled("The token endpoint accepts no more calls for now.", retry_after_seconds=seconds)
    if status not in (400, 401, 403):
        return Unavailable(f"No token could be had (status {status}).", sent=False, provider_status_code=status)
    error = _error_word(response)
    kind = InvalidGrant if error == "invalid_grant" else Unauthorised
    return kind(f"The token endpoint refused: {error}.", provider_status_code=status)


def _error_word(response: httpx.Response) -> str:
    """RFC 6749 5.2: one word of a known list. Anything else an endpoint may say is not passed on."""
    known = ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type")
    try:
        said = response.json()
    except ValueError:
        return "no reason given"
    error = said.get("error") if isinstance(said, dict) else None
    return error if error in (*known, "invalid_scope") else "no known reason given"


def _granted(content: bytes, asked_at: datetime) -> Granted:
    try:
        answer = _TokenAnswer.model_validate_json(content)
    except ValidationError:
        raise Unavailable("The answer of the token endpoint cannot be read.", sent=False) from None
    lifetime = timedelta(seconds=min(max(answer.expires_in, 0), _LONGEST_LIFETIME_SECONDS))
    return Granted(answer.access_token, asked_at + lifetime - min(_MARGIN, lifetime / 2), answer.refresh_token)


class TokenSource(Protocol):
    async def renew(self, refused: str | None) -> tuple[str, datetime]:
        """An access token other than `refused`, and until when to use it."""


class BearerAuth:
    """`Auth` by access token: one at a time is renewed, however many calls wait for it."""

    def __init__(self, source: TokenSource, now: Callable[[], datetime]) -> None:
        self._source, self._now = source, now
        self._token, self._usable_until = "", datetime.min.replace(tzinfo=UTC)
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        refused_token = refused.headers["Authorization"].removeprefix("Bearer ") if refused else None
        if not self._is_usable(refused_token):
            async with self._renewing():
                if not self._is_usable(refused_token):
                    self._token, self._usable_until = await self._source.renew(refused_token)
        return Credentials({"Authorization": f"Bearer {self._token}"})

    def _is_usable(self, refused: str | None) -> bool:
        return self._token not in ("", refused) and self._now() < self._usable_until

    def _renewing(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = (loop, asyncio.Lock())
        return self._lock[1]


class ClientCredentials:
    """The client credentials grant. Each process has its own token; there is nothing to share."""

    def __init__(self, endpoint: TokenEndpoint, scopes: tuple[str, ...]) -> None:
        self._endpoint, self._form = endpoint, {"grant_type": "client_credentials", "scope": " ".join(scopes)}

    async def renew(self, refused: str | None) -> tuple[str, datetime]:
        granted = await self._endpoint.ask(self._form)
        return granted.access_token, granted.usable_until


class SharedRefreshToken:
    """The refresh token grant, its newest token shared by all instances through the `TokenStore`.

    `seed` is the refresh token that the operator configured. It fills the row at first, and again when it is another
    one than the row was filled with: that is how a new consent takes effect.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        store: TokenStore,
        *,
        account: str,
        seed: str,
        client_secret: str,
        now: Callable[[], datetime],
    ) -> None:
        self._endpoint, self._store, self._account, self._now = endpoint, store, account, now
        self._seal = TokenSeal(account, client_secret)
        self._fresh = HeldTokens.seeded(seed)
        # Renewed at the endpoint but not yet in the store: with one-time tokens this is the only copy.
        self._unsaved: tuple[HeldTokens, HeldTokens] | None = None
        self._running: set[asyncio.Task[HeldTokens | None]] = set()

    async def renew(self, refused: str | None) -> tuple[str, datetime]:
        """Raises InvalidGrant when no refresh token is left that works."""
        await self._save_what_is_left()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WAIT_SECONDS
        while True:
            row, held = await self._read()
            if held.is_usable(self._now(), refused):
                return held.access_token, held.usable_until
            if not self._is_leased(row) and (leased := await self._lease(row, held)) is not None:
                renewed = await self._to_its_end(leased, held)
                if renewed is not None:
                    return renewed.access_token, renewed.usable_until
            if loop.time() >= deadline:
                raise Unavailable("Another instance is renewing the token.", sent=False)
            await asyncio.sleep(_POLL_SECONDS)

    async def _to_its_end(self, leased: TokenRow, held: HeldTokens) -> HeldTokens | None:
        """A renewal once begun is finished even when its caller is cancelled: a one-time token spent and not saved
        would cost a person's consent."""
        task = asyncio.ensure_future(self._renew_under(leased, held))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _read(self) -> tuple[TokenRow | None, HeldTokens]:
        row = await self._store.read(self._account)
        held = self._seal.open(row.sealed) if row is not None else None
        return row, held if held is not None and held.seed_digest == self._fresh.seed_digest else self._fresh

    def _is_leased(self, row: TokenRow | None) -> bool:
        return row is not None and row.lease_until is not None and row.lease_until > self._now()

    async def _lease(self, row: TokenRow | None, held: HeldTokens) -> TokenRow | None:
        """What is in the row stays there until the renewal has succeeded: an instance that still runs with an older
        seed must not destroy the tokens of a newer one."""
        wanted = row or TokenRow(None, self._seal.close(held), None)
        try:
            return await self._store.write(self._account, replace(wanted, lease_until=self._now() + _LEASE))
        except ConcurrentUpdate:
            return None

    async def _renew_under(self, leased: TokenRow, held: HeldTokens) -> HeldTokens | None:
        """The renewed tokens, or None when it turns out that someone else has renewed them meanwhile."""
        try:
            granted = await self._endpoint.ask({"grant_type": "refresh_token", "refresh_token": held.refresh_token})
        except (Unauthorised, Throttled, Unavailable) as error:
            await self._release(leased)
            if isinstance(error, InvalidGrant) and (await self._read())[1].refresh_token != held.refresh_token:
                return None
            raise
        renewed = replace(
            held,
            refresh_token=granted.refresh_token or held.refresh_token,
            access_token=granted.access_token,
            expires_at=granted.usable_until.isoformat(),
        )
        self._unsaved = (held, renewed)
        await self._save(leased, held, renewed)
        return renewed

    async def _release(self, leased: TokenRow) -> None:
        try:
            await self._store.write(self._account, replace(leased, lease_until=None))
        except ConcurrentUpdate:
            telemetry.warning("token_lease_lost", account=self._account)

    async def _save_what_is_left(self) -> None:
        if self._unsaved is None:
            return
        before, after = self._unsaved
        row, held = await self._read()
        if held.refresh_token == before.refresh_token:
            await self._save(row, before, after)
        self._unsaved = None

    async def _save(self, row: TokenRow | None, before: HeldTokens, after: HeldTokens) -> None:
        """Writes `after` in place of `before`. A row that holds neither was renewed or seeded by someone else since:
        theirs stays."""
        for _ in range(_SAVE_ATTEMPTS):
            etag = row.etag if row is not None else None
            try:
                await self._store.write(self._account, TokenRow(etag, self._seal.close(after), None))
                break
            except ConcurrentUpdate:
                row, held = await self._read()
                if held.refresh_token != before.refresh_token:
                    break
        else:
            raise Unavailable("The renewed token could not be saved.", sent=False)
        self._unsaved = None
