"""An invitation of which nobody knows whether it went out: look at the provider, wait for a callback, tell a person."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate, CountersignError, Retryable
from shared.domain.history import EntryKind, record
from shared.domain.signing import AttentionCode, Signing, State
from shared.flow.amend import Change, amend, flagged
from shared.flow.start_log import LeasedStartLog
from shared.flow.start_order import order_for
from shared.flow.start_outcome import ENDED, again, flag_if_long, pause_after, record_started, waiting
from shared.ports import App, Loaded, StartProof


async def look_for_proof(app: App, loaded: Loaded) -> None:
    signing, now = loaded.signing, app.now()
    inviting_at = signing.start.inviting_at or now
    proof_at = inviting_at + timedelta(seconds=app.policy.invite_proof_after_seconds)
    if now < proof_at:
        await again(app, signing, (proof_at - now).total_seconds())
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
    return await app.provider(signing.account).prove_start(order_for(app, signing, {}), log)


async def _wait_for_proof(app: App, loaded: Loaded, error: Retryable) -> None:
    """A provider that cannot be asked has proven nothing, so this is no reason to call a person for a decision."""
    pause = pause_after(app, loaded.signing.start, error)

    def wait(signing: Signing) -> Change | None:
        is_needed = signing.state is State.REQUESTED and signing.start.is_uncertain
        return (waiting(app, signing, error, pause, {}), ()) if is_needed else None

    flagged_too = await flag_if_long(app, (await amend(app, loaded, wait)).loaded)
    await again(app, flagged_too.signing, pause)


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
        await again(app, signing, app.policy.invite_proof_after_seconds)


async def _take_mark_back(app: App, loaded: Loaded) -> None:
    """Proof that nobody was invited. Conditional on the very state that was looked at: no reload, no second thought."""
    progress = loaded.signing.start.model_copy(update=ENDED | {"inviting_at": None})
    signing, entry = record(
        loaded.signing.model_copy(update={"start": progress}),
        EntryKind.START_ATTEMPT,
        app.now(),
        {"proof": "not_invited"},
    )
    with contextlib.suppress(ConcurrentUpdate):
        await app.signings.save(loaded, signing, [entry])
    # Taken back or not, the next message looks at what is there then.
    await again(app, loaded.signing, 1.0)
