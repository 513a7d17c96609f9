"""Which deliveries were seen already."""

from __future__ import annotations

from datetime import timedelta

from shared.verification.memory import TimedMemory
from shared.verification.raw import VerifiedCallback

_CAPACITY = 20_000


class ReplayMemory:
    """Event keys for twice the window: a signature older than the window is refused by its timestamp anyway.

    One process, on purpose: the receiver makes a single storage call. A duplicate that lands on another instance, or
    after a restart, is queued again and made harmless where events are applied (`flow/apply`: read-back, one
    conditional save). This memory only spares that work; nothing depends on it for correctness.
    """

    def __init__(self, *, window_seconds: float) -> None:
        self._keep = timedelta(seconds=2 * window_seconds)
        self._seen: TimedMemory[bool] = TimedMemory(_CAPACITY)

    def was_replayed(self, callback: VerifiedCallback) -> bool:
        return self._seen.get(callback.event_key, callback.raw.received_at) is not None

    def remember(self, callback: VerifiedCallback) -> None:
        """Call it once the event is safely queued, never before: else the sender's retry after our failure is lost."""
        self._seen.put(callback.event_key, True, until=callback.raw.received_at + self._keep)
