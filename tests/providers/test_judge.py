"""A provider's own reading of what it answers, bodies that may be left out, and errors that come as a list."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import BaseModel

from shared.domain.errors import InvalidRequest, NotReady, ProviderError, Rejected, Throttled
from shared.providers.answers import UnreadableAnswer, said
from shared.providers.http import CallBudget, HttpPool, Judge, ProviderClient
from shared.providers.operation import BYTES, Operation, prepare
from tests.providers.stand_ins import FixedAuth, ScriptedServer


class Thing(BaseModel):
    state: str = ""


GET = Operation("Things_Get", "GET", "/thing", "Get", answers={200: Thing})
DOWNLOAD = Operation("Things_Download", "GET", "/file", "Download", answers={200: BYTES})
CHANGE = Operation("Things_Change", "POST", "/thing", "Change", body=Thing, answers={200: None}, body_required=False)


def judge(operation: Operation, status: int, answer: Mapping[str, object]) -> ProviderError | None:
    if answer.get("state") == "later":
        return NotReady(f"{operation.id} {status}")
    return Rejected(f"{operation.id} {status}") if answer.get("state") == "bad" and status != 429 else None


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer.start() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[HttpPool]:
    pool = HttpPool()
    yield pool
    await pool.aclose()


def client_of(server: ScriptedServer, http: HttpPool, of: Judge | None = judge) -> ProviderClient:
    budget, now = CallBudget(), lambda: datetime.now(UTC)
    return ProviderClient(
        server.base_url, FixedAuth(), http, provider="acme", account="main", budget=budget, now=now, judge=of
    )


async def downloaded(client: ProviderClient) -> bytes:
    async with client.stream(DOWNLOAD) as reply:
        return b"".join([chunk async for chunk in reply.chunks])


@pytest.mark.parametrize("status", [200, 400, 404, 503])
@pytest.mark.parametrize(("state", "error"), [("later", NotReady), ("bad", Rejected)])
async def test_the_judge_is_asked_first_whatever_the_status(
    server: ScriptedServer, http: HttpPool, status: int, state: str, error: type[ProviderError]
) -> None:
    server.answers(lambda: web.json_response({"state": state}, status=status))
    client = client_of(server, http)
    with pytest.raises(error, match=f"Things_Get {status}"):
        await client.call(GET)
    with pytest.raises(error, match=f"Things_Download {status}"):
        await downloaded(client)


async def test_what_the_judge_leaves_is_judged_as_for_all(server: ScriptedServer, http: HttpPool) -> None:
    client = client_of(server, http)
    server.answers(lambda: web.json_response({"state": "good"}))
    assert (await client.call(GET)).read(Thing) == Thing(state="good")
    server.answers(lambda: web.json_response(["state"]))
    with pytest.raises(UnreadableAnswer):
        await client.call(GET)
    server.answers(lambda: web.json_response({"state": "bad"}, status=429))
    with pytest.raises(Throttled):
        await client.call(GET)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_with_a_judge_json_is_never_a_file(server: ScriptedServer, http: HttpPool, kind: str) -> None:
    server.answers(lambda: web.Response(body=b'{"state": "good"}', headers={"Content-Type": kind}))
    with pytest.raises(UnreadableAnswer):
        await downloaded(client_of(server, http))
    assert await downloaded(client_of(server, http, None)) == b'{"state": "good"}'


async def test_the_verdict_is_in_the_log(
    server: ScriptedServer, http: HttpPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers(lambda: web.json_response({"state": "bad"}))
    with pytest.raises(Rejected):
        await client_of(server, http).call(GET)
    assert '"code": "provider_rejected"' in caplog.text


async def test_a_body_may_be_left_out_where_the_operation_says_so(server: ScriptedServer, http: HttpPool) -> None:
    server.answers(web.Response)
    await client_of(server, http).call(CHANGE)
    assert server.seen[0].body == b""
    assert "Content-Type" not in server.seen[0].headers
    assert prepare(CHANGE, {}, body={"state": "x"}).json == b'{"state":"x"}'
    with pytest.raises(InvalidRequest):
        prepare(CHANGE, {}, body={"state": 7})


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"message": "No"}, "No"),
        ({"message": "No", "errors": ["one", "two", 3]}, "No; one; two"),
        ({"message": "No", "errors": [{"field": "a[0]", "message": "bad"}]}, "No; a[0]: bad"),
        ({"message": 7, "errors": 8, "code": "x"}, ""),
    ],
)
def test_errors_may_come_as_a_list(problem: dict[str, object], words: str) -> None:
    assert said(problem) == words
