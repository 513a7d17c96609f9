"""The small readers: timestamps, JSON, base64, names, and the memories behind them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import VerificationFailed
from shared.verification.detached import decode_base64
from shared.verification.domains import is_usable_suffix, matching_suffix
from shared.verification.freshness import parse_timestamp
from shared.verification.memory import TimedMemory
from shared.verification.reasons import Reason, refusal
from shared.verification.strict_json import parse_object

T = TypeVar("T")
MOMENT = datetime(2030, 1, 5, 9, 30, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-05T09:30:00.1234567Z", MOMENT.replace(microsecond=123456)),
        ("2030-01-05T09:30:00Z", MOMENT),
        ("2030-01-05T09:30:00", MOMENT),
        ("2030-01-05T09:30:00.5", MOMENT.replace(microsecond=500000)),
        ("2030-01-05T10:30:00.0000000+01:00", MOMENT),
        ("2030-01-05T04:00:00-05:30", MOMENT),
        ("1893835800", MOMENT),
        ("1893835800250", MOMENT.replace(microsecond=250000)),
        ("Sat, 05 Jan 2030 09:30:00 GMT", MOMENT),
    ],
)
def test_timestamp_formats(text: str, moment: datetime) -> None:
    read = parse_timestamp(text)
    assert read == moment
    assert read.tzinfo is UTC or read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2030-01-05",
        "2030-01-05 09:30:00Z",
        "2030-01-05T09:30Z",
        "2030-13-05T09:30:00Z",
        "2030-02-30T09:30:00Z",
        "2030-01-05T09:30:00.Z",
        "2030-01-05T09:30:00Z ",
        " 2030-01-05T09:30:00Z",
        "2030-01-05T09:30:00Z\n",
        "2030-01-05T09:30:00+99:00",
        "\u0662030-01-05T09:30:00Z",
        "189383580",
        "18938358000",
        "-1893835800",
        "1893835800.5",
        "18938358002501",
        "\u0661893835800",
        "05 Jan 2030 09:30:00 GMT",
        "Sat, 99 Jan 2030 09:30:00 GMT",
        "0000-01-05T09:30:00Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_timestamp_garbage(text: str) -> None:
    with pytest.raises(VerificationFailed) as caught:
        parse_timestamp(text)
    assert (caught.value.reason, caught.value.status) == ("timestamp_malformed", 400)


@given(st.text())
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    assert _outcome(parse_timestamp, text) in {"read", "timestamp_malformed", "header_repeated"}


@given(st.binary(min_size=1))
def test_base64_in_every_dialect(data: bytes) -> None:
    for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        assert decode_base64(encoded.decode()) == data
        assert decode_base64(encoded.decode().rstrip("=")) == data


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_any_object_is_read_back(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    assert _outcome(parse_object, body) in {"read", "json_malformed", "json_not_object", "json_duplicate_key"}


def _outcome(read: Callable[[T], object], value: T) -> str:
    try:
        read(value)
    except VerificationFailed as failure:
        return failure.reason
    return "read"


@given(prefix=st.text(min_size=1))
def test_a_name_matches_only_on_a_label_boundary(prefix: str) -> None:
    matched = matching_suffix([f"{prefix}pkisigning.nl"], ["pkisigning.nl"]) is not None
    assert not matched or prefix.endswith(".")


def test_usable_suffixes() -> None:
    assert is_usable_suffix("pkisigning.io")
    assert not any(is_usable_suffix(each) for each in ("", ".", "io", ".io", "pkisigning.io.", "a b.io", "é.io"))


def test_memory_is_bounded_and_forgets_on_time() -> None:
    memory: TimedMemory[int] = TimedMemory(2)
    memory.put("a", 1)
    memory.put("b", 2, until=MOMENT)
    assert memory.get("a", MOMENT) == 1
    memory.put("c", 3)
    assert memory.get("b", MOMENT - timedelta(seconds=1)) is None  # the least recently used went
    memory.put("c", 4, until=MOMENT)
    assert memory.get("c", MOMENT - timedelta(seconds=1)) == 4
    assert memory.get("c", MOMENT) is None
    assert len(memory) == 1


def test_every_reason_has_the_status_of_its_kind() -> None:
    statuses = {reason: refusal(reason).status for reason in Reason}
    assert set(statuses.values()) == {400, 401, 413}
    assert [reason for reason, status in statuses.items() if status == 413] == [Reason.BODY_TOO_LARGE]
    assert {reason for reason, status in statuses.items() if status == 401} == {
        Reason.TIMESTAMP_TOO_OLD,
        Reason.TIMESTAMP_IN_FUTURE,
        Reason.LEAF_AMBIGUOUS,
        Reason.KEY_NOT_RSA,
        Reason.KEY_TOO_SMALL,
        Reason.DOMAIN_MISMATCH,
        Reason.SIGNATURE_MISMATCH,
        Reason.CHAIN_UNTRUSTED,
        Reason.CHAIN_INVALID,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_PURPOSE,
        Reason.CERTIFICATE_REVOKED,
        Reason.REVOCATION_UNKNOWN,
    }
