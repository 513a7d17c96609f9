"""The one way to a provider: time limits, credentials, error translation, call budget, circuit, and a log line without
secrets.

No call is repeated here except once after 401, which proves that nothing was done; every other repetition is the flow's
decision. Redirects are followed for downloads only, and only where the provider's client was built to. The verdict on
each status and transport failure is made here and nowhere else.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import httpx
from pydantic import BaseModel

from shared import telemetry
from shared.domain.errors import BudgetSpent, CountersignError, NotReady, ProviderError, Unavailable
from shared.providers.answers import UnreadableAnswer, failure, problem_in, read_answer
from shared.providers.circuit import Circuit, Passage
from shared.providers.json_files import JsonWithFiles
from shared.providers.operation import BYTES, FileUpload, MultipartFile, Operation, PreparedCall, RawFile, prepare
from shared.providers.redirects import Redirects

# httpx logs every address at INFO, and PKIsigning's callbackAuthenticationKey travels in one (spec pkisigning 3.2).
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# No provider call lasts longer than this; the flow's invite window counts on it (domain/policy.py).
TOTAL_SECONDS = 60.0
# Between two pieces of data. A download has no other limit: its total time depends on its size.
_POOL_SECONDS = 10.0
_TIMEOUTS = httpx.Timeout(connect=10, read=30, write=30, pool=_POOL_SECONDS)
# A JSON answer may carry signature images, but not without end.
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
# A raw upload goes out in pieces of this size.
_PIECE_BYTES = 64 * 1024
# An idle connection that the provider closes while we send looks like a lost answer, so idle ones are not kept long.
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=5)
# The request certainly never left this machine.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)

Model = TypeVar("Model", bound=BaseModel)

Judge = Callable[[Operation, int, Mapping[str, object]], ProviderError | None]
"""One provider's own reading of a JSON object that it answered with a status: the verdict, or None to leave it to the
rules for all. For providers that put errors into answers of success."""


class HttpPool:
    """One httpx client, made on first use inside the running event loop, and made anew if that loop is another.

    The process environment is not consulted (proxies, .netrc, certificate overrides): settings are the only reader.
    """

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client = httpx.AsyncClient(
                timeout=_TIMEOUTS, limits=_LIMITS, follow_redirects=False, verify=True, trust_env=False
            )
            self._loop = loop
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


@dataclass(frozen=True)
class Credentials:
    """What proves to the provider who we are: headers, or query parameters for those that want it there."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Auth(Protocol):
    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        """Credentials for the next call. `refused` are those a call just failed with: others are needed.

        Raises Unauthorised, Throttled, or Unavailable(sent=False): whatever fails here, the call itself was not sent.
        """


class CallBudget:
    """At most `calls` calls in any `seconds`, per account and process (design 9)."""

    def __init__(
        self, calls: int = 100, seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls, self._seconds, self._monotonic = calls, seconds, monotonic
        self._made: deque[float] = deque()
        self._told_to_come: deque[float] = deque()

    def spend(self) -> None:
        """Counts one call. Raises BudgetSpent, with the time until there is room for it, when there is none."""
        now = self._monotonic()
        while self._made and self._made[0] <= now - self._seconds:
            self._made.popleft()
        if len(self._made) >= self._calls:
            wait = self._turn(now) - now
            raise BudgetSpent("Our own budget of calls to the provider is used up.", retry_after_seconds=wait)
        self._made.append(now)

    def _turn(self, now: float) -> float:
        """When the next one may come who is sent away: not all at once, for a window has room for a few only."""
        while self._told_to_come and self._told_to_come[0] <= now:
            self._told_to_come.popleft()
        windows_ahead = len(self._told_to_come) // self._calls
        turn = self._made[0] + self._seconds * (1 + windows_ahead)
        self._told_to_come.append(turn)
        return turn


@dataclass(frozen=True)
class Reply:
    """A success. `value` has the shape that the operation promises for `status`."""

    status: int
    value: BaseModel | list[BaseModel] | str | None = field(default=None, repr=False)

    def read(self, model: type[Model]) -> Model:
        """The answer as `model`. Raises TypeError when the operation does not promise that."""
        if not isinstance(self.value, model):
            raise TypeError(f"the answer is no {model.__name__}")
        return self.value

    def read_list(self, model: type[Model]) -> list[Model]:
        items = self.value if isinstance(self.value, list) else None
        if items is None:
            raise TypeError(f"the answer is no list of {model.__name__}")
        return [Reply(self.status, item).read(model) for item in items]

    def read_text(self) -> str:
        if not isinstance(self.value, str):
            raise TypeError("the answer is no text")
        return self.value


@dataclass(frozen=True)
class ByteReply:
    """An open download. `length` and `media_type` are what the provider claims."""

    status: int
    media_type: str
    length: int | None
    chunks: AsyncIterator[bytes]


@dataclass
class _Seen:
    """What is known of a call while it lasts. `sent` turns True when the provider may have acted on it."""

    attempt: int = 0
    status: int = 0  # none came
    sent: bool = False
    passage: Passage | None = None  # none was granted

    def answered(self) -> None:
        if self.passage is not None:
            self.passage.answered()


class ProviderClient:
    """Calls the operations of one account at one provider."""

    def __init__(
        self,
        base_url: str,
        auth: Auth,
        http: HttpPool,
        *,
        provider: str,
        account: str,
        budget: CallBudget,
        now: Callable[[], datetime],
        circuit: Circuit | None = None,
        redirects: Redirects | None = None,
        judge: Judge | None = None,
    ) -> None:
        """`redirects` lets downloads be redirected. With a `judge`, JSON in place of a file is never taken for one."""
        self._base_url, self._redirects, self._judge = base_url.rstrip("/"), redirects, judge
        self._auth, self._http, self._budget, self._now = auth, http, budget, now
        self._circuit = circuit or Circuit(now)
        self._provider, self._account = provider, account

    async def call(
        self,
        operation: Operation,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        body: BaseModel | Mapping[str, object] | None = None,
        file: FileUpload | None = None,
        not_ready_on: Collection[int] = (),
        **named: object,
    ) -> Reply:
        """Makes one call and reads its answer whole. Parameters go by the operation's own names, in `arguments` or by
        keyword.

        `not_ready_on` lists statuses that mean "not yet" here. Raises InvalidRequest for arguments that do not fit the
        operation (nothing is sent then), else ProviderError.
        """
        if operation.is_download:
            raise TypeError(f"{operation.id} answers with a file: open it with stream()")
        prepared = prepare(operation, {**(arguments or {}), **named}, body=body, file=file)
        with self._observed(operation) as seen:
            try:
                async with asyncio.timeout(TOTAL_SECONDS):
                    response = await self._answered(prepared, "application/json", not_ready_on, seen)
                    content = await self._content(operation, response)
            except TimeoutError as error:
                raise self._unavailable(operation, error, sent=seen.sent) from error
            self._judged(operation, response.status_code, content)
            return Reply(response.status_code, read_answer(self._provider, operation, response.status_code, content))

    @asynccontextmanager
    async def stream(
        self,
        operation: Operation,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        not_ready_on: Collection[int] = (),
        **named: object,
    ) -> AsyncIterator[ByteReply]:
        """Opens a download. Raises as `call` does; a body that stops short raises Unavailable while it is read."""
        prepared = prepare(operation, {**(arguments or {}), **named})
        with self._observed(operation) as seen:
            try:
                async with asyncio.timeout(TOTAL_SECONDS):
                    response = await self._answered(prepared, "*/*", not_ready_on, seen)
                    await self._refuse_json(operation, response)
            except TimeoutError as error:
                raise self._unavailable(operation, error, sent=seen.sent) from error
            seen.answered()
            async with aclosing(response), aclosing(self._file(operation, response)) as chunks:
                yield self._byte_reply(operation, response, chunks)

    def _byte_reply(self, operation: Operation, response: httpx.Response, chunks: AsyncIterator[bytes]) -> ByteReply:
        if operation.answers.get(response.status_code) is not BYTES:
            raise UnreadableAnswer(self._provider, operation, response.status_code, "no file was promised with it")
        length = response.headers.get("Content-Length", "")
        plain = "Content-Encoding" not in response.headers  # else the length is that of the encoded form
        return ByteReply(
            response.status_code,
            response.headers.get("Content-Type", ""),
            int(length) if plain and length.isdecimal() else None,
            chunks,
        )

    async def _answered(
        self, prepared: PreparedCall, accept: str, not_ready_on: Collection[int], seen: _Seen
    ) -> httpx.Response:
        """An open response with a 2xx status that is not in `not_ready_on`."""
        credentials = await self._auth.credentials()
        response = await self._send(prepared, credentials, accept, seen)
        if response.status_code == 401:
            await response.aclose()
            seen.sent = False
            credentials = await self._auth.credentials(refused=credentials)
            response = await self._send(prepared, credentials, accept, seen)
        response = await self._followed(prepared, credentials, accept, seen, response)
        operation, status = prepared.operation, response.status_code
        if status in not_ready_on:
            await response.aclose()
            raise NotReady(f"{self._provider} is not ready with {operation.id} yet.", provider_status_code=status)
        if response.is_success:
            return response
        content = await self._content(operation, response)
        self._judged(operation, status, content)
        raise failure(self._provider, operation, status, headers=response.headers, content=content, now=self._now())

    def _judged(self, operation: Operation, status: int, content: bytes) -> None:
        """Raises what the provider's own rules make of the answer, if anything."""
        problem = problem_in(content) if self._judge is not None else {}
        verdict = self._judge(operation, status, problem) if self._judge is not None and problem else None
        if verdict is not None:
            raise verdict

    async def _refuse_json(self, operation: Operation, response: httpx.Response) -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self._judge is None or kind != "application/json":
            return
        self._judged(operation, response.status_code, await self._content(operation, response))
        raise UnreadableAnswer(
            self._provider, operation, response.status_code, "JSON came in place of a file", is_outage=False
        )

    async def _followed(
        self, prepared: PreparedCall, credentials: Credentials, accept: str, seen: _Seen, response: httpx.Response
    ) -> httpx.Response:
        """The answer at the end of a download's redirects. Credentials are shown to the provider's own origins only."""
        if self._redirects is None or not prepared.operation.is_download:
            return response
        for _ in range(Redirects.MOST):
            if not response.has_redirect_location:
                break
            await response.aclose()
            hop = self._redirects.next(str(response.url), response.headers["Location"])
            if hop is None:
                why = "it leads to an address that is not followed"
                raise UnreadableAnswer(self._provider, prepared.operation, response.status_code, why)
            shown = credentials if hop.trusted else Credentials()
            response = await self._send(prepared, shown, accept, seen, hop.url)
        return response

    async def _send(
        self, prepared: PreparedCall, credentials: Credentials, accept: str, seen: _Seen, url: str | None = None
    ) -> httpx.Response:
        """`url` is where a redirect leads; it comes with a query of its own."""
        self._budget.spend()
        client = self._http.client()
        request = client.build_request(
            prepared.operation.method,
            url or self._base_url + prepared.path,
            params=[*prepared.query, *credentials.query] or None if url is None else None,
            headers=_headers(prepared, credentials, accept),
            content=_content_of(prepared),
            files=_files(prepared),
        )
        seen.attempt, seen.sent = seen.attempt + 1, True
        try:
            response = await client.send(request, stream=True)
        except httpx.PoolTimeout as error:
            seen.sent = False
            sentence = "All our own connections to the provider are in use."
            raise BudgetSpent(sentence, retry_after_seconds=_POOL_SECONDS) from error
        except (httpx.RequestError, OSError) as error:
            seen.sent = not isinstance(error, _NOT_SENT)
            raise self._unavailable(prepared.operation, error, sent=seen.sent) from error
        seen.status = response.status_code
        return response

    async def _content(self, operation: Operation, response: httpx.Response) -> bytes:
        """The whole body, and the connection given back."""
        parts, size = [], 0
        try:
            async for chunk in self._chunks(operation, response):
                size += len(chunk)
                if size > _MAX_ANSWER_BYTES:
                    raise UnreadableAnswer(self._provider, operation, response.status_code, "it is too large")
                parts.append(chunk)
        finally:
            await response.aclose()
        return b"".join(parts)

    async def _chunks(self, operation: Operation, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except (httpx.RequestError, httpx.StreamError, OSError) as error:
            raise self._unavailable(operation, error, sent=True) from error

    async def _file(self, operation: Operation, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """A file that breaks off is no outage: somebody was there to begin it, and another file may come whole."""
        try:
            async with aclosing(self._chunks(operation, response)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Unavailable as error:
            error.is_outage = False
            raise

    def _unavailable(self, operation: Operation, error: Exception, *, sent: bool) -> Unavailable:
        what = "was lost" if sent else "could not be sent"
        return Unavailable(f"The call {operation.id} to {self._provider} {what} ({type(error).__name__}).", sent=sent)

    @contextmanager
    def _observed(self, operation: Operation) -> Iterator[_Seen]:
        """Asks the circuit and tells it how the call ended. Writes the one log line: ids, codes and times only."""
        seen, started, code = _Seen(), time.monotonic(), None
        try:
            with self._circuit.passage() as seen.passage:
                yield seen
        except CountersignError as error:
            code = error.code
            raise
        finally:
            telemetry.info(
                "provider_call",
                account=self._account,
                provider=self._provider,
                operation=operation.id,
                status=seen.status,
                duration_ms=round((time.monotonic() - started) * 1000),
                attempt=seen.attempt,
                code=code,
            )


def _headers(prepared: PreparedCall, credentials: Credentials, accept: str) -> dict[str, str]:
    headers = {**prepared.headers, **credentials.headers, "Accept": accept, "User-Agent": "countersign"}
    if prepared.json is not None:
        headers["Content-Type"] = "application/json"
    if isinstance(prepared.json, JsonWithFiles):
        headers["Content-Length"] = str(prepared.json.length)
    if prepared.file is not None and isinstance(prepared.operation.body, RawFile):
        headers["Content-Type"] = prepared.file.media_type
        headers["Content-Length"] = str(len(prepared.file.content))
    if prepared.operation.is_download:
        headers["Accept-Encoding"] = "identity"  # so that Content-Length is that of the file
    return headers


def _files(prepared: PreparedCall) -> dict[str, tuple[str, io.BytesIO, str]] | None:
    """The upload as a file, so that it goes out in small pieces. BytesIO shares the bytes; nothing is copied."""
    if prepared.file is None or not isinstance(prepared.operation.body, MultipartFile):
        return None
    upload = prepared.file
    return {prepared.operation.body.field: (upload.name, io.BytesIO(upload.content), upload.media_type)}


def _content_of(prepared: PreparedCall) -> AsyncIterator[bytes] | bytes | None:
    """Large bodies a piece at a time; None where there is none, or a multipart one."""
    if prepared.file is not None and isinstance(prepared.operation.body, RawFile):
        return _sent(_pieces(prepared.file.content))
    return _sent(prepared.json.pieces()) if isinstance(prepared.json, JsonWithFiles) else prepared.json


def _pieces(content: bytes) -> Iterator[bytes]:
    whole = memoryview(content)
    for start in range(0, len(content), _PIECE_BYTES):
        yield bytes(whole[start : start + _PIECE_BYTES])


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
