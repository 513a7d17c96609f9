"""The front door: what reaches the processes behind it, and what happens when one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from aiohttp import web

from local.front import front_door


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[str]:
    """Says who it is and what it got; under /half it dies in the middle of an answer."""

    async def echo(request: web.Request) -> web.Response:
        facts = {
            "name": name,
            "method": request.method,
            "path": request.raw_path,
            "headers": {key.lower(): value for key, value in request.headers.items()},
            "body": (await request.read()).decode("latin-1"),
        }
        return web.json_response(facts, status=209, headers={"X-Answer": "kept"})

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def silent(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    application = web.Application()
    application.router.add_get("/half", half)
    application.router.add_post("/silent", silent)
    application.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def door(*backends: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        front_door(0, lambda: backends) as address,
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=10) as client,
    ):
        yield client


async def test_requests_and_answers_pass_unchanged() -> None:
    async with backend("one") as one, door(one) as client:
        sent = {"Host": "sign.example", "X-Functions-Key": "k", "Content-Encoding": "gzip", "User-Agent": "probe"}
        answer = await client.post("/api/a%2Fb?x=%20y&code=", content=b"not really gzip", headers=sent)
    got = answer.json()
    assert (answer.status_code, answer.headers["x-answer"]) == (209, "kept")
    assert (got["method"], got["path"], got["body"]) == ("POST", "/api/a%2Fb?x=%20y&code=", "not really gzip")
    assert {name.lower(): value for name, value in sent.items()}.items() <= got["headers"].items()
    assert got["headers"]["content-length"] == "15"
    assert "transfer-encoding" not in got["headers"]
    assert "content-type" not in got["headers"]


async def test_chunked_stays_chunked() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with backend("one") as one, door(one) as client:
        got = (await client.post("/", content=chunks())).json()
    assert got["body"] == "one two"
    assert got["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in got["headers"]


async def test_an_empty_body_stays_empty() -> None:
    async with backend("one") as one, door(one) as client:
        got = (await client.get("/")).json()
    assert got["body"] == ""
    assert {"transfer-encoding", "content-length"}.isdisjoint(got["headers"])


async def test_processes_take_turns() -> None:
    async with backend("one") as one, backend("two") as two, door(one, two) as client:
        names = [(await client.get("/")).json()["name"] for _ in range(4)]
    assert names in (["one", "two"] * 2, ["two", "one"] * 2)


async def test_a_dead_process_is_passed_over() -> None:
    async with backend("gone") as gone:
        pass
    async with backend("one") as one, door(gone, one) as client:
        answers = [await client.post("/", content=b"whole") for _ in range(4)]
    assert [(answer.json()["name"], answer.json()["body"]) for answer in answers] == [("one", "whole")] * 4


async def test_nobody_there_is_503() -> None:
    async with backend("gone") as gone:
        pass
    async with door(gone) as client, door() as empty:
        assert [(await one.get("/")).status_code for one in (client, empty)] == [503, 503]


async def test_a_request_that_may_have_been_acted_upon_is_not_repeated() -> None:
    async with backend("one") as one, backend("two") as two, door(one, two) as client:
        assert (await client.post("/silent", content=b"once")).status_code == 502


async def test_half_an_answer_is_no_answer() -> None:
    async with backend("one") as one, door(one) as client:
        broken = await asyncio.gather(client.get("/half"), return_exceptions=True)
    assert isinstance(broken[0], httpx.RemoteProtocolError | httpx.ReadError)
