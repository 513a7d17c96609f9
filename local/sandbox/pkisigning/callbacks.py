"""Callbacks and webhooks: what they say, how they are signed, how they are delivered (spec pkisigning 3).

Each is sent by a background task, once, with `Content-Length`. Knobs turn any of this wrong on purpose.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from local.sandbox.pki import CallbackSigner, Issued, SandboxPki, sandbox_key
from local.sandbox.pkisigning.state import SignRequest, State, new_id, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from local.sandbox.pkisigning.options import CallbackKnobs, Options

Outcome = Literal["waiting", "delivered", "refused", "unreachable", "dropped"]


@dataclass
class Callback:
    """One announcement to one address, and what became of it."""

    id: str
    kind: Literal["callback", "webhook"]
    request_id: str
    status: str
    url: str
    body: bytes
    created: datetime
    headers: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = "waiting"
    attempts: int = 0
    answers: list[int] = field(default_factory=list)
    """HTTP status of each attempt, 0 when nobody answered."""


@dataclass
class CallbackDesk:
    """Writes, signs and sends. `sent` is every callback ever announced, in the order of the status changes."""

    pki: SandboxPki
    state: State
    options: Options
    knobs: CallbackKnobs
    sent: list[Callback] = field(default_factory=list)
    _held: list[Callback] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    def __post_init__(self) -> None:
        self._leaves: dict[tuple[str, str], CallbackSigner] = {}

    def announce(self, request: SignRequest) -> None:
        key = secrets.token_hex(16)
        request.authentication_keys.append(key)
        if request.callback_url is not None:
            self._queue(request, "callback", request.callback_url, _body(request, key))
        for webhook in self.state.webhooks:
            if webhook.active:
                self._queue(request, "webhook", webhook.url, _pascal(_body(request, key)))

    def resend(self, callback_id: str) -> None:
        """Deliver one again, byte for byte with the headers it had: a replay. Raises KeyError."""
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

    def _queue(
        self, request: SignRequest, kind: Literal["callback", "webhook"], url: str, content: dict[str, str | None]
    ) -> None:
        body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        callback = Callback(new_id(), kind, request.id, request.status.value, self._address(url), body, utc_now())
        self.sent.append(callback)
        if self.knobs.drop:
            callback.outcome = "dropped"
        elif self.knobs.reorder:
            self._held.append(callback)
            if len(self._held) >= self.knobs.reorder:
                self.flush()
        else:
            self._spawn(self._deliver(callback))

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
        callback.headers = self._headers(callback.body, knobs)
        if knobs.corrupt_body:
            callback.body = callback.body.replace(b'"', b"'", 1)
        for attempt in range(1 + knobs.retries):
            await asyncio.sleep(attempt * 0.25)
            for _ in range(knobs.copies):
                await self._attempt(callback)
            if callback.outcome == "delivered":
                return

    async def _attempt(self, callback: Callback) -> None:
        callback.attempts += 1
        headers = callback.headers | {"Content-Type": "application/json; charset=utf-8"}
        timeout = aiohttp.ClientTimeout(total=self.knobs.timeout_seconds)
        try:
            async with self._client().post(
                callback.url, data=callback.body, headers=headers, timeout=timeout, allow_redirects=False
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

    def _headers(self, body: bytes, knobs: CallbackKnobs) -> dict[str, str]:
        if knobs.unsigned:
            return {}
        return self._signer(knobs).headers(
            body,
            chain_length=knobs.chain_length,
            shuffle=knobs.shuffle,
            bare=knobs.bare,
            pem=knobs.pem,
            wrong_order=knobs.wrong_order,
            timestamp_format=knobs.timestamp_format,
            clock_offset=timedelta(seconds=knobs.clock_offset_seconds),
            key=sandbox_key("stranger") if knobs.certificate == "wrong_key" else None,
            omit=() if knobs.missing_header is None else (knobs.missing_header,),
        )

    def _signer(self, knobs: CallbackKnobs) -> CallbackSigner:
        """One certificate per kind and domain, made once."""
        kind = (knobs.certificate, knobs.domain)
        if kind not in self._leaves:
            self._leaves[kind] = _MAKERS.get(knobs.certificate, _good)(self.pki, knobs.domain)
        return self._leaves[kind]


def _good(pki: SandboxPki, domain: str) -> CallbackSigner:
    return pki.signer(pki.issue(common_name=domain, dns_names=(domain,)))


def _wrong_domain(pki: SandboxPki, _: str) -> CallbackSigner:
    return _good(pki, "callback.evil-pkisigning.example")


def _expired(pki: SandboxPki, domain: str) -> CallbackSigner:
    now = utc_now()
    leaf = pki.issue(
        common_name=domain, dns_names=(domain,), not_before=now - timedelta(days=30), not_after=now - timedelta(days=1)
    )
    return pki.signer(leaf)


def _revoked(pki: SandboxPki, domain: str) -> CallbackSigner:
    leaf: Issued = pki.issue(common_name=domain, dns_names=(domain,))
    pki.revoke(leaf.certificate)
    return pki.signer(leaf)


def _untrusted(pki: SandboxPki, domain: str) -> CallbackSigner:
    """The right name from the wrong authority."""
    return _good(SandboxPki.create(pki.base_url, slot="stranger"), domain)


_MAKERS: dict[str, Callable[[SandboxPki, str], CallbackSigner]] = {
    "wrong_domain": _wrong_domain,
    "expired": _expired,
    "revoked": _revoked,
    "untrusted": _untrusted,
}


def _body(request: SignRequest, key: str) -> dict[str, str | None]:
    return {
        "pkisId": request.id,
        "dossierStatus": request.status.value,
        "reason": request.reasons or "",
        "authenticationKey": key,
    }


def _pascal(body: dict[str, str | None]) -> dict[str, str | None]:
    return {name[0].upper() + name[1:]: value for name, value in body.items()}
