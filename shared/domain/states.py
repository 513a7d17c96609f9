"""The state machine: a table and one function. The only place that knows which move is allowed.

Provider events arrive repeated and in any order. Any repetition and reordering of events that contains at most one
hard end (all signed, declined, cancelled) and at most one soft end (expired, failed) reaches the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from shared.domain.signing import Signing, State


class EventKind(StrEnum):
    """Facts, in the past tense."""

    ACCEPTED = "accepted"
    ALL_SIGNED = "all_signed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    DOCUMENTS_STORED = "documents_stored"


class Source(StrEnum):
    """Who brought the fact."""

    START = "start"
    CALLBACK = "callback"
    RECONCILE = "reconcile"
    DOWNLOAD = "download"
    OPERATOR = "operator"


class Answer(Enum):
    MOVE = "move"
    IGNORE = "ignore"
    CONFLICT = "conflict"


class FollowUp(Enum):
    """Messages that a move calls for. They are sent after the save, and derived anew by reconcile if that was lost."""

    DOWNLOAD = "download"
    NOTIFY = "notify"


@dataclass(frozen=True)
class Event:
    """A confirmed fact about a signing. `at` is when we learnt it."""

    kind: EventKind
    at: datetime
    source: Source
    provider_status: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Decision:
    """What to do: for MOVE `state` is the new one; for IGNORE and CONFLICT it is the present one."""

    answer: Answer
    state: State
    follow_ups: tuple[FollowUp, ...] = ()


class ImpossibleEvent(Exception):
    """A cell that only a programming error can reach, such as storing the documents of an unfinished signing."""


_IGNORE = Answer.IGNORE
_CONFLICT = Answer.CONFLICT

# (state, event) -> the state to move to, or one of the two other answers. A missing cell is a programming error.
# A callback may overtake our own write of `accepted`, hence the ends straight from `requested`. `expired` and `failed`
# are soft: a deadline can be extended and an error repaired at the provider, so a hard end that arrives later wins.
TABLE: dict[tuple[State, EventKind], State | Answer] = {
    (State.REQUESTED, EventKind.ACCEPTED): State.STARTED,
    (State.REQUESTED, EventKind.ALL_SIGNED): State.COMPLETED,
    (State.REQUESTED, EventKind.DECLINED): State.DECLINED,
    (State.REQUESTED, EventKind.CANCELLED): State.CANCELLED,
    (State.REQUESTED, EventKind.EXPIRED): State.EXPIRED,
    (State.REQUESTED, EventKind.FAILED): State.FAILED,
    (State.STARTED, EventKind.ACCEPTED): _IGNORE,
    (State.STARTED, EventKind.ALL_SIGNED): State.COMPLETED,
    (State.STARTED, EventKind.DECLINED): State.DECLINED,
    (State.STARTED, EventKind.CANCELLED): State.CANCELLED,
    (State.STARTED, EventKind.EXPIRED): State.EXPIRED,
    (State.STARTED, EventKind.FAILED): State.FAILED,
    (State.COMPLETED, EventKind.ACCEPTED): _IGNORE,
    (State.COMPLETED, EventKind.ALL_SIGNED): _IGNORE,
    (State.COMPLETED, EventKind.DECLINED): _CONFLICT,
    (State.COMPLETED, EventKind.CANCELLED): _CONFLICT,
    (State.COMPLETED, EventKind.EXPIRED): _IGNORE,
    (State.COMPLETED, EventKind.FAILED): _IGNORE,
    (State.COMPLETED, EventKind.DOCUMENTS_STORED): State.STORED,
    (State.DECLINED, EventKind.ACCEPTED): _IGNORE,
    (State.DECLINED, EventKind.ALL_SIGNED): _CONFLICT,
    (State.DECLINED, EventKind.DECLINED): _IGNORE,
    (State.DECLINED, EventKind.CANCELLED): _IGNORE,
    (State.DECLINED, EventKind.EXPIRED): _IGNORE,
    (State.DECLINED, EventKind.FAILED): _IGNORE,
    (State.CANCELLED, EventKind.ACCEPTED): _IGNORE,
    (State.CANCELLED, EventKind.ALL_SIGNED): _CONFLICT,
    (State.CANCELLED, EventKind.DECLINED): _IGNORE,
    (State.CANCELLED, EventKind.CANCELLED): _IGNORE,
    (State.CANCELLED, EventKind.EXPIRED): _IGNORE,
    (State.CANCELLED, EventKind.FAILED): _IGNORE,
    (State.EXPIRED, EventKind.ACCEPTED): _IGNORE,
    (State.EXPIRED, EventKind.ALL_SIGNED): State.COMPLETED,
    (State.EXPIRED, EventKind.DECLINED): State.DECLINED,
    (State.EXPIRED, EventKind.CANCELLED): State.CANCELLED,
    (State.EXPIRED, EventKind.EXPIRED): _IGNORE,
    (State.EXPIRED, EventKind.FAILED): _IGNORE,
    (State.FAILED, EventKind.ACCEPTED): _IGNORE,
    (State.FAILED, EventKind.ALL_SIGNED): State.COMPLETED,
    (State.FAILED, EventKind.DECLINED): State.DECLINED,
    (State.FAILED, EventKind.CANCELLED): State.CANCELLED,
    (State.FAILED, EventKind.EXPIRED): _IGNORE,
    (State.FAILED, EventKind.FAILED): _IGNORE,
    **{(State.STORED, kind): _IGNORE for kind in EventKind},
}

_FOLLOW_UPS = {State.COMPLETED: (FollowUp.DOWNLOAD, FollowUp.NOTIFY)}


def decide(signing: Signing, event: Event) -> Decision:
    """What `event` means for `signing`. Pure; raises `ImpossibleEvent` for a cell that is not in the table."""
    target = TABLE.get((signing.state, event.kind))
    if target is None:
        raise ImpossibleEvent(f"{event.kind} cannot happen to a signing that is {signing.state}")
    if isinstance(target, State):
        return Decision(Answer.MOVE, target, _FOLLOW_UPS.get(target, (FollowUp.NOTIFY,)))
    return Decision(target, signing.state)
