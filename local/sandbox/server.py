"""The frame every simulator stands in: loopback server, route table, fault pipeline, call log. Provider-neutral.

A provider's simulator hands over a list of `Operation`s. Paths are matched without regard to case, as ASP.NET Core and
most other servers do. Every call is logged with method, path and status, never with its content.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.sandbox.answers import Problem, damaged, fault_problem
from local.sandbox.faults import Fault, FaultKind, FaultPlan
from local.sandbox.pki import SandboxPki
from local.sandbox.responder import Responder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

_MAX_BODY = 2 * 1024**3
"""The frame's own limit; a provider's limit is checked by the provider's operations."""

Model = TypeVar("Model", bound=BaseModel)

OPERATION_KEY = web.RequestKey("operation", str)


@dataclass(frozen=True)
class Operation:
    """One line of a route table. `{name}` in the path matches one segment, any case."""

    name: str
    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]

    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path) + "/?", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """One call that was answered, or (status 0) cut off."""

    method: str
    path: str
    status: int
    operation: str
    at: float


@dataclass
class Router:
    operations: Sequence[Operation]
    _table: list[tuple[Operation, re.Pattern[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._table = [(operation, operation.pattern()) for operation in self.operations]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """Raises Problem 404, or 405 when the path exists with another method."""
        allowed = set()
        for operation, pattern in self._table:
            if match := pattern.fullmatch(path):
                if operation.method == method:
                    return operation, match.groupdict()
                allowed.add(operation.method)
        if allowed:
            raise Problem(405, "Method Not Allowed", headers={"Allow": ", ".join(sorted(allowed))})
        raise Problem(404, "Not Found")


class SandboxServer:
    """Starts and stops the loopback server, and runs each call through log, faults and operation, in that order."""

    def __init__(self, base_url: str, *, seed: int = 0) -> None:
        self.base_url = base_url
        self.pki = SandboxPki.create(base_url)
        self.responder = Responder(self.pki)
        self.faults = FaultPlan(seed)
        self.calls: list[Call] = []
        self._router = Router(())

    def route(self, operations: Sequence[Operation]) -> None:
        self._router = Router((*operations, *self._control_operations()))

    @property
    def trust_bundle_pem(self) -> bytes:
        return self.pki.trust_bundle_pem()

    def _control_operations(self) -> list[Operation]:
        return [
            Operation("_faults", "GET", "/_sandbox/faults", self._list_faults),
            Operation("_faults", "POST", "/_sandbox/faults", self._add_fault),
            Operation("_faults", "DELETE", "/_sandbox/faults", self._clear_faults),
            Operation("_calls", "GET", "/_sandbox/calls", self._list_calls),
            Operation("_trust", "GET", "/_sandbox/trust.pem", self._trust),
        ]

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response([fault.model_dump(mode="json") for fault in self.faults.active])

    async def _add_fault(self, request: web.Request) -> web.Response:
        self.faults.add(validated(Fault, await request.read()))
        return web.Response(status=204)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.faults.clear()
        return web.Response(status=204)

    async def _list_calls(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(call) for call in self.calls])

    async def _trust(self, _: web.Request) -> web.Response:
        return web.Response(body=self.trust_bundle_pem, content_type="application/x-pem-file")

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.lower().startswith("/_sandbox"):
            return await self._answered(request)
        answer: web.StreamResponse | None = None
        try:
            answer = await self._answered(request)
        finally:
            name = request.get(OPERATION_KEY, "")
            status = 0 if answer is None or isinstance(answer, _CutOff) else answer.status
            self.calls.append(Call(request.method, path, status, name, time.monotonic()))
        return answer

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        try:
            operation, parameters = self._router.find(request.method, request.path)
            request[OPERATION_KEY] = operation.name
            request.match_info.update(parameters)
            if request.path.lower().startswith("/_sandbox"):
                return await operation.handler(request)
            return await self._run_with_faults(request, operation)
        except Problem as problem:
            return problem.response()

    async def _run_with_faults(self, request: web.Request, operation: Operation) -> web.StreamResponse:
        if operation.name.startswith("_"):
            return await self._run(request, operation)  # pages for people are not part of the provider's API
        faults = {fault.kind: fault for fault in self.faults.take(operation.name)}
        if slow := faults.get(FaultKind.SLOW):
            await asyncio.sleep(slow.seconds or 0)
        if FaultKind.HANG_UP_BEFORE in faults:
            return _hang_up(request)
        if refused := faults.get(FaultKind.STATUS):
            await request.read()
            raise fault_problem(refused)
        answer = await self._run(request, operation)
        if slow := faults.get(FaultKind.SLOW_ANSWER):
            await asyncio.sleep(slow.seconds or 0)
        if FaultKind.LOST_ANSWER in faults:
            return _hang_up(request)
        if refused := faults.get(FaultKind.STATUS_AFTER):
            raise fault_problem(refused)
        for kind in (FaultKind.CORRUPT, FaultKind.TRUNCATE):
            if kind in faults:
                answer = damaged(answer, faults[kind])
        return answer

    async def _run(self, request: web.Request, operation: Operation) -> web.StreamResponse:
        try:
            return await operation.handler(request)
        except Problem as problem:
            return problem.response()


class _CutOff(web.Response):
    """Stands for an answer that nobody will see."""


def _hang_up(request: web.Request) -> _CutOff:
    """Drop the connection; aiohttp notices that nobody is left to answer."""
    if request.transport is not None:
        request.transport.abort()
    return _CutOff(status=500)


def validated(model: type[Model], raw: bytes) -> Model:
    """The JSON body as `model`, types taken literally. Raises Problem 400 naming the fields at fault."""
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as failure:
        errors: dict[str, list[str]] = {}
        for one in failure.errors(include_url=False, include_input=False):
            errors.setdefault(".".join(str(part) for part in one["loc"]) or "$", []).append(one["msg"])
        raise Problem(400, "One or more validation errors occurred.", errors=errors) from failure


def loopback_socket(port: int) -> socket.socket:
    """A bound socket, so that the address is known before anything that contains it is made."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


@asynccontextmanager
async def serving(server: SandboxServer, listener: socket.socket) -> AsyncIterator[None]:
    """Answer calls until the block is left."""
    app = web.Application(client_max_size=_MAX_BODY)
    app.add_routes(server.responder.routes())
    app.router.add_route("*", "/{path:.*}", server.dispatch)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
