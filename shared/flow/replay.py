"""An operator has a signing looked at again: what should happen next is derived from its state and sent at once.

Order of writes, and what a crash after each leaves behind:
1. a due row: reconcile looks, and finds nothing that is overdue
2. the signing, with its notifications owed anew: reconcile sends them when they are overdue
3. the messages
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared import telemetry
from shared.domain.history import EntryKind, record
from shared.domain.messages import Queue
from shared.domain.signing import AttentionCode, Signing
from shared.flow.amend import Change, amend, cleared
from shared.flow.follow_up import owed_anew, send_all, whatever_is_open
from shared.ports import App

# What the replay deals with. Should it still be so, whoever finds it raises it again. A conflict and an uncertain start
# are not among them: those want a decision, and trying again is none.
_CLEARED = frozenset(
    {
        AttentionCode.POISON,
        AttentionCode.NOTIFY_FAILED,
        AttentionCode.SEAL_LATE,
        AttentionCode.PROVIDER_UNAUTHORISED,
        AttentionCode.PROVIDER_UNAVAILABLE,
    }
)


@dataclass(frozen=True)
class Replay:
    """The signing as it is now, and the queues that got a message."""

    signing: Signing
    queued: Sequence[Queue]


async def run(app: App, signing_id: str) -> Replay:
    """Sends whatever the state calls for, also notifications that were given up. Repetition is harmless."""
    loaded = await app.signings.load(signing_id)
    await app.signings.mark_due(signing_id, app.soon())
    saved = await amend(app, loaded, lambda signing: _replayed(app, signing))
    messages = whatever_is_open(saved.signing)
    await send_all(app, messages)
    telemetry.info("signing_replayed", signing_id=signing_id, account=saved.signing.account, count=len(messages))
    return Replay(saved.signing, [queue for queue, _ in messages])


def _replayed(app: App, signing: Signing) -> Change:
    now = app.now()
    undelivered = {owed.seq for owed in signing.announcements if owed.delivered_at is None}
    changed, entry = record(owed_anew(signing, now, undelivered), EntryKind.MANAGED, now, {"action": "replay"})
    return cleared((changed, [entry]), _CLEARED, now)
