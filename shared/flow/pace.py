"""Work that can wait is spread over time, so that it leaves room in the account's budget for what cannot.

A provider allows an account so many calls a minute, counted over all instances. What callers and callbacks cause goes
out at once. What reconcile causes (questions, lost starts, downloads) first reserves time slots in a row that all
instances share, and then waits in its queue until they come.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.domain.capabilities import Calls, Capabilities
from shared.domain.messages import Queue
from shared.domain.signing import Signing
from shared.ports import App

_CALLS: dict[Queue, Callable[[Capabilities], Calls]] = {
    Queue.STARTS: lambda can: can.start_calls,
    Queue.EVENTS: lambda can: can.status_calls,
    Queue.DOWNLOADS: lambda can: can.download_calls,
}


def seconds_per_call(app: App) -> float:
    return 60.0 / max(app.policy.reconcile_calls_per_minute, 1)


def calls_for(app: App, queue: Queue, signing: Signing) -> int:
    """About how many provider calls a message about this signing causes on that queue."""
    calls = _CALLS.get(queue)
    if calls is None:
        return 0
    return calls(app.provider(signing.account).capabilities).of(len(signing.documents), len(signing.participants))


async def slot(app: App, queue: Queue, signing: Signing) -> datetime:
    """The time for one message. Raises ConcurrentUpdate, as `PaceStore.reserve` does."""
    return await app.pace.reserve(signing.account, calls_for(app, queue, signing), seconds_per_call(app), app.now())


async def later_slot(app: App, queue: Queue, signing: Signing, not_before: datetime, refusals: int) -> datetime:
    """The time for a message that the provider refused as one too many. Each refusal doubles its distance to what comes
    after it, so that an account which is allowed less than we think becomes slower, and no other does."""
    step = seconds_per_call(app) * 2**refusals
    return await app.pace.reserve(signing.account, calls_for(app, queue, signing), step, not_before)
