"""HTTP functions through a running host (host guide C1)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from local.azurite import Azurite
from local.host.process import HostProcess

from .conftest import copy_sample, until


@pytest.fixture(scope="module")
def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder: Path = tmp_path_factory.mktemp("http")
    process = copy_sample(folder, azurite.connection_string).host()
    asyncio.run(process.start())
    yield process
    asyncio.run(process.close())


@pytest.fixture
async def client(host: HostProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=host.base_url) as client:
        yield client


async def test_the_function_sees_the_request_as_the_platform_hands_it_over(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/echo/a%20b?x=1&x=2&empty=&X=3", content=b"\x00\xff", headers=[("h", "1"), ("H", "2")]
    )

    seen = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (seen["method"], seen["body"]) == ("POST", "\x00\xff")
    assert seen["query"] == {"x": "1,2,3"}
    assert seen["headers"]["h"] == "1,2"
    assert seen["route"] == {"name": "a b"}
    assert seen["url"] == f"{client.base_url}/api/echo/a%20b?x=1&x=2&empty=&X=3"


@pytest.mark.parametrize(
    ("path", "answered_by", "route"),
    [
        ("/api/echo/special", "special", {}),
        ("/API/Echo/SPECIAL/", "special", {}),
        ("/api/echo/other", "echo", {"name": "other"}),
        ("/api/echo/special/more", "echo", {"name": "special", "tail": "more"}),
        ("/api/files/a/b%2Fc", "files", {"rest": "a/b%2Fc"}),
        ("/api/files", "files", {}),
    ],
)
async def test_the_most_literal_route_answers(
    client: httpx.AsyncClient, path: str, answered_by: str, route: dict[str, str]
) -> None:
    seen = (await client.get(path)).json()

    assert (seen["answered_by"], seen["route"]) == (answered_by, route)


async def test_a_method_that_only_the_less_literal_route_lists_reaches_it(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/echo/special")).json()["answered_by"] == "echo"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/echo/x"),
        ("HEAD", "/api/echo/x"),
        ("GET", "/api/unknown"),
        ("GET", "/echo/x"),
        ("GET", "/api/disabled"),
        ("GET", "/"),
    ],
)
async def test_what_no_function_answers_is_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)

    assert (answer.status_code, answer.content) == (404, b"")


async def test_head_works_where_it_is_listed(client: httpx.AsyncClient) -> None:
    answer = await client.head("/api/files/x")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "header", "code", "status"),
    [
        ("guarded", None, None, 401),
        ("guarded", "wrong", None, 401),
        ("guarded", "function", None, 200),
        ("guarded", "master", None, 200),
        ("guarded", None, "function", 200),
        ("guarded", None, "wrong", 401),
        ("guarded", "wrong", "function", 401),
        ("guarded", "function", "wrong", 200),
        ("for-admins", "function", None, 401),
        ("for-admins", "master", None, 200),
        ("text", "wrong", "wrong", 200),
    ],
)
async def test_keys(
    host: HostProcess, client: httpx.AsyncClient, *, path: str, header: str | None, code: str | None, status: int
) -> None:
    keys = {"function": host.function_key, "master": host.master_key, "wrong": "wr\u00f6ng"}
    headers = [(b"x-functions-key", keys[header].encode("latin-1"))] if header else []
    answer = await client.get(f"/api/{path}", headers=headers, params={"code": keys[code]} if code else {})

    assert answer.status_code == status
    assert status != 401 or answer.content == b""


async def test_a_chunked_body_reaches_the_function_empty(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"lost"

    seen = (await client.post("/api/echo/x", content=chunks())).json()

    assert seen["headers"]["transfer-encoding"] == "chunked"
    assert seen["body"] == ""


@pytest.mark.parametrize("path", ["fails", "nothing", "stops-iteration"])
async def test_a_function_that_fails_is_500_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/{path}")

    assert (answer.status_code, answer.content) == (500, b"")


async def test_a_string_is_a_plain_text_response(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/text")

    assert (answer.status_code, answer.text) == (200, "plain")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_cookies_stay_apart_and_headers_are_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/cookies")

    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]
    assert answer.headers["x-custom"] == "kept"


async def test_sync_functions_do_not_hold_up_the_loop(host: HostProcess, client: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(client.get("/api/held", timeout=90))
    await until(lambda: "held_began" in host.log_text(), host)

    assert (await client.get("/api/release", timeout=90)).status_code == 200
    assert (await waiting).text == "released"


async def test_the_trace_of_the_caller_goes_on(client: httpx.AsyncClient) -> None:
    trace_id, span_id = "a" * 32, "b" * 16
    answer = await client.get("/api/blocking?seconds=0", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})

    version, trace, span, _ = answer.json()["trace_parent"].split("-")
    assert (version, trace) == ("00", trace_id)
    assert span != span_id


def test_a_body_over_the_limit_is_413(host: HostProcess) -> None:
    port = int(host.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /api/text HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


async def test_admin_status_wants_the_master_key(host: HostProcess, client: httpx.AsyncClient) -> None:
    refused = await client.get("/admin/host/status", headers={"x-functions-key": host.function_key})
    answer = await client.get("/admin/host/status", headers={"x-functions-key": host.master_key})

    assert (refused.status_code, refused.content) == (401, b"")
    assert answer.json() == {"state": "Running"}


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("rarely", b'{"input": ""}', 202),
        ("RARELY", b"{}", 202),
        ("unknown", b"{}", 404),
        ("text", b"{}", 400),
        ("rarely", b"[]", 400),
        ("rarely", b"no json", 400),
    ],
)
async def test_running_a_function_by_hand(
    host: HostProcess, client: httpx.AsyncClient, name: str, body: bytes, status: int
) -> None:
    url, headers = f"/admin/functions/{name}", {"x-functions-key": host.master_key}

    assert (await client.post(url, content=body)).status_code == 401
    assert (await client.post(url, content=body, headers=headers)).status_code == status


async def test_invocations_are_logged_without_payloads(host: HostProcess, client: httpx.AsyncClient) -> None:
    await client.post("/api/echo/name-in-path", content=b"payload-in-body")

    log = host.log_text()
    assert "INFO host invocation function=echo invocation_id=" in log
    assert "name-in-path" not in log
    assert "payload-in-body" not in log
