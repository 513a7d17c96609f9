"""The one door through which a signing changes: decide, save if unchanged, else reload and decide again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate
from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.signing import Announcement, Attention, AttentionCode, Signing
from shared.domain.states import Answer, Decision, Event, Source, decide
from shared.ports import App, Loaded

Change = tuple[Signing, Sequence[HistoryEntry]]

# Losing this often in a row means a bug or a storm; the queue message then comes again later.
MAX_TRIES = 8

# Attentions that only a person takes back; all others end with the next move.
_STICKY = frozenset({AttentionCode.CONFLICT, AttentionCode.POISON})


@dataclass(frozen=True)
class Amended:
    """What a signing is now, and the entries that this very save brought: none when it changed nothing."""

    loaded: Loaded
    entries: tuple[HistoryEntry, ...] = ()

    @property
    def signing(self) -> Signing:
        return self.loaded.signing

    @property
    def move(self) -> HistoryEntry | None:
        """The entry of the move that this save was, if it was one."""
        return next((entry for entry in self.entries if entry.kind is EntryKind.MOVED), None)


async def amend(app: App, loaded: Loaded, change: Callable[[Signing], Change | None]) -> Amended:
    """Applies `change` to the signing and saves it under its etag.

    `change` is pure and may run several times, each on fresher state; None means that there is nothing to save.
    Raises ConcurrentUpdate after `MAX_TRIES` lost races.
    """
    for _ in range(MAX_TRIES):
        changed = change(loaded.signing)
        if changed is None:
            return Amended(loaded)
        signing, entries = changed
        try:
            return Amended(await app.signings.save(loaded, signing, entries), tuple(entries))
        except ConcurrentUpdate:
            telemetry.info("save_conflict", signing_id=loaded.signing.id)
            loaded = await app.signings.load(loaded.signing.id)
    raise ConcurrentUpdate(f"signing {loaded.signing.id} changed {MAX_TRIES} times while it was being saved")


def moved(signing: Signing, event: Event, updates: Mapping[str, object] | None = None) -> Change | None:
    """What `event` makes of `signing`: a move with its history and announcement, a conflict, or None to ignore it.

    `updates` are further fields to set, kept also when the event itself changes nothing.
    """
    decision = decide(signing, event)
    changed = signing.model_copy(update=dict(updates or {}))
    if decision.answer is Answer.MOVE:
        return _move(changed, event, decision)
    if decision.answer is Answer.CONFLICT:
        return _conflict(changed, event)
    return (changed, ()) if changed != signing else None


def _move(signing: Signing, event: Event, decision: Decision) -> Change:
    attention = signing.attention if signing.attention and signing.attention.code in _STICKY else None
    facts = {
        "from": signing.state.value,
        "to": decision.state.value,
        "event": event.kind.value,
        "source": event.source.value,
        "provider_status": event.provider_status,
    }
    fields = {
        "state": decision.state,
        "provider_status": event.provider_status or signing.provider_status,
        "reason": event.reason,
        "attention": attention,
    }
    telemetry.info(
        "signing_moved",
        signing_id=signing.id,
        account=signing.account,
        from_state=signing.state,
        state=decision.state,
        source=event.source,
        provider_status=event.provider_status,
    )
    moved_signing, entry = record(signing.model_copy(update=fields), EntryKind.MOVED, event.at, facts)
    return announced(moved_signing, entry.seq, event.at), [entry]


def _conflict(signing: Signing, event: Event) -> Change | None:
    if signing.attention and signing.attention.code is AttentionCode.CONFLICT:
        return None
    detail = f"The provider says {event.kind.value} about a signing that is {signing.state.value}."
    telemetry.error(
        "signing_conflict", signing_id=signing.id, state=signing.state, provider_status=event.provider_status
    )
    facts = {"event": event.kind.value, "source": event.source.value, "provider_status": event.provider_status}
    conflicted = signing.model_copy(
        update={"attention": Attention(code=AttentionCode.CONFLICT, detail=detail, since=event.at)}
    )
    changed, entry = record(conflicted, EntryKind.CONFLICT, event.at, facts)
    return changed, [entry]


def doubled(signing: Signing, other_id: str, source: Source, at: datetime) -> Change | None:
    """The signing with a conflict raised, because the provider has a second one for it; None when one is raised."""
    if signing.attention and signing.attention.code is AttentionCode.CONFLICT:
        return None
    detail = "The provider has a second signing for this one: people may have been invited twice. Cancel one there."
    telemetry.error("signing_doubled", signing_id=signing.id, account=signing.account, source=source)
    facts = {"other_provider_signing_id": other_id, "source": source.value}
    attention = Attention(code=AttentionCode.CONFLICT, detail=detail, since=at)
    changed, entry = record(signing.model_copy(update={"attention": attention}), EntryKind.CONFLICT, at, facts)
    return changed, [entry]


def announced(signing: Signing, seq: int, at: datetime) -> Signing:
    """The signing with one more notification owed, when its caller wants any."""
    if signing.notify is None:
        return signing
    owed = Announcement(
        seq=seq,
        state=signing.state,
        at=at,
        provider_signing_id=signing.provider_signing_id,
        provider_status=signing.provider_status,
        reason=signing.reason,
        failure=signing.failure,
        next_attempt_at=at,
    )
    return signing.model_copy(update={"announcements": (*signing.announcements, owed)})


def flagged(signing: Signing, code: AttentionCode, detail: str, at: datetime) -> Change | None:
    """The signing with an attention raised, or None when it is raised already, or another one waits for a person: that
    one would be lost with the next move. What still holds after it was taken back is raised again then."""
    raised_already = signing.attention.code if signing.attention else None
    if raised_already is code or (raised_already in _STICKY and code not in _STICKY):
        return None
    telemetry.warning("signing_attention", signing_id=signing.id, account=signing.account, code=code.value)
    raised = signing.model_copy(update={"attention": Attention(code=code, detail=detail, since=at)})
    changed, entry = record(raised, EntryKind.ATTENTION, at, {"code": code.value})
    return changed, [entry]


def cleared(change: Change, codes: Collection[AttentionCode], at: datetime) -> Change:
    """`change` with the attention taken back too, when it is one of `codes`."""
    signing, entries = change
    if signing.attention is None or signing.attention.code not in codes:
        return change
    code = signing.attention.code
    telemetry.info("attention_cleared", signing_id=signing.id, account=signing.account, code=code.value)
    calm = signing.model_copy(update={"attention": None})
    changed, entry = record(calm, EntryKind.ATTENTION_CLEARED, at, {"code": code.value})
    return changed, [*entries, entry]
