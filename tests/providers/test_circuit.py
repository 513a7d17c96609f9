"""The circuit of one account: when it opens, whom it lets try, and what closes it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from shared.domain.circuits import CircuitState, Standing
from shared.domain.errors import (
    BudgetSpent,
    CircuitOpen,
    CreditsExhausted,
    NotReady,
    ProviderError,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.providers.circuit import Circuit, CircuitLimits
from tests.providers.stand_ins import START, Clock

LIMITS = CircuitLimits(failures=3, first_seconds=10, longest_seconds=35, throttled_seconds=100)
DOWN = Unavailable("down", sent=True)


class Watched:
    """A circuit with a clock to turn, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[Standing] = []
        self.circuit = Circuit(self.clock, LIMITS, self.told.append)

    def call(self, error: BaseException | None = None) -> None:
        """One call that ends like that. Raises CircuitOpen when it is not let out."""
        with self.circuit.passage() as passage:
            if error is not None:
                passage.failed(error)

    def state(self) -> CircuitState:
        return self.circuit.standing.state

    def refused_for(self) -> float:
        with pytest.raises(CircuitOpen) as refusal:
            self.call()
        return refusal.value.retry_after_seconds

    def opened(self) -> Watched:
        for _ in range(LIMITS.failures):
            self.call(DOWN)
        return self


def test_outages_in_a_row_open_it_and_an_answer_in_between_starts_the_count_anew() -> None:
    watched = Watched()
    for error in (DOWN, DOWN, None, DOWN, DOWN, Rejected("400"), DOWN, DOWN):
        watched.call(error)
    assert watched.state() is CircuitState.CLOSED
    watched.call(DOWN)
    assert watched.refused_for() == 10
    (told,) = watched.told
    assert (told.state, told.since, told.reason, told.failures) == (
        CircuitState.OPEN,
        START,
        "provider_unavailable",
        3,
    )


@pytest.mark.parametrize(
    "error",
    [
        CreditsExhausted("402"),
        Unauthorised("401"),
        Rejected("400"),
        NotReady("409"),
        BudgetSpent("", retry_after_seconds=9),
    ],
)
def test_refusals_and_our_own_budget_never_open_it(error: ProviderError) -> None:
    watched = Watched()
    for _ in range(20):
        watched.call(error)
    watched.call()
    assert watched.told == []


def test_a_call_that_was_given_up_says_nothing() -> None:
    watched = Watched()
    for error in (DOWN, DOWN, asyncio.CancelledError(), RuntimeError("storage"), DOWN):
        watched.call(error)
    assert watched.state() is CircuitState.OPEN


def test_the_pause_doubles_up_to_a_limit_and_starts_small_after_an_answer() -> None:
    watched = Watched().opened()
    pauses = []
    for _ in range(4):
        pauses.append(watched.refused_for())
        watched.clock.forward(pauses[-1])
        watched.call(DOWN)
    assert pauses == [10, 20, 35, 35]
    assert {told.since for told in watched.told} == {START}
    watched.clock.forward(35)
    watched.call(Rejected("404: but somebody is there"))
    assert watched.told[-1] == Standing()
    assert watched.opened().refused_for() == 10


def test_how_the_block_ends_is_the_verdict() -> None:
    watched = Watched()
    for _ in range(LIMITS.failures):
        with pytest.raises(Unavailable), watched.circuit.passage():
            raise DOWN
    assert watched.refused_for() == 10


def test_one_call_at_a_time_tries() -> None:
    watched = Watched().opened()
    watched.clock.forward(10)
    assert watched.state() is CircuitState.HALF_OPEN
    with watched.circuit.passage():
        assert 0 < watched.refused_for() < 10
    watched.call()
    assert watched.state() is CircuitState.CLOSED


def test_a_download_that_has_begun_is_answer_enough() -> None:
    watched = Watched().opened()
    watched.clock.forward(10)
    with watched.circuit.passage() as passage:
        passage.answered()
        watched.call()
    assert watched.told[-1].state is CircuitState.CLOSED


@pytest.mark.parametrize("error", [asyncio.CancelledError(), BudgetSpent("", retry_after_seconds=1)])
def test_a_try_without_a_verdict_makes_room_for_the_next(error: BaseException) -> None:
    watched = Watched().opened()
    watched.clock.forward(10)
    watched.call(error)
    watched.call()
    assert watched.state() is CircuitState.CLOSED


def test_calls_that_were_under_way_when_it_opened_neither_lengthen_nor_shorten_the_pause() -> None:
    watched = Watched()
    with watched.circuit.passage() as failing, watched.circuit.passage() as answered:
        watched.opened()
        failing.failed(DOWN)
        answered.answered()
    assert watched.refused_for() == 10
    assert len(watched.told) == 1


@pytest.mark.parametrize(("asked", "pause"), [(42, 42), (0, 1), (9_999, 100)])
def test_throttling_is_waited_out_for_as_long_as_the_provider_says(asked: float, pause: float) -> None:
    watched = Watched()
    watched.call(Throttled("429", retry_after_seconds=asked))
    assert watched.refused_for() == pause
    watched.clock.forward(pause)
    watched.call()
    assert [told.state for told in watched.told] == [CircuitState.OPEN, CircuitState.CLOSED]


def test_the_longest_wait_of_many_counts_and_little_differences_are_not_told() -> None:
    watched = Watched()
    with ExitStack() as under_way:
        passages = [under_way.enter_context(watched.circuit.passage()) for _ in range(3)]
        for passage, seconds in zip(passages, (30, 30.5, 20), strict=True):
            passage.failed(Throttled("429", retry_after_seconds=seconds))
    assert watched.refused_for() == 30
    assert len(watched.told) == 1
