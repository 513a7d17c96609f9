"""The simulated Dokobit as one object: start it, talk HTTP to it, steer it from Python or `/_sandbox`."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.dokobit.callbacks import Postback, PostbackDesk
from local.sandbox.dokobit.control import EVERYONE, NEXT, Stage, StageRoutes
from local.sandbox.dokobit.options import CallbackKnobs, Options
from local.sandbox.dokobit.pages import Pages
from local.sandbox.dokobit.platform import CONNECTOR, UNIVERSAL, Platform
from local.sandbox.dokobit.services import Services
from local.sandbox.dokobit.signings import Signings
from local.sandbox.dokobit.state import State
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.server import Operation, SandboxServer, loopback_socket, serving, validated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DokobitSandbox(SandboxServer):
    """`async with DokobitSandbox.start() as sandbox:` runs it in the caller's event loop on 127.0.0.1."""

    def __init__(self, base_url: str, options: Options) -> None:
        super().__init__(base_url, seed=options.seed)
        self.options, self.knobs, self.state = options, CallbackKnobs(), State()
        self.access_token = options.access_token or f"token-{secrets.token_hex(12)}"
        self.postbacks = PostbackDesk(base_url, options, self.knobs)
        platform = Platform(base_url, self.access_token, self.state, options, self.postbacks, self.faults)
        self._platform, self._stage = platform, Stage(platform, self.pki)
        self.route(self._operations())

    @classmethod
    @asynccontextmanager
    async def start(cls, *, port: int = 0, options: Options | None = None) -> AsyncIterator[DokobitSandbox]:
        """Answers calls until the block is left; 0 picks a free port. Postbacks under way are given up at the end."""
        listener = loopback_socket(port)
        try:
            sandbox = cls(f"http://127.0.0.1:{listener.getsockname()[1]}", options or Options())
            async with serving(sandbox, listener):
                try:
                    yield sandbox
                finally:
                    await sandbox.postbacks.close()
        finally:
            listener.close()

    @property
    def connector_url(self) -> str:
        return self.base_url + CONNECTOR

    @property
    def universal_url(self) -> str:
        return self.base_url + UNIVERSAL

    @property
    def callbacks_sent(self) -> list[Postback]:
        return self.postbacks.sent

    @property
    def invitations_total(self) -> int:
        return sum(one.kind == "invite" for one in self.state.mails)

    def invitations_sent(self, token: str, person: str | None = None) -> int:
        return self.state.invitations_sent(token, person)

    def fault(self, kind: FaultKind | str, operation: str | None = None, **settings: object) -> Fault:
        """Set a fault switch; `settings` are the fields of `Fault`."""
        return self.faults.add(Fault.model_validate({"kind": kind, "operation": operation, **settings}))

    async def sign(self, token: str, who: str = NEXT) -> None:
        """`who` is a participant's token, "next", or "everyone". Raises Problem."""
        await self._stage.sign(token, who)

    async def complete(self, token: str) -> None:
        await self._stage.sign(token, EVERYONE)

    async def decline(self, token: str, who: str = NEXT) -> None:
        """No reason: the service has no place for one."""
        await self._stage.decline(token, who)

    async def archive(self, token: str) -> None:
        await self._stage.archive(token)

    async def receive(self, delivery_token: str) -> None:
        """Every recipient confirms an e-delivery."""
        await self._stage.receive(delivery_token)

    def expire(self, token: str) -> None:
        self._stage.expire(token)

    def fail(self, token: str) -> None:
        self._stage.fail(token)

    def withdraw(self, token: str) -> None:
        """The owner deletes the signing in the web interface."""
        self._stage.remove(token)

    async def settle(self) -> None:
        """Wait until every postback on its way has been delivered or given up."""
        await self.postbacks.settle()

    def set_knobs(self, knobs: CallbackKnobs) -> None:
        self.knobs = self.postbacks.knobs = knobs

    def _operations(self) -> list[Operation]:
        return [
            *Signings(self._platform, self._stage).operations(),
            *Services(self._platform).operations(),
            *StageRoutes(self._platform, self._stage).operations(),
            *Pages(self._platform, self._stage).operations(),
            Operation("_callbacks", "GET", "/_sandbox/callbacks", self._list_callbacks),
            Operation("_knobs", "POST", "/_sandbox/callbacks/knobs", self._set_knobs),
            Operation("_resend", "POST", "/_sandbox/callbacks/{callbackId}/resend", self._resend),
            Operation("_options", "POST", "/_sandbox/options", self._set_options),
        ]

    async def _list_callbacks(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {"id": one.id, "token": one.token, "action": one.action, "outcome": one.outcome, "answers": one.answers}
                for one in self.postbacks.sent
            ]
        )

    async def _set_knobs(self, request: web.Request) -> web.Response:
        """The knobs named in the body change; the rest go back to their defaults."""
        self.set_knobs(validated(CallbackKnobs, await request.read() or b"{}"))
        return web.Response(status=204)

    async def _resend(self, request: web.Request) -> web.Response:
        try:
            self.postbacks.resend(request.match_info["callbackId"])
        except KeyError as error:
            raise Problem(404, "There is no such callback.") from error
        return web.Response(status=204)

    async def _set_options(self, request: web.Request) -> web.Response:
        """The options named in the body change; the rest stay."""
        asked = validated(Options, await request.read())
        for name in asked.model_fields_set:
            setattr(self.options, name, getattr(asked, name))
        return web.Response(status=204)
