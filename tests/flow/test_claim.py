"""Repeats of a start: which one finds the first signing again, and which one is a new order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.commands import NewDocument
from shared.domain.errors import ConcurrentUpdate, IdempotencyMismatch, InvalidRequest, UnsupportedFeature
from shared.domain.idempotency import KIND, key_of
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import Signing, State
from shared.flow import intake
from tests.fakes.provider import MemoryProvider
from tests.flow.world import World

SOURCES: dict[str, dict[str, Any]] = {
    "caller": {"idempotency_key": "order-1"},
    "platform": {"platform_action": "workflow\nrun\naction"},
    "reference": {"reference": "lease-2026-17"},
}
each_source = pytest.mark.parametrize("source", SOURCES)
each_end = pytest.mark.parametrize("state", [State.FAILED, State.DECLINED, State.CANCELLED, State.EXPIRED])
derived_source = pytest.mark.parametrize("source", ["platform", "reference"])


async def take_in(world: World, **changes: Any) -> tuple[Signing, bool]:
    taken = await intake.run(world.app, world.command(**changes), lease_owner=None)
    return taken.loaded.signing, taken.is_new


async def end(world: World, signing: Signing, state: State, *, invited: bool = True, mark: str = "invited_at") -> None:
    loaded = await world.loaded(signing)
    start = loaded.signing.start.model_copy(update={mark: world.app.now() if invited else None})
    await world.signings.save(loaded, loaded.signing.model_copy(update={"state": state, "start": start}), [])


@each_source
async def test_of_eight_equal_orders_at_once_one_makes_the_signing(source: str) -> None:
    world = World()
    results = await asyncio.gather(*(take_in(world, **SOURCES[source]) for _ in range(8)))
    assert len({signing.id for signing, _ in results}) == 1
    assert sum(is_new for _, is_new in results) == 1
    assert len(world.queue.on(Queue.STARTS)) == 1


async def test_an_order_without_any_key_is_always_new() -> None:
    world = World()
    first, _ = await take_in(world, reference=None)
    second, is_new = await take_in(world, reference=None)
    assert is_new
    assert second.id != first.id


async def test_the_more_deliberate_key_counts() -> None:
    world = World()
    everything = SOURCES["caller"] | SOURCES["platform"] | SOURCES["reference"]
    first, _ = await take_in(world, **everything)
    assert (await take_in(world, **everything))[0].id == first.id
    assert (await take_in(world, **SOURCES["platform"] | SOURCES["reference"]))[1]
    assert (await take_in(world, **SOURCES["reference"]))[1]


async def test_a_callers_key_is_never_taken_for_a_derived_one() -> None:
    world = World()
    command = world.command(reference="lease-2026-17")
    derived = key_of(command, command.fingerprint())
    assert derived is not None
    await take_in(world, reference="lease-2026-17")
    for disguise in (derived.text, derived.text.lstrip("\n")):
        assert (await take_in(world, idempotency_key=disguise))[1]


@pytest.mark.parametrize("key", ["caller", "reference"])
async def test_another_body_is_refused_and_the_first_signing_named(key: str) -> None:
    world = World()
    first, _ = await take_in(world, **SOURCES[key])
    with pytest.raises(IdempotencyMismatch) as refusal:
        await take_in(world, **SOURCES[key], title="Other")
    assert refusal.value.signing_id == first.id
    assert ("Idempotency-Key of its own" in refusal.value.next_step) is (key == "reference")


async def test_equal_headers_never_merge_two_different_orders() -> None:
    """Should a platform send the same ids for two turns of a loop."""
    world = World()
    first, _ = await take_in(world, **SOURCES["platform"], title="For Ada")
    second, is_new = await take_in(world, **SOURCES["platform"], title="For Ben")
    assert is_new
    assert second.id != first.id


async def test_the_same_reference_with_another_document_is_another_order() -> None:
    world = World()
    await take_in(world, reference="lease-2026-17")
    other = NewDocument(name="lease.pdf", media_type="application/pdf", content=b"%PDF-1.7 annex")
    assert (await take_in(world, reference="lease-2026-17", documents=(other,)))[1]


async def test_accounts_do_not_share_keys() -> None:
    for changes in SOURCES.values():
        keys = {
            found.text
            for account in ("one", "two")
            if (found := key_of(World().command(account=account, **changes), "same")) is not None
        }
        assert len(keys) == 2


@each_end
@pytest.mark.parametrize(("invited", "title"), [(True, "Lease, corrected"), (False, "Lease"), (False, "Other")])
async def test_a_reference_after_an_end_without_documents_is_a_new_try(state: State, invited: bool, title: str) -> None:
    world = World()
    first, _ = await take_in(world, reference="lease-2026-17")
    await end(world, first, state, invited=invited)
    results = await asyncio.gather(*(take_in(world, reference="lease-2026-17", title=title) for _ in range(8)))
    assert {signing.id for signing, _ in results} != {first.id}
    assert len({signing.id for signing, _ in results}) == 1
    assert sum(is_new for _, is_new in results) == 1
    assert len(world.queue.on(Queue.STARTS)) == 2


@each_end
@pytest.mark.parametrize("mark", ["inviting_at", "invited_at"])
async def test_a_late_copy_of_an_order_that_may_have_invited_is_never_a_new_try(state: State, mark: str) -> None:
    world = World()
    first, _ = await take_in(world, reference="lease-2026-17")
    await end(world, first, state, mark=mark)
    assert await take_in(world, reference="lease-2026-17") == (await world.now(first), False)
    assert len(world.queue.on(Queue.STARTS)) == 1


async def test_a_late_copy_is_known_when_another_order_has_taken_its_place_too() -> None:
    world = World()
    for title in ("First", "Second", "Third"):
        signing, is_new = await take_in(world, reference="lease-2026-17", title=title)
        assert is_new
        await end(world, signing, State.DECLINED)
    for title in ("First", "Second"):
        with pytest.raises(IdempotencyMismatch) as refusal:
            await take_in(world, reference="lease-2026-17", title=title)
        assert refusal.value.signing_id == signing.id
        assert "once more" in refusal.value.next_step
    assert await take_in(world, reference="lease-2026-17", title="Third") == (await world.now(signing), False)
    assert (await take_in(world, reference="lease-2026-17", title="Fourth"))[1]


@pytest.mark.parametrize("state", [State.STARTED, State.COMPLETED, State.STORED])
async def test_a_reference_whose_signing_goes_on_or_has_its_documents_is_repeated(state: State) -> None:
    world = World()
    first, _ = await take_in(world, reference="lease-2026-17")
    await end(world, first, state)
    assert await take_in(world, reference="lease-2026-17") == (await world.now(first), False)
    with pytest.raises(IdempotencyMismatch):
        await take_in(world, reference="lease-2026-17", title="Other")


@pytest.mark.parametrize("source", ["caller", "platform"])
@pytest.mark.parametrize("state", [State.FAILED, State.DECLINED, State.STORED])
async def test_other_keys_mean_the_first_signing_whatever_became_of_it(source: str, state: State) -> None:
    world = World()
    first, _ = await take_in(world, **SOURCES[source])
    await end(world, first, state)
    again, is_new = await take_in(world, **SOURCES[source])
    assert (again.id, again.state, is_new) == (first.id, state, False)


@derived_source
async def test_a_request_that_died_before_its_row_was_written_is_carried_on_by_the_repeat(source: str) -> None:
    world = World()
    command = world.command(**SOURCES[source])
    key = key_of(command, command.fingerprint())
    assert key is not None
    await world.signings.claim(KIND, key.text, "claimed-id", {"fingerprint": command.fingerprint()})
    signing, is_new = await take_in(world, **SOURCES[source])
    assert (signing.id, is_new) == ("claimed-id", True)


async def test_a_key_that_keeps_changing_hands_is_given_up_for_now() -> None:
    world = World()
    first, _ = await take_in(world, reference="lease-2026-17")
    await end(world, first, State.FAILED, invited=False)

    async def reclaim(kind: str, key: str, holder: str, signing_id: str, facts: object) -> dict[str, str]:
        return {"signing_id": holder}

    world.signings.reclaim = reclaim  # type: ignore[method-assign]
    with pytest.raises(ConcurrentUpdate):
        await take_in(world, reference="lease-2026-17")


@each_source
async def test_a_repeat_whose_deadline_has_passed_meanwhile_gets_the_first_signing(source: str) -> None:
    world = World()
    wish = SOURCES[source] | {"deadline": world.clock + timedelta(days=1)}
    first, _ = await take_in(world, **wish)
    world.forward(2 * 86400)
    again, is_new = await take_in(world, **wish)
    assert (again.id, is_new) == (first.id, False)
    assert len(world.queue.on(Queue.STARTS)) == 1


async def test_a_repeat_of_what_would_be_refused_today_gets_the_first_signing() -> None:
    world = World()
    first, _ = await take_in(world, idempotency_key="order-1")
    world.with_policy(max_participants=0)
    assert (await take_in(world, idempotency_key="order-1"))[0].id == first.id


async def test_a_deadline_that_has_passed_is_named_and_claims_no_key() -> None:
    world = World()
    late = world.command().participants[0].model_copy(update={"deadline": world.clock})
    with pytest.raises(InvalidRequest) as refusal:
        await take_in(world, idempotency_key="order-1", deadline=world.clock, participants=(late,))
    assert {one.field for one in refusal.value.fields} == {"deadline", "participants[0].deadline"}
    assert (await take_in(world, idempotency_key="order-1"))[1]


async def test_another_order_or_a_new_try_with_a_deadline_that_has_passed_is_refused() -> None:
    world = World()
    wish = {"reference": "lease-2026-17", "deadline": world.clock + timedelta(days=1)}
    first, _ = await take_in(world, **wish)
    world.forward(2 * 86400)
    with pytest.raises(InvalidRequest):
        await take_in(world, **wish | {"title": "Other"})
    await end(world, first, State.EXPIRED)
    with pytest.raises(InvalidRequest):
        await take_in(world, **wish | {"title": "Other"})
    await end(world, first, State.FAILED, invited=False)
    with pytest.raises(InvalidRequest):
        await take_in(world, **wish)


async def test_a_refused_order_claims_no_key() -> None:
    world = World(provider=MemoryProvider(refuse_unknown_title=True))
    with pytest.raises(UnsupportedFeature):
        await take_in(world, idempotency_key="order-1")
    world.provider.refuse_unknown_title = False
    assert (await take_in(world, idempotency_key="order-1", title="Corrected"))[1]


async def test_a_repeat_carries_a_start_on_whose_message_was_never_sent() -> None:
    world = World()
    signing = await world.taken_in(idempotency_key="order-1")
    repeat = world.command(idempotency_key="order-1")
    await intake.run(world.app, repeat, lease_owner=None)
    assert world.queue.on(Queue.STARTS) == []
    world.forward(world.app.policy.start_retry_seconds)
    await intake.run(world.app, repeat, lease_owner=None)
    assert world.queue.on(Queue.STARTS) == [RunStart(signing_id=signing.id)]
    await world.work_off()
    await intake.run(world.app, repeat, lease_owner=None)
    assert world.queue.on(Queue.STARTS) == []
    assert world.provider.invited == ["p-1"]
