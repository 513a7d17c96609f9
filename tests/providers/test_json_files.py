"""Files inside JSON bodies: the same bytes on the wire as ever, made a little at a time."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from shared.providers.http import CallBudget, HttpPool, ProviderClient
from shared.providers.json_files import Base64File, JsonWithFiles, written
from shared.providers.operation import Operation, prepare
from tests.providers.stand_ins import FixedAuth, ScriptedServer


class Upload(BaseModel):
    name: str
    file: Base64File = Field(repr=False)
    others: tuple[Base64File, ...] = ()
    note: str | None = None


OPERATION = Operation("Upload", "POST", "/documents", "Upload", body=Upload, answers={200: None})


@pytest.mark.parametrize("size", [0, 1, 2, 3, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 200_000])
def test_pieces_make_the_ordinary_json(size: int) -> None:
    body = Upload(name='a "name" é', file=bytes(range(256)) * (size // 256) + b"x" * (size % 256), others=(b"1", b"23"))
    found = written(body)
    assert isinstance(found, JsonWithFiles)
    whole = b"".join(found.pieces())
    assert len(whole) == found.length
    assert whole.decode() == body.model_dump_json(exclude_none=True)
    assert base64.b64decode(json.loads(whole)["file"]) == body.file
    assert max(map(len, found.pieces())) <= 64 * 1024


def test_a_body_without_files_is_plain_json() -> None:
    class Plain(BaseModel):
        name: str

    assert written(Plain(name="x")) == b'{"name":"x"}'


def test_text_is_taken_as_base64_and_nothing_else() -> None:
    assert Upload.model_validate({"name": "x", "file": "JVBERg=="}).file == b"%PDF"
    for wrong in ("JVBERg=", "not base64!", 7, None):
        with pytest.raises(ValidationError):
            Upload.model_validate({"name": "x", "file": wrong})
    assert Upload.model_json_schema()["properties"]["file"]["format"] == "byte"
    assert "secret" not in repr(prepare(OPERATION, {}, body=Upload(name="x", file=b"secret")))


async def test_the_length_is_announced_and_a_refused_call_is_sent_whole_again() -> None:
    body = Upload(name="x", file=b"y" * 100_000)
    async with ScriptedServer.start() as server:
        server.answers(web.Response(status=401), web.Response(status=200))
        http = HttpPool()
        client = ProviderClient(
            server.base_url,
            FixedAuth(),
            http,
            provider="acme",
            account="main",
            budget=CallBudget(),
            now=lambda: datetime.now(UTC),
        )
        await client.call(OPERATION, body=body)
        await http.aclose()
    first, second = server.seen
    assert first.body == second.body == body.model_dump_json(exclude_none=True).encode()
    for one in server.seen:
        assert one.headers["Content-Length"] == str(len(one.body))
        assert one.headers["Content-Type"] == "application/json"
        assert "Transfer-Encoding" not in one.headers
