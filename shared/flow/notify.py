"""Stage 6: tell the caller. Each announcement is delivered at least once, on a schedule, or given up visibly."""

from __future__ import annotations

from datetime import timedelta

from shared import telemetry
from shared.domain.errors import NotifyRefused, Unavailable
from shared.domain.messages import NotifyCaller, Queue
from shared.domain.signing import Announcement, AttentionCode, State
from shared.flow.amend import amend, flagged
from shared.ports import App, DeadLetter


async def run(app: App, message: NotifyCaller) -> None:
    """Delivers one event. A failure is recorded with the time of the next try, then queued for that time."""
    if message.attempt > 1 and await _is_overtaken(app, message):
        telemetry.info("notification_overtaken", signing_id=message.signing_id, attempt=message.attempt)
        return
    problem = await _deliver(app, message)
    if problem is None:
        await app.signings.record_delivery(message.signing_id, _attempted(app, message, delivered=True))
        telemetry.info("caller_notified", signing_id=message.signing_id, attempt=message.attempt)
        return
    pause = app.policy.notify_pause(message.attempt)
    if pause is None or problem in _FINAL:
        await _give_up(app, message, problem)
        return
    telemetry.warning(
        "caller_not_notified",
        signing_id=message.signing_id,
        attempt=message.attempt,
        reason=problem,
        delay_seconds=pause,
    )
    await app.signings.record_delivery(message.signing_id, _attempted(app, message, pause=pause))
    again = message.model_copy(update={"attempt": message.attempt + 1})
    await app.queue.send(Queue.NOTIFICATIONS, again, delay_seconds=pause)


# The receiver does not want any more (410), or its address may not be called.
_FINAL = frozenset({"http_410", "refused"})


async def _is_overtaken(app: App, message: NotifyCaller) -> bool:
    """Whether this repetition has become needless: the receiver has the event, or an operator had it sent anew."""
    signing = (await app.signings.load(message.signing_id)).signing
    owed = next((one for one in signing.announcements if one.seq == message.seq), None)
    return owed is not None and (owed.delivered_at is not None or owed.replays > message.replays)


async def _deliver(app: App, message: NotifyCaller) -> str | None:
    """None when the receiver has it, else a stable word for what went wrong."""
    try:
        status = await app.notifier.deliver(message.url, message.event, app.now())
    except NotifyRefused as refusal:
        telemetry.warning("notification_refused", signing_id=message.signing_id, reason=refusal.reason)
        return "refused"
    except Unavailable:
        return "no_answer"
    return None if 200 <= status < 300 else f"http_{status}"


def _attempted(
    app: App, message: NotifyCaller, *, delivered: bool = False, pause: float = 0.0, given_up: str | None = None
) -> Announcement:
    now, told = app.now(), message.event["data"]
    return Announcement(
        seq=message.seq,
        state=State(told["state"]),
        at=message.event["time"],
        provider_signing_id=told.get("providerSigningId"),
        provider_status=told.get("providerStatus"),
        reason=told.get("reason"),
        failure=told.get("failure"),
        attempts=message.attempt,
        next_attempt_at=now + timedelta(seconds=pause),
        delivered_at=now if delivered else None,
        given_up_reason=given_up,
        replays=message.replays,
    )


async def _give_up(app: App, message: NotifyCaller, reason: str) -> None:
    now = app.now()
    telemetry.error("caller_given_up", signing_id=message.signing_id, reason=reason, attempt=message.attempt)
    letter = DeadLetter(
        id=_letter_id(message),
        at=now,
        queue=Queue.NOTIFICATIONS.value,
        reason=reason,
        detail=f"Not delivered after {message.attempt} attempts.",
        body=message.model_dump_json(),
        signing_id=message.signing_id,
    )
    await app.dead_letters.add(letter)
    await app.signings.record_delivery(message.signing_id, _attempted(app, message, given_up=reason))
    detail = "The caller could not be notified; the notification is kept as a dead letter."
    loaded = await app.signings.load(message.signing_id)
    await amend(app, loaded, lambda signing: flagged(signing, AttentionCode.NOTIFY_FAILED, detail, now))


def _letter_id(message: NotifyCaller) -> str:
    """One that was replayed and is given up again is a new letter; the one it was replayed from stays settled."""
    first = f"notification-{message.signing_id}-{message.seq}"
    return f"{first}-{message.replays}" if message.replays else first
