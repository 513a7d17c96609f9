"""What a caller can do to a signing after it was started: cancel, remind, people, deadline, links, delete.

Each is refused before any call when the provider cannot do it or the state does not allow it. What it changes is done
at the provider first and recorded here after; the state itself is moved by a read-back only, as everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from shared import telemetry
from shared.domain.capabilities import Action
from shared.domain.errors import NotFound, OutcomeUnknown, Unavailable, UnsupportedFeature, WrongState
from shared.domain.history import EntryKind, record
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.signing import Participant, Signing, State
from shared.domain.states import Event, EventKind, Source
from shared.flow.amend import Change, amend, moved
from shared.flow.follow_up import send_after
from shared.ports import App, Loaded, SigningLink, SigningProvider


async def cancel(app: App, signing_id: str, reason: str | None) -> Signing:
    """Ends a signing. One that nobody was invited to yet ends at once; else the provider ends it."""
    loaded = await app.signings.load(signing_id)
    if loaded.signing.state is State.REQUESTED:
        return await _cancel_unsent(app, loaded, reason)
    provider = _able(app, loaded.signing, Action.CANCEL)
    await provider.cancel(loaded.signing, reason)
    # Some providers cancel by deleting: then the read-back finds nothing, and that is the proof.
    return await _recorded(app, loaded, Action.CANCEL, lambda _: {"cancel_requested": True})


async def remind(app: App, signing_id: str, number: int | None) -> Signing:
    """Reminds whoever has to act, or one participant."""
    loaded = await app.signings.load(signing_id)
    action = Action.REMIND if number is None else Action.REMIND_ONE
    provider = _able(app, loaded.signing, action)
    if number is not None:
        _participant(loaded.signing, number)
    await _once(provider.remind(loaded.signing, number))
    return await _recorded(app, loaded, action, participant=str(number) if number else None)


async def add_participant(app: App, signing_id: str, participant: Participant) -> Signing:
    """Adds a person; their number is the next free one."""
    loaded = await app.signings.load(signing_id)
    provider = _able(app, loaded.signing, Action.ADD_PARTICIPANT)
    number = max((one.number for one in loaded.signing.participants), default=0) + 1
    added = participant.model_copy(update={"number": number})
    extended = loaded.signing.model_copy(update={"participants": (*loaded.signing.participants, added)})
    provider.check(extended)
    await _once(provider.add_participant(loaded.signing, added))

    def change(signing: Signing) -> Mapping[str, object]:
        return {"participants": (*signing.participants, added)}

    return await _recorded(app, loaded, Action.ADD_PARTICIPANT, change, participant=str(number))


async def remove_participant(app: App, signing_id: str, number: int) -> Signing:
    loaded = await app.signings.load(signing_id)
    provider = _able(app, loaded.signing, Action.REMOVE_PARTICIPANT)
    _participant(loaded.signing, number)
    await provider.remove_participant(loaded.signing, number)

    def change(signing: Signing) -> Mapping[str, object]:
        return {"participants": tuple(one for one in signing.participants if one.number != number)}

    return await _recorded(app, loaded, Action.REMOVE_PARTICIPANT, change, participant=str(number))


async def extend(app: App, signing_id: str, deadline: datetime) -> Signing:
    """Moves the deadline; also the way back from an expired invitation."""
    loaded = await app.signings.load(signing_id)
    provider = _able(app, loaded.signing, Action.EXTEND, also=State.EXPIRED)
    if loaded.signing.state is State.EXPIRED:
        # Reconcile may have stopped looking at it.
        await app.signings.mark_due(signing_id, app.soon())
    await provider.extend(loaded.signing, deadline)
    # Nobody may be looking at an expired signing any more: the new deadline starts the watch anew.
    await app.signings.mark_due(signing_id, app.soon())
    return await _recorded(app, loaded, Action.EXTEND, lambda _: {"deadline": deadline})


async def links(app: App, signing_id: str) -> Sequence[SigningLink]:
    """Links for those who still have to act. They are secrets: neither logged nor kept."""
    loaded = await app.signings.load(signing_id)
    found = await _able(app, loaded.signing, Action.LINKS).links(loaded.signing)
    await _recorded(app, loaded, Action.LINKS)
    return found


async def delete(app: App, signing_id: str) -> Signing:
    """Removes the provider's copy of a signing that is over. What is stored here stays."""
    loaded = await app.signings.load(signing_id)
    signing = loaded.signing
    provider = app.provider(signing.account)
    _require(provider, Action.DELETE)
    if not signing.is_over:
        raise WrongState(f"A signing that is {signing.state.value} is not deleted at the provider; cancel it first.")
    if signing.provider_signing_id is not None:
        await provider.delete(signing)
    return await _recorded(app, loaded, Action.DELETE)


async def _once(call: Awaitable[None]) -> None:
    """A call that reaches people each time it is made. One whose answer was lost must not look like something to be
    repeated: callers' platforms do that by themselves."""
    try:
        await call
    except Unavailable as error:
        if error.sent:
            raise OutcomeUnknown(error.detail, provider_status_code=error.provider_status_code) from error
        raise


def _able(app: App, signing: Signing, action: Action, also: State | None = None) -> SigningProvider:
    """The signing's provider, when it can do this and the signing is in the right state for it."""
    provider = app.provider(signing.account)
    _require(provider, action)
    if signing.state not in (State.STARTED, also) or signing.provider_signing_id is None:
        raise WrongState(f"This cannot be done to a signing that is {signing.state.value}.")
    return provider


def _require(provider: SigningProvider, action: Action) -> None:
    if action not in provider.capabilities.actions:
        raise UnsupportedFeature(f"{provider.name} has no way to do this: {action.value}.", field=action.value)


def _participant(signing: Signing, number: int) -> Participant:
    found = next((one for one in signing.participants if one.number == number), None)
    if found is None:
        raise NotFound(f"The signing has no participant {number}.")
    return found


async def _cancel_unsent(app: App, loaded: Loaded, reason: str | None) -> Signing:
    event = Event(EventKind.CANCELLED, app.now(), Source.OPERATOR, reason=reason)

    def end(signing: Signing) -> Change | None:
        start = signing.start
        is_leased = start.lease_until is not None and start.lease_until > event.at
        if signing.state is not State.REQUESTED or is_leased or start.is_uncertain:
            raise WrongState("The signing is just being started; try again in a moment.")
        return moved(signing, event)

    ended = await amend(app, loaded, end)
    await send_after(app, ended)
    await app.documents.delete_staged([document.blob for document in ended.signing.documents])
    return ended.signing


async def _recorded(
    app: App,
    loaded: Loaded,
    action: Action,
    change: Callable[[Signing], Mapping[str, object]] | None = None,
    **facts: str | None,
) -> Signing:
    """Writes what was done into the history, then has the provider read back: it may have changed more than that."""

    def note(signing: Signing) -> Change:
        updated = signing.model_copy(update=dict(change(signing)) if change else {})
        changed, entry = record(updated, EntryKind.MANAGED, app.now(), {"action": action.value, **facts})
        return changed, [entry]

    saved = await amend(app, loaded, note)
    telemetry.info("signing_managed", signing_id=saved.signing.id, account=saved.signing.account, code=action.value)
    if action not in {Action.LINKS, Action.DELETE}:
        question = ProviderEvent(
            account=saved.signing.account,
            source=Source.OPERATOR,
            signing_id=saved.signing.id,
            provider_signing_id=saved.signing.provider_signing_id,
            access_key=saved.signing.access_key,
            traceparent=telemetry.current_trace(),
        )
        await app.queue.send(Queue.EVENTS, question)
    return saved.signing
