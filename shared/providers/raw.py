"""Any operation of a provider's own API by its id: the way around the neutral model, with the same checks and verdicts.

Arguments are one object: parameters by the operation's own names, the JSON body under `body`, an upload under `file`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from pydantic import BaseModel

from shared.domain.errors import FieldError, InvalidRequest, NotFound, OutcomeUnknown, Unavailable
from shared.ports import Download, OperationAnswer, OperationFile
from shared.providers.http import ProviderClient, Reply
from shared.providers.operation import FileUpload, MultipartFile, Operation, RawFile

BODY = "body"
FILE = "file"


@asynccontextmanager
async def operate(
    operations: Mapping[str, Operation],
    client_of: Callable[[Operation], ProviderClient],
    operation_id: str,
    arguments: Mapping[str, object],
) -> AsyncIterator[OperationAnswer]:
    """Makes one call. Raises NotFound for an unknown operation, InvalidRequest for arguments that do not fit it
    (nothing is sent then), OutcomeUnknown when no answer came to an operation that is not safe to repeat (a caller's
    platform would repeat what looks temporary), else ProviderError."""
    operation = operations.get(operation_id)
    if operation is None:
        raise NotFound(f"There is no operation {operation_id}.", next_step="GET /api/providers lists all operations.")
    client = client_of(operation)
    named = {name: value for name, value in arguments.items() if name not in (BODY, FILE)}
    if operation.is_download and operation.body is None:
        async with client.stream(operation, named) as file:
            yield OperationAnswer(file.status, download=Download(file.chunks, file.media_type, file.length))
        return
    body, upload = _body(operation, arguments), _file(operation, arguments)
    try:
        reply = await client.call(operation, named, body=body, file=upload)
    except Unavailable as error:
        if error.sent and not operation.safe_to_repeat:
            raise OutcomeUnknown(error.detail, provider_status_code=error.provider_status_code) from error
        raise
    yield OperationAnswer(reply.status, content=plain(reply))


def _body(operation: Operation, arguments: Mapping[str, object]) -> Mapping[str, object] | None:
    body = arguments.get(BODY)
    if body is None:
        return None
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body is not an object.", fields=[FieldError(BODY, "expected an object")])
    if operation.body is None or isinstance(operation.body, MultipartFile | RawFile):
        raise InvalidRequest(f"{operation.id} takes no JSON body.", fields=[FieldError(BODY, "not expected")])
    return body


def _file(operation: Operation, arguments: Mapping[str, object]) -> FileUpload | None:
    file = arguments.get(FILE)
    if file is None:
        return None
    if not isinstance(file, OperationFile) or not isinstance(operation.body, MultipartFile | RawFile):
        raise InvalidRequest(f"{operation.id} takes no file.", fields=[FieldError(FILE, "not expected")])
    return FileUpload(file.name, file.media_type, file.content)


def plain(reply: Reply) -> object:
    """The answer as JSON values, under the provider's own names."""
    if isinstance(reply.value, list):
        return [one.model_dump(mode="json", by_alias=True) for one in reply.value]
    if isinstance(reply.value, BaseModel):
        return reply.value.model_dump(mode="json", by_alias=True)
    return reply.value
