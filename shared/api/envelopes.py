"""What other services put on a queue, read into orders. Pure: bytes in, one item per order out, never an exception.

The same order comes as plain JSON, as base64 of it (once or twice), as JSON text inside a JSON string, with a byte
order mark, in UTF-16, in an array, in an Event Grid event, in a CloudEvent, or as Logic Apps' `$content` (power guide
5.4). One layer is taken off at a time, until an object is left that is none of these: that is the order.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NoReturn

# Orders in one message.
MAX_ITEMS = 100
# Taken off on the way to one order. No producer is known to need half of it.
_MAX_LAYERS = 16
_MAX_BASE64 = 2  # in a row
# Deeper ones can be read but not be stored again.
_MAX_NESTING = 64


class Reason(StrEnum):
    """Why something is no order: the stable word in a dead letter."""

    EMPTY = "unreadable_empty"
    ENCODING = "unreadable_encoding"
    JSON = "unreadable_json"
    DUPLICATE_KEY = "unreadable_duplicate_key"
    NOT_AN_OBJECT = "unreadable_not_an_object"
    ENVELOPE = "unreadable_envelope"
    TOO_DEEP = "unreadable_too_deep"
    TOO_MANY = "unreadable_too_many"


@dataclass(frozen=True)
class Order:
    """`key` comes from the envelope's id and the order's place in it: the same event, sent again, has the same."""

    content: Mapping[str, Any] = field(repr=False)
    key: str | None = None


@dataclass(frozen=True)
class Unreadable:
    reason: Reason


class _CannotReadError(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class _Place:
    """Where in the message we are: what was taken off so far, and whose envelope we are in."""

    layers: int = 0
    base64_layers: int = 0
    key: tuple[str, ...] = ()

    def deeper(self) -> _Place:
        if self.layers == _MAX_LAYERS:
            raise _CannotReadError(Reason.TOO_DEEP)
        return replace(self, layers=self.layers + 1)

    def in_base64(self) -> _Place:
        if self.base64_layers == _MAX_BASE64:
            raise _CannotReadError(Reason.TOO_DEEP)
        return replace(self.deeper(), base64_layers=self.base64_layers + 1)

    def in_array(self, position: int) -> _Place:
        """Orders that share an envelope must not share its key."""
        return replace(self.deeper(), base64_layers=0, key=(*self.key, str(position)) if self.key else ())

    def in_envelope(self, kind: str, source: object, event_id: object) -> _Place:
        """An envelope without an id leaves the key of the one around it. What is inside may be base64 anew."""
        inside = replace(self.deeper(), base64_layers=0)
        if not isinstance(event_id, str) or not event_id:
            return inside
        return replace(inside, key=(kind, source if isinstance(source, str) else "", event_id))


def decode(raw: bytes) -> list[Order | Unreadable]:
    """Every order in a message, in order of appearance, or the reason why there is none in its place.

    At least one item, at most `MAX_ITEMS`: a message with more is refused as a whole.
    """
    found: list[Order | Unreadable] = []
    for item in _read(raw, _Place()):
        found.append(item)
        if len(found) > MAX_ITEMS:
            return [Unreadable(Reason.TOO_MANY)]
    return found


def _read(value: object, place: _Place) -> Iterator[Order | Unreadable]:
    """Items of bytes, of text, or of a parsed value: takes one layer off, and reads on."""
    try:
        if isinstance(value, list) and value:
            inside = [(item, place.in_array(position)) for position, item in enumerate(value)]
        elif isinstance(value, dict) and not _is_envelope(value):
            yield _order(value, place)
            return
        else:
            inside = [_without_layer(value, place)]
    except _CannotReadError as refusal:
        yield Unreadable(refusal.reason)
        return
    for item, at in inside:
        yield from _read(item, at)


def _without_layer(value: object, place: _Place) -> tuple[object, _Place]:
    if isinstance(value, bytes):
        return _text(value), place
    if isinstance(value, str):
        return _content_of_text(value, place)
    if isinstance(value, dict):
        return _content_of_envelope(value, place)
    raise _CannotReadError(Reason.EMPTY if value == [] else Reason.NOT_AN_OBJECT)


def _text(raw: bytes) -> str:
    try:
        # Tells UTF-8, -16 and -32 apart, by their mark or by where the zeros are.
        return raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError:
        raise _CannotReadError(Reason.ENCODING) from None


def _content_of_text(text: str, place: _Place) -> tuple[object, _Place]:
    text = text.lstrip("\ufeff").strip(" \t\r\n")
    if not text:
        raise _CannotReadError(Reason.EMPTY)
    # None of these is a character of base64.
    if text[0] in '{["':
        return _parsed(text), place.deeper()
    inside = place.in_base64()
    return _bytes(text, Reason.ENCODING), inside


def _bytes(text: object, reason: Reason) -> bytes:
    """Standard base64, possibly broken into lines. Nothing else is let pass."""
    if not isinstance(text, str):
        raise _CannotReadError(reason)
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except ValueError:
        raise _CannotReadError(reason) from None


def _parsed(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise _CannotReadError(Reason.TOO_DEEP) from None
    except ValueError:
        raise _CannotReadError(Reason.JSON) from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _CannotReadError(Reason.DUPLICATE_KEY)
    return result


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _is_envelope(value: Mapping[str, object]) -> bool:
    return _is_cloud_event(value) or _is_event_grid(value) or _is_file(value)


def _is_cloud_event(value: Mapping[str, object]) -> bool:
    return "specversion" in value


def _is_event_grid(value: Mapping[str, object]) -> bool:
    return "eventType" in value and "data" in value and ("topic" in value or "subject" in value)


def _is_file(value: Mapping[str, object]) -> bool:
    return "$content" in value


def _content_of_envelope(value: Mapping[str, object], place: _Place) -> tuple[object, _Place]:
    if _is_file(value):
        return _bytes(value["$content"], Reason.ENVELOPE), place.deeper()
    if _is_event_grid(value) and not _is_cloud_event(value):
        return value["data"], place.in_envelope("event-grid", value.get("topic"), value.get("id"))
    if value["specversion"] != "1.0" or ("data" in value) == ("data_base64" in value):
        raise _CannotReadError(Reason.ENVELOPE)
    inside = place.in_envelope("cloud-event", value.get("source"), value.get("id"))
    if "data" in value:
        return value["data"], inside
    return _bytes(value["data_base64"], Reason.ENVELOPE), inside


def _order(content: Mapping[str, Any], place: _Place) -> Order:
    """Raises for what JSON readers accept and nothing behind us could write again: lone surrogates, 1e999."""
    _check_nesting(content)
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise _CannotReadError(Reason.JSON) from None
    return Order(content, _key(place.key) if place.key else None)


def _check_nesting(content: object) -> None:
    level = [content]
    for _ in range(_MAX_NESTING):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise _CannotReadError(Reason.TOO_DEEP)


def _inside(value: object) -> list[object]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [inner for inner in values if isinstance(inner, dict | list)]


def _key(parts: tuple[str, ...]) -> str:
    """Of bounded length, and the same for nothing else: ids of events are unique only beside their source."""
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{parts[0]}:{digest}"
