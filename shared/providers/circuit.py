"""The circuit of one account: calls to a provider that is down are refused at once, and one at a time finds out whether
it is back. Pure: the clock comes from outside, and whoever makes the calls says how they ended.

    closed      calls go out; `failures` outages in a row open it, and so does a provider that throttles
    open        every call is refused, before anything is sent, until the pause is over
    half open   one call at a time goes out: an answer closes the circuit, another outage opens it for twice as long

Any answer counts as one, a refusal too: it shows that somebody is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.circuits import CircuitState, Standing
from shared.domain.errors import BudgetSpent, CircuitOpen, ProviderError, Retryable, Throttled

_THROTTLED_AT_LEAST_SECONDS = 1.0
# While one call tries, the others come back after this.
_TRIAL_SECONDS = 5.0
# Many calls may be told to wait at the same moment; what moves the end by less is not worth telling anybody.
_WORTH_TELLING = timedelta(seconds=1)


@dataclass(frozen=True)
class CircuitLimits:
    """`throttled_seconds` bounds how long a provider may send us away."""

    failures: int = 5
    first_seconds: float = 15.0
    longest_seconds: float = 300.0
    throttled_seconds: float = 900.0


class Passage:
    """One call on its way. Its first verdict counts; one without any leaves everything as it was."""

    def __init__(self, circuit: Circuit, era: int, *, is_trial: bool) -> None:
        self.era, self.is_trial, self.is_over = era, is_trial, False
        self._circuit = circuit

    def answered(self) -> None:
        """The provider is there. For downloads this is known long before the call is over."""
        if not self.is_over:
            self.is_over = True
            self._circuit._answered(self)

    def failed(self, error: BaseException) -> None:
        if not self.is_over:
            self.is_over = True
            self._circuit._failed(self, error)


class Circuit:
    """`changed` is told of every transition, right when it happens: it must neither block nor fail."""

    def __init__(
        self,
        now: Callable[[], datetime],
        limits: CircuitLimits = CircuitLimits(),
        changed: Callable[[Standing], None] = lambda _: None,
    ) -> None:
        self._now, self._limits, self._changed = now, limits, changed
        self._told = Standing()
        self._failures = 0
        self._openings = 0
        # Counts transitions. A call that began before the last one tells nothing about what came after.
        self._era = 0
        self._trial: Passage | None = None

    @property
    def standing(self) -> Standing:
        return self._told.at(self._now())

    @contextmanager
    def passage(self) -> Iterator[Passage]:
        """Lets one call out and judges it by how the block ends. Raises CircuitOpen instead of entering it."""
        passage = self._admit()
        try:
            yield passage
        except BaseException as error:
            passage.failed(error)
            raise
        passage.answered()

    def _admit(self) -> Passage:
        until = self._told.until
        if until is None:
            return Passage(self, self._era, is_trial=False)
        left = (until - self._now()).total_seconds()
        if left > 0:
            raise self._refusal(left)
        if self._trial is not None:
            raise self._refusal(_TRIAL_SECONDS)
        self._trial = Passage(self, self._era, is_trial=True)
        return self._trial

    def _refusal(self, seconds: float) -> CircuitOpen:
        sentence = f"Calls of this account are held back for now: its last ones failed ({self._told.reason})."
        return CircuitOpen(sentence, retry_after_seconds=seconds)

    def _answered(self, passage: Passage) -> None:
        self._end_trial(passage)
        if passage.era != self._era:
            return
        self._failures = 0
        if passage.is_trial:
            self._openings = 0
            self._tell(Standing())

    def _failed(self, passage: Passage, error: BaseException) -> None:
        self._end_trial(passage)
        if isinstance(error, BudgetSpent) or not isinstance(error, ProviderError):
            return  # not the provider's doing
        if isinstance(error, Throttled):
            self._throttled(error)
        elif isinstance(error, Retryable) and error.is_outage:
            self._count(passage, error.code)
        else:
            self._answered(passage)

    def _end_trial(self, passage: Passage) -> None:
        if self._trial is passage:
            self._trial = None

    def _count(self, passage: Passage, code: str) -> None:
        if passage.era != self._era:
            return
        self._failures += 1
        if passage.is_trial or self._failures >= self._limits.failures:
            self._openings += 1
            doubled = self._limits.first_seconds * 2.0 ** min(self._openings - 1, 30)
            self._open(self._now() + timedelta(seconds=min(doubled, self._limits.longest_seconds)), code)

    def _throttled(self, error: Throttled) -> None:
        """Believed whenever it comes, for it says until when it holds."""
        seconds = min(max(error.retry_after_seconds, _THROTTLED_AT_LEAST_SECONDS), self._limits.throttled_seconds)
        until, before = self._now() + timedelta(seconds=seconds), self._told.until
        if before is None or until >= before + _WORTH_TELLING:
            self._open(until, error.code)

    def _open(self, until: datetime, code: str) -> None:
        self._tell(Standing(CircuitState.OPEN, self._told.since or self._now(), until, code, self._failures))

    def _tell(self, standing: Standing) -> None:
        self._era += 1
        self._trial = None
        self._told = standing
        self._changed(standing)
