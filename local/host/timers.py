"""The timer trigger: NCRONTAB in UTC, never two runs of one function at a time (host guide C3)."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from local.host import convert
from local.host.index import IndexedFunction, TimerTrigger
from local.host.invoke import Invoker


class TimerListener:
    def __init__(self, function: IndexedFunction, trigger: TimerTrigger, invoker: Invoker) -> None:
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Fire until `stop`, which lets the run under way finish. Occurrences missed during a run are skipped."""
        if self._trigger.run_on_startup:
            await self._fire()
        while await self._next_is_due():
            await self._fire()

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
