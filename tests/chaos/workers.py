"""Processes that go one call at a time, so that several can be interleaved, frozen, hit by a storage fault, killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import CountersignError
from tests.chaos.mortal import AFTER, BEFORE, Killed
from tests.chaos.scene import Process, Scene

# Loop turns that a call on in-memory ports takes at most, from one gate to the next.
_TURNS = 12
_INVITING = frozenset({"provider.invite", "provider.create_and_invite"})


class StorageTrouble(Exception):
    """What the storage SDK raises when a request gets no answer: nothing that the product knows by name."""


@dataclass(frozen=True)
class Waiting:
    call: str
    moment: str
    opened: asyncio.Future[None]


class Steps:
    """A gate that keeps each call waiting until somebody opens it."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self._arrived = asyncio.Event()

    async def __call__(self, number: int, call: str, moment: str) -> None:
        opened = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(call, moment, opened))
        self._arrived.set()
        await opened

    def pop(self) -> Waiting:
        first = self.waiting.pop(0)
        if not self.waiting:
            self._arrived.clear()
        return first

    async def arrival(self) -> None:
        await self._arrived.wait()


class Worker:
    """One process at one piece of work. It lasts until nothing of it waits any more."""

    def __init__(self, scene: Scene, name: str, work: Callable[[Process], Awaitable[object]], **policy: Any) -> None:
        self.name = name
        self.steps = Steps()
        self.process = scene.process(self.steps, **policy)
        self.surprise: Exception | None = None
        self._task = asyncio.create_task(self._run(work))

    async def _run(self, work: Callable[[Process], Awaitable[object]]) -> None:
        try:
            await work(self.process)
        except (Killed, CountersignError, StorageTrouble):
            return
        except Exception as error:
            self.surprise = error

    @property
    def is_over(self) -> bool:
        return self._task.done() and not self.steps.waiting

    @property
    def is_about_to_invite(self) -> bool:
        return any(one.call in _INVITING and one.moment == BEFORE for one in self.steps.waiting)

    async def still(self) -> None:
        """Until it waits at a gate again, or is done."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if not self._task.done() and not self.steps.waiting:
            arrival = asyncio.create_task(self.steps.arrival())
            await asyncio.wait({self._task, arrival}, return_when=asyncio.FIRST_COMPLETED)
            arrival.cancel()

    async def advance(self, steps: int) -> None:
        for _ in range(steps):
            if not self.steps.waiting:
                return
            self.steps.pop().opened.set_result(None)
            await self.still()

    async def until(self, *calls: str) -> None:
        """Goes on to the next time that it is about to make one of these calls."""
        while not any(one.call in calls and one.moment == BEFORE for one in self.steps.waiting):
            if self.is_over:
                raise AssertionError(f"{self.name} never comes to {calls}")
            await self.advance(1)

    async def finish(self) -> None:
        await self.still()
        while not self.is_over:
            await self.advance(1)

    async def break_storage(self) -> str | None:
        """The call that waits gets no answer; whether it was carried out depends on where it waits."""
        if not self.steps.waiting or self.steps.waiting[0].call.startswith(("provider.", "notifier.")):
            return None
        broken = self.steps.pop()
        broken.opened.set_exception(StorageTrouble(broken.call))
        await self.still()
        return f"{broken.call}, {'done' if broken.moment == AFTER else 'not done'}"

    async def kill(self) -> None:
        self.process.life.is_over = True
        while self.steps.waiting:
            self.steps.pop().opened.set_exception(Killed())
        await self.still()
