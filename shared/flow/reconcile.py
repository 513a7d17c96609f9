"""Stage 7, by the clock: look at the signings whose time has come, and send what was lost. Never edits state itself.

Each signing that is not over has a row in the due index. A tick reads only rows that are due, sends the messages that
the state calls for, writes the next row and then removes this one: a crash in between leaves a row too many, never one
too few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.errors import NotFound
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Signing, State
from shared.domain.states import Source
from shared.flow import subscribe
from shared.flow.follow_up import overdue, send_all
from shared.ports import App, DueSigning

_AT_A_TIME = 8
_SOFT_ENDS = frozenset({State.EXPIRED, State.FAILED})


async def run(app: App, *, budget_seconds: float) -> int:
    """Works off due rows until none is left or the time is up; the next tick goes on there. Returns how many."""
    for provider in app.providers.values():
        await subscribe.ensure(app, provider)
    began, seen = app.now(), 0
    while (app.now() - began).total_seconds() < budget_seconds:
        rows = await app.signings.due(app.now(), app.policy.reconcile_batch)
        await _look_at_all(app, rows)
        seen += len(rows)
        if len(rows) < app.policy.reconcile_batch:
            break
    telemetry.info("reconciled", count=seen)
    return seen


async def _look_at_all(app: App, rows: Sequence[DueSigning]) -> None:
    limit = asyncio.Semaphore(_AT_A_TIME)

    async def one(row: DueSigning) -> None:
        async with limit:
            await _look_at(app, row)

    results = await asyncio.gather(*(one(row) for row in rows), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        # The other rows are done; these are still there for the next tick.
        telemetry.error("reconcile_failed", count=len(failures), reason=type(failures[0]).__name__)
        raise failures[0]


async def _look_at(app: App, row: DueSigning) -> None:
    try:
        signing = (await app.signings.load(row.signing_id)).signing
    except NotFound:
        # Intake writes the due row first; one that leads nowhere belongs to a request that never got its row.
        await app.signings.settle_due(row)
        return
    now = app.now()
    await send_all(app, overdue(signing, now, app.policy))
    if _should_be_read_back(signing, now, app.policy):
        await app.queue.send(Queue.EVENTS, _question(signing))
    next_look = _next_look(signing, now, app.policy)
    if next_look is not None:
        await app.signings.mark_due(signing.id, next_look)
    await app.signings.settle_due(row)


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


def _next_look(signing: Signing, now: datetime, policy: FlowPolicy) -> datetime | None:
    """None when nothing more is expected of this signing."""
    if signing.is_over and not _is_watched(signing, now, policy) and _is_told(signing):
        return None
    age = (now - signing.created_at).total_seconds()
    pause = policy.reconcile_pause(age) if signing.state is State.STARTED else policy.reconcile_min_seconds
    if _is_watched(signing, now, policy):
        pause = policy.reconcile_max_seconds
    return now + timedelta(seconds=pause)


def _is_told(signing: Signing) -> bool:
    return all(owed.is_settled for owed in signing.announcements)
