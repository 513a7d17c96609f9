"""The simulated PKIsigning platform as one object: start it, talk HTTP to it, steer it from Python or `/_sandbox`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from local.sandbox.answers import Problem
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.pkisigning import auth
from local.sandbox.pkisigning.bulk import BulkArchive
from local.sandbox.pkisigning.callbacks import Callback, CallbackDesk
from local.sandbox.pkisigning.control import NEXT, Stage, StageRoutes
from local.sandbox.pkisigning.options import CallbackKnobs, Options
from local.sandbox.pkisigning.pages import Pages
from local.sandbox.pkisigning.platform import Platform
from local.sandbox.pkisigning.state import Credits, SignRequest, State
from local.sandbox.pkisigning.v1 import Share
from local.sandbox.pkisigning.v2_documents import Documents
from local.sandbox.pkisigning.v2_requests import Requests
from local.sandbox.server import Operation, SandboxServer, loopback_socket, serving, validated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class BulkBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size_bytes: Annotated[int, Field(ge=0)]
    form: Literal["stored", "deflate"] = "stored"
    member: str = "Attachment.bin"


class PkisigningSandbox(SandboxServer):
    """`async with PkisigningSandbox.start() as sandbox:` runs it in the caller's event loop on 127.0.0.1."""

    def __init__(self, base_url: str, options: Options) -> None:
        super().__init__(base_url, seed=options.seed)
        self.options = options
        self.knobs = CallbackKnobs()
        self.state = State(credits=Credits(options.credits))
        self.identity = auth.IdentityServer(options)
        self.callbacks = CallbackDesk(self.pki, self.state, options, self.knobs)
        self._platform = Platform(self.state, options, self.identity, self.callbacks, self.faults)
        self._stage = Stage(self._platform, self.pki)
        self._bulk: BulkArchive | None = None
        self.route(self._operations())

    @classmethod
    @asynccontextmanager
    async def start(cls, *, port: int = 0, options: Options | None = None) -> AsyncIterator[PkisigningSandbox]:
        """Answers calls until the block is left; 0 picks a free port. Callbacks under way are given up at the end."""
        listener = loopback_socket(port)
        try:
            sandbox = cls(f"http://127.0.0.1:{listener.getsockname()[1]}", options or Options())
            async with serving(sandbox, listener):
                try:
                    yield sandbox
                finally:
                    await sandbox.callbacks.close()
        finally:
            listener.close()

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/connect/token"

    @property
    def authorize_url(self) -> str:
        return f"{self.base_url}/connect/authorize"

    @property
    def client_id(self) -> str:
        return self.identity.client_id

    @property
    def client_secret(self) -> str:
        return self.identity.client_secret

    @property
    def refresh_token(self) -> str:
        """The token of the first consent; good for one use. `consent()` gives another."""
        return self.identity.first_refresh_token

    @property
    def invitations_total(self) -> int:
        return sum(one.kind == "Invite" for one in self.state.invitations)

    @property
    def callbacks_sent(self) -> list[Callback]:
        return self.callbacks.sent

    def consent(self, scopes: frozenset[str] = auth.ALL_SCOPES) -> str:
        return self.identity.consent(scopes)

    def invitations_sent(self, request_id: str, actor_id: str | None = None) -> int:
        return self.state.invitations_sent(request_id, actor_id)

    def signing_url(self, request_id: str, actor_id: str) -> str:
        return f"{self.base_url}/sign/{request_id}/{actor_id}"

    def fault(self, kind: FaultKind | str, operation: str | None = None, **settings: object) -> Fault:
        """Set a fault switch; `settings` are the fields of `Fault`."""
        return self.faults.add(Fault.model_validate({"kind": kind, "operation": operation, **settings}))

    async def sign(self, request_id: str, who: str = NEXT) -> None:
        """`who` is an actor id, "next", or "everyone" (each does what they were asked for). Raises Problem."""
        await self._stage.act(request_id, "sign", who)

    async def approve(self, request_id: str, who: str = NEXT) -> None:
        await self._stage.act(request_id, "approve", who)

    async def download(self, request_id: str, who: str = NEXT) -> None:
        await self._stage.act(request_id, "download", who)

    async def decline(self, request_id: str, who: str = NEXT, reason: str = "No reason given") -> None:
        await self._stage.act(request_id, "decline", who, reason)

    async def complete(self, request_id: str) -> None:
        """Everyone does what they were asked for, in turn."""
        await self._stage.act(request_id, "sign", "everyone")

    def expire(self, request_id: str) -> None:
        """The deadline of the actor in line passes; called again, the request runs out."""
        self._stage.expire(request_id)

    def extend(self, request_id: str, by: timedelta = timedelta(days=7)) -> None:
        """The owner gives the actor in line more time and invites them again: the way back from an expired one."""
        self._stage.extend(request_id, by)

    def fail(self, request_id: str, reason: str = "Technical failure") -> None:
        self._stage.fail(request_id, reason)

    def withdraw(self, request_id: str) -> None:
        self._stage.withdraw(request_id)

    def set_credits(self, total: int) -> None:
        self.state.credits.total = total

    async def bulk_download(
        self, size_bytes: int, form: Literal["stored", "deflate"] = "stored", member: str = "Attachment.bin"
    ) -> None:
        """From now on every download carries a filler of that size, made while it is sent; 0 turns it off."""
        self._bulk = None
        if size_bytes:
            bulk = BulkArchive(size_bytes, form, member)
            await asyncio.to_thread(bulk.prepare)
            self._bulk = bulk

    async def settle(self) -> None:
        """Wait until every callback on its way has been delivered or given up."""
        await self.callbacks.settle()

    def _operations(self) -> list[Operation]:
        return [
            Operation("Connect_Token", "POST", "/connect/token", self.identity.token),
            Operation("Connect_Authorize", "GET", "/connect/authorize", self.identity.authorize),
            *Requests(self._platform, self._bulk_for).operations(),
            *Documents(self._platform).operations(),
            *Share(self._platform, self._bulk_for).operations(),
            *StageRoutes(self._platform, self._stage).operations(),
            *Pages(self._platform, self._stage).operations(),
            Operation("_callbacks", "GET", "/_sandbox/callbacks", self._list_callbacks),
            Operation("_knobs", "POST", "/_sandbox/callbacks/knobs", self._set_knobs),
            Operation("_resend", "POST", "/_sandbox/callbacks/{callbackId}/resend", self._resend),
            Operation("_bulk", "POST", "/_sandbox/bulk", self._set_bulk),
            Operation("_options", "POST", "/_sandbox/options", self._set_options),
        ]

    def _bulk_for(self, _: SignRequest) -> BulkArchive | None:
        return self._bulk

    async def _list_callbacks(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "id": one.id, "kind": one.kind, "requestId": one.request_id, "status": one.status, "url": one.url,
                    "outcome": one.outcome, "attempts": one.attempts, "answers": one.answers,
                }
                for one in self.callbacks.sent
            ]
        )  # fmt: skip

    async def _set_knobs(self, request: web.Request) -> web.Response:
        """The knobs named in the body change; the rest go back to their defaults."""
        self.set_knobs(validated(CallbackKnobs, await request.read() or b"{}"))
        return web.Response(status=204)

    def set_knobs(self, knobs: CallbackKnobs) -> None:
        self.knobs = self.callbacks.knobs = knobs

    async def _resend(self, request: web.Request) -> web.Response:
        try:
            self.callbacks.resend(request.match_info["callbackId"])
        except KeyError as error:
            raise Problem(404, "There is no such callback.") from error
        return web.Response(status=204)

    async def _set_bulk(self, request: web.Request) -> web.Response:
        body = validated(BulkBody, await request.read())
        await self.bulk_download(body.size_bytes, body.form, body.member)
        return web.Response(status=204)

    async def _set_options(self, request: web.Request) -> web.Response:
        """The options named in the body change; the rest stay."""
        asked = validated(Options, await request.read())
        for name in asked.model_fields_set:
            setattr(self.options, name, getattr(asked, name))
        if "credits" in asked.model_fields_set:
            self.set_credits(asked.credits)
        return web.Response(status=204)
