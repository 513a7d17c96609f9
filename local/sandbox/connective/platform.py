"""What every operation needs: who calls, find things or answer 404, read bodies, answer errors, tell about changes."""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.sandbox.answers import Problem
from local.sandbox.connective import lifecycle
from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.connective.state import Actor, Package, State
from local.sandbox.connective.wire import ActorStatus, JsonObject, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.connective.callbacks import CallbackDesk
    from local.sandbox.connective.options import Options
    from local.sandbox.faults import FaultPlan

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Platform:
    """State and services, shared by the operations, the control routes and the pages."""

    state: State
    options: Options
    callbacks: CallbackDesk
    faults: FaultPlan
    base_url: str
    username: str
    password: str = field(repr=False)
    monotonic: Callable[[], float] = time.monotonic
    _calls: deque[float] = field(default_factory=deque)

    # ----------------------------------------------------------------------------------------------- callers

    def guarded(self, handler: Handler) -> Handler:
        """The operation behind 1 Basic credentials and 2 the limit of calls, its conflicts made answers."""

        async def run(request: web.Request) -> web.StreamResponse:
            self._check_credentials(request)  # 1
            self._count()  # 2
            try:
                return await handler(request)
            except Conflict as conflict:
                package_id = request.match_info.get("packageId", "")
                raise self.refusal(409, f"{conflict.code}:{package_id}", str(conflict)) from conflict

        return run

    def _check_credentials(self, request: web.Request) -> None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True)
        except binascii.Error:
            given = b""
        wanted = f"{self.username}:{self.password}".encode()
        if scheme.lower() != "basic" or not secrets.compare_digest(given, wanted):
            raise Problem(401, "Unauthorized", headers={"WWW-Authenticate": 'Basic realm="esig"'}, empty=True)

    def _count(self) -> None:
        now, window = self.monotonic(), self.options.rate_window_seconds
        while self._calls and self._calls[0] <= now - window:
            self._calls.popleft()
        if len(self._calls) >= self.options.rate_limit:
            wait = self._calls[0] + window - now if self._calls else window
            raise Problem(429, "Too many calls", headers={"Retry-After": str(max(1, math.ceil(wait)))}, empty=True)
        self._calls.append(now)

    # ---------------------------------------------------------------------------------------------- answers

    def refusal(self, status: int, code: str, message: str) -> Problem:
        """An error in the form that the options choose (spec connective 5.1)."""
        one = {"ErrorCode": code, "Message": message}
        match self.options.error_form:
            case "single":
                return Problem(status, message, body=one)
            case "empty":
                return Problem(status, message, empty=True)
            case "array":
                return _TextProblem(status, json.dumps([{"ErrorCode": code, "ErrorMessage": message}]))
            case "html":
                return _TextProblem(status, "<html><body>Something went wrong</body></html>", "text/html")
            case _:
                return Problem(status, message, body={"Errors": [one]})

    def not_found(self, what: str, the_id: str) -> Problem:
        return self.refusal(404, f"{what}.NotFound:{the_id}", f"There is no such {what.lower()}.")

    async def read(self, model: type[Model], request: web.Request) -> Model:
        """The JSON body as `model`. Raises Problem 400, naming the first field at fault."""
        if request.content_type != "application/json":
            raise self.refusal(400, "Request.InvalidParameter:Content-Type", "The body has to be JSON.")
        try:
            return model.model_validate_json(await request.read())
        except ValidationError as failure:
            first = failure.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"]) or "body"
            kind = "Missing" if first["type"] == "missing" else "Invalid"
            raise self.refusal(400, f"Request.{kind}Parameter:{name}", f"{name}: {first['msg']}") from failure

    # ---------------------------------------------------------------------------------------------- lookups

    def package(self, request: web.Request, *, missing: int = 404) -> Package:
        wanted = next(value for name, value in request.match_info.items() if name.lower() in {"id", "packageid"})
        return self.package_by_id(wanted, missing=missing)

    def package_by_id(self, package_id: str, *, missing: int = 404) -> Package:
        found = self.state.packages.get(package_id.lower())
        if found is None:
            raise self.refusal(missing, f"Package.NotFound:{package_id}", "There is no such package.")
        self._pass_time(found)
        return found

    def _pass_time(self, package: Package) -> None:
        is_over = package.expiry is not None and package.expiry <= self.state.now()
        if package.status is Status.PENDING and is_over:
            lifecycle.expire(package)
            self.announce_end(package)

    def pass_time(self) -> None:
        for package in list(self.state.packages.values()):
            self._pass_time(package)

    # -------------------------------------------------------------------------------------------- happenings

    def send(self, package: Package) -> None:
        lifecycle.send(self.state, package, ActorStatus(self.options.waiting_status))

    def announce(self, package: Package) -> None:
        """An action was completed (spec connective 3)."""
        self.callbacks.announce(package)

    def announce_end(self, package: Package) -> None:
        if self.options.announce_ends:
            self.callbacks.announce(package)

    def link(self, token: str | None) -> str | None:
        return None if token is None else f"{self.base_url}/signinit?token={token}"

    def actor_by_id(self, package: Package, actor_id: str) -> Actor:
        found = next((one for one in package.actors if one.id == actor_id), None)
        if found is None:
            raise self.not_found("Actor", actor_id)
        return found


class _TextProblem(Problem):
    def __init__(self, status: int, text: str, content_type: str = "application/json") -> None:
        super().__init__(status, text)
        self.text, self.content_type = text, content_type

    def response(self) -> web.Response:
        return web.Response(status=self.status, text=self.text, content_type=self.content_type)


def json_answer(content: JsonObject, status: int = 200) -> web.Response:
    return web.json_response(content, status=status)
