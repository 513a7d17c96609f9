"""The front door of several app processes: one address, each request to the next process that runs.

Like the platform's own, it changes nothing on the way: bodies are streamed, chunked stays chunked, and a connection
that breaks half-way breaks on the other side too. Only a request that reached nobody is offered to the next process.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

logger = logging.getLogger(__name__)

# About one connection, not about the message (RFC 9110 7.6.1). A body without a length is chunked on each side anew.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# What aiohttp's client would add by itself.
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_LONGEST_LINE = 16_384
_LONGEST_HEADER = 32_768
_CHUNK = 64 * 1024


class Front:
    """`backends` names the processes that can take a request now; it is asked anew for each."""

    def __init__(self, backends: Callable[[], Sequence[str]], session: aiohttp.ClientSession) -> None:
        self._backends = backends
        self._session = session
        self._turn = itertools.count()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        backends = self._backends()
        turn = next(self._turn)
        for offset in range(len(backends)):
            backend = backends[(turn + offset) % len(backends)]
            try:
                return await self._forward(request, backend)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError) as error:
                # It may have been acted upon: to repeat it is up to the caller, as in Azure.
                logger.info("backend_lost", extra={"error": type(error).__name__})
                return web.Response(status=502)
        return web.Response(status=503)

    async def _forward(self, request: web.Request, backend: str) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            backend + request.raw_path,
            headers=_passed_on(request.headers),
            data=_body(request),
            skip_auto_headers=_ADDED,
            allow_redirects=False,
        ) as answer:
            return await _relay(request, answer)


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in _passed_on(answer.headers).items():
        response.headers.add(name, value)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError):
        _break(request)
        return response
    await response.write_eof()
    return response


def _break(request: web.Request) -> None:
    """Half an answer must not look like a whole one."""
    if request.transport is not None:
        request.transport.abort()


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


def _body(request: web.Request) -> AsyncIterator[bytes] | None:
    return request.content.iter_chunked(_CHUNK) if request.can_read_body else None


@asynccontextmanager
async def front_door(port: int, backends: Callable[[], Sequence[str]]) -> AsyncIterator[str]:
    """Listens on loopback until the block is left; its address."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(
        timeout=timeout,
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_HEADER,
    ) as session:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", Front(backends, session).handle)
        runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=1,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_HEADER,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            host, actual_port = runner.addresses[0][:2]
            yield f"http://{host}:{actual_port}"
        finally:
            await runner.cleanup()
