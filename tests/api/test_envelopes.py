"""Whatever other services wrap around an order, the order comes out; whatever else comes in, a reason does."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.api.envelopes import MAX_ITEMS, Order, Reason, Unreadable, decode

# Slow machines make slow examples, not wrong ones.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ORDER = {"account": "pki", "title": "Huurovereenkomst — été"}

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_orders = st.dictionaries(st.text(max_size=8), _plain, max_size=5).filter(
    lambda order: not {"specversion", "$content", "eventType"} & order.keys()
)


def b64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def lined(content: bytes) -> str:
    return base64.encodebytes(content).decode()


def event_grid(data: object, event_id: str = "e-1", **changes: object) -> dict[str, object]:
    return {"id": event_id, "topic": "/topics/a", "subject": "s", "eventType": "order", "data": data} | changes


def cloud_event(event_id: str = "c-1", **changes: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": event_id, "source": "/erp", "type": "order"} | changes


@st.composite
def as_json_value(draw: st.DrawFn, value: object) -> object:
    """The value itself, or text that holds it: what stands in an event's data, or as an item of an array."""
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from([value, text, b64(text), b64(b64(text)), "\ufeff " + text]))


@st.composite
def as_bytes(draw: st.DrawFn, text: str) -> bytes:
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])))


@st.composite
def wrapped(draw: st.DrawFn, value: object) -> object:
    inner = draw(as_json_value(value))
    content = draw(as_bytes(json.dumps(value, ensure_ascii=False)))
    return draw(
        st.sampled_from(
            [
                [inner],
                event_grid(inner),
                cloud_event(data=inner),
                cloud_event(data_base64=b64(content)),
                {"$content-type": "application/octet-stream", "$content": lined(content)},
            ]
        )
    )


@st.composite
def messages(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    order = draw(_orders)
    value: object = order
    for _ in range(draw(st.integers(0, 3))):
        value = draw(wrapped(value))
    text = json.dumps(value, ensure_ascii=False, indent=draw(st.sampled_from([None, 2])))
    if draw(st.booleans()):
        text = json.dumps(text)
    content = draw(as_bytes(text))
    for _ in range(draw(st.integers(0, 2))):
        content = draw(st.sampled_from([b64(content), lined(content)])).encode()
    return order, content


@unhurried
@given(messages())
def test_an_order_comes_out_of_every_combination_of_wrappings(made: tuple[dict[str, Any], bytes]) -> None:
    order, message = made
    (found,) = decode(message)
    assert isinstance(found, Order)
    assert found.content == order


@unhurried
@given(st.binary())
def test_any_bytes_are_read_or_have_a_reason(content: bytes) -> None:
    check_items(content)


@unhurried
@given(_plain)
def test_any_json_is_read_or_has_a_reason(content: object) -> None:
    check_items(json.dumps(content).encode())


@unhurried
@given(messages(), st.data())
def test_a_damaged_message_is_read_or_has_a_reason(made: tuple[dict[str, Any], bytes], data: st.DataObject) -> None:
    content = bytearray(made[1])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    check_items(bytes(content[: data.draw(st.integers(0, len(content)))]))


def check_items(content: bytes) -> None:
    found = decode(content)
    assert 1 <= len(found) <= MAX_ITEMS
    for item in found:
        assert isinstance(item, Unreadable) or json.dumps(item.content, ensure_ascii=False, allow_nan=False).encode()


def reasons(content: bytes | str) -> list[str]:
    raw = content.encode() if isinstance(content, str) else content
    return [item.reason.value if isinstance(item, Unreadable) else "order" for item in decode(raw)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", Reason.EMPTY),
        (" \r\n", Reason.EMPTY),
        ("[]", Reason.EMPTY),
        ("please sign this", Reason.ENCODING),
        (b64(b"%PDF-1.7 \xff\xfe"), Reason.ENCODING),
        ("aGVsbG8", Reason.ENCODING),
        (b"\xff\xff\xff", Reason.ENCODING),
        ("{", Reason.JSON),
        ('{"a": 1} {"a": 2}', Reason.JSON),
        ('{"a": NaN}', Reason.JSON),
        ('{"a": 1e999}', Reason.JSON),
        ('{"a": "\\ud800"}', Reason.JSON),
        ('{"a": 1, "a": 2}', Reason.DUPLICATE_KEY),
        ('{"a": [{"b": 1, "b": 1}]}', Reason.DUPLICATE_KEY),
        ("[7]", Reason.NOT_AN_OBJECT),
        ("[null]", Reason.NOT_AN_OBJECT),
        (json.dumps(cloud_event(specversion="0.3", data={})), Reason.ENVELOPE),
        (json.dumps(cloud_event()), Reason.ENVELOPE),
        (json.dumps(cloud_event(data={}, data_base64="e30=")), Reason.ENVELOPE),
        (json.dumps(cloud_event(data_base64="e30")), Reason.ENVELOPE),
        (json.dumps(cloud_event(data_base64={})), Reason.ENVELOPE),
        (json.dumps({"$content": 7}), Reason.ENVELOPE),
        (json.dumps(cloud_event(data=None)), Reason.NOT_AN_OBJECT),
        (b64(b64(b64("{}"))), Reason.TOO_DEEP),
        ("[" * 30 + "{}" + "]" * 30, Reason.TOO_DEEP),
        ("[" * 30_000 + "]" * 30_000, Reason.TOO_DEEP),
        ('{"a":' * 100 + "1" + "}" * 100, Reason.TOO_DEEP),
        (json.dumps([{}] * (MAX_ITEMS + 1)), Reason.TOO_MANY),
        (json.dumps([[{}] * MAX_ITEMS, {}]), Reason.TOO_MANY),
    ],
)
def test_what_is_no_order_says_why(content: bytes | str, reason: Reason) -> None:
    assert reasons(content) == [reason.value]


def test_each_item_of_an_array_has_its_own_result() -> None:
    message = json.dumps([ORDER, 7, [b64(json.dumps(ORDER)), "{"], cloud_event(data=ORDER), {"$content": "?"}])
    assert reasons(message) == [
        "order",
        "unreadable_not_an_object",
        "order",
        "unreadable_json",
        "order",
        "unreadable_envelope",
    ]
    assert reasons(json.dumps([ORDER] * MAX_ITEMS)) == ["order"] * MAX_ITEMS


def keys(content: object) -> list[str | None]:
    return [item.key for item in decode(json.dumps(content).encode()) if isinstance(item, Order)]


def test_the_id_of_an_envelope_becomes_the_key_of_its_order() -> None:
    (first,) = keys(event_grid(ORDER))
    assert first is not None
    assert first.startswith("event-grid:")
    assert keys([event_grid(b64(json.dumps(ORDER)))]) == [first]
    assert keys(ORDER) == [None]
    assert keys({"$content": b64(json.dumps(ORDER))}) == [None]


def test_ids_are_told_apart_by_kind_source_and_place() -> None:
    found = [
        *keys(event_grid(ORDER)),
        *keys(event_grid(ORDER, "e-2")),
        *keys(event_grid(ORDER, topic="/topics/b")),
        *keys(cloud_event("e-1", source="/topics/a", data=ORDER)),
        *keys(cloud_event(data=ORDER)),
        *keys(cloud_event(source="/other", data=ORDER)),
        *keys(cloud_event(data=[ORDER, ORDER, [ORDER]])),
    ]
    assert None not in found
    assert len(set(found)) == len(found) == 9


def test_the_innermost_id_counts_and_none_leaves_the_outer_one() -> None:
    assert keys(event_grid(cloud_event(data=ORDER))) == keys(cloud_event(data=ORDER))
    assert keys(event_grid(cloud_event("", data=ORDER))) == keys(event_grid(ORDER))
    assert keys(cloud_event("", data=ORDER)) == [None]


def test_an_order_is_not_in_a_repr() -> None:
    assert "Huur" not in repr(decode(json.dumps(ORDER).encode()))
