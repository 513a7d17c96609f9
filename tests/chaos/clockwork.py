"""A clock to turn, and storage queues with the host's rules: invisibility, dequeue counts, poison (host guide C2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from shared.domain.messages import (
    POISON_SUFFIX,
    DownloadDocuments,
    Message,
    NotifyCaller,
    ProviderEvent,
    Queue,
    RunStart,
)
from shared.flow import apply, download, notify, poison, start
from shared.ports import App
from tests.domain.make import NOW

# As in host.json, and the host's own fixed invisibility of a message that was received.
MAX_DEQUEUE_COUNT = 5
RETRY_SECONDS = 30.0
INVISIBLE_SECONDS = 600.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Envelope:
    """A message as it lies in its queue. `queue` ends in `-poison` for one that failed too often."""

    id: str
    queue: str
    text: str
    visible_at: datetime
    dequeue_count: int = 0

    @property
    def is_poison(self) -> bool:
        return self.queue.endswith(POISON_SUFFIX)


class SimulatedQueue:
    """`ports.MessageQueue`, and the host's side of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = count(1)
        self.envelopes: list[Envelope] = []

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        await asyncio.sleep(0)
        text = message.model_dump_json()
        if len(text.encode()) > 64 * 1024 or not 0 <= delay_seconds <= 7 * 24 * 3600:
            raise ValueError("storage queues do not take this")
        self._put(queue.value, text, delay_seconds)

    async def put_back_poison(self, queue: Queue, text: str, *, delay_seconds: float) -> None:
        await asyncio.sleep(0)
        self._put(queue.value + POISON_SUFFIX, text, delay_seconds)

    def visible(self) -> list[Envelope]:
        return [envelope for envelope in self.envelopes if envelope.visible_at <= self._clock.now]

    def received(self, envelope: Envelope) -> None:
        envelope.dequeue_count += 1
        envelope.visible_at = self._clock.now + timedelta(seconds=INVISIBLE_SECONDS)

    def done(self, envelope: Envelope) -> None:
        if envelope in self.envelopes:
            self.envelopes.remove(envelope)

    def failed(self, envelope: Envelope) -> None:
        if envelope.dequeue_count < MAX_DEQUEUE_COUNT or envelope.is_poison:
            envelope.visible_at = self._clock.now + timedelta(seconds=RETRY_SECONDS)
        else:
            self.poisoned(envelope)

    def poisoned(self, envelope: Envelope) -> None:
        self.done(envelope)
        self._put(envelope.queue + POISON_SUFFIX, envelope.text, 0)

    def duplicate(self, envelope: Envelope) -> None:
        self._put(envelope.queue, envelope.text, 0)

    def _put(self, queue: str, text: str, delay_seconds: float) -> None:
        at = self._clock.now + timedelta(seconds=delay_seconds)
        self.envelopes.append(Envelope(f"m-{next(self._ids)}", queue, text, at))


async def work(app: App, envelope: Envelope) -> None:
    """What function_app's queue triggers do."""
    if envelope.is_poison:
        queue = Queue(envelope.queue.removesuffix(POISON_SUFFIX))
        await poison.run(app, queue, envelope.id, envelope.text, dequeue_count=envelope.dequeue_count)
    elif envelope.queue == Queue.STARTS:
        await start.run(app, RunStart.model_validate_json(envelope.text))
    elif envelope.queue == Queue.EVENTS:
        event = ProviderEvent.model_validate_json(envelope.text)
        await apply.run(app, event, redelivered=envelope.dequeue_count > 1)
    elif envelope.queue == Queue.DOWNLOADS:
        await download.run(app, DownloadDocuments.model_validate_json(envelope.text))
    else:
        await notify.run(app, NotifyCaller.model_validate_json(envelope.text))
