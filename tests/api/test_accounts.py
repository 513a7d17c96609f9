"""`GET /api/accounts`: what is known of each account, and never a long wait for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.api import catalogue
from shared.api.answers import problem
from shared.domain.circuits import CircuitState, Standing
from shared.domain.errors import CircuitOpen
from tests.fakes.provider import MemoryProvider
from tests.flow.world import World


async def test_the_circuit_is_shown_as_all_instances_see_it() -> None:
    world = World()
    closed = (await catalogue.accounts(world.app)).body["accounts"][0]["circuit"]
    assert closed == {"state": "closed", "since": None, "until": None, "reason": None, "failures": 0}
    since, until = world.clock - timedelta(minutes=2), world.clock + timedelta(minutes=1)
    seen = Standing(CircuitState.OPEN, since, until, "provider_unavailable", 7)
    await world.app.circuits.post("memory", "a", seen)
    await world.app.circuits.post("other", "a", Standing(CircuitState.OPEN, since, until, "provider_throttled", 0))
    (account,) = (await catalogue.accounts(world.app)).body["accounts"]
    assert account["circuit"] == {
        "state": "open",
        "since": since,
        "until": until,
        "reason": "provider_unavailable",
        "failures": 7,
    }
    world.forward(60)
    assert (await catalogue.accounts(world.app)).body["accounts"][0]["circuit"]["state"] == "half_open"


class HangingProvider(MemoryProvider):
    async def is_reachable(self) -> bool:
        await asyncio.Event().wait()
        return True


async def test_a_provider_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_REACH_SECONDS", 0.01)
    (account,) = (await catalogue.accounts(World(provider=HangingProvider()).app)).body["accounts"]
    assert account["reachable"] is False


def test_a_call_that_is_held_back_is_ours_to_repeat() -> None:
    answer = problem(CircuitOpen("held back", retry_after_seconds=12.4))
    assert (answer.status, answer.headers["retry-after"], answer.body["retryable"]) == (503, "12", True)
