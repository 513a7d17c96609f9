"""Files inside a JSON body: raw bytes in memory, base64 only in the small pieces that go out.

A body model declares such a field as `Base64File`. Written in the ordinary way it is base64 text; `written` writes the
model around its files instead, so that a large document is never held in a second form.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

# Divisible by three, so that the pieces of base64 fit together.
_PIECE_BYTES = 48 * 1024


class _Holder:
    """Takes the files out of a model while it is written, and leaves a mark for each."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self.files: list[bytes] = []

    def hold(self, content: bytes) -> str:
        self.files.append(content)
        return self.mark


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _encoded(content: bytes, info: SerializationInfo) -> str:
    if isinstance(info.context, _Holder):
        return info.context.hold(content)
    return base64.b64encode(content).decode("ascii")


Base64File = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(_encoded, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "byte"}),
]


@dataclass(frozen=True)
class JsonWithFiles:
    """`texts` are the parts of the JSON around the `files`: one more than there are files."""

    texts: tuple[bytes, ...] = field(repr=False)
    files: tuple[bytes, ...] = field(repr=False)

    @property
    def length(self) -> int:
        return sum(map(len, self.texts)) + sum((len(one) + 2) // 3 * 4 for one in self.files)

    def pieces(self) -> Iterator[bytes]:
        """The whole JSON, a little at a time."""
        yield self.texts[0]
        for file, text in zip(self.files, self.texts[1:], strict=True):
            whole = memoryview(file)
            for start in range(0, len(whole), _PIECE_BYTES):
                yield base64.b64encode(whole[start : start + _PIECE_BYTES])
            yield text


def written(body: BaseModel) -> bytes | JsonWithFiles:
    """The JSON of `body`, around its files where it has any."""
    holder = _Holder()
    text = body.model_dump_json(by_alias=True, exclude_none=True, context=holder).encode()
    if not holder.files:
        return text
    return JsonWithFiles(tuple(text.split(holder.mark.encode())), tuple(holder.files))
