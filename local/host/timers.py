"""The timer trigger: NCRONTAB in UTC, never two runs of one function at a time (host guide C3).

Of several hosts on one storage account only the holder of the function's lock fires; the lock outlives a killed holder
by a minute at most. Runs at start-up and by hand ask for no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from local.host import convert
from local.host.index import IndexedFunction, TimerTrigger
from local.host.invoke import Invoker
from local.host.singleton import Singleton


class TimerListener:
    def __init__(
        self, function: IndexedFunction, trigger: TimerTrigger, invoker: Invoker, lock: Singleton | None = None
    ) -> None:
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._lock = lock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Fire until `stop`, which lets the run under way finish. Occurrences missed during a run are skipped."""
        keeping = asyncio.create_task(self._lock.keep(self._stopping)) if self._lock is not None else None
        if self._trigger.run_on_startup:
            await self._fire()
        while await self._next_is_due():
            if self._lock is None or self._lock.is_held:
                await self._fire()
        if keeping is not None:
            await keeping

    def stop(self) -> None:
        self._stopping.set()

    async def _next_is_due(self) -> bool:
        """Wait for the next occurrence; False when stopping. Looks at the clock again, as sleep may end early."""
        due = self._trigger.schedule.next_after(datetime.now(UTC))
        while (left := (due - datetime.now(UTC)).total_seconds()) > 0 and not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._stopping.wait()
        return not self._stopping.is_set()

    async def _fire(self) -> None:
        with contextlib.suppress(Exception):  # logged by the invoker; the schedule goes on
            await self._invoker.call(self._function, convert.timer_request())
