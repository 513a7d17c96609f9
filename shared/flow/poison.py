"""Where messages end that failed too often: tied to their signing, kept, and told about. Never silent.

A poison queue has none of its own: a message that fails here comes back every ten minutes, five times, and then never
again, though it lies there until it expires (host guide C2). So nothing in a message may make this fail; and before the
last runs a fresh copy is left for later, so that neither trouble with storage nor a process that is killed can use them
all up. At worst there are two letters then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared import telemetry
from shared.domain.errors import ConcurrentUpdate, NotFound
from shared.domain.history import EntryKind, record
from shared.domain.ids import is_signing_id
from shared.domain.messages import Queue
from shared.domain.signing import Attention, AttentionCode, Signing, State
from shared.flow.amend import Change, amend
from shared.flow.start_log import PROVIDER_SIGNING_ID, lookup_key
from shared.ports import App, DeadLetter

# Nothing that a message could bring moves these any more.
_HARD_ENDS = frozenset({State.STORED, State.DECLINED, State.CANCELLED})
# Of the five runs that the host gives a message (host.json, maxDequeueCount), those before which a copy is left.
_LAST_RUNS_FROM = 4
_COPY_AFTER_SECONDS = 15 * 60.0


async def run(app: App, queue: Queue, message_id: str, text: str, *, dequeue_count: int = 1) -> None:
    """Records one poison message: a dead letter first, then the signing's attention and history. Idempotent by
    `message_id`. `dequeue_count` says how often the host has tried."""
    if dequeue_count >= _LAST_RUNS_FROM:
        telemetry.error("poison_put_back", queue=queue.value, message_id=message_id, attempt=dequeue_count)
        await app.queue.put_back_poison(queue, text, delay_seconds=_COPY_AFTER_SECONDS)
    content = _content(text)
    # What strangers wrote does not get to point at a signing.
    signing_id = None if queue is Queue.REQUESTS else await _signing_of(app, content)
    telemetry.error("message_poisoned", queue=queue.value, message_id=message_id, signing_id=signing_id)
    letter = DeadLetter(
        id=f"{queue.value}-{message_id or hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}",
        at=app.now(),
        queue=queue.value,
        reason="processing_failed",
        detail="Processing this message failed on every attempt. The log holds the error under its message id.",
        body=text,
        signing_id=signing_id,
    )
    is_new = await app.dead_letters.add(letter)
    if signing_id is not None and (is_new or await _was_cut_short(app, letter, signing_id)):
        await _tell(app, signing_id, letter, content)


async def _was_cut_short(app: App, letter: DeadLetter, signing_id: str) -> bool:
    """A worker before this one kept the letter; whether it died before it came to the signing."""
    kept = (await app.dead_letters.get(letter.id)).letter
    if not kept.status.is_open:
        return False
    entries = await app.signings.history(signing_id)
    return not any(
        entry.kind is EntryKind.POISONED and entry.facts.get("dead_letter") == letter.id for entry in entries
    )


async def _tell(app: App, signing_id: str, letter: DeadLetter, content: Mapping[str, Any]) -> None:
    try:
        loaded = await app.signings.load(signing_id)
        await amend(app, loaded, lambda signing: _poisoned(app, signing, letter, content))
    except NotFound:
        return
    except ConcurrentUpdate:
        # A storm on this row. The letter is kept, and names the signing.
        telemetry.error("poison_not_on_signing", signing_id=signing_id, message_id=letter.id)


def _content(text: str) -> Mapping[str, Any]:
    """The message's JSON object, or an empty one. Nesting without end is no reason to fail either."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


async def _signing_of(app: App, content: Mapping[str, Any]) -> str | None:
    signing_id, account, theirs = (content.get(name) for name in ("signing_id", "account", "provider_signing_id"))
    if isinstance(signing_id, str):
        return signing_id if is_signing_id(signing_id) else None
    if isinstance(account, str) and isinstance(theirs, str):
        return await app.signings.find(PROVIDER_SIGNING_ID, lookup_key(account, theirs))
    return None


def _poisoned(app: App, signing: Signing, letter: DeadLetter, content: Mapping[str, Any]) -> Change:
    now = app.now()
    if _is_missed(signing, letter.queue, content):
        detail = f"A message on {letter.queue} failed on every attempt. Its dead letter is {letter.id}."
        attention = Attention(code=AttentionCode.POISON, detail=detail, since=now)
        signing = signing.model_copy(update={"attention": attention})
    changed, entry = record(signing, EntryKind.POISONED, now, {"queue": letter.queue, "dead_letter": letter.id})
    return changed, [entry]


def _is_missed(signing: Signing, queue: str, content: Mapping[str, Any]) -> bool:
    """Whether the message could still have brought something about: else no person needs to be called. A conflict is
    not painted over, for that needs a person more than this does."""
    if signing.attention is not None and signing.attention.code is AttentionCode.CONFLICT:
        return False
    if queue == Queue.NOTIFICATIONS:
        owed = next((one for one in signing.announcements if one.seq == content.get("seq")), None)
        return owed is not None and owed.delivered_at is None
    return signing.state not in _HARD_ENDS
