"""The simulated platform as one object: start it, talk HTTP to it, steer it from Python or `/_sandbox`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.faults import Fault, FaultKind
from local.sandbox.server import Operation, SandboxServer, loopback_socket, serving, validated
from local.sandbox.signicat.auth import Tokens
from local.sandbox.signicat.callbacks import Callback, CallbackDesk
from local.sandbox.signicat.control import NEXT, Stage, StageRoutes
from local.sandbox.signicat.documents import Documents
from local.sandbox.signicat.options import CallbackKnobs, Options
from local.sandbox.signicat.orders import Orders
from local.sandbox.signicat.packaging import Packer
from local.sandbox.signicat.pages import Pages
from local.sandbox.signicat.platform import Platform
from local.sandbox.signicat.results import API, Counter
from local.sandbox.signicat.state import Order, State, Status
from local.sandbox.signicat.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN_PATH = "/auth/open/connect/token"


class SignicatSandbox(SandboxServer):
    """`async with SignicatSandbox.start() as sandbox:` runs it in the caller's event loop on 127.0.0.1."""

    def __init__(self, base_url: str, options: Options) -> None:
        super().__init__(base_url, seed=options.seed)
        self.options = options
        self.state = State()
        self.tokens = Tokens(options)
        self.counter = Counter(self.state, options, base_url)
        self.desk = CallbackDesk(self.state, options, CallbackKnobs(), base_url)
        self.packer = Packer(self.state, options, self.desk, self.pki)
        self._platform = Platform(self.state, options, self.tokens, self.desk, self.faults, self.packer)
        self._stage = Stage(self._platform)
        self.route(self._operations())

    @classmethod
    @asynccontextmanager
    async def start(cls, *, port: int = 0, options: Options | None = None) -> AsyncIterator[SignicatSandbox]:
        """Answers calls until the block is left; 0 picks a free port. Work under way is given up at the end."""
        listener = loopback_socket(port)
        try:
            sandbox = cls(f"http://127.0.0.1:{listener.getsockname()[1]}", options or Options())
            await sandbox.counter.foreign.start()
            async with serving(sandbox, listener):
                try:
                    yield sandbox
                finally:
                    await sandbox.packer.close()
                    await sandbox.desk.close()
                    await sandbox.counter.foreign.close()
        finally:
            listener.close()

    @property
    def api_url(self) -> str:
        return f"{self.base_url}{API}"

    @property
    def token_url(self) -> str:
        return f"{self.base_url}{TOKEN_PATH}"

    @property
    def client_id(self) -> str:
        return self.tokens.client_id

    @property
    def client_secret(self) -> str:
        return self.tokens.client_secret

    @property
    def callbacks_sent(self) -> list[Callback]:
        return self.desk.sent

    @property
    def foreign_authorizations(self) -> list[str | None]:
        """What the foreign host was shown as credentials, call by call."""
        return self.counter.foreign.authorizations

    def order(self, order_id: str) -> Order:
        return self._platform.order_by_id(order_id)

    def invitations_sent(self, order_id: str) -> int:
        """How many orders were ever created for what this one is for: an order is live at once, so each invites."""
        wanted = next((one for one in self.state.ever if one.id == order_id), None)
        if wanted is None:
            return 0
        reference = wanted.body.clientReference
        alike = [one for one in self.state.ever if one.body.clientReference == reference]
        return 1 if reference is None else len(alike)

    def signing_url(self, order_id: str, task_id: str) -> str:
        order, task = self._stage.task(order_id, task_id)
        return self.desk.signing_url(order, task)

    def fault(self, kind: FaultKind | str, operation: str | None = None, **settings: object) -> Fault:
        """Set a fault switch; `settings` are the fields of `Fault`."""
        return self.faults.add(Fault.model_validate({"kind": kind, "operation": operation, **settings}))

    async def sign(self, order_id: str, who: str = NEXT) -> None:
        """`who` is a task id or "next". Raises Problem."""
        await self._stage.sign(order_id, who)

    async def complete(self, order_id: str) -> None:
        """Everyone acts in turn, and everything is packaged."""
        await self._stage.complete(order_id)

    async def decline(self, order_id: str, who: str = NEXT, reason: str = "No reason given") -> None:
        self._stage.reject(order_id, who, reason)

    def expire(self, order_id: str) -> None:
        """Every task that is still open runs out."""
        self._stage.end_open(order_id, Status.EXPIRED)

    def withdraw(self, order_id: str) -> None:
        """The sender ends it in the platform's own interface: the tasks are DELETED, the order can still be read."""
        self._stage.end_open(order_id, Status.DELETED)

    def fail(self, order_id: str) -> None:
        self._stage.end_open(order_id, Status.FAILED)

    def forward(self, order_id: str, recipient: str = "someone@example.org", left_as: Status = Status.DELETED) -> str:
        """The next person hands their task over; the id of the new one."""
        return self._stage.forward(order_id, recipient, left_as)

    def advance(self, by: timedelta) -> None:
        """Time passes: reminders, expiry, deletion."""
        self._platform.advance(by)

    @property
    def knobs(self) -> CallbackKnobs:
        return self.desk.knobs

    def set_knobs(self, knobs: CallbackKnobs) -> None:
        self.desk.knobs = knobs

    async def settle(self) -> None:
        """Wait until everything is packaged, and every callback delivered or given up."""
        await self.packer.settle()
        await self.desk.settle()

    def _operations(self) -> list[Operation]:
        return [
            Operation("getAccessToken", "POST", TOKEN_PATH, self.tokens.token),
            *Documents(self._platform, self.counter).operations(),
            *Orders(self._platform, self.counter).operations(),
            *Tasks(self._platform, self.counter).operations(),
            *StageRoutes(self._platform, self._stage).operations(),
            *Pages(self._platform).operations(),
            Operation("_callbacks", "GET", "/_sandbox/callbacks", self._list_callbacks),
            Operation("_knobs", "POST", "/_sandbox/callbacks/knobs", self._set_knobs),
            Operation("_options", "POST", "/_sandbox/options", self._set_options),
        ]

    async def _list_callbacks(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "orderId": one.order_id, "trigger": one.trigger, "url": one.url, "outcome": one.outcome,
                    "attempts": one.attempts, "answers": one.answers,
                }
                for one in self.callbacks_sent
            ]
        )  # fmt: skip

    async def _set_knobs(self, request: web.Request) -> web.Response:
        """The knobs named in the body change; the rest go back to their defaults."""
        self.set_knobs(validated(CallbackKnobs, await request.read() or b"{}"))
        return web.Response(status=204)

    async def _set_options(self, request: web.Request) -> web.Response:
        """The options named in the body change; the rest stay."""
        asked = validated(Options, await request.read())
        for name in asked.model_fields_set:
            setattr(self.options, name, getattr(asked, name))
        return web.Response(status=204)
