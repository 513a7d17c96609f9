"""Transitions reach the board in order, beside the calls, and without taking them down."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.domain.circuits import CircuitState, Standing
from shared.providers.circuit_reports import CircuitReports
from tests.fakes.storage import MemoryCircuitBoard
from tests.providers.stand_ins import START


def opened(failures: int) -> Standing:
    return Standing(CircuitState.OPEN, START, START + timedelta(minutes=1), "provider_unavailable", failures)


class StumblingBoard(MemoryCircuitBoard):
    """Its first write fails."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def post(self, account: str, instance: str, standing: Standing) -> None:
        self.writes += 1
        if self.writes == 1:
            raise OSError("storage is down")
        await super().post(account, instance, standing)


async def test_the_newest_transition_is_what_is_written_last() -> None:
    board = MemoryCircuitBoard()
    reports = CircuitReports(board, instance="a")
    changed = reports.of("main")
    for failures in (1, 2, 3):
        changed(opened(failures))
        await asyncio.sleep(0)
    await reports.aclose()
    assert await board.read("main") == [opened(3)]
    assert await board.read("other") == []
    changed(Standing())
    await reports.aclose()
    assert await board.read("main") == []


async def test_a_write_that_fails_is_left_and_the_next_one_made() -> None:
    board = StumblingBoard()
    reports = CircuitReports(board, instance="a")
    reports.of("main")(opened(1))
    await reports.aclose()
    reports.of("main")(opened(2))
    await reports.aclose()
    assert await board.read("main") == [opened(2)]
