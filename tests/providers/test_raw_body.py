"""Bodies that are one file and nothing else, and refusals that list their faults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import BaseModel

from shared.domain.errors import InvalidRequest, Rejected
from shared.providers.http import CallBudget, HttpPool, ProviderClient
from shared.providers.operation import FileUpload, Operation, RawFile, prepare
from tests.providers.stand_ins import FixedAuth, ScriptedServer

UPLOAD = Operation("Upload", "POST", "/documents", "Upload", body=RawFile(("application/pdf",)), answers={201: None})


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer.start() as running:
        yield running


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[ProviderClient]:
    http = HttpPool()
    yield ProviderClient(
        server.base_url,
        FixedAuth(),
        http,
        provider="acme",
        account="main",
        budget=CallBudget(),
        now=lambda: datetime.now(UTC),
    )
    await http.aclose()


@pytest.mark.parametrize("size", [1, 65_536, 200_001])
async def test_the_file_is_the_body(server: ScriptedServer, client: ProviderClient, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    server.answers(web.Response(status=401), lambda: web.Response(status=201))
    await client.call(UPLOAD, file=FileUpload("x.pdf", "application/pdf", content))
    assert len(server.seen) == 2
    for seen in server.seen:
        assert seen.body == content
        assert seen.headers["Content-Type"] == "application/pdf"
        assert seen.headers["Content-Length"] == str(size)
        assert "Transfer-Encoding" not in seen.headers


class Anything(BaseModel):
    pass


@pytest.mark.parametrize(
    ("file", "body", "fields"),
    [
        (None, None, ["file"]),
        (FileUpload("x", "text/plain", b"x"), None, ["file"]),
        (FileUpload("x", "application/pdf", b"x"), Anything(), ["body"]),
    ],
)
def test_what_is_no_such_file_is_named(file: FileUpload | None, body: BaseModel | None, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare(UPLOAD, {}, body=body, file=file)
    assert [one.field for one in caught.value.fields] == fields


async def test_listed_faults_are_passed_on(server: ScriptedServer, client: ProviderClient) -> None:
    problem = {
        "title": "Constraint Violation",
        "violations": [{"propertyPath": "tasks[0].id", "message": "is required"}, "nonsense"],
        "invalidParams": [{"name": "orderId", "reason": "is unknown"}],
        "trace": "not for callers",
    }
    server.answers(web.Response(status=400, text=json.dumps(problem), content_type="application/problem+json"))
    with pytest.raises(Rejected) as caught:
        await client.call(UPLOAD, file=FileUpload("x.pdf", "application/pdf", b"x"))
    assert caught.value.detail == (
        "acme refused Upload with status 400: Constraint Violation; tasks[0].id: is required; orderId: is unknown"
    )
