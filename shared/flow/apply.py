"""Stage 4: something may have changed at the provider. Read it back, decide, save once, send what follows.

The message itself is never believed: it says where to look. The provider's own status is what moves a signing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.errors import NotFound, Permanent, ProviderNotFound, Retryable, Throttled, Unauthorised
from shared.domain.history import EntryKind, record
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.signing import AttentionCode, Failure, Participant, Progress, Signing, State
from shared.domain.states import Answer, Event, EventKind, Source, decide
from shared.flow import outage, pace
from shared.flow.amend import Change, amend, doubled, flagged, moved
from shared.flow.follow_up import overdue, send_after, send_all, still_open
from shared.flow.start_log import PROVIDER_SIGNING_ID, IdTaken, claim_provider_signing_id, lookup_key
from shared.ports import App, Loaded, ParticipantProgress, ProviderStatus

# A callback to which the provider answers with a failure is asked again this often; after that reconcile is the one who
# asks. An outage never ends like that: what came with a callback, reconcile may not know.
MAX_READ_BACKS = 12
MAX_LAG_READ_BACKS = 4
_REMEMBERED_EVENT_KEYS = 20
# ... and a question of reconcile's own, when it was throttled, gets so many further time slots.
_MAX_SLOTS = 4


async def run(app: App, message: ProviderEvent, *, redelivered: bool) -> None:
    """`redelivered` is True when the host gives the same queue message again: its first worker may have died between
    saving and sending, so what should have followed is sent again."""
    loaded = await _find(app, message)
    if loaded is None:
        return
    signing = loaded.signing
    if message.provider_signing_id is not None and _is_other(signing, message.provider_signing_id):
        await _look_at_other(app, loaded, message, message.provider_signing_id)
        return
    if _is_repeat(signing, message) or signing.state is State.STORED:
        telemetry.info("event_repeated", signing_id=signing.id, event_key=message.event_key)
        if redelivered:
            await send_all(app, still_open(signing))
        return
    # A signing that has no id yet (its start call has not returned) learns it from a callback on its own address.
    provider_signing_id = signing.provider_signing_id or message.provider_signing_id
    if provider_signing_id is None:
        telemetry.warning("event_without_provider_id", signing_id=signing.id, account=message.account)
        return
    try:
        provider = app.provider(signing.account)
        status = await provider.status(provider_signing_id, message.access_key, signing=signing)
    except Retryable as error:
        await _ask_again(app, loaded, message, error)
    except ProviderNotFound as error:
        await _not_there(app, loaded, message, error)
    except Permanent as error:
        await _unreadable(app, loaded, message, error)
    else:
        await _settle(app, loaded, message, ReadBack(provider_signing_id, status))


@dataclass(frozen=True)
class ReadBack:
    provider_signing_id: str
    status: ProviderStatus


async def _find(app: App, message: ProviderEvent) -> Loaded | None:
    """The signing that this is about. None for a foreign one: webhooks of a whole organisation tell of all of them."""
    signing_id = message.signing_id
    if signing_id is None and message.provider_signing_id is not None:
        signing_id = await app.signings.find(
            PROVIDER_SIGNING_ID, lookup_key(message.account, message.provider_signing_id)
        )
    if signing_id is None:
        telemetry.info("event_for_unknown_signing", account=message.account)
        return None
    try:
        loaded = await app.signings.load(signing_id)
    except NotFound:
        telemetry.warning("event_for_unknown_signing", account=message.account, signing_id=signing_id)
        return None
    return loaded if loaded.signing.account == message.account else None


def _is_repeat(signing: Signing, message: ProviderEvent) -> bool:
    return message.event_key is not None and message.event_key in signing.recent_event_keys


def _is_other(signing: Signing, provider_signing_id: str) -> bool:
    return signing.provider_signing_id not in (None, provider_signing_id)


async def _look_at_other(app: App, loaded: Loaded, message: ProviderEvent, other_id: str) -> None:
    """A callback on the signing's own address that names another id than it has: a draft which nobody sees, left behind
    by a lost answer, or a second signing that people were invited to."""
    signing = loaded.signing
    try:
        status = await app.provider(signing.account).status(other_id, message.access_key, signing=signing)
    except Retryable as error:
        await _ask_again(app, loaded, message, error)
    except Permanent as error:
        telemetry.warning("event_for_other_signing", signing_id=signing.id, account=message.account, code=error.code)
    else:
        other = ReadBack(other_id, status)
        await amend(app, loaded, lambda current: _doubled(app, current, message, other))


def _doubled(app: App, signing: Signing, message: ProviderEvent, other: ReadBack) -> Change | None:
    if other.status.kind is None:
        telemetry.info("event_for_draft", signing_id=signing.id, provider_status=other.status.provider_status)
        return None
    return doubled(signing, other.provider_signing_id, message.source, app.now())


async def _settle(app: App, loaded: Loaded, message: ProviderEvent, read_back: ReadBack) -> None:
    before = loaded.signing
    if before.provider_signing_id is None:
        try:
            await claim_provider_signing_id(app, before, read_back.provider_signing_id)
        except IdTaken:
            telemetry.warning("event_for_other_signing", signing_id=before.id, account=message.account)
            return
    if not read_back.status.known:
        telemetry.warning(
            "unknown_provider_status", signing_id=before.id, provider_status=read_back.status.provider_status
        )
    download_at = await _download_slot(app, before, message, read_back.status)
    delay = (download_at - app.now()).total_seconds() if download_at else 0
    saved = await amend(app, loaded, lambda signing: _change(app, signing, message, read_back, download_at))
    if message.claims_end and read_back.status.kind is EventKind.ACCEPTED and not saved.signing.is_over:
        await _ask_whether_it_lags(app, saved.signing, message)
    if await send_after(app, saved, {Queue.DOWNLOADS: delay}):
        await _expect_soon(app, saved.signing)
        if before.state is State.REQUESTED:
            # The provider has the documents, whatever becomes of the start call that has not returned.
            await app.documents.delete_staged([document.blob for document in before.documents])
    elif message.source is Source.RECONCILE:
        await send_all(app, overdue(saved.signing, app.now(), app.policy))


async def _ask_whether_it_lags(app: App, signing: Signing, message: ProviderEvent) -> None:
    """The callback said that it is over and the read-back did not: a provider's reads may lag behind its callbacks
    (spec dokobit 2.5). Asked again a few times, then left to reconcile: the claim may as well be false."""
    if message.attempt >= MAX_LAG_READ_BACKS:
        telemetry.warning("claimed_end_not_seen", signing_id=signing.id, account=signing.account)
        return
    pause = app.policy.outage_pause(message.attempt)
    # Without the callback: its event key may be remembered by now, and this would pass for a repeat of it.
    again = message.model_copy(update={"attempt": message.attempt + 1, "callback": None})
    await app.queue.send(Queue.EVENTS, again, delay_seconds=pause)


async def _download_slot(app: App, signing: Signing, message: ProviderEvent, status: ProviderStatus) -> datetime | None:
    """What reconcile found may be one of hundreds, and their downloads must not all come at once."""
    is_found = message.source is Source.RECONCILE and status.kind is EventKind.ALL_SIGNED
    if not is_found or not _would_complete(signing):
        return None
    return await pace.slot(app, Queue.DOWNLOADS, signing)


def _would_complete(signing: Signing) -> bool:
    event = Event(EventKind.ALL_SIGNED, signing.updated_at, Source.RECONCILE)
    return decide(signing, event).answer is Answer.MOVE


async def _expect_soon(app: App, signing: Signing) -> None:
    """A lost download must be noticed sooner than a quiet open signing would be looked at. The first look of a young
    signing comes soon enough."""
    age = (app.now() - signing.created_at).total_seconds()
    if signing.state is State.COMPLETED and age > app.policy.reconcile_min_seconds:
        await app.signings.mark_due(signing.id, app.soon())


def _change(
    app: App, signing: Signing, message: ProviderEvent, read_back: ReadBack, download_at: datetime | None
) -> Change | None:
    if _is_other(signing, read_back.provider_signing_id):
        # The start call has returned meanwhile, and with another id.
        return _doubled(app, signing, message, read_back)
    updates: dict[str, object] = {}
    if download_at is not None and _would_complete(signing):
        updates["download"] = signing.download.model_copy(update={"next_attempt_at": download_at})
    if signing.provider_signing_id is None:
        updates["provider_signing_id"] = read_back.provider_signing_id
    if read_back.status.participants:
        updates["participants"] = _advanced(signing.participants, read_back.status.participants)
    if signing.start.is_uncertain and read_back.status.kind is not None:
        updates["start"] = signing.start.model_copy(update={"invited_at": app.now()})
    if message.access_key is not None and signing.access_key != message.access_key:
        updates["access_key"] = message.access_key
    if signing.state is State.STARTED and outage.is_flagged(signing):
        updates["attention"] = None
    change = _moved(app, signing, message, read_back.status, updates)
    if change is None:
        return None
    changed, entries = change
    if message.event_key is not None:
        keys = (*changed.recent_event_keys, message.event_key)[-_REMEMBERED_EVENT_KEYS:]
        changed = changed.model_copy(update={"recent_event_keys": keys})
    return changed, entries


def _moved(
    app: App, signing: Signing, message: ProviderEvent, status: ProviderStatus, updates: dict[str, object]
) -> Change | None:
    if status.kind is not None:
        event = Event(status.kind, app.now(), message.source, status.provider_status, status.reason)
        change = moved(signing, event, updates)
        if change is not None and change[1]:
            return change
    return _progressed(app, signing, signing.model_copy(update=updates), status)


def _progressed(app: App, before: Signing, changed: Signing, status: ProviderStatus) -> Change | None:
    """No move, but perhaps a new provider status or a participant who got further."""
    if changed.provider_status != status.provider_status and not before.is_over:
        changed = changed.model_copy(update={"provider_status": status.provider_status})
    if changed == before:
        return None
    done = sum(person.progress in _DONE for person in changed.participants)
    facts = {"provider_status": status.provider_status, "acted": f"{done}/{len(changed.participants)}"}
    recorded, entry = record(changed, EntryKind.PROGRESS, app.now(), facts)
    return recorded, [entry]


_DONE = frozenset({Progress.SIGNED, Progress.APPROVED, Progress.RECEIVED, Progress.DECLINED})


def _advanced(
    participants: tuple[Participant, ...], progress: tuple[ParticipantProgress, ...]
) -> tuple[Participant, ...]:
    by_number = {item.number: item for item in progress}
    return tuple(_advance(person, by_number.get(person.number)) for person in participants)


def _advance(person: Participant, news: ParticipantProgress | None) -> Participant:
    if news is None or news.progress is person.progress or person.progress in _DONE:
        return person
    return person.model_copy(update={"progress": news.progress, "progress_at": news.at})


async def _ask_again(app: App, loaded: Loaded, message: ProviderEvent, error: Retryable) -> None:
    """The provider cannot answer now. A new message with a delay keeps this one out of the poison queue."""
    signing = loaded.signing
    if _is_left_to_reconcile(message, error):
        telemetry.warning("read_back_left_to_reconcile", signing_id=signing.id, code=error.code)
        return
    again: dict[str, object]
    if error.is_outage:
        lasting, now = outage.prolonged(message.outage, error, app.now()), app.now()
        again, pause = {"outage": lasting}, outage.pause_after(lasting, error, app.policy)
        await amend(app, loaded, lambda current: outage.flagged_if_long(current, lasting, now, app.policy))
    else:
        again, pause = {"outage": None, "attempt": message.attempt + 1}, app.policy.outage_pause(message.attempt)
    if message.source is Source.RECONCILE:
        again["attempt"] = message.attempt + 1
        not_before = app.now() + timedelta(seconds=pause)
        again_at = await pace.later_slot(app, Queue.EVENTS, signing, not_before, message.attempt)
        pause = (again_at - app.now()).total_seconds()
    telemetry.info("read_back_postponed", signing_id=signing.id, code=error.code, delay_seconds=pause)
    await app.queue.send(Queue.EVENTS, message.model_copy(update=again), delay_seconds=pause)


def _is_left_to_reconcile(message: ProviderEvent, error: Retryable) -> bool:
    """Reconcile's own question is worth another slot when it came at a full moment, and is looked at again anyway when
    the provider is down. A callback's is asked on through any outage."""
    if message.source is Source.RECONCILE:
        return not isinstance(error, Throttled) or message.attempt > _MAX_SLOTS
    return not error.is_outage and message.attempt >= MAX_READ_BACKS


async def _not_there(app: App, loaded: Loaded, message: ProviderEvent, error: ProviderNotFound) -> None:
    """404 for a signing that was sent out: gone, unless a callback was merely faster than the provider's own reads."""
    signing = loaded.signing
    if signing.cancel_requested:
        cancelled = Event(EventKind.CANCELLED, app.now(), message.source)
        await send_after(app, await amend(app, loaded, lambda current: moved(current, cancelled)))
        return
    if message.source is not Source.RECONCILE:
        await _ask_again(app, loaded, message, error_as_retryable(error))
        return
    if _is_fresh(app, signing):
        telemetry.info("not_there_yet", signing_id=signing.id, account=signing.account)
        return
    event = Event(EventKind.FAILED, app.now(), message.source)
    failure = Failure(code=error.code, detail="The provider no longer has this signing.", next_step=error.next_step)

    def gone(current: Signing) -> Change | None:
        return moved(current, event, {"failure": failure}) if current.state is State.STARTED else None

    await send_after(app, await amend(app, loaded, gone))


def _is_fresh(app: App, signing: Signing) -> bool:
    began = signing.start.invited_at or signing.created_at
    return (app.now() - began).total_seconds() < app.policy.provider_gone_after_seconds


def error_as_retryable(error: Permanent) -> Retryable:
    """The same sentence with another verdict: the call may succeed later after all."""
    return Retryable(error.detail, code=error.code, provider_status_code=error.provider_status_code)


async def _unreadable(app: App, loaded: Loaded, message: ProviderEvent, error: Permanent) -> None:
    telemetry.error("read_back_refused", signing_id=loaded.signing.id, code=error.code)
    if isinstance(error, Unauthorised):
        code, now = AttentionCode.PROVIDER_UNAUTHORISED, app.now()
        await amend(app, loaded, lambda signing: flagged(signing, code, error.detail, now))
    # Credentials get repaired, and a callback may carry what nobody else knows.
    await _ask_again(app, loaded, message, error_as_retryable(error))
