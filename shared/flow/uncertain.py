"""What an operator can say about a start of which nobody knows whether it invited people: yes, this one; or no, nobody.

Both are refused as long as a worker is at it, and neither is taken on trust where the provider can be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared import telemetry
from shared.domain.errors import FieldError, InvalidRequest, Permanent, ProviderNotFound, WrongState
from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.messages import ProviderEvent, Queue, RunStart
from shared.domain.signing import AttentionCode, Signing, State
from shared.domain.states import Source
from shared.flow.start_log import PROVIDER_SIGNING_ID, lookup_key
from shared.flow.start_outcome import record_started
from shared.flow.start_proof import look_at_provider
from shared.ports import App, Loaded, Started

_ID_FIELD = "providerSigningId"


async def confirm(app: App, signing_id: str, provider_signing_id: str) -> Signing:
    """The operator has found the signing at the provider. It is read there, and then started like any other.

    Raises WrongState, InvalidRequest for an id that is not this signing's, ProviderError when it cannot be read now.
    """
    loaded = await app.signings.load(signing_id)
    signing = loaded.signing
    if signing.state is not State.REQUESTED and signing.provider_signing_id == provider_signing_id:
        return signing
    _require_uncertain(app, signing)
    await _require_own(app, signing, provider_signing_id)
    status = await _status_of_sent(app, signing, provider_signing_id)
    confirmed = await record_started(app, loaded, Started(provider_signing_id, status), Source.OPERATOR)
    telemetry.info("start_confirmed", signing_id=signing.id, account=signing.account)
    # It may have got further than started.
    question = ProviderEvent(
        account=signing.account,
        source=Source.OPERATOR,
        signing_id=signing.id,
        provider_signing_id=provider_signing_id,
        traceparent=telemetry.current_trace(),
    )
    await app.queue.send(Queue.EVENTS, question)
    return confirmed.signing


async def restart(app: App, signing_id: str) -> Signing:
    """The operator knows that nobody was invited. The mark is taken back and the start carries on.

    Raises WrongState, also when the provider shows that people were invited; ConcurrentUpdate when the signing changed
    while it was looked at: then the operator has to look again as well.
    """
    loaded = await app.signings.load(signing_id)
    signing, now = loaded.signing, app.now()
    _require_uncertain(app, signing)
    proof_at = (signing.start.inviting_at or now) + timedelta(seconds=app.policy.invite_proof_after_seconds)
    if now < proof_at:
        raise WrongState(
            "The invitation may still be on its way to the provider.",
            next_step=f"Look at the provider again after {proof_at.isoformat(timespec='seconds')}.",
        )
    await _require_unsent(app, loaded)
    changed, entries = _taken_back(app, signing)
    saved = await app.signings.save(loaded, changed, entries)
    telemetry.warning("start_restarted", signing_id=signing.id, account=signing.account)
    message = RunStart(signing_id=signing.id, traceparent=telemetry.current_trace())
    await app.queue.send(Queue.STARTS, message)
    return saved.signing


def _require_uncertain(app: App, signing: Signing) -> None:
    progress = signing.start
    if signing.state is not State.REQUESTED or not progress.is_uncertain:
        raise WrongState("It is known how far the start of this signing has come: there is nothing to decide.")
    if progress.lease_until is not None and progress.lease_until > app.now():
        raise WrongState("The signing is just being started; try again in a moment.")


async def _require_own(app: App, signing: Signing, provider_signing_id: str) -> None:
    if signing.provider_signing_id not in (None, provider_signing_id):
        raise _not_this_one("the provider knows this signing by another id, which is on record")
    holder = await app.signings.find(PROVIDER_SIGNING_ID, lookup_key(signing.account, provider_signing_id))
    if holder not in (None, signing.id):
        raise _not_this_one("belongs to another signing")


async def _status_of_sent(app: App, signing: Signing, provider_signing_id: str) -> str:
    """The provider's word for the status of a signing that went out."""
    provider = app.provider(signing.account)
    try:
        status = await provider.status(provider_signing_id, signing.access_key, signing=signing)
    except ProviderNotFound:
        raise _not_this_one("the provider has no such signing") from None
    if status.kind is None:
        raise _not_this_one("is a draft at the provider, or nothing is known of its status")
    return status.provider_status


def _not_this_one(why: str) -> InvalidRequest:
    return InvalidRequest("This signing cannot be confirmed with this id.", fields=[FieldError(_ID_FIELD, why)])


async def _require_unsent(app: App, loaded: Loaded) -> None:
    """The operator's word counts where the provider cannot tell. One that could tell, but not now, has to be awaited:
    nothing could be started there either."""
    try:
        proof = await look_at_provider(app, loaded)
    except Permanent as error:
        telemetry.warning("start_proof_unavailable", signing_id=loaded.signing.id, code=error.code)
        return
    if proof.invited is True:
        raise WrongState(
            "The provider shows that people were invited.",
            next_step="Nothing to do: the start is completed by itself. Or confirm it with the provider's id.",
        )


def _taken_back(app: App, signing: Signing) -> tuple[Signing, list[HistoryEntry]]:
    now, facts = app.now(), {"action": "restart_start", "said": "nobody_was_invited"}
    progress = signing.start.model_copy(update={"inviting_at": None, "lease_owner": None, "lease_until": None})
    changed, entry = record(signing.model_copy(update={"start": progress}), EntryKind.MANAGED, now, facts)
    if changed.attention is None or changed.attention.code is not AttentionCode.START_UNCERTAIN:
        return changed, [entry]
    cleared: Mapping[str, str] = {"code": changed.attention.code.value}
    changed, second = record(changed.model_copy(update={"attention": None}), EntryKind.ATTENTION_CLEARED, now, cleared)
    return changed, [entry, second]
