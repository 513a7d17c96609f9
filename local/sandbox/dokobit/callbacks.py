"""Postbacks: what they say and how they are delivered (spec dokobit 2). Nothing signs them.

Each is sent by a background task; a failed one is repeated after 5 minutes, 1 hour and 24 hours of scaled time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from local.sandbox.dokobit.options import CallbackKnobs, Options
    from local.sandbox.dokobit.state import Delivery, Person, Signing
    from local.sandbox.dokobit.wire import JsonObject

Outcome = Literal["waiting", "delivered", "refused", "unreachable", "dropped"]
_REPEATS_SECONDS = (300, 3600, 86400)


@dataclass
class Postback:
    """One announcement, and what became of it."""

    id: str
    token: str
    action: str
    url: str
    body: bytes
    outcome: Outcome = "waiting"
    answers: list[int] = field(default_factory=list)
    """HTTP status of each attempt, 0 when nobody answered."""


@dataclass
class PostbackDesk:
    """Writes and sends. `sent` is every postback ever announced, in the order of the events."""

    base_url: str
    options: Options
    knobs: CallbackKnobs
    sent: list[Postback] = field(default_factory=list)
    _held: list[Postback] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    async def announce(self, signing: Signing, action: str, person: Person | None = None, result: bytes = b"") -> None:
        """`result` is the signed file, for the events that carry one."""
        if signing.postback_url is None:
            return
        content: JsonObject = {"status": "ok", "token": signing.token} if self.knobs.form == "full" else {}
        content["action"] = action
        if person is not None and self.knobs.form == "full":
            content |= _about(person)
        if result:
            host = "https://files.attacker.example" if self.knobs.foreign_file else self.base_url
            content["file"] = f"{host}/api/signing-{signing.flow}/{signing.token}/download"
            if self.knobs.form == "full":
                content |= {"file_digest": hashlib.sha256(result).hexdigest(), "valid_to": "2040-01-01 00:00:00"}
        now = action == "signing_created" and self.knobs.before_answer
        await self._queue(signing.token, action, signing.postback_url, content, at_once=now)

    async def announce_receipt(self, delivery: Delivery, recipient: str) -> None:
        if delivery.postback_url is not None:
            content = {"status": "ok", "action": "document_received", "token": delivery.token, "signer": recipient}
            await self._queue(delivery.token, "document_received", delivery.postback_url, content, at_once=False)

    def resend(self, postback_id: str) -> None:
        """Deliver one again, byte for byte: a repeat. Raises KeyError."""
        postback = next((one for one in self.sent if one.id == postback_id), None)
        if postback is None:
            raise KeyError(postback_id)
        self._spawn(self._attempt(postback))

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

    async def _queue(self, token: str, action: str, url: str, content: JsonObject, *, at_once: bool) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        postback = Postback(str(uuid4()), token, action, self._address(url), body)
        self.sent.append(postback)
        if self.knobs.drop:
            postback.outcome = "dropped"
        elif at_once:
            await self._deliver(postback)
        elif self.knobs.reorder:
            self._held.append(postback)
            if len(self._held) >= self.knobs.reorder:
                self.flush()
        else:
            self._spawn(self._deliver(postback))

    def _address(self, url: str) -> str:
        if self.options.callback_base is None:
            return url
        base, parts = urlsplit(self.options.callback_base), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_all(self, postbacks: list[Postback]) -> None:
        for postback in postbacks:
            await self._deliver(postback)

    async def _deliver(self, postback: Postback) -> None:
        """Later changes of the knobs do not touch a postback that is on its way."""
        knobs = self.knobs.model_copy()
        await asyncio.sleep(knobs.delay_seconds)
        for pause in (0, *_REPEATS_SECONDS):
            await asyncio.sleep(pause * knobs.clock_scale)
            for _ in range(knobs.copies):
                await self._attempt(postback)
            if postback.outcome == "delivered":
                return

    async def _attempt(self, postback: Postback) -> None:
        timeout = aiohttp.ClientTimeout(total=self.knobs.timeout_seconds)
        headers = {"Content-Type": "application/json"}
        try:
            async with self._client().post(
                postback.url, data=postback.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                postback.answers.append(answer.status)
                good = 200 <= answer.status < 300
                postback.outcome = "delivered" if good or postback.outcome == "delivered" else "refused"
        except (aiohttp.ClientError, TimeoutError):
            postback.answers.append(0)
            postback.outcome = "delivered" if postback.outcome == "delivered" else "unreachable"

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session


def _about(person: Person) -> JsonObject:
    info = {
        "code": person.body.code,
        "phone": person.body.phone,
        "country_code": person.body.country_code,
        "signing_option": "smartid",
        "type": "qes",
    }
    return {"signer": person.body.external_id, "signer_info": info}
