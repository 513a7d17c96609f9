"""Fault switches of the simulators: which call goes wrong, how, and how often. Provider-neutral.

A plan is a list of faults in the order they were set. Each call asks the plan once; faults that match and still have
turns left take effect, and the turn is used up. Randomness comes from a seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class FaultKind(StrEnum):
    STATUS = "status"
    """Answer `status` without acting."""
    STATUS_AFTER = "status_after"
    """Act, then answer `status`."""
    SLOW = "slow"
    """Wait `seconds`, then go on."""
    SLOW_ANSWER = "slow_answer"
    """Act, then wait `seconds` before answering: callbacks overtake the answer."""
    HANG_UP_BEFORE = "hang_up_before"
    """Close the connection without acting."""
    LOST_ANSWER = "lost_answer"
    """Act, then close the connection without an answer."""
    TRUNCATE = "truncate"
    """Announce the whole body, send the first `at_byte` bytes (default half of it) and close."""
    CORRUPT = "corrupt"
    """Flip one byte of the body at `at_byte` (default the middle)."""
    LATE_SEAL = "late_seal"
    """Completed, but the download is not there yet: see `seal`. For `times` tries, or `seconds` after completion."""
    LATE_STATUS = "late_status"
    """Show the status before the last change. For `times` reads, or `seconds` after the change."""


_LATE = frozenset({FaultKind.LATE_SEAL, FaultKind.LATE_STATUS})
PIPELINE_KINDS = frozenset(FaultKind) - _LATE
"""Kinds that the server itself applies; the late ones are up to the provider's own operations."""


class Fault(BaseModel):
    """One switch. `operation` None matches every operation; `times` None never runs out."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kind: FaultKind
    operation: str | None = None
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0, description="matching calls that pass unharmed first")
    probability: float = Field(default=1.0, ge=0, le=1)
    status: int = Field(default=500, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    at_byte: int | None = Field(default=None, ge=0)
    seal: Literal["conflict", "unsigned", "incomplete"] = "conflict"

    def matches(self, operation: str) -> bool:
        return self.operation is None or self.operation.lower() == operation.lower()


@dataclass
class FaultPlan:
    """The switches in force. `log` tells which faults took effect on which operation, for assertions."""

    seed: int = 0
    monotonic: Callable[[], float] = time.monotonic
    active: list[Fault] = field(default_factory=list)
    log: list[tuple[str, FaultKind]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def reseed(self, seed: int) -> None:
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> Fault:
        """Set a switch. The plan keeps its own copy, so that counting down never changes the caller's."""
        kept = fault.model_copy()
        self.active.append(kept)
        return kept

    def clear(self) -> None:
        self.active.clear()

    def take(self, operation: str, kinds: Collection[FaultKind] = PIPELINE_KINDS) -> list[Fault]:
        """The faults that hit this call, each with one turn used: at most one that slows it and one that spoils it."""
        taken: dict[bool, Fault] = {}
        for fault in list(self.active):
            slows = fault.kind in {FaultKind.SLOW, FaultKind.SLOW_ANSWER}
            if fault.kind not in kinds or not fault.matches(operation) or slows in taken:
                continue
            if not self._passes_unharmed(fault):
                self._use_turn(fault)
                self.log.append((operation, fault.kind))
                taken[slows] = fault
        return list(taken.values())

    def late(self, operation: str, kind: FaultKind, since: float) -> Fault | None:
        """The late fault in force, where `since` is the monotonic moment of what it delays."""
        for fault in list(self.active):
            if fault.kind is not kind or not fault.matches(operation):
                continue
            if fault.seconds is not None:
                if self.monotonic() - since >= fault.seconds:
                    continue
            elif self._passes_unharmed(fault):
                continue
            else:
                self._use_turn(fault)
            self.log.append((operation, kind))
            return fault
        return None

    def _passes_unharmed(self, fault: Fault) -> bool:
        if fault.skip:
            fault.skip -= 1
            return True
        return fault.probability < 1 and self._random.random() >= fault.probability

    def _use_turn(self, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times == 1:
            self.active.remove(fault)
        else:
            fault.times -= 1
