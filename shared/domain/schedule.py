"""When reconcile looks at a signing again. Pure.

The looks lie on a chain of fixed points: each follows the one before after a share of the time since the chain began,
at least the shortest and at most the longest pause. As nothing but the signing decides where they lie, two timer runs,
or a look that came out of turn, lead to the same next row of the due index, and rows never multiply.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.domain.policy import FlowPolicy
from shared.domain.signing import Progress, Signing, State

_ACTED = frozenset({Progress.SIGNED, Progress.APPROVED, Progress.RECEIVED, Progress.DECLINED})
_BUSY = frozenset({State.REQUESTED, State.COMPLETED})


def next_look(signing: Signing, earliest: datetime, policy: FlowPolicy) -> datetime:
    """The first point of the signing's chain that is not before `earliest`.

    A deadline that has passed begins the chain anew: now is when the provider has something to say.
    """
    shortest, longest = policy.reconcile_min_seconds, policy.reconcile_max_seconds
    if signing.state in _BUSY or (signing.is_over and not signing.is_told):
        longest = min(longest, policy.reconcile_busy_max_seconds)
    elif signing.is_over:
        shortest = longest
    turns = list(_turns(signing, policy)) if signing.state is State.STARTED else []
    began = max([signing.created_at, *(turn for turn in turns if turn <= earliest)])
    point = _point(began, earliest, shortest, policy.reconcile_age_share, longest)
    return min([point, *(turn for turn in turns if turn > earliest)])


def _turns(signing: Signing, policy: FlowPolicy) -> Iterator[datetime]:
    """Shortly after each deadline that can still be missed."""
    grace = timedelta(seconds=policy.deadline_grace_seconds)
    open_people = [person for person in signing.participants if person.progress not in _ACTED]
    for deadline in (signing.deadline, *(person.deadline for person in open_people)):
        if deadline is not None:
            yield deadline + grace


def _point(began: datetime, earliest: datetime, shortest: float, share: float, longest: float) -> datetime:
    # Whole seconds: sums of fractions would not come out the same from every beginning.
    wanted, age = (earliest - began).total_seconds(), 0
    while age < wanted:
        pause = max(math.floor(min(max(age * share, shortest), longest)), 1)
        is_even = share <= 0 or pause >= math.floor(longest)
        age += pause * math.ceil((wanted - age) / pause) if is_even else pause
    return began + timedelta(seconds=age)
