"""What nobody needs any more goes; everything else stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.idempotency import KIND, RECEIPT_KIND
from shared.domain.messages import RunStart
from shared.domain.signing import Signing, State
from shared.domain.states import EventKind
from shared.flow import apply, housekeeping, letters
from shared.ports import DeadLetter, ProviderStatus
from tests.flow.world import World

DECLINED = ProviderStatus("Declined", EventKind.DECLINED)


@pytest.fixture
def world() -> World:
    """Fakes stamp blobs and claims with the real time, so the clock begins there."""
    world = World()
    world.clock = datetime.now(UTC)
    return world


async def keep_house(world: World, budget_seconds: float = 60) -> dict[str, int]:
    return await housekeeping.run(world.app, budget_seconds=budget_seconds)


def past(world: World, seconds: float) -> None:
    world.forward(seconds + 2)


async def declined(world: World, **changes: object) -> Signing:
    signing = await world.started(**changes)
    world.provider.statuses = [DECLINED]
    await apply.run(world.app, world.event(signing), redelivered=False)
    await world.work_off()
    return await world.now(signing)


async def test_staged_documents_go_once_no_start_waits_for_them(world: World) -> None:
    waiting, started = await world.taken_in(), await world.started()
    nobodys = "0193b0a0-0000-7000-8000-00000000dead"
    for blob in (f"staging/{started.id}/1", f"staging/{nobodys}/1", "staging/operations/abc/DocumentsGet"):
        await world.documents.stage(blob, b"%PDF", "application/pdf")
    assert (await keep_house(world))["staged_documents"] == 0
    past(world, world.app.policy.staging_seconds)
    assert (await keep_house(world))["staged_documents"] == 3
    assert list(world.documents.blobs) == [f"staging/{waiting.id}/1"]
    await world.run(RunStart(signing_id=waiting.id))
    assert (await world.now(waiting)).state is State.STARTED


async def test_signed_documents_never_go(world: World) -> None:
    async def content() -> object:
        yield b"%PDF"

    await world.documents.write_once("signed/a/b", content(), media_type="application/pdf", tags={})  # type: ignore[arg-type]
    past(world, 3650 * 24 * 3600)
    await keep_house(world)
    assert list(world.documents.blobs) == ["signed/a/b"]


async def test_an_idempotency_key_is_forgotten_after_its_window_when_its_signing_is_over(world: World) -> None:
    over = await declined(world, idempotency_key="over")
    going_on = await world.started(idempotency_key="going on")
    await world.signings.claim(RECEIPT_KIND, "of the one that is over", over.id, {})
    await world.signings.claim(KIND, "memory\nnever written", "nobody", {})
    past(world, world.app.policy.idempotency_window_seconds - 60)
    assert (await keep_house(world))["idempotency_keys"] == 0
    past(world, 60)
    assert (await keep_house(world))["idempotency_keys"] == 3
    assert await world.signings.claimed(RECEIPT_KIND, "of the one that is over") is None
    assert await world.signings.find(KIND, "memory\nover") is None
    assert await world.signings.find(KIND, "memory\nnever written") is None
    assert await world.signings.find(KIND, "memory\ngoing on") == going_on.id
    # The provider's ids lead to their signings for good.
    assert await world.signings.find("provider_signing_id", f"memory\n{over.provider_signing_id}") == over.id


async def test_a_run_stops_when_its_time_is_up_and_the_next_goes_on(world: World) -> None:
    for number in range(50):
        await world.signings.claim(KIND, f"memory\n{number}", "nobody", {})
    past(world, world.app.policy.idempotency_window_seconds)
    removed = list[int]()
    while sum(removed) < 50:
        removed.append((await keep_house(world, budget_seconds=0))["idempotency_keys"])
    assert removed == [16, 16, 16, 2]


async def test_one_bad_thing_keeps_nothing_else(world: World) -> None:
    bad, good = await declined(world, idempotency_key="bad"), await declined(world, idempotency_key="good")
    for signing in (bad, good):
        await world.documents.stage(f"staging/{signing.id}/1", b"%PDF", "application/pdf")
    real_load = world.signings.load

    async def load(signing_id: str) -> object:
        if signing_id == bad.id:
            raise OSError("cannot be read")
        return await real_load(signing_id)

    world.signings.load = load  # type: ignore[method-assign, assignment]
    past(world, world.app.policy.idempotency_window_seconds)
    assert await keep_house(world) == {"settled_letters": 0, "staged_documents": 1, "idempotency_keys": 1}


async def test_a_sweep_that_fails_altogether_does_not_stop_the_next(world: World) -> None:
    class Broken:
        def staged_before(self, before: datetime) -> object:
            raise OSError("no list")

    await world.signings.claim(KIND, "memory\nx", "nobody", {})
    world.app = replace(world.app, documents=Broken())  # type: ignore[arg-type]
    world.clock += timedelta(seconds=world.app.policy.idempotency_window_seconds + 2)
    assert await keep_house(world) == {"settled_letters": 0, "idempotency_keys": 1}


async def test_letters_go_long_after_they_were_dealt_with_and_open_ones_never(world: World) -> None:
    for name in ("discarded", "open"):
        await world.dead_letters.add(DeadLetter(name, world.clock, "signing-events", "processing_failed", "", "{}"))
    await letters.discard(world.app, "discarded", "of no use")
    past(world, world.app.policy.letter_retention_seconds - 3600)
    assert (await keep_house(world))["settled_letters"] == 0
    past(world, 3600)
    assert (await keep_house(world))["settled_letters"] == 1
    assert [one.id for one in await world.dead_letters.list(10)] == ["open"]
