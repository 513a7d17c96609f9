"""The harness's own parts: what rides in the processes does what it is asked, where it is asked, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError

from shared import ports
from tests.chaos.journal import Journal
from tests.chaos.plan import make_plan
from tests.chaos.points import CRASH_POINTS, READS, WRITES
from tests.chaos.saboteur import Saboteur, Watched

_PORTS = {
    "signings": ports.SigningStore,
    "documents": ports.DocumentStore,
    "queue": ports.MessageQueue,
    "pace": ports.PaceStore,
    "replies": ports.ReplyQueues,
    "notifier": ports.Notifier,
    "start_log": ports.StartLog,
    "provider": ports.SigningProvider,
}


class Store:
    def __init__(self) -> None:
        self.saved = 0

    @property
    def facts(self) -> int:
        return self.saved

    async def save(self) -> str:
        self.saved += 1
        return "done"


@pytest.fixture
def saboteur(tmp_path: Path) -> Saboteur:
    (tmp_path / "missions").mkdir()
    return Saboteur(tmp_path, seed=1)


async def test_without_a_mission_everything_passes(saboteur: Saboteur) -> None:
    watched = Watched(Store(), "signings", saboteur)
    assert [await watched.save(), watched.facts, await watched.save(), watched.facts] == ["done", 1, "done", 2]


@pytest.mark.parametrize(("where", "saved"), [("before", 0), ("after", 1)])
async def test_storage_fails_once_before_or_after_the_call(saboteur: Saboteur, where: str, saved: int) -> None:
    store = Store()
    watched = Watched(store, "signings", saboteur)
    (saboteur.missions / f"fault~signings.save@{where}").touch()
    with pytest.raises(AzureError):
        await watched.save()
    assert store.saved == saved
    assert await watched.save() == "done"


@pytest.mark.parametrize(("where", "saved"), [("before", 0), ("after", 1)])
async def test_the_process_dies_right_there(
    saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch, where: str, saved: int
) -> None:
    store, deaths = Store(), list[tuple[int, int, int]]()
    monkeypatch.setattr(os, "kill", lambda pid, number: deaths.append((pid, number, store.saved)))
    (saboteur.missions / f"kill~signings.save@{where}").touch()
    await Watched(store, "signings", saboteur).save()
    assert deaths == [(os.getpid(), signal.SIGKILL, saved)]
    assert [one["point"] for one in saboteur.journal.read("kill")] == [f"signings.save@{where}"]


def test_every_point_is_a_call_that_there_is() -> None:
    for call in (*WRITES, *READS):
        port, method = call.split(".")[:2]
        assert hasattr(_PORTS[port], method), call


def test_a_seed_is_a_plan() -> None:
    assert make_plan(7) == make_plan(7)
    assert make_plan(7) != make_plan(8)
    plan = make_plan(7)
    assert len(plan.parts) >= 200
    assert {one.removeprefix("kill~") for one in plan.missions} >= set(CRASH_POINTS)


def test_lines_of_many_processes_stay_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for number in range(3):
        journal.note("kill", point=f"p{number}")
    journal.note("start")
    assert [one["point"] for one in journal.read("kill")] == ["p0", "p1", "p2"]
