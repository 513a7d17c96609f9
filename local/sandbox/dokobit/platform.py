"""What every operation needs: the token check of both surfaces, bodies, lookups, and errors in the vendor's shape."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from local.sandbox import pdf
from local.sandbox.answers import Problem
from local.sandbox.dokobit import wire
from local.sandbox.dokobit.state import File, Signing, State
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp import web

    from local.sandbox.dokobit.callbacks import PostbackDesk
    from local.sandbox.dokobit.options import Options
    from local.sandbox.faults import FaultPlan

CONNECTOR, UNIVERSAL = "/api/connector", "/api"
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Platform:
    """State and services, shared by the operations, the control routes and the pages."""

    base_url: str
    access_token: str
    state: State
    options: Options
    postbacks: PostbackDesk
    faults: FaultPlan

    def check_token(self, request: web.Request) -> None:
        """The connector wants the token in a header, the Universal API in the query; neither accepts the other."""
        place = request.headers if is_connector(request) else request.query
        given = place.get("X-Access-Token" if is_connector(request) else "access_token", "")
        if not secrets.compare_digest(given.encode(), self.access_token.encode()):
            raise failed("Invalid access token", status=self.options.unauthorised)

    async def body(self, model: type[Model], request: web.Request) -> Model:
        """Checks the token first. Raises Problem 400 naming the fields at fault."""
        self.check_token(request)
        return parsed(model, await request.read(), request)

    def signing(self, request: web.Request, *flows: str) -> Signing:
        self.check_token(request)
        found = self.state.signings.get(request.match_info["token"])
        if found is None or (flows and found.flow not in flows):
            raise self.unknown()
        return found

    def unknown(self) -> Problem:
        return failed("Unknown token", status=self.options.unknown_token)

    async def take_in(self, request: web.Request, files: Sequence[wire.File], kind: str) -> list[File]:
        """Decoded and looked at. Raises Problem 400."""
        if kind == "pdf" and len(files) > 1 and not self.options.several_pdfs:
            raise failed("Only one file is allowed for type pdf", field="files")
        return [await self._file(request, one, kind, f"files[{at}]") for at, one in enumerate(files)]

    async def _file(self, request: web.Request, file: wire.File, kind: str, path: str) -> File:
        content = decoded(file, path)
        check_digest(request, file, path)
        if len(content) > self.options.max_document_bytes:
            raise failed("The file is too large", field=f"{path}.content")
        if kind == "pdf":
            try:
                await asyncio.to_thread(pdf.inspect_pdf, content)
            except (pdf.NotAPdf, pdf.ProtectedPdf) as error:
                raise failed("The file is not a usable PDF", field=f"{path}.content") from error
        return File(file.name, content, content)


def both(
    name: str, method: str, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> list[Operation]:
    """One operation on both surfaces."""
    full = f"DokobitUniversalAPI{name}"
    return [Operation(full, method, f"{base}{path}", handler) for base in (CONNECTOR, UNIVERSAL)]


def is_connector(request: web.Request) -> bool:
    return request.path.lower().startswith(CONNECTOR + "/")


def failed(message: str, *, field: str | None = None, status: int = 400, code: int = 0) -> Problem:
    """ErrorBody of the published definition."""
    body: wire.JsonObject = {"status": "error", "message": message, "error_code": code}
    if field is not None:
        body["errors"] = [{"message": message, "error_code": code, "field": field}]
    return Problem(status, message, body=body)


def parsed(model: type[Model], raw: bytes, request: web.Request) -> Model:
    if raw and request.content_type != "application/json":
        raise failed("The body must be application/json")
    try:
        return model.model_validate_json(raw or b"{}", strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        named = [{"message": one["msg"], "error_code": 0, "field": _path(one["loc"])} for one in problems]
        body = {"status": "error", "message": "Validation failed", "error_code": 0, "errors": named}
        raise Problem(400, "Validation failed", body=body) from error


def decoded(file: wire.File, path: str) -> bytes:
    try:
        content = file.decoded()
    except ValueError as error:
        raise failed(f"The content {error}", field=f"{path}.content") from error
    if not content:
        raise failed("The file is empty", field=f"{path}.content")
    return content


def check_digest(request: web.Request, file: wire.File, path: str) -> None:
    """The connector knows no digest; the Universal API insists on one (spec dokobit 1.1)."""
    if is_connector(request) and file.digest is not None:
        raise failed("Unknown field", field=f"{path}.digest")
    if not is_connector(request) and not file.has_right_digest():
        raise failed("The digest is missing or wrong", field=f"{path}.digest")


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")
