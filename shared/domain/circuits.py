"""How freely calls of an account go out, as an instance sees it and as all of them together do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

# Work that waits comes back sooner than this. An instance that has not called again by then is gone, or has no work
# left; either way it knows nothing about the provider any more.
_OUTLIVED = timedelta(minutes=20)


class CircuitState(StrEnum):
    """`half_open`: the pause is over, and the next call will show whether the provider is back."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True)
class Standing:
    """`since` when calls are held back, `until` when the next one goes out, after how many `failures` in a row, and the
    code of the last one as the `reason`."""

    state: CircuitState = CircuitState.CLOSED
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    failures: int = 0

    def at(self, now: datetime) -> Standing:
        """The same a while later: a pause ends without anybody writing it down."""
        is_past = self.state is CircuitState.OPEN and self.until is not None and self.until <= now
        return replace(self, state=CircuitState.HALF_OPEN) if is_past else self

    def is_outlived(self, now: datetime) -> bool:
        return self.until is None or self.until + _OUTLIVED <= now


_BY_BADNESS = tuple(CircuitState)


def merged(standings: Iterable[Standing], now: datetime) -> Standing:
    """What several instances say of one account: the worst of it, since the first of them and until the last."""
    living = [one.at(now) for one in standings if not one.is_outlived(now)]
    if not living:
        return Standing()
    worst = max(living, key=lambda one: (_BY_BADNESS.index(one.state), one.until or now))
    return replace(
        worst,
        since=min((one.since for one in living if one.since is not None), default=None),
        failures=max(one.failures for one in living),
    )
