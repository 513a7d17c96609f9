"""What becomes of one attempt at a start: started, postponed, refused, or left to another worker.

An attempt writes about the start only while its worker is still the one that the lease names. An overtaken one may know
the truth about its own call, but not about the mark, the lease and the draft of whoever overtook it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared import telemetry
from shared.domain.capabilities import Action
from shared.domain.errors import (
    CountersignError,
    CreditsExhausted,
    Permanent,
    Retryable,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.domain.history import EntryKind, record
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import AttentionCode, Failure, Signing, StartProgress, State
from shared.domain.states import Event, EventKind, Source
from shared.flow import outage
from shared.flow.amend import Amended, Change, amend, doubled, flagged, moved
from shared.flow.follow_up import send_after
from shared.flow.start_log import claim_provider_signing_id
from shared.ports import App, Loaded, Started

_ATTENTION_FOR: tuple[tuple[type[Permanent], AttentionCode], ...] = (
    (CreditsExhausted, AttentionCode.CREDITS_EXHAUSTED),
    (Unauthorised, AttentionCode.PROVIDER_UNAUTHORISED),
)


async def left_to_others(app: App, found: Loaded) -> Loaded:
    """Whoever took the lease carries on. When nobody did (it merely ran out), this message brings the next worker."""
    telemetry.warning("start_lease_lost", signing_id=found.signing.id)
    if found.signing.state is State.REQUESTED:
        await again(app, found.signing, app.policy.start_lease_seconds)
    return found


async def record_started(app: App, loaded: Loaded, started: Started, source: Source = Source.START) -> Loaded:
    """The provider has the signing: records it and sends what follows. Raises ConcurrentUpdate when the provider's id
    belongs to another signing."""
    if loaded.signing.provider_signing_id != started.provider_signing_id:
        await claim_provider_signing_id(app, loaded.signing, started.provider_signing_id)
    now = app.now()
    event = Event(EventKind.ACCEPTED, now, source, provider_status=started.provider_status)

    def accept(signing: Signing) -> Change | None:
        brought = {"facts": {**signing.start.facts, **started.facts}}
        progress = signing.start.model_copy(
            update={"inviting_at": signing.start.inviting_at or now, "invited_at": now} | brought | ENDED
        )
        updates: dict[str, object] = {"start": progress}
        if signing.provider_signing_id is None:
            updates["provider_signing_id"] = started.provider_signing_id
        elif signing.provider_signing_id != started.provider_signing_id:
            # A callback has told of another one: that of an earlier attempt which nobody was sure of.
            return doubled(signing, started.provider_signing_id, source, now)
        return moved(signing, event, updates)

    accepted = await amend(app, loaded, accept)
    await send_after(app, accepted)
    await app.documents.delete_staged([document.blob for document in accepted.signing.documents])
    return accepted.loaded


_RELEASED: dict[str, object] = {"lease_owner": None, "lease_until": None}
ENDED: dict[str, object] = _RELEASED | {"next_attempt_at": None, "outage": None}


async def postpone(app: App, loaded: Loaded, owner: str, error: Retryable) -> Loaded:
    """The provider cannot now. A call that may have invited people leaves its mark: proof is looked for first."""
    pauses: list[float] = []

    def release(signing: Signing) -> Change | None:
        pauses.clear()
        if not _is_held(signing, owner):
            return None
        is_open = signing.start.is_uncertain and not _certainly_not_sent(error)
        pauses.append(app.policy.invite_proof_after_seconds if is_open else pause_after(app, signing.start, error))
        kept = signing.start.inviting_at if is_open else None
        held = waiting(app, signing, error, pauses[0], _RELEASED | {"inviting_at": kept})
        if _is_told(signing, held) and not is_open:
            return held, ()
        entry_facts = {"code": error.code, "uncertain": str(is_open).lower()}
        changed, entry = record(held, EntryKind.START_ATTEMPT, app.now(), entry_facts)
        return changed, [entry]

    released = await amend(app, loaded, release)
    if not pauses:
        return await left_to_others(app, released.loaded)
    is_open = released.signing.start.is_uncertain
    telemetry.warning(
        "start_postponed",
        signing_id=released.signing.id,
        code=error.code,
        reason="uncertain" if is_open else "retryable",
        provider_status_code=error.provider_status_code,
    )
    flagged_too = await flag_if_long(app, released.loaded)
    await again(app, flagged_too.signing, pauses[0])
    return flagged_too.loaded


def waiting(app: App, signing: Signing, error: Retryable, pause: float, updates: Mapping[str, object]) -> Signing:
    """The signing with the time of its next attempt, its outage (if any) prolonged, and `updates` of its start."""
    lasting = outage.prolonged(signing.start.outage, error, app.now()) if error.is_outage else None
    waits = {"outage": lasting, "next_attempt_at": app.now() + timedelta(seconds=pause)}
    return signing.model_copy(update={"start": signing.start.model_copy(update={**updates, **waits})})


def _is_told(before: Signing, waiting: Signing) -> bool:
    """Whether the history has this outage already."""
    return before.start.outage is not None and waiting.start.outage is not None


async def flag_if_long(app: App, loaded: Loaded) -> Amended:
    """Tells a person once the outage that this start waits out has lasted."""

    def flag(signing: Signing) -> Change | None:
        lasting = signing.start.outage
        if lasting is None or signing.state is not State.REQUESTED:
            return None
        return outage.flagged_if_long(signing, lasting, app.now(), app.policy)

    return await amend(app, loaded, flag)


def _certainly_not_sent(error: Retryable) -> bool:
    return isinstance(error, Throttled) or (isinstance(error, Unavailable) and not error.sent)


def pause_after(app: App, progress: StartProgress, error: Retryable) -> float:
    """Seconds before the next attempt."""
    if error.is_outage:
        return outage.pause_after(outage.prolonged(progress.outage, error, app.now()), error, app.policy)
    return app.policy.outage_pause(progress.attempts)


def _is_held(signing: Signing, owner: str) -> bool:
    """Whether this start is still that worker's to write about. One that was overtaken may hold a truth about its own
    call, but not about the mark, the lease and the draft of the worker that overtook it."""
    return signing.state is State.REQUESTED and signing.start.lease_owner == owner


async def again(app: App, signing: Signing, delay_seconds: float) -> None:
    """A message that brings the next worker, no sooner than in a second."""
    message = RunStart(signing_id=signing.id, traceparent=telemetry.current_trace())
    await app.queue.send(Queue.STARTS, message, delay_seconds=max(delay_seconds, 1.0))


async def fail(app: App, loaded: Loaded, owner: str, error: Permanent) -> Loaded:
    """The provider refuses: the signing has failed, what was staged goes, and with it the draft at the provider."""
    now = app.now()
    failure = Failure(code=error.code, detail=error.detail, next_step=error.next_step)
    event = Event(EventKind.FAILED, now, Source.START)
    had_draft: list[Signing] = []

    def failed_by(signing: Signing) -> Change | None:
        if not _is_held(signing, owner):
            return None
        had_draft[:] = [signing]
        progress = signing.start.model_copy(update=ENDED | {"inviting_at": None})
        return moved(signing, event, {"start": progress, "failure": failure})

    failed = await amend(app, loaded, failed_by)
    if failed.move is None:
        return await left_to_others(app, failed.loaded)
    telemetry.warning(
        "start_refused", signing_id=failed.signing.id, code=error.code, provider_status_code=error.provider_status_code
    )
    await send_after(app, failed)
    await app.documents.delete_staged([document.blob for document in failed.signing.documents])
    await _abandon_draft(app, had_draft[0])
    code = next((code for kind, code in _ATTENTION_FOR if isinstance(error, kind)), None)
    if code is None:
        return failed.loaded
    raised = await amend(app, failed.loaded, lambda signing: flagged(signing, code, error.detail, now))
    return raised.loaded


async def _abandon_draft(app: App, signing: Signing) -> None:
    """Removes what a refused start has left at the provider: a draft may hold credits (spec pkisigning 5). Only one for
    which no invitation was ever marked; and only if it works, for the signing has failed either way."""
    provider = app.provider(signing.account)
    is_draft = signing.provider_signing_id is not None and signing.start.inviting_at is None
    if not is_draft or Action.DELETE not in provider.capabilities.actions:
        return
    try:
        await provider.delete(signing)
    except CountersignError as error:
        telemetry.warning("draft_left_behind", signing_id=signing.id, account=signing.account, code=error.code)
