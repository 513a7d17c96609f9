"""Everything that goes wrong on purpose, each as a task that runs until the storm ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.host.process import HostError, HostProcess
from local.stack import Stack
from shared.domain.messages import POISON_SUFFIX, Queue
from tests.chaos.plan import CallbackTrick, Gust, Plan, QueueTrick

# Between two missions so much has to happen, or so many seconds pass: on a slow machine too, most work gets done.
_WORK_BETWEEN = 15
_AT_MOST_SECONDS = 3.0
_AT_A_TIME = 6
_DARE = 2
_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
_BETWEEN_GRABS = 0.7
_TICK_SECONDS = 1.5


@dataclass
class Storm:
    stack: Stack
    plan: Plan
    folder: Path
    done: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    dared: int = 0

    @property
    def missions(self) -> Path:
        return self.folder / "missions"

    def open_missions(self) -> list[str]:
        return sorted(one.name for one in self.missions.iterdir())

    @property
    def progress(self) -> float:
        """The share of missions that are done: the storm's own clock, which goes slower on a slow machine."""
        return (self.sent - len(self.open_missions())) / len(self.plan.missions)

    async def send_missions(self) -> None:
        """A few at a time, and only while most processes are up, so that work goes on between them."""
        dice = random.Random(f"{self.plan.seed} processes")
        for mission in self.plan.missions:
            while self._alive() < len(self.stack.hosts) - 1 or len(self.open_missions()) >= _AT_A_TIME:
                await asyncio.sleep(_LOOK_SECONDS)
            await self._spare_poison()
            if mission == "process":
                dice.choice(self.stack.hosts).kill()
                self.done["kills from outside"] += 1
            else:
                (self.missions / mission).touch()
            self.sent += 1
            await self._let_work()
        await self._last_missions()

    async def _last_missions(self) -> None:
        """Until all are done, or nothing comes by any more where they wait."""
        left, since = self.open_missions(), time.monotonic()
        while left and time.monotonic() - since < _PATIENCE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.open_missions() != left:
                left, since = self.open_missions(), time.monotonic()

    async def _spare_poison(self) -> None:
        """A poison message over which host after host dies would be run no more (host guide C2), and stay. That takes
        more deaths in a row than any real day has: after a few, it is let finish first."""
        while await self._is_poison_waiting():
            if self.dared < _DARE:
                self.dared += 1
                return
            await asyncio.sleep(_LOOK_SECONDS * 4)
        self.dared = 0

    async def _is_poison_waiting(self) -> bool:
        """No as well before the queues are there."""
        with contextlib.suppress(AzureError):
            for queue in Queue:
                async with queue_client(self.stack, queue.value + POISON_SUFFIX) as client:
                    if (await client.get_queue_properties()).approximate_message_count:
                        return True
        return False

    async def _let_work(self) -> None:
        enough = self._work() + _WORK_BETWEEN
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AT_MOST_SECONDS):
                while self._work() < enough:
                    await asyncio.sleep(_LOOK_SECONDS)

    def _work(self) -> int:
        """Calls to providers and notifications so far."""
        calls = sum(len(sandbox.calls) for sandbox in self.stack.sandboxes.values())
        return calls + len(self.stack.receiver.deliveries)

    def _alive(self) -> int:
        return sum(host.is_ready for host in self.stack.hosts)

    async def revive(self, host: HostProcess) -> None:
        """Starts the process again whenever it has died. A kill may also hit it while it starts."""
        while True:
            if not host.is_running:
                with contextlib.suppress(HostError):
                    await host.start()
                self.done["restarts"] += 1
            await asyncio.sleep(0.05)

    async def blow(self, gust: Gust) -> None:
        await asyncio.sleep(gust.at)
        if gust.storage:
            await self._storage(gust)
        elif gust.callbacks is not None:
            await self._callbacks(gust, gust.callbacks)
        else:
            await self._faults(gust)

    async def _storage(self, gust: Gust) -> None:
        file = self.folder / "storm"
        file.write_text(str(gust.storage))
        try:
            await asyncio.sleep(gust.seconds)
        finally:
            file.unlink(missing_ok=True)

    async def _callbacks(self, gust: Gust, trick: CallbackTrick) -> None:
        sandbox = self.stack.sandboxes[gust.provider]
        knobs: dict[CallbackTrick, dict[str, Any]] = {
            "copies": {"copies": 3},
            "drop": {"drop": True},
            "reorder": {"reorder": 4},
            "delay": {"delay_seconds": 1.0},
        }
        sandbox.set_knobs(type(sandbox.knobs)(**knobs[trick]))
        try:
            await asyncio.sleep(gust.seconds)
        finally:
            calm_callbacks(sandbox)

    async def _faults(self, gust: Gust) -> None:
        faults = self.stack.sandboxes[gust.provider].faults
        kept = [faults.add(fault) for fault in gust.faults]
        try:
            await asyncio.sleep(gust.seconds)
        finally:
            faults.active[:] = [one for one in faults.active if all(one is not fault for fault in kept)]

    async def meddle(self, queue: Queue) -> None:
        """Takes messages off the queue: some come back twice, late, or last first; some never do."""
        dice = random.Random(f"{self.plan.seed} {queue}")
        tricks: Sequence[QueueTrick] = ("copy", "delay", "reverse", "drop")
        async with queue_client(self.stack, queue.value) as client:
            while True:
                await asyncio.sleep(dice.uniform(0.5, 1.5) * _BETWEEN_GRABS)
                with contextlib.suppress(AzureError):
                    await self._grab(client, dice.choice(tricks), dice.randint(1, 6))

    async def _grab(self, client: QueueClient, trick: QueueTrick, count: int) -> None:
        pages = client.receive_messages(messages_per_page=count, max_messages=count, visibility_timeout=20)
        found = [message async for message in pages]
        self.done[f"messages: {trick}"] += len(found)
        for message in reversed(found) if trick == "reverse" else found:
            for delay in {"copy": (0, 0), "delay": (2,), "reverse": (0,), "drop": ()}[trick]:
                await client.send_message(message.content, time_to_live=-1, visibility_timeout=delay)
            await _delete(client, message)

    async def tick(self) -> None:
        """The clock's work, on any process: the timer's own lock would stay with a dead one for a minute."""
        dice = random.Random(f"{self.plan.seed} ticks")
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await reconcile(dice.choice(self.stack.hosts))
            self.done["ticks"] += 1


async def reconcile(host: HostProcess) -> bool:
    """Whether the run ended well; a process that is dead or dies meanwhile did not end it."""
    try:
        return host.is_ready and await host.run_function("reconcile_signings")
    except (HostError, OSError, aiohttp.ClientError):
        return False


async def _delete(client: QueueClient, message: QueueMessage) -> None:
    with contextlib.suppress(AzureError):
        await client.delete_message(message)


def queue_client(stack: Stack, name: str) -> QueueClient:
    return QueueClient.from_connection_string(stack.azurite.connection_string, name)


def calm_callbacks(sandbox: Any) -> None:
    """Ordinary callbacks again, and what was held back goes out."""
    sandbox.set_knobs(type(sandbox.knobs)())
    for desk in (getattr(sandbox, name, None) for name in ("callbacks", "postbacks", "desk")):
        if desk is not None and hasattr(desk, "flush"):
            desk.flush()
