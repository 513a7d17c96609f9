"""Every call of every stage, killed there: the committed table says what becomes of it, and the invariants hold."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.crash_points import STAGES, TABLE, Stage, rows_of
from tests.chaos.mortal import BEFORE, Killed, Life, standing_in


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
async def test_each_point_of_a_stage_is_listed_with_its_outcome(stage: Stage) -> None:
    """`python -m tests.chaos.crash_points` writes the table anew; read what has changed before it is committed."""
    rows = [str(row) for row in await rows_of(stage)]
    assert rows == [line for line in _listed() if line[:32].rstrip() == stage.name]


def test_the_table_lists_no_stage_that_is_not_tried() -> None:
    assert {line[:32].rstrip() for line in _listed()} == {stage.name for stage in STAGES}


def test_no_crash_leads_to_a_second_invitation_or_a_silent_end() -> None:
    """What the table would have to look like if it were otherwise."""
    assert not [line for line in _listed() if "invited 2" in line]
    unproven = [line for line in _listed() if "start_uncertain" in line]
    assert unproven
    assert all(" blind" in line for line in unproven)


def _listed() -> list[str]:
    return TABLE.read_text(encoding="utf-8").splitlines()


class _Store:
    def __init__(self) -> None:
        self.written: list[str] = []

    async def write(self, what: str) -> None:
        self.written.append(what)


async def test_a_dead_process_does_nothing_more() -> None:
    async def die_at_once(number: int, call: str, moment: str) -> None:
        if moment == BEFORE:
            raise Killed

    store, life = _Store(), Life(die_at_once)
    mortal = standing_in(life, "store", store)

    async def tidy() -> None:
        try:
            await mortal.write("work")
        finally:
            await mortal.write("clean up")

    with pytest.raises(Killed):
        await asyncio.create_task(tidy())
    assert store.written == []
