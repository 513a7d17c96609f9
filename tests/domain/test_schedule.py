"""When reconcile looks again."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.policy import HOUR, MINUTE, FlowPolicy
from shared.domain.schedule import next_look
from shared.domain.signing import Announcement, Progress, Signing, State
from tests.domain.make import NOW, signing

POLICY = FlowPolicy()
STARTED = signing(State.STARTED)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def looks(one: Signing, seconds: float) -> list[float]:
    """The ages at which the signing is looked at, when each look comes on time."""
    found, now = list[float](), NOW
    while True:
        now = next_look(one, now + timedelta(seconds=POLICY.reconcile_min_seconds), POLICY)
        if now > after(seconds):
            return found
        found.append((now - NOW).total_seconds())


def test_a_young_signing_is_looked_at_soon_and_an_old_one_seldom() -> None:
    ages = looks(STARTED, 30 * 24 * HOUR)
    pauses = [later - earlier for earlier, later in zip([0.0, *ages], ages, strict=False)]
    assert pauses[:8] == [POLICY.reconcile_min_seconds] * 8
    assert pauses[-8:] == [POLICY.reconcile_max_seconds] * 8
    assert pauses == sorted(pauses)


def test_the_end_of_a_deadline_is_looked_at_and_watched() -> None:
    deadline = 10 * 24 * HOUR
    ending = STARTED.model_copy(update={"deadline": after(deadline)})
    quiet, ages = looks(STARTED, 11 * 24 * HOUR), looks(ending, 11 * 24 * HOUR)
    turn = deadline + POLICY.deadline_grace_seconds
    assert turn in ages
    assert turn + POLICY.reconcile_min_seconds in ages
    assert [age for age in ages if age < turn] == [age for age in quiet if age < turn]
    assert len([age for age in ages if age > turn]) > 5 * len([age for age in quiet if age > turn])


def test_a_look_just_before_a_deadline_is_followed_by_one_soon_after_it() -> None:
    one = STARTED.model_copy(update={"deadline": after(100 * HOUR)})
    turn = after(100 * HOUR + POLICY.deadline_grace_seconds)
    earliest = turn + timedelta(seconds=1)
    assert next_look(one, earliest, POLICY) - earliest < timedelta(seconds=POLICY.reconcile_min_seconds)


def test_a_participants_deadline_counts_until_they_have_acted() -> None:
    [person] = STARTED.participants
    waiting = person.model_copy(update={"deadline": after(100 * HOUR)})
    signed = waiting.model_copy(update={"progress": Progress.SIGNED})
    quiet = looks(STARTED, 120 * HOUR)
    assert looks(STARTED.model_copy(update={"participants": (signed,)}), 120 * HOUR) == quiet
    watched = looks(STARTED.model_copy(update={"participants": (waiting,)}), 120 * HOUR)
    turn = 100 * HOUR + 5 * MINUTE
    assert len([age for age in watched if turn <= age <= turn + HOUR]) >= 3


def test_our_own_work_is_looked_at_more_often_than_the_providers() -> None:
    for state in (State.REQUESTED, State.COMPLETED):
        ages = looks(signing(state), 30 * 24 * HOUR)
        assert ages[-1] - ages[-2] == POLICY.reconcile_busy_max_seconds
    owed = Announcement(seq=1, state=State.DECLINED, at=NOW, next_attempt_at=NOW)
    untold = signing(State.DECLINED, announcements=(owed,))
    assert len(looks(untold, 48 * HOUR)) > len(looks(signing(State.EXPIRED), 48 * HOUR)) == 8


TIMES = st.floats(min_value=0, max_value=90 * 24 * HOUR).map(after)


@given(st.sampled_from(State), st.none() | TIMES, st.none() | TIMES, TIMES, st.floats(min_value=0, max_value=60))
def test_neighbouring_ticks_agree_on_the_next_look_or_on_the_one_after(
    state: State, deadline: datetime | None, persons: datetime | None, earliest: datetime, late: float
) -> None:
    people = tuple(one.model_copy(update={"deadline": persons}) for one in STARTED.participants)
    one = signing(state, deadline=deadline, participants=people)
    first = next_look(one, earliest, POLICY)
    assert earliest <= first <= earliest + timedelta(seconds=POLICY.reconcile_max_seconds)
    second = next_look(one, earliest + timedelta(seconds=late), POLICY)
    assert second == first or earliest <= first < earliest + timedelta(seconds=late)


def test_settings_that_leave_no_room_still_lead_on() -> None:
    tight = FlowPolicy(reconcile_min_seconds=0, reconcile_max_seconds=0, reconcile_age_share=0)
    assert next_look(STARTED, after(10), tight) >= after(10)
