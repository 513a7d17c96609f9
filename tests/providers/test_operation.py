"""From arguments to a call, or to a list of what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.providers.operation import Location, Operation, Parameter, ParameterType, prepare

GUID = UUID("6f0d1c1e-0000-4000-8000-000000000001")


def taking(kind: ParameterType, *, values: tuple[str, ...] = (), location: Location = Location.QUERY) -> Operation:
    path = "/x/{it}" if location is Location.PATH else "/x"
    return Operation("X_Get", "GET", path, "x", (Parameter("it", location, kind, required=True, values=values),))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (ParameterType.STRING, "a b", "a b"),
        (ParameterType.GUID, GUID, str(GUID)),
        (ParameterType.GUID, str(GUID), str(GUID)),
        (ParameterType.INTEGER, 5, "5"),
        (ParameterType.NUMBER, 1.5, "1.5"),
        (ParameterType.BOOLEAN, True, "true"),
        (ParameterType.BOOLEAN, False, "false"),
        (ParameterType.DATE_TIME, datetime(2030, 1, 5, 9, tzinfo=UTC), "2030-01-05T09:00:00.000Z"),
        (
            ParameterType.DATE_TIME,
            datetime(2030, 1, 5, 9, tzinfo=timezone(timedelta(hours=1))),
            "2030-01-05T08:00:00.000Z",
        ),
    ],
)
def test_values_become_text(kind: ParameterType, value: object, text: str) -> None:
    assert prepare(taking(kind), {"it": value}).query == (("it", text),)


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        (taking(ParameterType.GUID), "not-a-guid"),
        (taking(ParameterType.INTEGER), "1.5"),
        (taking(ParameterType.NUMBER), "much"),
        (taking(ParameterType.BOOLEAN), "yes"),
        (taking(ParameterType.DATE_TIME), "2030-01-05"),
        (taking(ParameterType.STRING), ["a"]),
        (taking(ParameterType.STRING, values=("asc", "desc")), "up"),
        (taking(ParameterType.STRING, location=Location.PATH), ""),
        (taking(ParameterType.STRING, location=Location.PATH), ".."),
        (taking(ParameterType.STRING, location=Location.HEADER), "a\r\nb: c"),
    ],
)
def test_what_does_not_fit_is_named(operation: Operation, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare(operation, {"it": value})
    assert [one.field for one in caught.value.fields] == ["it"]


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare(taking(ParameterType.GUID), {"other": 1}, body={"a": 1})
    assert [one.field for one in caught.value.fields] == ["other", "it", "body"]


def test_none_counts_as_left_out() -> None:
    optional = Operation("X_Get", "GET", "/x", "x", (Parameter("it", Location.QUERY),))
    assert prepare(optional, {"it": None, "unknown": None}).query == ()


@given(st.text())
def test_no_value_escapes_its_path_segment(text: str) -> None:
    operation = taking(ParameterType.STRING, location=Location.PATH)
    try:
        path = prepare(operation, {"it": text}).path
    except InvalidRequest:
        return
    assert path.count("/") == 2
    assert not set(path) & set("?#\\ \r\n")
