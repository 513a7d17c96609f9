"""Stage 2: the provider calls that turn a requested signing into a started one, resumable and never twice.

One worker at a time holds a lease on the row. Before the one call that invites people the row is marked `inviting`; a
worker that finds the mark without a result does not call again, but looks for proof at the provider:

    invited            -> the signing is started
    not invited        -> the mark is taken back and the start carries on
    nothing to be seen -> wait for a callback on the signing's own address; after a limit, tell a person
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate, LeaseLost, NotFound, Permanent, Retryable
from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.messages import RunStart
from shared.domain.signing import State
from shared.flow import subscribe
from shared.flow.amend import MAX_TRIES
from shared.flow.follow_up import overdue, send_all
from shared.flow.start_log import LeasedStartLog
from shared.flow.start_order import order_for
from shared.flow.start_outcome import again, fail, left_to_others, postpone, record_started
from shared.flow.start_proof import look_for_proof
from shared.ports import App, Loaded


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
        await again(app, signing, (signing.start.lease_until - now).total_seconds())
    elif signing.start.is_uncertain:
        await look_for_proof(app, loaded)
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
        started = await provider.start(order_for(app, loaded.signing, contents), log)
    except LeaseLost:
        return await left_to_others(app, await app.signings.load(loaded.signing.id))
    except NotFound:
        # Its staged documents are gone: another worker has finished the start meanwhile, or else this is a fault.
        found = await app.signings.load(loaded.signing.id)
        if found.signing.state is State.REQUESTED:
            raise
        return await left_to_others(app, found)
    except Retryable as error:
        return await postpone(app, log.loaded, owner, error)
    except Permanent as error:
        return await fail(app, log.loaded, owner, error)
    return await record_started(app, log.loaded, started)
