"""Where messages end that failed too often: tied to their signing, kept, and told about. Never silent."""

from __future__ import annotations

import json

from shared import telemetry
from shared.domain.errors import NotFound
from shared.domain.history import EntryKind, record
from shared.domain.messages import Queue
from shared.domain.signing import Attention, AttentionCode, Signing
from shared.flow.amend import Change, amend
from shared.flow.start_log import PROVIDER_SIGNING_ID, lookup_key
from shared.ports import App, DeadLetter


async def run(app: App, queue: Queue, message_id: str, text: str) -> None:
    """Records one poison message: a dead letter first, then the signing's attention and history."""
    # What strangers wrote does not get to point at a signing.
    signing_id = None if queue is Queue.REQUESTS else await _signing_of(app, text)
    telemetry.error("message_poisoned", queue=queue.value, message_id=message_id, signing_id=signing_id)
    letter = DeadLetter(
        id=f"{queue.value}-{message_id}",
        at=app.now(),
        queue=queue.value,
        reason="processing_failed",
        detail="Processing this message failed on every attempt. The log holds the error under its message id.",
        body=text,
        signing_id=signing_id,
    )
    await app.dead_letters.add(letter)
    if signing_id is None:
        return
    try:
        loaded = await app.signings.load(signing_id)
    except NotFound:
        return
    await amend(app, loaded, lambda signing: _poisoned(app, signing, queue, letter.id))


async def _signing_of(app: App, text: str) -> str | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    signing_id, account, theirs = (content.get(name) for name in ("signing_id", "account", "provider_signing_id"))
    if isinstance(signing_id, str):
        return signing_id
    if isinstance(account, str) and isinstance(theirs, str):
        return await app.signings.find(PROVIDER_SIGNING_ID, lookup_key(account, theirs))
    return None


def _poisoned(app: App, signing: Signing, queue: Queue, letter_id: str) -> Change:
    now = app.now()
    detail = f"A message on {queue.value} failed on every attempt. Its dead letter is {letter_id}."
    flagged = signing.model_copy(update={"attention": Attention(code=AttentionCode.POISON, detail=detail, since=now)})
    changed, entry = record(flagged, EntryKind.POISONED, now, {"queue": queue.value, "dead_letter": letter_id})
    return changed, [entry]
