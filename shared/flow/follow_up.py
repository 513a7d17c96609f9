"""What should happen next to a signing, derived from its state alone.

Moves send these messages right after the save. When that was lost, a redelivered message or reconcile derives them
again from the same function: nothing about the next step is kept anywhere but in the state.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.messages import DownloadDocuments, Message, NotifyCaller, Queue, RunStart
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Announcement, Signing, State
from shared.flow.amend import Amended
from shared.flow.cloud_event import cloud_event
from shared.ports import App

FollowUp = tuple[Queue, Message]


def after_move(signing: Signing, seq: int) -> list[FollowUp]:
    """The messages that the move with this history number calls for."""
    found: list[FollowUp] = [_notification(signing, owed) for owed in signing.announcements if owed.seq == seq]
    if signing.state is State.COMPLETED:
        found.append(_download(signing))
    return found


def still_open(signing: Signing) -> list[FollowUp]:
    """The messages of moves that nobody has acted upon yet: their sender may have died before sending them."""
    found: list[FollowUp] = [
        _notification(signing, owed) for owed in signing.announcements if not owed.is_settled and owed.attempts == 0
    ]
    if signing.state is State.COMPLETED:
        found.append(_download(signing))
    return found


def overdue(signing: Signing, now: datetime, policy: FlowPolicy) -> list[FollowUp]:
    """The messages that should have been acted upon by now, so that they were probably lost."""
    grace = timedelta(seconds=policy.follow_up_grace_seconds)
    found: list[FollowUp] = [
        _notification(signing, owed)
        for owed in signing.announcements
        if not owed.is_settled and owed.next_attempt_at + grace <= now
    ]
    waits = signing.start.next_attempt_at is not None and signing.start.next_attempt_at + grace > now
    if signing.state is State.REQUESTED and not waits and not _is_leased(signing, now):
        found.append((Queue.STARTS, RunStart(signing_id=signing.id, traceparent=telemetry.current_trace())))
    if signing.state is State.COMPLETED and (signing.download.next_attempt_at or signing.updated_at) + grace <= now:
        found.append(_download(signing))
    return found


async def send_after(app: App, amended: Amended) -> bool:
    """Sends what the move calls for that `amended` was; False when it was none."""
    if amended.move is None:
        return False
    await send_all(app, after_move(amended.signing, amended.move.seq))
    return True


async def send_all(app: App, messages: Iterable[FollowUp]) -> None:
    """Sends each message without delay."""
    for queue, message in messages:
        await app.queue.send(queue, message)


def _is_leased(signing: Signing, now: datetime) -> bool:
    return signing.start.lease_until is not None and signing.start.lease_until > now


def _download(signing: Signing) -> FollowUp:
    return Queue.DOWNLOADS, DownloadDocuments(signing_id=signing.id, traceparent=telemetry.current_trace())


def _notification(signing: Signing, owed: Announcement) -> FollowUp:
    if signing.notify is None:
        raise ValueError("an announcement without an address to send it to")
    message = NotifyCaller(
        signing_id=signing.id,
        seq=owed.seq,
        url=signing.notify.url,
        event=cloud_event(signing, owed),
        attempt=owed.attempts + 1,
        traceparent=telemetry.current_trace(),
    )
    return Queue.NOTIFICATIONS, message
