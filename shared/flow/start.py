"""Stage 2: the provider calls that turn a requested signing into a started one, resumable and never twice.

One worker at a time holds a lease on the row. Before the one call that invites people the row is marked `inviting`; a
worker that finds the mark without a result does not call again, but looks for proof at the provider:

    invited            -> the signing is started
    not invited        -> the mark is taken back and the start carries on
    nothing to be seen -> wait for a callback on the signing's own address; after a limit, tell a person
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.capabilities import Action
from shared.domain.errors import (
    ConcurrentUpdate,
    CountersignError,
    CreditsExhausted,
    LeaseLost,
    NotFound,
    Permanent,
    Retryable,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import AttentionCode, Document, Failure, Signing, StartProgress, State
from shared.domain.states import Event, EventKind, Source
from shared.flow import outage, subscribe
from shared.flow.amend import MAX_TRIES, Amended, Change, amend, doubled, flagged, moved
from shared.flow.follow_up import overdue, send_after, send_all
from shared.flow.start_log import LeasedStartLog, claim_provider_signing_id
from shared.ports import App, Loaded, Started, StartOrder, StartProof

_ATTENTION_FOR: tuple[tuple[type[Permanent], AttentionCode], ...] = (
    (CreditsExhausted, AttentionCode.CREDITS_EXHAUSTED),
    (Unauthorised, AttentionCode.PROVIDER_UNAUTHORISED),
)


async def inline(app: App, loaded: Loaded, owner: str, contents: Mapping[int, bytes]) -> Loaded:
    """Starts within the time budget of an HTTP call; `owner` holds the lease since intake.

    Past the budget the work goes on in the background and the signing is returned as it is. Should the process end
    then, the delayed message on `signing-starts` carries on.
    """
    work = asyncio.create_task(_attempt(app, loaded, owner, contents))
    _background.add(work)
    work.add_done_callback(_background.discard)
    done, _ = await asyncio.wait({work}, timeout=app.policy.start_inline_seconds)
    if not done:
        telemetry.info("start_continues_in_background", signing_id=loaded.signing.id)
        return await app.signings.load(loaded.signing.id)
    try:
        return work.result()
    except Exception as error:
        # Taken in is taken in: the caller's platform would repeat what looks like a failure, perhaps without a key.
        # What went wrong goes wrong again, or not, when the message on `signing-starts` comes.
        telemetry.error("start_interrupted", signing_id=loaded.signing.id, reason=type(error).__name__)
        return loaded


# asyncio keeps only weak references to tasks.
_background: set[asyncio.Task[Loaded]] = set()


async def run(app: App, message: RunStart) -> None:
    """Carries a start on from the queue. Redelivery and repetition are harmless.

    Raises ConcurrentUpdate when the row changed each time it was about to be leased: the message then comes again.
    """
    for _ in range(MAX_TRIES):
        loaded = await app.signings.load(message.signing_id)
        if await _carry_on(app, loaded):
            return
    raise ConcurrentUpdate(f"signing {message.signing_id} changed {MAX_TRIES} times while it was being leased")


async def _carry_on(app: App, loaded: Loaded) -> bool:
    """One look at the signing and what follows from it. False when it changed meanwhile and wants another look."""
    signing, now = loaded.signing, app.now()
    if signing.state is not State.REQUESTED:
        await send_all(app, overdue(signing, now, app.policy))
    elif signing.start.lease_until is not None and signing.start.lease_until > now:
        await _again(app, signing, (signing.start.lease_until - now).total_seconds())
    elif signing.start.is_uncertain:
        await _look_for_proof(app, loaded)
    else:
        owner = app.random_bytes(8).hex()
        leased = await _lease(app, loaded, owner)
        if leased is None:
            return False
        await _attempt(app, leased, owner, {})
    return True


async def _lease(app: App, loaded: Loaded, owner: str) -> Loaded | None:
    """Takes the lease, or None when the row has changed: another worker, or anything else."""
    now = app.now()
    start = loaded.signing.start
    progress = start.model_copy(
        update={
            "lease_owner": owner,
            "lease_until": now + timedelta(seconds=app.policy.start_lease_seconds),
            "attempts": start.attempts + 1,
            "next_attempt_at": None,
        }
    )
    signing, entries = loaded.signing.model_copy(update={"start": progress}), list[HistoryEntry]()
    if start.outage is None:
        # The attempts of an outage are counted, not told one by one.
        signing, entry = record(signing, EntryKind.START_ATTEMPT, now, {"attempt": str(progress.attempts)})
        entries.append(entry)
    try:
        return await app.signings.save(loaded, signing, entries)
    except ConcurrentUpdate:
        return None


async def _attempt(app: App, loaded: Loaded, owner: str, contents: Mapping[int, bytes]) -> Loaded:
    log = LeasedStartLog(app, loaded, owner)
    provider = app.provider(loaded.signing.account)
    try:
        await subscribe.ensure(app, provider)
        started = await provider.start(_order(app, loaded.signing, contents), log)
    except LeaseLost:
        return await _left_to_others(app, await app.signings.load(loaded.signing.id))
    except NotFound:
        # Its staged documents are gone: another worker has finished the start meanwhile, or else this is a fault.
        found = await app.signings.load(loaded.signing.id)
        if found.signing.state is State.REQUESTED:
            raise
        return await _left_to_others(app, found)
    except Retryable as error:
        return await _postpone(app, log.loaded, owner, error)
    except Permanent as error:
        return await _fail(app, log.loaded, owner, error)
    return await record_started(app, log.loaded, started)


async def _left_to_others(app: App, found: Loaded) -> Loaded:
    """Whoever took the lease carries on. When nobody did (it merely ran out), this message brings the next worker."""
    telemetry.warning("start_lease_lost", signing_id=found.signing.id)
    if found.signing.state is State.REQUESTED:
        await _again(app, found.signing, app.policy.start_lease_seconds)
    return found


def _order(app: App, signing: Signing, contents: Mapping[int, bytes]) -> StartOrder:
    async def read(document: Document) -> bytes:
        content = contents.get(document.number)
        return content if content is not None else await app.documents.read_staged(document.blob)

    url = app.addresses.for_signing(signing.provider, signing.account, signing.id)
    return StartOrder(signing=signing, callback_url=url, read_document=read)


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
            update={"inviting_at": signing.start.inviting_at or now, "invited_at": now} | brought | _ENDED
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
_ENDED: dict[str, object] = _RELEASED | {"next_attempt_at": None, "outage": None}


async def _postpone(app: App, loaded: Loaded, owner: str, error: Retryable) -> Loaded:
    """The provider cannot now. A call that may have invited people leaves its mark: proof is looked for first."""
    pauses: list[float] = []

    def release(signing: Signing) -> Change | None:
        pauses.clear()
        if not _is_held(signing, owner):
            return None
        is_open = signing.start.is_uncertain and not _certainly_not_sent(error)
        pauses.append(app.policy.invite_proof_after_seconds if is_open else _pause(app, signing.start, error))
        kept = signing.start.inviting_at if is_open else None
        waiting = _waiting(app, signing, error, pauses[0], _RELEASED | {"inviting_at": kept})
        if _is_told(signing, waiting) and not is_open:
            return waiting, ()
        entry_facts = {"code": error.code, "uncertain": str(is_open).lower()}
        changed, entry = record(waiting, EntryKind.START_ATTEMPT, app.now(), entry_facts)
        return changed, [entry]

    released = await amend(app, loaded, release)
    if not pauses:
        return await _left_to_others(app, released.loaded)
    is_open = released.signing.start.is_uncertain
    telemetry.warning(
        "start_postponed",
        signing_id=released.signing.id,
        code=error.code,
        reason="uncertain" if is_open else "retryable",
        provider_status_code=error.provider_status_code,
    )
    waiting = await _flag_if_long(app, released.loaded)
    await _again(app, waiting.signing, pauses[0])
    return waiting.loaded


def _waiting(app: App, signing: Signing, error: Retryable, pause: float, updates: Mapping[str, object]) -> Signing:
    lasting = outage.prolonged(signing.start.outage, error, app.now()) if error.is_outage else None
    waits = {"outage": lasting, "next_attempt_at": app.now() + timedelta(seconds=pause)}
    return signing.model_copy(update={"start": signing.start.model_copy(update={**updates, **waits})})


def _is_told(before: Signing, waiting: Signing) -> bool:
    """Whether the history has this outage already."""
    return before.start.outage is not None and waiting.start.outage is not None


async def _flag_if_long(app: App, loaded: Loaded) -> Amended:
    def flag(signing: Signing) -> Change | None:
        lasting = signing.start.outage
        if lasting is None or signing.state is not State.REQUESTED:
            return None
        return outage.flagged_if_long(signing, lasting, app.now(), app.policy)

    return await amend(app, loaded, flag)


def _certainly_not_sent(error: Retryable) -> bool:
    return isinstance(error, Throttled) or (isinstance(error, Unavailable) and not error.sent)


def _pause(app: App, progress: StartProgress, error: Retryable) -> float:
    if error.is_outage:
        return outage.pause_after(outage.prolonged(progress.outage, error, app.now()), error, app.policy)
    return app.policy.outage_pause(progress.attempts)


def _is_held(signing: Signing, owner: str) -> bool:
    """Whether this start is still that worker's to write about. One that was overtaken may hold a truth about its own
    call, but not about the mark, the lease and the draft of the worker that overtook it."""
    return signing.state is State.REQUESTED and signing.start.lease_owner == owner


async def _again(app: App, signing: Signing, delay_seconds: float) -> None:
    message = RunStart(signing_id=signing.id, traceparent=telemetry.current_trace())
    await app.queue.send(Queue.STARTS, message, delay_seconds=max(delay_seconds, 1.0))


async def _fail(app: App, loaded: Loaded, owner: str, error: Permanent) -> Loaded:
    now = app.now()
    failure = Failure(code=error.code, detail=error.detail, next_step=error.next_step)
    event = Event(EventKind.FAILED, now, Source.START)
    had_draft: list[Signing] = []

    def fail(signing: Signing) -> Change | None:
        if not _is_held(signing, owner):
            return None
        had_draft[:] = [signing]
        progress = signing.start.model_copy(update=_ENDED | {"inviting_at": None})
        return moved(signing, event, {"start": progress, "failure": failure})

    failed = await amend(app, loaded, fail)
    if failed.move is None:
        return await _left_to_others(app, failed.loaded)
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


async def _look_for_proof(app: App, loaded: Loaded) -> None:
    signing, now = loaded.signing, app.now()
    inviting_at = signing.start.inviting_at or now
    proof_at = inviting_at + timedelta(seconds=app.policy.invite_proof_after_seconds)
    if now < proof_at:
        await _again(app, signing, (proof_at - now).total_seconds())
        return
    try:
        proof = await look_at_provider(app, loaded)
    except CountersignError as error:
        telemetry.warning("start_proof_unavailable", signing_id=signing.id, code=error.code)
        if isinstance(error, Retryable) and error.is_outage:
            await _wait_for_proof(app, loaded, error)
            return
        proof = StartProof(invited=None)
    await _act_on_proof(app, loaded, proof, inviting_at)


async def look_at_provider(app: App, loaded: Loaded) -> StartProof:
    """What the provider shows of an uncertain invitation. Raises ProviderError."""
    signing = loaded.signing
    log = LeasedStartLog(app, loaded, owner="")
    return await app.provider(signing.account).prove_start(_order(app, signing, {}), log)


async def _wait_for_proof(app: App, loaded: Loaded, error: Retryable) -> None:
    """A provider that cannot be asked has proven nothing, so this is no reason to call a person for a decision."""
    pause = _pause(app, loaded.signing.start, error)

    def wait(signing: Signing) -> Change | None:
        is_needed = signing.state is State.REQUESTED and signing.start.is_uncertain
        return (_waiting(app, signing, error, pause, {}), ()) if is_needed else None

    waiting = await _flag_if_long(app, (await amend(app, loaded, wait)).loaded)
    await _again(app, waiting.signing, pause)


async def _act_on_proof(app: App, loaded: Loaded, proof: StartProof, inviting_at: datetime) -> None:
    signing, now = loaded.signing, app.now()
    if proof.invited is True and proof.started is not None:
        await record_started(app, loaded, proof.started)
    elif proof.invited is False:
        await _take_mark_back(app, loaded)
    elif now >= inviting_at + timedelta(seconds=app.policy.start_uncertain_after_seconds):
        detail = (
            "It is not known whether the provider invited the signers. Nothing is sent again without proof: "
            "look there, and confirm or restart the start."
        )
        await amend(
            app,
            loaded,
            lambda current: (
                flagged(current, AttentionCode.START_UNCERTAIN, detail, now) if current.start.is_uncertain else None
            ),
        )
    else:
        await _again(app, signing, app.policy.invite_proof_after_seconds)


async def _take_mark_back(app: App, loaded: Loaded) -> None:
    """Proof that nobody was invited. Conditional on the very state that was looked at: no reload, no second thought."""
    progress = loaded.signing.start.model_copy(update=_ENDED | {"inviting_at": None})
    signing, entry = record(
        loaded.signing.model_copy(update={"start": progress}),
        EntryKind.START_ATTEMPT,
        app.now(),
        {"proof": "not_invited"},
    )
    with contextlib.suppress(ConcurrentUpdate):
        await app.signings.save(loaded, signing, [entry])
    # Taken back or not, the next message looks at what is there then.
    await _again(app, loaded.signing, 1.0)
