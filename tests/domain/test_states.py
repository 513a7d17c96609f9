from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.signing import Signing, State
from shared.domain.states import Answer, Event, EventKind, FollowUp, ImpossibleEvent, Source, decide
from tests.domain.make import NOW, signing

# The table of the house, typed out a second time: a cell cannot change in one place only.
# Columns: accepted, all_signed, declined, cancelled, expired, failed, documents_stored.
# `=` ignore, `!` conflict, `#` impossible, else the state moved to.
EXPECTED = {
    State.REQUESTED: "started completed declined cancelled expired failed #",
    State.STARTED: "= completed declined cancelled expired failed #",
    State.COMPLETED: "= = ! ! = = stored",
    State.STORED: "= = = = = = =",
    State.DECLINED: "= ! = = = = #",
    State.CANCELLED: "= ! = = = = #",
    State.EXPIRED: "= completed declined cancelled = = #",
    State.FAILED: "= completed declined cancelled = = #",
}
CELLS = [
    (state, kind, cell) for state, row in EXPECTED.items() for kind, cell in zip(EventKind, row.split(), strict=True)
]


def event(kind: EventKind) -> Event:
    return Event(kind, NOW, Source.CALLBACK)


def test_the_expectation_covers_every_cell() -> None:
    assert len(CELLS) == len(State) * len(EventKind)


@pytest.mark.parametrize(("state", "kind", "cell"), CELLS)
def test_cell(state: State, kind: EventKind, cell: str) -> None:
    if cell == "#":
        with pytest.raises(ImpossibleEvent):
            decide(signing(state), event(kind))
        return
    decision = decide(signing(state), event(kind))
    if cell in "=!":
        assert decision.answer is {"=": Answer.IGNORE, "!": Answer.CONFLICT}[cell]
        assert decision.state is state
        assert decision.follow_ups == ()
    else:
        assert decision.answer is Answer.MOVE
        assert decision.state is State(cell)


def test_completion_calls_for_the_documents_and_every_move_for_a_notification() -> None:
    completed = decide(signing(State.STARTED), event(EventKind.ALL_SIGNED))
    assert set(completed.follow_ups) == {FollowUp.DOWNLOAD, FollowUp.NOTIFY}
    declined = decide(signing(State.STARTED), event(EventKind.DECLINED))
    assert declined.follow_ups == (FollowUp.NOTIFY,)


HARD_ENDS = (EventKind.ALL_SIGNED, EventKind.DECLINED, EventKind.CANCELLED)
SOFT_ENDS = (EventKind.EXPIRED, EventKind.FAILED)


def end_state(start: Signing, kinds: Sequence[EventKind]) -> State:
    current = start
    for position, kind in enumerate(kinds):
        decision = decide(current, Event(kind, NOW + timedelta(seconds=position), Source.CALLBACK))
        current = current.model_copy(update={"state": decision.state})
    return current.state


@st.composite
def two_orders(draw: st.DrawFn) -> tuple[list[EventKind], list[EventKind]]:
    """One set of facts with at most one hard and one soft end, told twice: repeated and in any order."""
    facts = [EventKind.ACCEPTED]
    facts += draw(st.lists(st.sampled_from(HARD_ENDS), max_size=1))
    facts += draw(st.lists(st.sampled_from(SOFT_ENDS), max_size=1))
    first, second = (draw(st.permutations(facts * draw(st.integers(1, 3)))) for _ in range(2))
    return list(first), list(second)


@given(two_orders())
def test_any_order_and_repetition_ends_the_same(orders: tuple[list[EventKind], list[EventKind]]) -> None:
    first, second = orders
    assert end_state(signing(), first) is end_state(signing(), second)


@given(st.lists(st.sampled_from([kind for kind in EventKind if kind is not EventKind.DOCUMENTS_STORED])))
def test_a_stored_signing_never_moves(kinds: list[EventKind]) -> None:
    assert end_state(signing(State.STORED), kinds) is State.STORED


def test_late_completion_wins_over_expiry() -> None:
    assert end_state(signing(), [EventKind.EXPIRED, EventKind.ALL_SIGNED]) is State.COMPLETED
