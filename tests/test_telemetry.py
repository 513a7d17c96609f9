"""What of a sender's own words may reach logs and messages: nothing but a genuine trace id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import telemetry

GENUINE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _nobodys_trace() -> Iterator[None]:
    yield
    telemetry.enter_trace(None)


def test_a_genuine_traceparent_travels_along() -> None:
    telemetry.enter_trace(GENUINE)
    assert telemetry.current_trace() == GENUINE


@pytest.mark.parametrize(
    "text", [None, "", "ada@example.org", GENUINE + " ada@example.org", GENUINE.upper(), "0" * 20_000]
)
def test_anything_else_is_passed_over(text: str | None) -> None:
    telemetry.enter_trace(text)
    assert telemetry.current_trace() is None
