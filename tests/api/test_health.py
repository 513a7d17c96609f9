from __future__ import annotations

from datetime import datetime

from shared.api.health import health
from shared.domain.errors import ConfigurationError
from shared.ports import App, DueSigning
from tests.flow.world import World


async def test_healthy() -> None:
    world = World()

    async def current() -> App:
        return world.app

    assert (await health(current)).status == 200


async def test_wrong_settings_are_said_but_not_shown() -> None:
    async def current() -> App:
        raise ConfigurationError(["Accounts__main__client_id: Field required"])

    answer = await health(current)
    assert (answer.status, answer.body) == (503, {"status": "misconfigured", "problems": 1})


async def test_storage_that_does_not_answer() -> None:
    world = World()

    async def broken(now: datetime, limit: int) -> list[DueSigning]:
        raise OSError("no route to storage.example")

    world.signings.due = broken  # type: ignore[method-assign]

    async def current() -> App:
        return world.app

    answer = await health(current)
    assert (answer.status, answer.body) == (503, {"status": "storage_unavailable"})
