"""Operations by way of our own endpoint, for walks that were written for a provider or its client.

Arguments go in as a caller's JSON, answers come back as what the caller would read: everything that
`POST /api/accounts/{account}/operations/{operationId}` has to carry is carried.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from shared.api import catalogue
from shared.api.answers import Answer, FileAnswer
from shared.ports import App, Download, OperationAnswer, OperationFile
from shared.providers import operations_of
from shared.providers.operation import FileUpload, ListOf, Operation
from tests.bench.in_process import InProcess

# How a caller may wish for a file.
MODES = (None, "base64", "blob")


@dataclass
class ThroughTheApp:
    """One account of the app. `operate` is shaped like a provider's; the client of `client` like a provider's own."""

    running: InProcess
    account: str
    # Operation ids in the order of their calls, and the forms in which files were asked for.
    called: list[str] = field(default_factory=list)
    modes: set[str | None] = field(default_factory=set)

    @property
    def client(self) -> ClientThroughTheApp:
        return ClientThroughTheApp(self)

    @asynccontextmanager
    async def operate(self, operation_id: str, arguments: Mapping[str, object]) -> AsyncIterator[OperationAnswer]:
        body = json.dumps(_as_json(arguments)).encode()
        self.called.append(operation_id)
        operation = operations_of(self._app.provider(self.account).name)[operation_id]
        if operation.is_download:
            yield await self._file_in_each_form(operation_id, body)
        else:
            answer = await self._answered(operation_id, body, None)
            assert operation.answers.keys() >= {answer["status"]}
            yield OperationAnswer(answer["status"], content=answer["answer"])

    @property
    def _app(self) -> App:
        return self.running.deployment.app

    async def _answered(self, operation_id: str, body: bytes, mode: str | None) -> Mapping[str, Any]:
        answer = await catalogue.operate(self._app, self.account, operation_id, body, mode)
        assert isinstance(answer, Answer)
        content: Mapping[str, Any] = json.loads(answer.encoded())
        assert answer.status == 200, f"{operation_id}: {content}"
        return content

    async def _file_in_each_form(self, operation_id: str, body: bytes) -> OperationAnswer:
        """The file, which has to be the same however it was asked for."""
        forms = {mode: await self._file(operation_id, body, mode) for mode in MODES}
        self.modes |= forms.keys()
        (media_type,) = {kind for kind, _ in forms.values()}
        (content,) = {content for _, content in forms.values()}

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return OperationAnswer(200, download=Download(chunks(), media_type, len(content)))

    async def _file(self, operation_id: str, body: bytes, mode: str | None) -> tuple[str, bytes]:
        if mode is None:
            answer = await catalogue.operate(self._app, self.account, operation_id, body, None)
            assert isinstance(answer, FileAnswer), answer.body
            return answer.media_type, answer.body
        said = (await self._answered(operation_id, body, mode))["answer"]
        if mode == "base64":
            return said["$content-type"], base64.b64decode(said["$content"], validate=True)
        return said["mediaType"], await self._app.documents.read_staged(said["blob"])


@dataclass(frozen=True)
class AppReply:
    status: int
    value: Any


@dataclass(frozen=True)
class FileReply:
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class ClientThroughTheApp:
    """What walks use of `ProviderClient`."""

    provider: ThroughTheApp

    async def call(
        self, operation: Operation, arguments: Mapping[str, object] | None = None, /, **named: object
    ) -> AppReply:
        async with self.provider.operate(operation.id, {**(arguments or {}), **named}) as answer:
            return AppReply(answer.status, _value(operation, answer))

    @asynccontextmanager
    async def stream(
        self, operation: Operation, arguments: Mapping[str, object] | None = None, /, **named: object
    ) -> AsyncIterator[FileReply]:
        async with self.provider.operate(operation.id, {**(arguments or {}), **named}) as answer:
            assert answer.download is not None
            yield FileReply(answer.download.chunks)


def _value(operation: Operation, answer: OperationAnswer) -> object:
    """The JSON read into the operation's own model of its answer."""
    form = operation.answers[answer.status]
    if isinstance(form, ListOf):
        assert isinstance(answer.content, list)
        return [form.item.model_validate_json(json.dumps(one)) for one in answer.content]
    if isinstance(form, type) and issubclass(form, BaseModel):
        return form.model_validate_json(json.dumps(answer.content))
    return answer.content


def _as_json(value: object) -> object:
    """As a caller writes it down."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, OperationFile | FileUpload):
        return {"name": value.name, "mediaType": value.media_type, "content": _as_json(value.content)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _as_json(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    return value
