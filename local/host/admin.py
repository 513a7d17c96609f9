"""The host's own endpoints, all behind the master key: run a function once, and the host's status."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from local.host import convert
from local.host.http import joined
from local.host.index import HttpTrigger, IndexedFunction, TimerTrigger
from local.host.invoke import Invoker
from local.host.keys import Keys


class Admin:
    def __init__(self, functions: Iterable[IndexedFunction], invoker: Invoker, keys: Keys) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._invoker = invoker
        self._keys = keys
        self._running: set[asyncio.Task[bool]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._keys.allow("admin", request.headers, joined(request.query.items())):
            return web.Response(status=401)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["admin", "host", "status"]:
                return web.json_response({"state": "Running"})
            case "POST", ["admin", "functions", name]:
                return await self._run_once(request, name)
            case _:
                return web.Response(status=404)

    async def drain(self) -> None:
        """Return when the calls under way have ended."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run_once(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        """Start the function and answer 202, as the real host does. Our own addition, for tests: with `Prefer: wait`
        the answer comes after the call and says how it ended."""
        function = self._functions.get(name.lower())
        if function is None:
            return web.Response(status=404)
        text = await _input(request)
        if text is None or isinstance(function.trigger, HttpTrigger):
            return web.Response(status=400)
        task = asyncio.create_task(self._call(function, text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if request.headers.get("Prefer") != "wait":
            return web.Response(status=202)
        return web.json_response({"succeeded": await task}, status=202)

    async def _call(self, function: IndexedFunction, text: str) -> bool:
        is_timer = isinstance(function.trigger, TimerTrigger)
        argument = convert.timer_request() if is_timer else convert.queue_message(text, _made_up_facts())
        try:
            await self._invoker.call(function, argument)
        except Exception:
            return False
        return True


async def _input(request: web.BaseRequest) -> str | None:
    """The `input` of a body `{"input": "..."}`; None when the body is something else."""
    try:
        body = await request.json()
    except ValueError:
        return None
    value = body.get("input", "") if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def _made_up_facts() -> convert.MessageFacts:
    now = datetime.now(UTC)
    return convert.MessageFacts(str(uuid.uuid4()), 1, "", now, now + timedelta(days=7), now)
