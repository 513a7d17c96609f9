"""What becomes of a queue message: the decisions without the queue."""

from __future__ import annotations

from itertools import pairwise

import pytest

from local.host.messages import (
    Backoff,
    UndecodableMessage,
    Verdict,
    decode,
    may_run,
    poison_queue_name,
    verdict_after_running,
    verdict_without_running,
)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [("orders", "orders-poison"), ("orders-poison", None), ("a" * 56, "a" * 56 + "-poison"), ("a" * 57, None)],
)
def test_poison_queue_name(queue: str, expected: str | None) -> None:
    assert poison_queue_name(queue) == expected


def test_decoding() -> None:
    assert decode("{}", "none") == "{}"
    assert decode("e30=", "base64") == "{}"
    assert decode(" e3\r\n0= ", "base64") == "{}"


@pytest.mark.parametrize("text", ["{}", "e30", "e3!0="])
def test_what_is_not_base64(text: str) -> None:
    with pytest.raises(UndecodableMessage):
        decode(text, "base64")


@pytest.mark.parametrize(
    ("succeeded", "count", "poison", "expected"),
    [
        (True, 1, "q-poison", Verdict.DELETE),
        (True, 9, None, Verdict.DELETE),
        (False, 4, "q-poison", Verdict.RELEASE),
        (False, 5, "q-poison", Verdict.POISON),
        (False, 1, None, Verdict.LEAVE),
        (False, 5, None, Verdict.LEAVE),
    ],
)
def test_verdict_after_running(succeeded: bool, count: int, poison: str | None, expected: Verdict) -> None:
    assert verdict_after_running(succeeded, count, 5, poison) is expected


def test_verdict_before_running() -> None:
    assert may_run(5, 5)
    assert not may_run(6, 5)
    assert verdict_without_running("q-poison") is Verdict.POISON
    assert verdict_without_running(None) is Verdict.LEAVE


def test_pauses_double_up_to_the_maximum_and_start_again() -> None:
    backoff = Backoff(max_seconds=10)
    pauses = [backoff.next_seconds() for _ in range(12)]

    assert 0.08 <= pauses[0] <= 0.12
    assert all(1.3 < later / earlier < 3.1 for earlier, later in pairwise(pauses[:6]))
    assert all(8 <= pause <= 10 for pause in pauses[7:])
    backoff.reset()
    assert backoff.next_seconds() <= 0.12
