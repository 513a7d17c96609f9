"""Callbacks: a call to the package's address whenever an action was completed (spec connective 3).

Each is sent by a background task, once, with `Content-Length`. Knobs choose what it looks like, for none of that is
published: a correct receiver does the same for all of them.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp

from local.sandbox.connective.state import new_id

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from local.sandbox.connective.options import CallbackKnobs, Options
    from local.sandbox.connective.state import Package

Outcome = Literal["waiting", "delivered", "refused", "unreachable", "dropped"]


@dataclass
class Callback:
    """One announcement to one address, and what became of it."""

    id: str
    kind: Literal["callback", "notification"]
    package_id: str
    status: str
    url: str
    method: str = "POST"
    body: bytes = b""
    content_type: str | None = None
    outcome: Outcome = "waiting"
    attempts: int = 0
    answers: list[int] = field(default_factory=list)
    """HTTP status of each attempt, 0 when nobody answered."""


@dataclass
class CallbackDesk:
    """Writes and sends. `sent` is every callback ever announced, in the order of what it is about."""

    options: Options
    knobs: CallbackKnobs
    sent: list[Callback] = field(default_factory=list)
    _held: list[Callback] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    def announce(self, package: Package, kind: Literal["callback", "notification"] = "callback") -> None:
        url = package.callback_url if kind == "callback" else package.notification_url
        if url is None:
            return
        callback = Callback(new_id(), kind, package.id, package.status.value, self._address(url))
        self._dress(callback)
        self.sent.append(callback)
        if self.knobs.drop:
            callback.outcome = "dropped"
        elif self.knobs.reorder:
            self._held.append(callback)
            if len(self._held) >= self.knobs.reorder:
                self.flush()
        else:
            self._spawn(self._deliver(callback))

    def _dress(self, callback: Callback) -> None:
        fields = {"PackageId": new_id() if self.knobs.wrong_id else callback.package_id}
        match self.knobs.form:
            case "json":
                callback.body, callback.content_type = json.dumps(fields).encode(), "application/json"
            case "form":
                callback.body = urlencode(fields).encode()
                callback.content_type = "application/x-www-form-urlencoded"
            case "get":
                callback.method = "GET"
                callback.url += f"{'&' if urlsplit(callback.url).query else '?'}{urlencode(fields)}"

    def resend(self, callback_id: str) -> None:
        """Deliver one again. Raises KeyError."""
        callback = next((one for one in self.sent if one.id == callback_id), None)
        if callback is None:
            raise KeyError(callback_id)
        self._spawn(self._attempt(callback))

    def flush(self) -> None:
        """Send what the reorder knob holds back, last first."""
        held, self._held = self._held, []
        if held:
            self._spawn(self._deliver_all(held[::-1]))

    async def settle(self) -> None:
        """Wait until everything on its way has been delivered or given up."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _address(self, url: str) -> str:
        if self.options.callback_base is None:
            return url
        base, parts = urlsplit(self.options.callback_base), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_all(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            await self._deliver(callback)

    async def _deliver(self, callback: Callback) -> None:
        """Later changes of the knobs do not touch a callback that is on its way."""
        knobs = self.knobs.model_copy()
        await asyncio.sleep(knobs.delay_seconds)
        for attempt in range(1 + knobs.retries):
            await asyncio.sleep(attempt * 0.25)
            for _ in range(knobs.copies):
                await self._attempt(callback)
            if callback.outcome == "delivered":
                return

    async def _attempt(self, callback: Callback) -> None:
        callback.attempts += 1
        headers = {} if callback.content_type is None else {"Content-Type": callback.content_type}
        timeout = aiohttp.ClientTimeout(total=self.knobs.timeout_seconds)
        try:
            async with self._client().request(
                callback.method,
                callback.url,
                data=callback.body or None,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                callback.answers.append(answer.status)
                good = 200 <= answer.status < 300
                callback.outcome = "delivered" if good or callback.outcome == "delivered" else "refused"
        except (aiohttp.ClientError, TimeoutError):
            callback.answers.append(0)
            callback.outcome = "delivered" if callback.outcome == "delivered" else "unreachable"

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session
