"""Stage 7, by the clock: look at the signings whose time has come, and send what was lost. Never edits state itself.

Each signing that is not over has a row in the due index. A tick reads only rows that are due, sends the messages that
the state calls for, writes the next row and then removes this one: a crash in between leaves a row too many, never one
too few. Rows that lead to the same next point become one again (domain/schedule.py), so a tick too many is harmless.

What costs calls at the provider waits in its queue for a slot of its account (flow/pace.py), and the next look comes
after that: a question that still waits is not asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from shared import telemetry
from shared.domain.errors import NotFound
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.policy import FlowPolicy
from shared.domain.schedule import next_look
from shared.domain.signing import Signing, State
from shared.domain.states import Source
from shared.flow import pace, subscribe
from shared.flow.follow_up import FollowUp, overdue
from shared.ports import App, DueSigning

_AT_A_TIME = 8
_SOFT_ENDS = frozenset({State.EXPIRED, State.FAILED})

T = TypeVar("T")


async def run(app: App, *, budget_seconds: float) -> int:
    """Works off due rows until none is left or the time is up; the next tick goes on there. Returns how many."""
    for provider in app.providers.values():
        await subscribe.ensure(app, provider)
    began, seen = app.now(), 0
    while (app.now() - began).total_seconds() < budget_seconds:
        # One more than is worked off tells whether there is more: that saves the reading of an empty rest.
        found = await app.signings.due(app.now(), app.policy.reconcile_batch + 1)
        rows = found[: app.policy.reconcile_batch]
        await _Batch(app).work_off(rows)
        seen += len(rows)
        if len(found) == len(rows):
            break
    telemetry.info("reconciled", count=seen)
    return seen


@dataclass(frozen=True)
class _Look:
    """A signing that was looked at, and the messages that it calls for."""

    signing: Signing
    messages: Sequence[FollowUp]
    calls: int


@dataclass
class _Batch:
    """Rows that are read, reserved for, and replaced together. `marks` are the next rows, by signing id."""

    app: App
    marks: dict[str, datetime] = field(default_factory=dict)
    limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    async def work_off(self, rows: Sequence[DueSigning]) -> None:
        ids = dict.fromkeys(row.signing_id for row in rows)
        found = await asyncio.gather(*(self._guard(one, self._look, one) for one in ids))
        by_account: dict[str, list[_Look]] = {}
        for look in found:
            if look is not None:
                by_account.setdefault(look.signing.account, []).append(look)
        await asyncio.gather(*(self._send_all(account, looks) for account, looks in by_account.items()))
        await self.app.signings.mark_all_due(self.marks)
        await self.app.signings.settle_all_due(rows)

    async def _look(self, signing_id: str) -> _Look | None:
        try:
            signing = (await self.app.signings.load(signing_id)).signing
        except NotFound:
            # Intake writes the due row first; one that leads nowhere belongs to a request that never got its row.
            return None
        messages = _messages(self.app, signing)
        return _Look(signing, messages, sum(pace.calls_for(self.app, queue, signing) for queue, _ in messages))

    async def _send_all(self, account: str, looks: Sequence[_Look]) -> None:
        """One reservation for all: their slots follow each other."""
        calls, step = sum(look.calls for look in looks), pace.seconds_per_call(self.app)
        at: datetime | None = self.app.now()
        if calls:
            at = await self._guard(None, self.app.pace.reserve, account, calls, step, self.app.now())
        if at is None:
            self.marks |= {look.signing.id: self.app.soon() for look in looks}
            return
        sending = []
        for look in looks:
            sending.append(self._guard(look.signing.id, self._send, look, at))
            at += timedelta(seconds=look.calls * step)
        await asyncio.gather(*sending)

    async def _send(self, look: _Look, at: datetime) -> None:
        app, signing = self.app, look.signing
        step = timedelta(seconds=pace.seconds_per_call(app))
        for queue, message in look.messages:
            calls = pace.calls_for(app, queue, signing)
            delay = (at - app.now()).total_seconds() if calls else 0
            await app.queue.send(queue, message, delay_seconds=max(delay, 0))
            at += calls * step
        if not _is_finished(signing, app.now(), app.policy):
            earliest = max(at, app.now()) + timedelta(seconds=app.policy.reconcile_min_seconds)
            self.marks[signing.id] = next_look(signing, earliest, app.policy)

    async def _guard(self, signing_id: str | None, work: Callable[..., Awaitable[T]], *arguments: object) -> T | None:
        """One bad row neither keeps the others back nor stays at the front of the index: it is moved behind them."""
        async with self.limit:
            try:
                return await work(*arguments)
            except Exception as error:
                telemetry.error("reconcile_failed", signing_id=signing_id, reason=type(error).__name__)
        if signing_id is not None:
            self.marks[signing_id] = self.app.soon()
        return None


def _messages(app: App, signing: Signing) -> list[FollowUp]:
    now, policy = app.now(), app.policy
    lost = overdue(signing, now, policy)
    if signing.account not in app.providers:
        telemetry.warning("account_not_configured", signing_id=signing.id, account=signing.account)
        return [(queue, message) for queue, message in lost if queue is Queue.NOTIFICATIONS]
    if _should_be_read_back(signing, now, policy):
        lost.append((Queue.EVENTS, _question(signing)))
    return lost


def _should_be_read_back(signing: Signing, now: datetime, policy: FlowPolicy) -> bool:
    if signing.provider_signing_id is None:
        return False
    return signing.state is State.STARTED or _is_watched(signing, now, policy)


def _is_watched(signing: Signing, now: datetime, policy: FlowPolicy) -> bool:
    """A soft end may still be overtaken by a hard one: a deadline was extended, an error repaired."""
    since = now - max(signing.updated_at, signing.deadline or signing.updated_at)
    return signing.state in _SOFT_ENDS and since <= timedelta(seconds=policy.soft_end_watch_seconds)


def _question(signing: Signing) -> ProviderEvent:
    return ProviderEvent(
        account=signing.account,
        source=Source.RECONCILE,
        signing_id=signing.id,
        provider_signing_id=signing.provider_signing_id,
        access_key=signing.access_key,
        traceparent=telemetry.current_trace(),
    )


def _is_finished(signing: Signing, now: datetime, policy: FlowPolicy) -> bool:
    """Nothing more is expected of this signing."""
    return signing.is_over and not _is_watched(signing, now, policy) and signing.is_told
