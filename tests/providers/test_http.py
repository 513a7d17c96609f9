"""The provider client over real HTTP: every verdict, every limit, and what reaches the log."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from aiohttp import web
from pydantic import BaseModel

from shared.domain.errors import (
    BudgetSpent,
    CircuitOpen,
    CreditsExhausted,
    InvalidRequest,
    NotReady,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Retryable,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.providers import http as provider_http
from shared.providers.answers import UnreadableAnswer
from shared.providers.circuit import Circuit, CircuitLimits
from shared.providers.http import Auth, CallBudget, Credentials, HttpPool, ProviderClient
from shared.providers.operation import (
    BYTES,
    TEXT,
    FileUpload,
    ListOf,
    Location,
    MultipartFile,
    Operation,
    Parameter,
    ParameterType,
)
from tests.providers.stand_ins import Clock, FixedAuth, ScriptedServer

SECRET = "s3cret-access-key"


class Thing(BaseModel):
    id: int
    name: str | None = None


GET = Operation(
    "Things_Get",
    "GET",
    "/things/{thingId}",
    "Get a thing",
    (
        Parameter("thingId", Location.PATH, required=True),
        Parameter("key", Location.QUERY),
        Parameter("all", Location.QUERY, ParameterType.BOOLEAN),
        Parameter("x-kind", Location.HEADER),
    ),
    answers={200: Thing, 202: None},
)
LIST = Operation("Things_List", "GET", "/things", "List things", answers={200: ListOf(Thing)})
ADD = Operation("Things_Add", "POST", "/things", "Add a thing", body=Thing, answers={201: Thing})
SEND = Operation("Things_Send", "POST", "/things/send", "Send", answers={204: None})
UPLOAD = Operation("Things_Upload", "POST", "/files", "Upload", body=MultipartFile("file"), answers={200: TEXT})
DOWNLOAD = Operation("Things_Download", "GET", "/files", "Download", answers={200: BYTES})


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer.start() as running:
        yield running


def client_of(base_url: str, http: HttpPool, *, budget: CallBudget | None = None) -> ProviderClient:
    budget = budget or CallBudget()
    return ProviderClient(base_url, FixedAuth(), http, provider="acme", account="main", budget=budget, now=Clock())


@pytest.fixture
async def http() -> AsyncIterator[HttpPool]:
    pool = HttpPool()
    yield pool
    await pool.aclose()


@pytest.fixture
def client(server: ScriptedServer, http: HttpPool) -> ProviderClient:
    return client_of(server.base_url, http)


def said(value: object, status: int = 200, **headers: str) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


# --------------------------------------------------------------------------------------------------- asking


async def test_parameters_go_where_the_operation_says(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(said({"id": 7, "new": "ignored"}))
    reply = await client.call(GET, {"x-kind": "round"}, thingId="a/b c?ü", key="k&v", all=True)
    assert reply.read(Thing) == Thing(id=7)
    (seen,) = server.seen
    assert (seen.method, seen.raw_path) == ("GET", "/things/a%2Fb%20c%3F%C3%BC?key=k%26v&all=true")
    assert (seen.headers["x-kind"], seen.headers["Accept"]) == ("round", "application/json")
    assert seen.headers["Authorization"] == "Bearer token-1"


async def test_a_post_without_body_says_so(server: ScriptedServer, client: ProviderClient) -> None:
    reply = await client.call(SEND)
    assert (reply.status, reply.value) == (204, None)
    assert server.seen[0].headers["Content-Length"] == "0"
    assert "Content-Type" not in server.seen[0].headers


async def test_a_json_body_leaves_nothings_out(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(lambda: said({"id": 1}, 201))
    await client.call(ADD, body=Thing(id=1))
    await client.call(ADD, body={"id": 1})
    assert [seen.body for seen in server.seen] == [b'{"id":1}', b'{"id":1}']
    assert server.seen[0].headers["Content-Type"] == "application/json"


async def test_a_file_goes_as_one_part_with_its_name_and_type(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(web.Response(text="thanks"))
    content = bytes(range(256)) * 1000
    reply = await client.call(UPLOAD, file=FileUpload('a "b".pdf', "application/pdf", content))
    assert reply.read_text() == "thanks"
    (seen,) = server.seen
    assert b'name="file"; filename="a %22b%22.pdf"\r\nContent-Type: application/pdf\r\n\r\n' in seen.body
    assert content in seen.body
    assert int(seen.headers["Content-Length"]) == len(seen.body)


async def test_arguments_that_do_not_fit_never_leave(server: ScriptedServer, client: ProviderClient) -> None:
    with pytest.raises(InvalidRequest, match="thingId"):
        await client.call(GET, other=1)
    with pytest.raises(InvalidRequest, match="body"):
        await client.call(ADD, body={"id": "many"})
    with pytest.raises(InvalidRequest, match="file"):
        await client.call(UPLOAD)
    assert server.seen == []


async def test_an_answer_is_read_only_as_what_it_is(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(said([{"id": 1}, {"id": 2}]))
    reply = await client.call(LIST)
    assert [one.id for one in reply.read_list(Thing)] == [1, 2]
    for wrong in (lambda: reply.read(Thing), reply.read_text):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        await client.call(DOWNLOAD)


# ------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorised),
        (402, CreditsExhausted),
        (403, Unauthorised),
        (404, ProviderNotFound),
        (405, Rejected),
        (408, Unavailable),
        (409, Rejected),
        (413, Rejected),
        (415, Rejected),
        (422, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
async def test_each_status_has_its_verdict(
    server: ScriptedServer, client: ProviderClient, status: int, kind: type[ProviderError]
) -> None:
    server.answers(lambda: web.Response(status=status))
    with pytest.raises(kind) as caught:
        await client.call(SEND)
    assert type(caught.value) is kind
    assert caught.value.provider_status_code == status
    if isinstance(caught.value, Unavailable):
        assert caught.value.sent


@pytest.mark.parametrize("status", [202, 404, 409])
async def test_a_call_may_say_which_statuses_mean_not_yet(
    server: ScriptedServer, client: ProviderClient, status: int
) -> None:
    server.answers(web.Response(status=status))
    with pytest.raises(NotReady):
        await client.call(GET, thingId="1", not_ready_on=(202, 404, 409))


async def test_a_refusal_passes_on_what_the_problem_says_and_no_more(
    server: ScriptedServer, client: ProviderClient
) -> None:
    problem = {"title": "Bad thing.", "errors": {"name": ["too short", "too dull"]}, "traceId": "t-1", "dump": SECRET}
    server.answers(
        said(problem, 400), web.Response(status=400, text=f"<h1>{SECRET}</h1>"), said({"title": "x" * 999}, 400)
    )
    with pytest.raises(Rejected, match=r"Bad thing\.; name: too short too dull") as caught:
        await client.call(SEND)
    assert caught.value.provider_request_id == "t-1"
    assert SECRET not in caught.value.detail
    with pytest.raises(Rejected) as caught:
        await client.call(SEND)
    assert SECRET not in caught.value.detail
    with pytest.raises(Rejected) as caught:
        await client.call(SEND)
    assert 500 <= len(caught.value.detail) < 600


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": format_datetime(Clock()() + timedelta(seconds=90), usegmt=True)}, 90),
        ({"Retry-After": format_datetime(Clock()() - timedelta(seconds=90), usegmt=True)}, 0),
        ({"Retry-After": "soon"}, 30),
        ({"Retry-After": "9" * 400}, 86_400),
        ({}, 30),
    ],
)
async def test_throttling_says_for_how_long(
    server: ScriptedServer, client: ProviderClient, header: dict[str, str], seconds: float
) -> None:
    server.answers(web.Response(status=429, headers=header))
    with pytest.raises(Throttled) as caught:
        await client.call(SEND)
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>maintenance</html>", content_type="text/html"),
        lambda: web.Response(body=b'{"id": 1'),
        lambda: said({"id": SECRET}),
        lambda: said([]),
        lambda: web.Response(status=206),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    ],
)
async def test_what_was_not_promised_counts_as_an_outage_that_may_have_acted(
    server: ScriptedServer, client: ProviderClient, answer: object
) -> None:
    assert callable(answer)
    server.answers(answer)
    with pytest.raises(UnreadableAnswer) as caught:
        await client.call(GET, thingId="1")
    assert (caught.value.code, caught.value.sent) == ("provider_answer_unreadable", True)
    assert isinstance(caught.value, Retryable)
    assert SECRET not in caught.value.detail
    assert caught.value.__cause__ is None
    assert len(server.seen) == 1


async def test_an_endless_answer_is_not_read_to_its_end(
    server: ScriptedServer, client: ProviderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_http, "_MAX_ANSWER_BYTES", 1000)
    server.answers(web.Response(body=b"[" + b" " * 2000 + b"]"))
    with pytest.raises(UnreadableAnswer, match="too large"):
        await client.call(LIST)


# ------------------------------------------------------------------------------------------------ transport


async def test_a_refused_connection_was_never_sent(http: HttpPool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unavailable) as caught:
            await client_of(base_url, http).call(SEND)
    assert not caught.value.sent


async def test_a_lost_answer_may_have_been_acted_upon(server: ScriptedServer, client: ProviderClient) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.handler = hang_up
    with pytest.raises(Unavailable) as caught:
        await client.call(SEND)
    assert caught.value.sent
    assert len(server.seen) == 1


async def test_a_call_has_a_bound_however_lively_the_answer(
    server: ScriptedServer, client: ProviderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    server.handler = drip
    monkeypatch.setattr(provider_http, "TOTAL_SECONDS", 0.2)
    with pytest.raises(Unavailable) as caught:
        await client.call(LIST)
    assert caught.value.sent


async def test_a_401_is_tried_once_more_with_other_credentials(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(web.Response(status=401), said({"id": 1}))
    assert (await client.call(GET, thingId="1")).read(Thing).id == 1
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer token-1", "Bearer token-2"]


async def test_a_second_401_is_final(server: ScriptedServer, client: ProviderClient) -> None:
    server.answers(lambda: web.Response(status=401))
    with pytest.raises(Unauthorised):
        await client.call(GET, thingId="1")
    assert len(server.seen) == 2


async def test_the_budget_refuses_before_anything_is_sent(server: ScriptedServer, http: HttpPool) -> None:
    at = 0.0
    client = client_of(server.base_url, http, budget=CallBudget(2, 60, lambda: at))
    await client.call(SEND)
    at = 20
    await client.call(SEND)
    with pytest.raises(Throttled) as caught:
        await client.call(SEND)
    assert caught.value.retry_after_seconds == 40
    assert len(server.seen) == 2
    at = 60
    await client.call(SEND)
    with pytest.raises(Throttled):
        await client.call(SEND)


async def test_who_is_sent_away_comes_back_one_window_after_the_other(server: ScriptedServer, http: HttpPool) -> None:
    client = client_of(server.base_url, http, budget=CallBudget(2, 60, lambda: 0.0))
    waits = []
    for _ in range(7):
        try:
            await client.call(SEND)
        except Throttled as error:
            waits.append(error.retry_after_seconds)
    assert waits == [60, 60, 120, 120, 180]


# -------------------------------------------------------------------------------------------------- circuit


def guarded(server: ScriptedServer, http: HttpPool, clock: Clock, auth: Auth | None = None) -> ProviderClient:
    return ProviderClient(
        server.base_url,
        auth or FixedAuth(),
        http,
        provider="acme",
        account="main",
        budget=CallBudget(),
        now=clock,
        circuit=Circuit(clock, CircuitLimits(failures=3, first_seconds=10)),
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=503),
        lambda: web.Response(status=503, text="<html>maintenance</html>", content_type="text/html"),
        lambda: web.Response(text="<html>maintenance</html>", content_type="text/html"),
        lambda: web.Response(status=302, headers={"Location": "/maintenance"}),
    ],
)
async def test_a_provider_that_is_down_is_left_alone_until_a_call_gets_through(
    server: ScriptedServer, http: HttpPool, answer: Callable[[], web.Response]
) -> None:
    clock = Clock()
    client = guarded(server, http, clock)
    server.answers(answer)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await client.call(GET, thingId="1")
    for _ in range(3):
        with pytest.raises(CircuitOpen) as refusal:
            await downloaded(client)
        assert refusal.value.retry_after_seconds == 10
    assert len(server.seen) == 3
    clock.forward(10)
    server.answers(lambda: said({"id": 1}))
    for _ in range(3):
        assert (await client.call(GET, thingId="1")).read(Thing).id == 1


@pytest.mark.parametrize(
    "answer", [lambda: said([]), lambda: web.Response(status=402), lambda: web.Response(status=404)]
)
async def test_a_provider_that_answers_is_not_down(
    server: ScriptedServer, http: HttpPool, answer: Callable[[], web.Response]
) -> None:
    client = guarded(server, http, Clock())
    server.answers(answer)
    for _ in range(9):
        with pytest.raises(ProviderError) as caught:
            await client.call(GET, thingId="1")
        assert not isinstance(caught.value, CircuitOpen)


async def test_throttling_holds_every_call_back_before_anything_is_sent(server: ScriptedServer, http: HttpPool) -> None:
    clock = Clock()
    client = guarded(server, http, clock)
    server.answers(web.Response(status=429, headers={"Retry-After": "20"}), web.Response(status=204))
    with pytest.raises(Throttled):
        await client.call(SEND)
    clock.forward(15)
    with pytest.raises(CircuitOpen) as refusal:
        await client.call(SEND)
    assert refusal.value.retry_after_seconds == 5
    assert len(server.seen) == 1
    clock.forward(5)
    await client.call(SEND)


async def test_our_own_connections_being_used_up_says_nothing_of_the_provider(
    server: ScriptedServer, http: HttpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_http, "_LIMITS", httpx.Limits(max_connections=1))
    monkeypatch.setattr(provider_http, "_TIMEOUTS", httpx.Timeout(10, pool=0.01))
    client = guarded(server, http, Clock())
    server.answers(lambda: web.Response(body=bytes(5_000_000)))
    async with client.stream(DOWNLOAD) as reply:
        assert await anext(reply.chunks)
        for _ in range(5):
            with pytest.raises(BudgetSpent):
                await client.call(SEND)
    server.answers(lambda: web.Response(status=204))
    await client.call(SEND)


class NoToken:
    asked = 0

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        self.asked += 1
        raise Unavailable("no token", sent=False)


async def test_a_token_endpoint_that_is_down_is_an_outage_of_the_account(
    server: ScriptedServer, http: HttpPool
) -> None:
    auth = NoToken()
    client = guarded(server, http, Clock(), auth)
    for kind in (Unavailable, Unavailable, Unavailable, CircuitOpen, CircuitOpen):
        with pytest.raises(kind):
            await client.call(SEND)
    assert (auth.asked, server.seen) == (3, [])


async def test_files_that_break_off_do_not_hold_other_calls_back(server: ScriptedServer, http: HttpPool) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"PK")
        assert request.transport is not None
        request.transport.close()
        return response

    client = guarded(server, http, Clock())
    server.handler = cut
    for _ in range(5):
        with pytest.raises(Unavailable) as caught:
            await downloaded(client)
        assert not caught.value.is_outage
    assert len(server.seen) == 5


async def test_the_client_belongs_to_the_running_loop_and_can_be_closed(server: ScriptedServer, http: HttpPool) -> None:
    first = http.client()
    assert http.client() is first
    assert not first.follow_redirects
    await http.aclose()
    assert first.is_closed
    await client_of(server.base_url, http).call(SEND)
    await http.aclose()


# ------------------------------------------------------------------------------------------------ downloads


async def test_a_download_comes_in_pieces_with_its_length(server: ScriptedServer, client: ProviderClient) -> None:
    content = bytes(300_000)
    server.answers(web.Response(body=content, content_type="application/zip"))
    async with client.stream(DOWNLOAD) as reply:
        assert (reply.status, reply.length, reply.media_type) == (200, len(content), "application/zip")
        pieces = [piece async for piece in reply.chunks]
    assert b"".join(pieces) == content
    assert len(pieces) > 1
    assert server.seen[0].headers["Accept"] == "*/*"


async def downloaded(client: ProviderClient) -> bytes:
    async with client.stream(DOWNLOAD) as reply:
        return b"".join([piece async for piece in reply.chunks])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_download_cut_short_is_an_outage(
    server: ScriptedServer, client: ProviderClient, *, chunked: bool
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = 1000
        await response.prepare(request)
        await response.write(b"PK" * 50)
        assert request.transport is not None
        request.transport.close()
        return response

    server.handler = cut
    with pytest.raises(Unavailable):
        await downloaded(client)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, ProviderNotFound), (409, NotReady), (202, NotReady), (500, Unavailable), (204, UnreadableAnswer)],
)
async def test_a_download_that_is_refused(
    server: ScriptedServer, client: ProviderClient, status: int, kind: type[ProviderError]
) -> None:
    server.answers(web.Response(status=status))
    with pytest.raises(kind):
        async with client.stream(DOWNLOAD, not_ready_on=(202, 409)):
            pytest.fail("there is nothing to read")


async def test_a_consumer_that_stops_half_way_leaves_nothing_open(
    server: ScriptedServer, client: ProviderClient
) -> None:
    server.answers(web.Response(body=bytes(5_000_000)))
    async with client.stream(DOWNLOAD) as reply:
        assert await anext(reply.chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(reply.chunks)


# ----------------------------------------------------------------------------------------------------- logs


async def test_one_line_per_call_and_no_secret_in_any(
    server: ScriptedServer, client: ProviderClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers(web.Response(status=401), said({"id": 1, "name": SECRET}), said({"title": SECRET}, 400))
    await client.call(GET, thingId="1", key=SECRET)
    with pytest.raises(Rejected):
        await client.call(ADD, body=Thing(id=1, name=SECRET))
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "countersign"]
    expected = {"event": "provider_call", "account": "main", "provider": "acme"}
    assert [{name: value for name, value in line.items() if name != "duration_ms"} for line in lines] == [
        {**expected, "operation": "Things_Get", "status": 200, "attempt": 2},
        {**expected, "operation": "Things_Add", "status": 400, "attempt": 1, "code": "provider_rejected"},
    ]
    assert all(isinstance(line["duration_ms"], int) for line in lines)
    everything = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    assert SECRET not in everything
    assert "token-" not in everything


def test_values_hide_from_repr() -> None:
    shown = repr(FileUpload("a.pdf", "application/pdf", SECRET.encode()))
    assert SECRET not in shown
