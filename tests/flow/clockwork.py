"""A `World` in which time passes: delays of messages are honoured, timers come round, things happen when they are due.

Nothing waits in real time. What fails is delivered again, as the host does, and ends in `poisoned` after the last try.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.domain.messages import Message, Queue
from tests.flow.world import World

REDELIVERY_SECONDS = 30.0
MAX_DELIVERIES = 5

Action = Callable[[], Awaitable[object]]


@dataclass(order=True)
class _Due:
    at: datetime
    number: int
    action: Action = field(compare=False)


@dataclass
class Clockwork:
    """Takes the world's queue over. `delivered` counts messages by queue, redeliveries included."""

    world: World
    poisoned: list[tuple[Queue, Message]] = field(default_factory=list)
    delivered: dict[Queue, int] = field(default_factory=dict)
    waiting: list[tuple[Queue, Message]] = field(default_factory=list)
    _due: list[_Due] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.world.app = replace(self.world.app, queue=self)

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        """`ports.MessageQueue`: whole seconds, as storage queues count them."""
        visible_at = self.world.clock + timedelta(seconds=max(math.ceil(delay_seconds), 0))
        self.waiting.append((queue, message))
        self._deliver_at(visible_at, queue, message, 1)

    async def put_back_poison(self, queue: Queue, text: str, *, delay_seconds: float) -> None:
        raise AssertionError(f"what is poisoned on {queue} is kept in `poisoned` here")

    def at(self, when: datetime, action: Action) -> None:
        """Once, at that time or as soon after it as the clock runs."""
        heapq.heappush(self._due, _Due(when, next(self._numbers), action))

    def every(self, seconds: float, action: Action) -> None:
        """Again and again from now on. Turns that were missed while the clock stood still come once."""

        async def turn() -> None:
            self.at(self.world.clock + timedelta(seconds=seconds), turn)
            await action()

        self.at(self.world.clock, turn)

    async def run_until(self, end: datetime) -> None:
        """All that is due until then, in order; the clock stands at `end` afterwards."""
        while self._due and self._due[0].at <= end:
            due = heapq.heappop(self._due)
            self.world.clock = max(self.world.clock, due.at)
            await due.action()
        self.world.clock = max(self.world.clock, end)

    async def run_for(self, seconds: float) -> None:
        await self.run_until(self.world.clock + timedelta(seconds=seconds))

    def stand_still(self, seconds: float) -> None:
        """Time goes by while nothing runs: messages wait, timers do not fire."""
        self.world.forward(seconds)

    def _deliver_at(self, when: datetime, queue: Queue, message: Message, delivery: int) -> None:
        async def deliver() -> None:
            self.delivered[queue] = self.delivered.get(queue, 0) + 1
            try:
                await self.world.run(message)
            except Exception:
                if delivery < MAX_DELIVERIES:
                    again_at = self.world.clock + timedelta(seconds=REDELIVERY_SECONDS)
                    self._deliver_at(again_at, queue, message, delivery + 1)
                    return
                self.poisoned.append((queue, message))
            self.waiting.remove((queue, message))

        self.at(when, deliver)
