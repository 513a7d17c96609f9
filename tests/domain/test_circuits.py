"""What several instances say of one account becomes one answer."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.circuits import CircuitState, Standing, merged
from tests.domain.make import NOW


def opened(minutes_ago: float, until_in: float, failures: int = 5) -> Standing:
    since, until = NOW - timedelta(minutes=minutes_ago), NOW + timedelta(minutes=until_in)
    return Standing(CircuitState.OPEN, since, until, "provider_unavailable", failures)


def test_nobody_who_complains_means_closed() -> None:
    assert merged([], NOW) == Standing()
    assert merged([Standing()], NOW) == Standing()


def test_the_worst_counts_since_the_first_and_until_the_last() -> None:
    seen = merged([opened(3, -1, failures=9), opened(2, 4), opened(1, 5), Standing()], NOW)
    assert (seen.state, seen.failures) == (CircuitState.OPEN, 9)
    assert (seen.since, seen.until) == (NOW - timedelta(minutes=3), NOW + timedelta(minutes=5))


def test_a_pause_that_is_over_is_half_open_and_after_a_while_without_a_word_forgotten() -> None:
    assert merged([opened(3, -1)], NOW).state is CircuitState.HALF_OPEN
    assert merged([opened(90, -20)], NOW) == Standing()
