"""Tells the other instances what this one's circuits do. Beside the calls, never in their way.

Only transitions are written. What changes while a write is under way is written after it, the newest only; a write that
fails is logged and left: the next transition brings another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared import telemetry
from shared.domain.circuits import Standing
from shared.ports import CircuitBoard


class CircuitReports:
    """Of all accounts of one process, which calls itself `instance`."""

    def __init__(self, board: CircuitBoard, *, instance: str) -> None:
        self._board, self._instance = board, instance
        self._unwritten: dict[str, Standing] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}

    def of(self, account: str) -> Callable[[Standing], None]:
        """What a circuit of this account is to be given as `changed`."""
        return lambda standing: self._changed(account, standing)

    def _changed(self, account: str, standing: Standing) -> None:
        telemetry.warning(
            "circuit_changed", account=account, state=standing.state, reason=standing.reason, count=standing.failures
        )
        self._unwritten[account] = standing
        running = self._writing.get(account)
        if running is None or running.done():
            self._writing[account] = asyncio.get_running_loop().create_task(self._write(account))

    async def _write(self, account: str) -> None:
        while (standing := self._unwritten.pop(account, None)) is not None:
            try:
                await self._board.post(account, self._instance, standing)
            except Exception as error:
                telemetry.warning("circuit_not_reported", account=account, reason=type(error).__name__)

    async def aclose(self) -> None:
        """Waits for what is being written."""
        await asyncio.gather(*self._writing.values())
