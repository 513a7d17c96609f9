"""Queue `signing-requests`: orders from other services, taken in as `POST /api/signings` does, started from the queue.

A message may hold several orders. What is wrong with one of them for good becomes a dead letter and never stops the
others; what may pass by itself (storage is down) escapes, the host delivers the whole message again, and each order
is recognised by its key. State first, then dead letter, then reply: a repeat does the rest again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import telemetry
from shared.api import orders
from shared.api.answers import Answer, problem, signing_view
from shared.api.envelopes import Order, Reason, Unreadable, decode
from shared.api.start_request import field_errors, parse_start_request
from shared.domain.errors import (
    CountersignError,
    FieldError,
    IdempotencyMismatch,
    InvalidRequest,
    ReplyRefused,
    UnsupportedFeature,
    WrongState,
)
from shared.domain.messages import Queue
from shared.domain.signing import Signing
from shared.ports import App, DeadLetter

# What the same order meets each time. All else that can go wrong is worth another delivery.
_FOR_GOOD = (InvalidRequest, UnsupportedFeature, IdempotencyMismatch)
# Below a queue message's 64 KiB, and counted as it travels: escaped for XML.
_REPLY_BYTES = 60 * 1024
_PLAIN_FIELD = re.compile(r"[A-Za-z0-9_]{1,40}(\[\d+\])*", re.ASCII)
# Ids of messages end in more digits than an index has.
_LETTER = re.compile(rf"{Queue.REQUESTS.value}-(?P<message>.+)-(?P<index>\d{{1,2}})(-reply)?")


@dataclass(frozen=True)
class _Item:
    """One order's place. Its name is stable over redelivery."""

    message_id: str
    index: int
    raw: bytes

    @property
    def name(self) -> str:
        return f"{Queue.REQUESTS.value}-{self.message_id}-{self.index}"


class _Aside(BaseModel):
    """What an order on a queue says beside the body of `POST /api/signings`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    replyTo: str | None = None
    correlationId: Annotated[str, Field(max_length=255)] | None = None


async def run(app: App, message_id: str, raw: bytes) -> None:
    """Takes in every order of one queue message. Raises only what is worth delivering the message again for."""
    if not message_id:
        raise ValueError("without its id a message cannot be recognised when it comes again")
    for index, found in enumerate(decode(raw)):
        await _handle(app, _Item(message_id, index, raw), found)


async def again(app: App, letter: DeadLetter) -> None:
    """Runs the order of a dead letter once more, under the name that it had: what was taken in before is recognised.

    To put the message back on the queue would give it another id, and orders without a key would be new ones. That of
    a poisoned message is lost already: its letter names no order, and all of the message is run.

    Raises WrongState when the order is refused again: its letter is then still needed.
    """
    raw = base64.b64decode(letter.body) if letter.encoding == "base64" else letter.body.encode()
    named = _LETTER.fullmatch(letter.id)
    if named is None:
        await run(app, letter.id.removeprefix(f"{Queue.REQUESTS.value}-"), raw)
        return
    item = _Item(named["message"], int(named["index"]), raw)
    refused = await _handle(app, item, _at(decode(raw), item.index))
    if refused is not None:
        raise WrongState(
            f"The order is refused again: {refused}.",
            code="not_replayable",
            next_step="Mend what it needs (a file in the inbox, an account, a queue) and replay, or discard it.",
        )


def _at(found: Sequence[Order | Unreadable], index: int) -> Order | Unreadable:
    """The order of that place. Another version of the decoder may see fewer."""
    return found[index] if index < len(found) else Unreadable(Reason.ENVELOPE)


async def _handle(app: App, item: _Item, found: Order | Unreadable) -> str | None:
    """None when the order was taken in and answered, else the reason why it, or its answer, was set aside."""
    if isinstance(found, Unreadable):
        return await _set_aside(app, item, found.reason.value, "This cannot be read as an order.")
    return await _take_in(app, item, found)


async def _take_in(app: App, item: _Item, order: Order) -> str | None:
    body = {name: value for name, value in order.content.items() if name not in _Aside.model_fields}
    reply_to = order.content.get("replyTo")
    aside = _Aside(replyTo=reply_to if isinstance(reply_to, str) else None)
    try:
        aside = _aside(order.content)
        signing = await _signing(app, item, body, order.key)
    except _FOR_GOOD as error:
        refused = await _set_aside(app, item, error.code, _detail(error))
        await _reply(app, item, aside, problem_body=problem(error).body)
        return refused
    telemetry.info("order_taken_in", message_id=item.message_id, signing_id=signing.id, account=signing.account)
    return await _reply(app, item, aside, signing=signing)


def _aside(content: Mapping[str, Any]) -> _Aside:
    try:
        return _Aside.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest("The order does not fit.", fields=field_errors(error)) from None


async def _signing(app: App, item: _Item, body: Mapping[str, Any], envelope_key: str | None) -> Signing:
    parsed = parse_start_request(json.dumps(body).encode())
    # An order with a reference and no key is recognised by what it says, as over HTTP.
    named_by_item = None if parsed.reference else f"queue:{item.message_id}:{item.index}"
    own_key = None if parsed.idempotencyKey else envelope_key or named_by_item
    return (await orders.take_in(app, parsed, own_key, lease_owner=None)).intake.loaded.signing


async def _set_aside(
    app: App, item: _Item, reason: str, detail: str, *, suffix: str = "", signing: Signing | None = None
) -> str:
    """A dead letter with the whole message in it: what an operator can look at, and run again. Returns `reason`."""
    telemetry.warning("order_set_aside", message_id=item.message_id, reason=reason)
    body, encoding = _as_text(item.raw)
    letter = DeadLetter(
        id=item.name + suffix,
        at=app.now(),
        queue=Queue.REQUESTS.value,
        reason=reason,
        detail=detail,
        body=body,
        signing_id=signing.id if signing else None,
        encoding=encoding,
    )
    await app.dead_letters.add(letter)
    return reason


def _as_text(raw: bytes) -> tuple[str, Literal["text", "base64"]]:
    try:
        return raw.decode("utf-8"), "text"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"


def _detail(error: CountersignError) -> str:
    """What is wrong, by the names of fields; nothing that the sender wrote into them."""
    if not isinstance(error, InvalidRequest) or not error.fields:
        return error.detail
    return "; ".join(f"{_path(one)}: {one.message}" for one in error.fields[:20])


def _path(field: FieldError) -> str:
    """A field may be of the sender's own making, and hold anything."""
    return ".".join(part if _PLAIN_FIELD.fullmatch(part) else "?" for part in field.field.split("."))


async def _reply(
    app: App,
    item: _Item,
    aside: _Aside,
    *,
    signing: Signing | None = None,
    problem_body: Mapping[str, Any] | None = None,
) -> str | None:
    if aside.replyTo is None:
        return None
    try:
        await app.replies.send(aside.replyTo, _reply_text(item, aside, signing, problem_body))
    except ReplyRefused as refusal:
        return await _set_aside(app, item, refusal.code, refusal.detail, suffix="-reply", signing=signing)
    return None


def _reply_text(item: _Item, aside: _Aside, signing: Signing | None, problem_body: Mapping[str, Any] | None) -> str:
    content: dict[str, Any] = {
        "v": 1,
        "correlationId": aside.correlationId,
        "index": item.index,
        "outcome": "refused" if signing is None else "accepted",
        "signing": None if signing is None else signing_view(signing),
        "problem": problem_body,
    }
    text = _json(content)
    if len(escape(text).encode()) <= _REPLY_BYTES:
        return text
    return _json(content | {"signing": _shorter(content["signing"]), "problem": _shorter(problem_body)})


# Of a view or problem that is too large for a message: all that is short, and enough to ask for the rest.
_LISTS = ("errors", "metadata", "participants", "documents", "files", "notifications")


def _shorter(view: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if view is None else {name: value for name, value in view.items() if name not in _LISTS}


def _json(content: Mapping[str, Any]) -> str:
    text = Answer(200, content).encoded().decode()
    # As storage will have to write them, so that the size is the real one.
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
