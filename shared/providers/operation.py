"""One operation of a provider's API as data, and the pure step from arguments to a call that can be sent.

A provider's `operations.py` is a table of these. The client, the raw-operation endpoint, the OpenAPI document, the
completeness tests and the simulators' contract tests are all read from that table, so nothing about an operation may be
known elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Final, Literal
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ValidationError

from shared.domain.errors import FieldError, InvalidRequest
from shared.providers.json_files import JsonWithFiles, written

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Location(StrEnum):
    PATH = "path"
    QUERY = "query"
    HEADER = "header"


class ParameterType(StrEnum):
    STRING = "string"
    GUID = "guid"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE_TIME = "date-time"


@dataclass(frozen=True)
class Parameter:
    """`values` lists the only ones allowed, when there is such a list."""

    name: str
    location: Location
    type: ParameterType = ParameterType.STRING
    required: bool = False
    description: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class MultipartFile:
    """A body that is one uploaded file in a `multipart/form-data` part called `field`."""

    field: str
    description: str = ""


@dataclass(frozen=True)
class RawFile:
    """A body that is the bytes of one file and nothing else, of one of these media types."""

    media_types: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True)
class ListOf:
    """An answer that is a JSON array."""

    item: type[BaseModel]


class Plain(Enum):
    """Answers that are not JSON of a known shape."""

    BYTES = "bytes"  # a file: only `ProviderClient.stream` reads it
    TEXT = "text"  # read whole, as text: for answers whose form is not published


BYTES: Final = Plain.BYTES
TEXT: Final = Plain.TEXT

AnswerForm = type[BaseModel] | ListOf | Plain | None


@dataclass(frozen=True)
class Operation:
    """`body` is what goes in, `answers` what comes out per success status (None: nothing to read).

    `internal` marks what the provider hides from its own connector. `safe_to_repeat` is True when a second, identical
    call has no second effect. `errors` gives the documented failure statuses with their meaning; the verdict on each
    status is the same for all operations and made in `http.py`.
    """

    id: str
    method: Method
    path: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | MultipartFile | RawFile | None = None
    answers: Mapping[int, AnswerForm] = field(default_factory=dict)
    internal: bool = False
    safe_to_repeat: bool = False
    errors: Mapping[int, str] = field(default_factory=dict)
    body_required: bool = True

    @property
    def is_download(self) -> bool:
        return BYTES in self.answers.values()

    def parameter(self, name: str) -> Parameter | None:
        return next((one for one in self.parameters if one.name == name), None)


@dataclass(frozen=True)
class FileUpload:
    """The file of a multipart or raw body. `content` is kept as it is, never copied."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class PreparedCall:
    """Everything about one call but host and credentials. Values may be personal or secret: never log one."""

    operation: Operation
    path: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: bytes | JsonWithFiles | None = field(default=None, repr=False)
    file: FileUpload | None = None


def prepare(
    operation: Operation,
    values: Mapping[str, object],
    *,
    body: BaseModel | Mapping[str, object] | None = None,
    file: FileUpload | None = None,
) -> PreparedCall:
    """The call that `values`, `body` and `file` make of `operation`. A value of None counts as left out.

    Raises InvalidRequest naming every parameter or body field that is unknown, missing or of the wrong kind.
    """
    given = {name: value for name, value in values.items() if value is not None}
    problems = [FieldError(name, "unknown parameter") for name in given if operation.parameter(name) is None]
    texts: dict[str, str] = {}
    for parameter in operation.parameters:
        if parameter.name in given:
            text, problem = _text_of(parameter, given[parameter.name])
            texts[parameter.name] = text
            problems += [FieldError(parameter.name, problem)] if problem else []
        elif parameter.required:
            problems.append(FieldError(parameter.name, "required"))
    json, body_problems = _body_of(operation, body, file)
    problems += body_problems
    if problems:
        named = ", ".join(f"{one.field} ({one.message})" for one in problems)
        raise InvalidRequest(f"{operation.id} cannot be called like this: {named}.", fields=problems)
    return PreparedCall(
        operation,
        _path_of(operation, texts),
        tuple(_located(operation, texts, Location.QUERY).items()),
        _located(operation, texts, Location.HEADER),
        json,
        file,
    )


def _located(operation: Operation, texts: Mapping[str, str], location: Location) -> dict[str, str]:
    wanted = (one.name for one in operation.parameters if one.location is location)
    return {name: texts[name] for name in wanted if name in texts}


def _path_of(operation: Operation, texts: Mapping[str, str]) -> str:
    path = operation.path
    for name, text in _located(operation, texts, Location.PATH).items():
        path = path.replace(f"{{{name}}}", quote(text, safe=""))
    return path


def _text_of(parameter: Parameter, value: object) -> tuple[str, str | None]:
    """The value as it goes over the wire, and what is wrong with it."""
    text = _as_text(value)
    if text is None or not _fits(parameter.type, text, value):
        return "", f"expected {parameter.type}"
    if parameter.values and text not in parameter.values:
        return "", f"expected one of {', '.join(parameter.values)}"
    # An empty or dotted segment would change which address is called, however it is encoded.
    if parameter.location is Location.PATH and text in ("", ".", ".."):
        return "", "must name something"
    if parameter.location is Location.HEADER and not text.isprintable():
        return "", "expected printable text"
    return text, None


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _utc_text(value)
    return str(value) if isinstance(value, str | int | float | UUID) else None


def _fits(kind: ParameterType, text: str, value: object) -> bool:
    try:
        match kind:
            case ParameterType.GUID:
                UUID(text)
            case ParameterType.INTEGER:
                int(text)
            case ParameterType.NUMBER:
                float(text)
            case ParameterType.BOOLEAN:
                return text in ("true", "false")
            case ParameterType.DATE_TIME:
                return isinstance(value, datetime) or datetime.fromisoformat(text).tzinfo is not None
            case ParameterType.STRING:
                return True
    except ValueError:
        return False
    return True


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _body_of(
    operation: Operation, body: BaseModel | Mapping[str, object] | None, file: FileUpload | None
) -> tuple[bytes | JsonWithFiles | None, list[FieldError]]:
    problems = _file_problems(operation, file)
    model = operation.body if isinstance(operation.body, type) else None
    if model is None:
        return None, [
            *problems,
            *([FieldError("body", "this operation takes no JSON body")] if body is not None else []),
        ]
    if body is None:
        return None, [*problems, *([FieldError("body", "required")] if operation.body_required else [])]
    try:
        valid = body if isinstance(body, model) else model.model_validate(body)
    except ValidationError as error:
        return None, [*problems, *(_field_error(one["loc"], one["msg"]) for one in error.errors(include_input=False))]
    return written(valid), problems


def _file_problems(operation: Operation, file: FileUpload | None) -> list[FieldError]:
    wanted = operation.body
    if isinstance(wanted, MultipartFile):
        return [FieldError(wanted.field, "required")] if file is None else []
    if isinstance(wanted, RawFile):
        if file is None:
            return [FieldError("file", "required")]
        fits = file.media_type in wanted.media_types
        return [] if fits else [FieldError("file", f"expected {' or '.join(wanted.media_types)}")]
    return [] if file is None else [FieldError("file", "this operation takes no file")]


def _field_error(loc: tuple[int | str, ...], message: str) -> FieldError:
    path = "body" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return FieldError(path, message)
