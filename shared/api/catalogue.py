"""`GET /api/providers`, `GET /api/accounts`, `POST /api/accounts/{account}/operations/{operationId}`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import BaseModel

from shared import telemetry
from shared.api.answers import Answer, FileAnswer, answered, problem
from shared.api.start_request import media_type_of
from shared.domain.blob_address import is_plain
from shared.domain.capabilities import Capabilities
from shared.domain.circuits import Standing, merged
from shared.domain.errors import CountersignError, FieldError, InvalidRequest, NotFound
from shared.ports import App, Download, OperationAnswer, OperationFile, SigningProvider
from shared.providers import PROVIDERS, operations_of
from shared.providers.operation import ListOf, MultipartFile, Operation, Plain, RawFile

# What an operation answers is held in memory to become an HTTP answer; larger files go to blob storage.
_MAX_INLINE_BYTES = 50 * 1024 * 1024
_MODES = ("file", "base64", "blob")
# A provider that hangs must not keep the caller who wants to know about it.
_REACH_SECONDS = 5.0
# What callers have put there, and what operations have answered with: never what is stored for a signing.
_READABLE = ("inbox/", "staging/operations/")


async def providers() -> Answer:
    """Every provider of the catalogue: what it can do, and all operations of its API with their JSON Schemas."""
    view = [
        {
            "name": name,
            "capabilities": capabilities_view(entry.capabilities),
            "operations": [operation_view(one) for one in operations_of(name).values()],
        }
        for name, entry in PROVIDERS.items()
    ]
    return Answer(200, {"providers": view})


async def accounts(app: App) -> Answer:
    """The configured accounts and whether their provider takes their credentials. No secrets."""

    async def work() -> Answer:
        views = await asyncio.gather(*(_account_view(app, one) for one in app.providers.values()))
        return Answer(200, {"accounts": views})

    return await answered(work)


async def _account_view(app: App, provider: SigningProvider) -> dict[str, Any]:
    is_reachable, standings = await asyncio.gather(_is_reachable(provider), app.circuits.read(provider.account))
    return {
        "account": provider.account,
        "provider": provider.name,
        "reachable": is_reachable,
        "circuit": _circuit_view(merged(standings, app.now())),
        "capabilities": capabilities_view(provider.capabilities),
    }


async def _is_reachable(provider: SigningProvider) -> bool:
    try:
        async with asyncio.timeout(_REACH_SECONDS):
            return await provider.is_reachable()
    except TimeoutError:
        return False


def _circuit_view(standing: Standing) -> dict[str, Any]:
    return {
        "state": standing.state,
        "since": standing.since,
        "until": standing.until,
        "reason": standing.reason,
        "failures": standing.failures,
    }


def capabilities_view(can: Capabilities) -> dict[str, Any]:
    """Capabilities as JSON, in the callers' words."""
    return {
        "roles": sorted(can.roles),
        "placements": sorted(can.placements),
        "formats": sorted(can.formats),
        "mediaTypes": sorted(can.media_types),
        "languages": sorted(can.languages),
        "actions": sorted(can.actions),
        "options": sorted(can.options),
        "ordered": can.ordered,
        "severalDocuments": can.several_documents,
        "deadline": can.deadline,
        "message": can.message,
        "participantMessage": can.participant_message,
        "phoneRequired": can.phone_required,
        "strongIdentity": can.strong_identity,
        "qualifiedOnly": can.qualified_only,
        "evidence": can.evidence,
        "signedCallbacks": can.signed_callbacks,
        "titleLength": list(can.title_length),
    }


def operation_view(operation: Operation) -> dict[str, Any]:
    """One operation with the JSON Schemas of what goes in and comes out."""
    return {
        "id": operation.id,
        "method": operation.method,
        "path": operation.path,
        "summary": operation.summary,
        "parameters": [
            {
                "name": one.name,
                "in": one.location,
                "type": one.type,
                "required": one.required,
                "description": one.description,
                "values": list(one.values),
            }
            for one in operation.parameters
        ],
        "body": _body_view(operation),
        "answers": {str(status): _answer_view(form) for status, form in operation.answers.items()},
        "errors": {str(status): meaning for status, meaning in operation.errors.items()},
        "safeToRepeat": operation.safe_to_repeat,
    }


def _body_view(operation: Operation) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    if isinstance(operation.body, MultipartFile | RawFile):
        return {"file": True}
    return operation.body.model_json_schema()


def _answer_view(form: object) -> dict[str, Any] | None:
    if form is None:
        return None
    if isinstance(form, Plain):
        return {"form": form.value}
    if isinstance(form, ListOf):
        return {"type": "array", "items": form.item.model_json_schema()}
    if isinstance(form, type) and issubclass(form, BaseModel):
        schema: dict[str, Any] = form.model_json_schema()
        return schema
    raise TypeError(f"an answer of an unknown form: {form!r}")


async def operate(app: App, account: str, operation_id: str, body: bytes, mode: str | None) -> Answer | FileAnswer:
    """Runs one operation. A file comes back as it is (`file`), as `{"$content-type", "$content"}` (`base64`), or as the
    address of a blob (`blob`), which has no limit of size."""
    try:
        if mode is not None and mode not in _MODES:
            raise InvalidRequest("The answer cannot be given like that.", fields=[FieldError("as", ", ".join(_MODES))])
        provider = app.provider(account.lower())
        arguments = await _arguments(app, body)
        async with provider.operate(operation_id, arguments) as done:
            telemetry.info("operation_run", account=provider.account, operation=operation_id, status=done.status)
            return await _view(app, operation_id, done, mode or "file")
    except CountersignError as error:
        telemetry.info("request_refused", code=error.code, operation=operation_id)
        return problem(error)


async def _arguments(app: App, body: bytes) -> dict[str, object]:
    try:
        content = json.loads(body) if body.strip() else {}
    except ValueError:
        raise InvalidRequest("The body is not JSON.", code="invalid_json") from None
    if not isinstance(content, dict):
        raise InvalidRequest("The arguments are one JSON object.", code="invalid_json")
    file = content.get("file")
    return content if file is None else {**content, "file": await _file(app, file)}


async def _file(app: App, file: object) -> OperationFile:
    """`{"name", "content": base64}` or `{"name", "blob": address}` with a blob that an operation or a caller staged."""
    if not isinstance(file, Mapping) or not isinstance(file.get("name"), str):
        raise InvalidRequest("The file does not fit.", fields=[FieldError("file", "an object with name and content")])
    name, blob, text = file["name"], file.get("blob"), file.get("content")
    if isinstance(blob, str):
        if not blob.startswith(_READABLE) or not is_plain(blob):
            raise NotFound("There is no such blob for operations.", next_step="Put the file into container inbox.")
        content = await app.documents.read_staged(blob, max_bytes=_MAX_INLINE_BYTES)
    elif isinstance(text, str):
        try:
            content = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise InvalidRequest("The file does not fit.", fields=[FieldError("file.content", "not base64")]) from None
    else:
        raise InvalidRequest("The file does not fit.", fields=[FieldError("file", "needs content or blob")])
    media_type = file.get("mediaType")
    return OperationFile(name, media_type if isinstance(media_type, str) else media_type_of(content), content)


async def _view(app: App, operation_id: str, done: OperationAnswer, mode: str) -> Answer | FileAnswer:
    if done.download is None:
        return Answer(200, {"status": done.status, "answer": done.content})
    if mode == "blob":
        return await _to_blob(app, operation_id, done.status, done.download)
    content = await _whole(done.download)
    if mode == "base64":
        encoded = base64.b64encode(content).decode()
        value = {"$content-type": done.download.media_type, "$content": encoded}
        return Answer(200, {"status": done.status, "answer": value})
    return FileAnswer(200, content, done.download.media_type)


async def _whole(download: Download) -> bytes:
    content = bytearray()
    async for chunk in download.chunks:
        content += chunk
        if len(content) > _MAX_INLINE_BYTES:
            raise InvalidRequest("The file is too large for a direct answer.", fields=[FieldError("as", "use blob")])
    return bytes(content)


async def _to_blob(app: App, operation_id: str, status: int, download: Download) -> Answer:
    blob = f"staging/operations/{app.random_bytes(16).hex()}/{operation_id}"

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in download.chunks:
            yield chunk

    written = await app.documents.write_once(blob, chunks(), media_type=download.media_type, tags={})
    view = {"blob": written.blob, "size": written.size, "sha256": written.sha256, "mediaType": download.media_type}
    return Answer(200, {"status": status, "answer": view})
