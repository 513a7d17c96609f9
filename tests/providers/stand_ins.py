"""Working stand-ins for the ports around a provider, and a small HTTP server that answers by script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from aiohttp import web

from shared.domain.errors import ConcurrentUpdate
from shared.ports import TokenRow
from shared.providers.circuit import Circuit, CircuitLimits
from shared.providers.http import Credentials

START = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class MemoryTokens:
    """`TokenStore` with etags. `fail_next_writes` makes that many writes raise OSError."""

    def __init__(self) -> None:
        self.rows: dict[str, TokenRow] = {}
        self.writes = 0
        self.fail_next_writes = 0
        self._etags = count(1)

    async def read(self, account: str) -> TokenRow | None:
        return self.rows.get(account)

    async def write(self, account: str, row: TokenRow) -> TokenRow:
        if self.fail_next_writes:
            self.fail_next_writes -= 1
            raise OSError("storage is down")
        current = self.rows.get(account)
        if row.etag != (current.etag if current else None):
            raise ConcurrentUpdate("the row has changed")
        self.writes += 1
        self.rows[account] = replace(row, etag=str(next(self._etags)))
        return self.rows[account]


@dataclass
class MemoryLog:
    """`StartLog` that can be made to die at its nth write, before or after the write took effect."""

    facts: dict[str, str] = field(default_factory=dict)
    inviting_calls: int = 0

    async def checkpoint(self, **facts: str) -> None:
        self.facts.update(facts)

    async def alive(self) -> None:
        return None

    async def inviting(self) -> None:
        self.inviting_calls += 1


@dataclass
class FixedAuth:
    """Credentials "token-1", then "token-2" when the first is refused, and so on."""

    made: int = 1

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        self.made += refused is not None
        return Credentials({"Authorization": f"Bearer token-{self.made}"})


@dataclass(frozen=True)
class Seen:
    """One request as the scripted server got it."""

    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes


def tireless() -> Circuit:
    """A circuit that lets every call out: for tests of what a provider does with a failure, and not of when."""
    return Circuit(lambda: datetime.now(UTC), CircuitLimits(failures=1_000_000, throttled_seconds=0))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Answers every path with `handler`, which a test may replace, and keeps what it was asked."""

    def __init__(self) -> None:
        self.base_url = ""
        self.seen: list[Seen] = []
        self.handler: Handler = self._nothing

    def answers(self, *answers: web.StreamResponse | Callable[[], web.StreamResponse]) -> None:
        """The given answers in turn, the last one for ever."""
        left = list(answers)

        async def handle(_: web.Request) -> web.StreamResponse:
            answer = left.pop(0) if len(left) > 1 else left[0]
            return answer() if callable(answer) else answer

        self.handler = handle

    async def _nothing(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), body))
        return await self.handler(request)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[ScriptedServer]:
        server = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", server._dispatch)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield server
        finally:
            await runner.cleanup()
