"""Answers of the simulators: problems, streams of known length, and how a fault spoils them. Provider-neutral."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox.faults import Fault, FaultKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


class Problem(Exception):
    """An answer other than success, raised from anywhere below an operation."""

    def __init__(
        self,
        status: int,
        title: str,
        *,
        errors: dict[str, list[str]] | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        empty: bool = False,
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.errors = status, title, errors
        self.headers, self.body, self.empty = headers or {}, body, empty

    def response(self) -> web.Response:
        if self.empty:
            return web.Response(status=self.status, headers=self.headers)
        if self.body is not None:
            return web.json_response(self.body, status=self.status, headers=self.headers)
        content: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.errors:
            content["errors"] = self.errors
        return web.json_response(
            content, status=self.status, headers=self.headers, content_type="application/problem+json"
        )


class StreamedAnswer(web.StreamResponse):
    """An answer of known length whose bytes are made while they are sent.

    When the chunks end early the connection is closed, which is how the truncation fault works.
    """

    def __init__(self, chunks: Iterator[bytes], length: int, headers: dict[str, str], status: int = 200) -> None:
        super().__init__(status=status, headers=headers)
        self.content_length = length
        self.chunks, self.length = chunks, length
        self._transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> Any:
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        sent = 0
        for chunk in self.chunks:
            await self.write(chunk)
            sent += len(chunk)
        if sent < self.length and self._transport is not None:
            self._transport.close()
        await super().write_eof(data)


def fault_problem(fault: Fault) -> Problem:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.status == 429 and fault.retry_after is None:
        headers = {"Retry-After": "1"}
    return Problem(fault.status, f"Fault switch: {fault.status}", headers=headers)


def damaged(answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    streamed = answer if isinstance(answer, StreamedAnswer) else _as_stream(answer)
    if streamed is None or streamed.length == 0:
        return answer
    at = min(fault.at_byte if fault.at_byte is not None else streamed.length // 2, streamed.length - 1)
    damage = _cut_at if fault.kind is FaultKind.TRUNCATE else _flip_at
    streamed.chunks = damage(streamed.chunks, at)
    return streamed


def _as_stream(answer: web.StreamResponse) -> StreamedAnswer | None:
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
        return None
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    return StreamedAnswer(iter([answer.body]), len(answer.body), headers, answer.status)


def _cut_at(chunks: Iterator[bytes], at: int) -> Iterator[bytes]:
    for chunk in chunks:
        if at <= len(chunk):
            yield chunk[:at]
            return
        yield chunk
        at -= len(chunk)


def _flip_at(chunks: Iterator[bytes], at: int) -> Iterator[bytes]:
    for chunk in chunks:
        if 0 <= at < len(chunk):
            yield chunk[:at] + bytes([chunk[at] ^ 0xFF]) + chunk[at + 1 :]
        else:
            yield chunk
        at -= len(chunk)
