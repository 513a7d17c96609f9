"""A simulated Connective environment as one object: start it, talk HTTP to it, steer it from Python or `/_sandbox`."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.connective.callbacks import Callback, CallbackDesk
from local.sandbox.connective.control import EVERYONE, NEXT, Stage, StageRoutes
from local.sandbox.connective.documents import Documents
from local.sandbox.connective.options import CallbackKnobs, Options
from local.sandbox.connective.packages import Packages
from local.sandbox.connective.pages import Pages
from local.sandbox.connective.platform import Platform
from local.sandbox.connective.proofs import Proofs
from local.sandbox.connective.state import State
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.server import Operation, SandboxServer, loopback_socket, serving, validated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ConnectiveSandbox(SandboxServer):
    """`async with ConnectiveSandbox.start() as sandbox:` runs it in the caller's event loop on 127.0.0.1."""

    def __init__(self, base_url: str, options: Options) -> None:
        super().__init__(base_url, seed=options.seed)
        self.options = options
        self.knobs = CallbackKnobs()
        self.state = State()
        self.username = options.username or f"api-{secrets.token_hex(4)}"
        self.password = options.password or secrets.token_urlsafe(24)
        self.callbacks = CallbackDesk(options, self.knobs)
        self.platform = Platform(
            self.state, options, self.callbacks, self.faults, base_url, self.username, self.password
        )
        self.stage = Stage(self.platform, self.pki)
        self.route(self._operations())

    @classmethod
    @asynccontextmanager
    async def start(cls, *, port: int = 0, options: Options | None = None) -> AsyncIterator[ConnectiveSandbox]:
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
    def callbacks_sent(self) -> list[Callback]:
        return self.callbacks.sent

    @property
    def invitations_total(self) -> int:
        return self.state.openings.total()

    def invitations_sent(self, package_id: str) -> int:
        """How often the package was opened for signing."""
        return self.state.openings[package_id]

    def fault(self, kind: FaultKind | str, operation: str | None = None, **settings: object) -> Fault:
        """Set a fault switch; `settings` are the fields of `Fault`."""
        return self.faults.add(Fault.model_validate({"kind": kind, "operation": operation, **settings}))

    async def sign(self, package_id: str, who: str = NEXT) -> None:
        """`who` is an actor id, "next", or "everyone". Raises Problem or Conflict."""
        await self.stage.sign(package_id, who)

    async def complete(self, package_id: str) -> None:
        """Everybody does what they were asked for, in turn."""
        await self.stage.sign(package_id, EVERYONE)

    async def decline(self, package_id: str, reason: str = "No reason given", who: str = NEXT) -> None:
        self.stage.reject(package_id, reason, who)

    def expire(self, package_id: str) -> None:
        self.stage.expire(package_id)

    def withdraw(self, package_id: str) -> None:
        self.stage.withdraw(package_id)

    def fail(self, package_id: str) -> None:
        self.stage.fail(package_id)

    def reassign(self, package_id: str, email: str) -> None:
        self.stage.reassign(package_id, email)

    def advance(self, seconds: float) -> None:
        """The environment's clock goes forward; packages past their time expire."""
        self.stage.advance(seconds)

    async def settle(self) -> None:
        """Wait until every callback on its way has been delivered or given up."""
        await self.callbacks.settle()

    def set_knobs(self, knobs: CallbackKnobs) -> None:
        self.knobs = self.callbacks.knobs = knobs

    def _operations(self) -> list[Operation]:
        return [
            *Packages(self.platform).operations(),
            *Documents(self.platform).operations(),
            *Proofs(self.platform).operations(),
            *StageRoutes(self.platform, self.stage).operations(),
            *Pages(self.platform, self.stage).operations(),
            Operation("_callbacks", "GET", "/_sandbox/callbacks", self._list_callbacks),
            Operation("_knobs", "POST", "/_sandbox/callbacks/knobs", self._set_knobs),
            Operation("_resend", "POST", "/_sandbox/callbacks/{callbackId}/resend", self._resend),
            Operation("_options", "POST", "/_sandbox/options", self._set_options),
        ]

    async def _list_callbacks(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "id": one.id, "kind": one.kind, "packageId": one.package_id, "status": one.status, "url": one.url,
                    "method": one.method, "outcome": one.outcome, "attempts": one.attempts, "answers": one.answers,
                }
                for one in self.callbacks.sent
            ]
        )  # fmt: skip

    async def _set_knobs(self, request: web.Request) -> web.Response:
        """The knobs named in the body change; the rest go back to their defaults."""
        self.set_knobs(validated(CallbackKnobs, await request.read() or b"{}"))
        return web.Response(status=204)

    async def _resend(self, request: web.Request) -> web.Response:
        try:
            self.callbacks.resend(request.match_info["callbackId"])
        except KeyError as error:
            raise Problem(404, "There is no such callback.") from error
        return web.Response(status=204)

    async def _set_options(self, request: web.Request) -> web.Response:
        """The options named in the body change; the rest stay."""
        asked = validated(Options, await request.read())
        for name in asked.model_fields_set:
            setattr(self.options, name, getattr(asked, name))
        return web.Response(status=204)
