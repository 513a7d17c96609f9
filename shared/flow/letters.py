"""Dead letters in a person's hands: read, sent again, or discarded.

Settling one is four writes, in this order; a crash between any two leaves the letter open, with a claim that runs out:
1. the letter is claimed, conditionally: of two operators one goes on
2. the signing: history, its notification owed anew, its attention taken back with the last of its letters
3. the message, back on its queue
4. the letter is settled

So what a `replayed` letter was about has been sent, by this replay or before. A crash between 3 and 4 leads to a second
sending, which the workers take as they take any repeated message. Should the message fail again, that is a new letter:
the old one stays settled.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate, CountersignError, NotFound, WrongState
from shared.domain.history import EntryKind, record
from shared.domain.letters import LetterFilter, LetterStatus, Outcome
from shared.domain.messages import DownloadDocuments, Message, NotifyCaller, ProviderEvent, Queue, RunStart
from shared.domain.signing import Announcement, AttentionCode, Signing
from shared.flow.amend import Change, amend, cleared
from shared.flow.follow_up import owed_anew
from shared.ports import App, DeadLetter, LoadedLetter

# Far longer than the four writes take.
CLAIM_SECONDS = 60.0

# Our own messages. What stood on any other queue was somebody's order, and is run as one.
_KINDS: Mapping[Queue, type[Message]] = {
    Queue.STARTS: RunStart,
    Queue.EVENTS: ProviderEvent,
    Queue.DOWNLOADS: DownloadDocuments,
    Queue.NOTIFICATIONS: NotifyCaller,
}
_FROM_LETTERS = frozenset({AttentionCode.POISON, AttentionCode.NOTIFY_FAILED})


@dataclass(frozen=True)
class Replayed:
    """`sent` is False when there was nothing left to send: the letter was replayed before, or its notification has been
    delivered."""

    letter: DeadLetter
    sent: bool


@dataclass(frozen=True)
class Batch:
    """What became of one page of letters; `refused` counts the reasons of those that could not be replayed."""

    replayed: int
    unsent: int
    refused: Mapping[str, int]
    cursor: str | None


RunOrder = Callable[[DeadLetter], Awaitable[None]]
"""Runs the order in a letter of foreign text, under the name that it had: back on its queue it would be a new one.
Raises CountersignError when it is refused again."""


async def replay(app: App, letter_id: str, run_order: RunOrder, *, again: bool = False) -> Replayed:
    """Sends a letter's message again, as new, or runs its order again. One that is settled stays so, unless `again`.

    Raises NotFound, WrongState (discarded, busy, refused again, or not a message that could be sent), ConcurrentUpdate.
    """
    loaded = await app.dead_letters.get(letter_id)
    letter = loaded.letter
    if letter.status.outcome is Outcome.REPLAYED and not again:
        return Replayed(letter, sent=False)
    if letter.status.outcome is Outcome.DISCARDED and not again:
        raise WrongState("The letter was discarded.", next_step='To replay it all the same, send {"again": true}.')
    message = _message_of(letter)
    claimed = await _claim(app, loaded)
    if message is None:
        await _run_claimed(app, claimed, letter, run_order)
        sent = True
    else:
        sent = await _send_again(app, letter, message, again)
    telemetry.info("dead_letter_replayed", message_id=letter.id, queue=letter.queue, signing_id=letter.signing_id)
    return Replayed(await _settle(app, claimed, letter.status.replayed(app.now())), sent=sent)


async def _run_claimed(app: App, claimed: LoadedLetter, letter: DeadLetter, run_order: RunOrder) -> None:
    try:
        await run_order(letter)
    except CountersignError:
        await _settle(app, claimed, letter.status)
        raise
    await _touch(app, letter, "replay")


async def _send_again(app: App, letter: DeadLetter, message: Message, again: bool) -> bool:
    """False when there was nothing to send any more."""
    content: Message | None = message
    if isinstance(message, NotifyCaller):
        content = await _owe_anew(app, letter, message, again)
    else:
        await _touch(app, letter, "replay")
    if content is not None:
        await app.queue.send(Queue(letter.queue), content)
    return content is not None


async def replay_some(app: App, wanted: LetterFilter, run_order: RunOrder, *, limit: int, cursor: str | None) -> Batch:
    """Replays open letters, newest first, at most `limit`. One that cannot be does not keep the others from it."""
    page = await app.dead_letters.page(wanted, limit, cursor)
    outcomes, refused = Counter[bool](), Counter[str]()
    for letter in page.letters:
        try:
            outcomes[(await replay(app, letter.id, run_order)).sent] += 1
        except CountersignError as error:
            refused[error.code] += 1
    telemetry.info("dead_letters_replayed", count=outcomes[True])
    return Batch(outcomes[True], outcomes[False], refused, page.cursor)


async def discard(app: App, letter_id: str, note: str) -> DeadLetter:
    """Settles a letter that is of no use any more. The note stays on the letter: history and logs hold no free text.

    Raises NotFound, WrongState, ConcurrentUpdate.
    """
    loaded = await app.dead_letters.get(letter_id)
    letter = loaded.letter
    if letter.status.outcome is Outcome.REPLAYED:
        raise WrongState("The letter was replayed already.")
    if letter.status.outcome is Outcome.DISCARDED:
        return letter
    claimed = await _claim(app, loaded)
    await _touch(app, letter, "discard")
    telemetry.info("dead_letter_discarded", message_id=letter.id, queue=letter.queue, signing_id=letter.signing_id)
    return await _settle(app, claimed, letter.status.discarded(app.now(), note))


def _message_of(letter: DeadLetter) -> Message | None:
    """Our own message with fresh counters; None for an order, which is foreign text. Raises WrongState."""
    try:
        kind = _KINDS.get(Queue(letter.queue))
    except ValueError:
        raise _not_replayable("There is no such queue.") from None
    if kind is None:
        return None
    try:
        text = letter.body if letter.encoding == "text" else base64.b64decode(letter.body, validate=True).decode()
        message = kind.model_validate_json(text)
    except ValueError:
        raise _not_replayable("This version of the app cannot read it.") from None
    return message.model_copy(update={"attempt": 1}) if "attempt" in kind.model_fields else message


def _not_replayable(why: str) -> WrongState:
    return WrongState(
        f"The letter's message cannot be sent again. {why}",
        code="not_replayable",
        next_step="Discard it with a note. If it belongs to a signing, replay the signing.",
    )


async def _claim(app: App, loaded: LoadedLetter) -> LoadedLetter:
    now = app.now()
    if loaded.letter.status.is_busy(now):
        raise WrongState("The letter is being settled just now.", next_step="Read it again in a minute.")
    until = now + timedelta(seconds=CLAIM_SECONDS)
    return await app.dead_letters.update(loaded, loaded.letter.status.claimed(until))


async def _settle(app: App, claimed: LoadedLetter, status: LetterStatus) -> DeadLetter:
    try:
        return (await app.dead_letters.update(claimed, status)).letter
    except ConcurrentUpdate:
        # This worker was so slow that its claim ran out and another took over: the letter is theirs to settle.
        telemetry.warning("dead_letter_overtaken", message_id=claimed.letter.id)
        return (await app.dead_letters.get(claimed.letter.id)).letter


async def _touch(
    app: App, letter: DeadLetter, action: str, change: Callable[[Signing], Signing] | None = None
) -> Signing | None:
    """The letter's signing after `change`, with what was done in its history; None when it has none."""
    if letter.signing_id is None:
        return None
    try:
        loaded = await app.signings.load(letter.signing_id)
    except NotFound:
        return None
    codes = frozenset[AttentionCode]() if await _has_other(app, letter) else _FROM_LETTERS
    now, facts = app.now(), {"action": action, "dead_letter": letter.id, "queue": letter.queue}

    def done(signing: Signing) -> Change:
        changed, entry = record(change(signing) if change else signing, EntryKind.MANAGED, now, facts)
        return cleared((changed, [entry]), codes, now)

    # Should the message be lost before it is sent, reconcile finds the notification overdue.
    await app.signings.mark_due(letter.signing_id, app.soon())
    return (await amend(app, loaded, done)).signing


async def _has_other(app: App, letter: DeadLetter) -> bool:
    """Whether the signing's attention is needed for another open letter still."""
    page = await app.dead_letters.page(LetterFilter(signing_id=letter.signing_id, is_open=True), 2)
    return any(other.id != letter.id for other in page.letters)


async def _owe_anew(app: App, letter: DeadLetter, message: NotifyCaller, again: bool) -> NotifyCaller | None:
    """The message as the signing counts it after this; None when the caller has been told already."""

    def change(signing: Signing) -> Signing:
        owed = _owed(signing, message)
        is_told = owed is not None and owed.delivered_at is not None
        return signing if is_told and not again else owed_anew(signing, app.now(), {message.seq})

    signing = await _touch(app, letter, "replay", change)
    owed = _owed(signing, message) if signing is not None else None
    if owed is None:
        return message
    return None if owed.is_settled else message.model_copy(update={"replays": owed.replays})


def _owed(signing: Signing, message: NotifyCaller) -> Announcement | None:
    return next((owed for owed in signing.announcements if owed.seq == message.seq), None)
