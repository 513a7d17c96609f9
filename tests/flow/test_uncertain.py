"""What an operator may say about an uncertain start, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.errors import (
    ConcurrentUpdate,
    InvalidRequest,
    NotFound,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Unavailable,
    WrongState,
)
from shared.domain.history import EntryKind, HistoryEntry, is_intact
from shared.domain.messages import ProviderEvent, Queue, RunStart
from shared.domain.signing import AttentionCode, Signing, State
from shared.flow import start, start_outcome, uncertain
from shared.ports import Loaded, ProviderStatus, Started, StartProof
from tests.fakes.provider import DONE, DRAFT, PENDING, MemoryProvider
from tests.flow.world import World


class OneCallProvider(MemoryProvider):
    """Its one call invites and brings the id, so that a lost answer leaves nothing to look up."""

    async def start(self, order: object, log: object) -> Started:
        await log.inviting()  # type: ignore[attr-defined]
        return Started(self._step("invite", self.invited, f"p-{len(self.invited) + 1}"), "Pending")


async def lost(world: World, *, was_invited: bool = True) -> Signing:
    """A signing whose start is uncertain, long enough for a person to be told; nobody works on it."""
    signing = await world.taken_in()
    trouble = world.provider.lose_at if was_invited else world.provider.fail_at
    trouble["invite"] = Unavailable("connection lost", sent=True)
    await start.run(world.app, RunStart(signing_id=signing.id))
    world.forward(world.app.policy.start_uncertain_after_seconds)
    await start.run(world.app, RunStart(signing_id=signing.id))
    world.queue.take()
    waiting = await world.now(signing)
    assert waiting.attention is not None
    assert waiting.attention.code is AttentionCode.START_UNCERTAIN
    return waiting


def one_call_world() -> World:
    return World(provider=OneCallProvider())


# --------------------------------------------------------------------------------------------------- confirm


async def test_a_confirmed_signing_is_started_like_any_other() -> None:
    world = one_call_world()
    signing = await lost(world)
    world.provider.statuses = [PENDING]
    confirmed = await uncertain.confirm(world.app, signing.id, "p-1")
    assert (confirmed.state, confirmed.provider_signing_id, confirmed.provider_status) == (
        State.STARTED,
        "p-1",
        "Pending",
    )
    assert confirmed.attention is None
    assert not confirmed.start.is_uncertain
    assert world.documents.blobs == {}
    assert await world.signings.find("provider_signing_id", "memory\np-1") == signing.id
    assert [sent.queue for sent in world.queue.sent] == [Queue.NOTIFICATIONS, Queue.EVENTS]
    history = await world.signings.history(signing.id)
    assert is_intact(history)
    assert history[-1].facts["source"] == "operator"
    assert world.provider.invited == ["p-1"]


async def test_a_confirmed_signing_that_got_further_meanwhile_is_followed() -> None:
    world = one_call_world()
    signing = await lost(world)
    world.provider.statuses = [DONE]
    await uncertain.confirm(world.app, signing.id, "p-1")
    await world.work_off(Queue.EVENTS)
    assert (await world.now(signing)).state is State.COMPLETED


async def test_confirming_twice_changes_nothing_more() -> None:
    world = one_call_world()
    signing = await lost(world)
    world.provider.statuses = [PENDING]
    confirmed = await uncertain.confirm(world.app, signing.id, "p-1")
    world.queue.take()
    assert await uncertain.confirm(world.app, signing.id, "p-1") == confirmed
    assert world.queue.sent == []
    with pytest.raises(WrongState):
        await uncertain.confirm(world.app, signing.id, "p-2")


@pytest.mark.parametrize("answer", [DRAFT, ProviderStatus("New word", None, known=False), ProviderNotFound("none")])
async def test_an_id_that_proves_nothing_is_refused(answer: ProviderStatus | ProviderError) -> None:
    world = one_call_world()
    signing = await lost(world)
    world.provider.statuses = [answer]
    with pytest.raises(InvalidRequest) as refusal:
        await uncertain.confirm(world.app, signing.id, "p-7")
    assert [item.field for item in refusal.value.fields] == ["providerSigningId"]
    assert await world.now(signing) == signing
    assert await world.signings.find("provider_signing_id", "memory\np-7") is None


async def test_a_provider_that_cannot_be_asked_confirms_nothing() -> None:
    world = one_call_world()
    signing = await lost(world)
    for trouble in (Unavailable("down", sent=True), Rejected("400")):
        world.provider.statuses = [trouble]
        with pytest.raises(type(trouble)):
            await uncertain.confirm(world.app, signing.id, "p-1")
    assert await world.now(signing) == signing


async def test_an_id_of_another_signing_is_refused_before_any_call() -> None:
    world = one_call_world()
    await world.started()
    signing = await lost(world)
    world.provider.status_reads.clear()
    with pytest.raises(InvalidRequest, match="cannot be confirmed"):
        await uncertain.confirm(world.app, signing.id, "p-1")
    assert world.provider.status_reads == []
    assert await world.now(signing) == signing


async def test_an_id_other_than_the_one_on_record_is_refused() -> None:
    world = World()
    signing = await lost(world)
    assert signing.provider_signing_id == "p-1"
    with pytest.raises(InvalidRequest):
        await uncertain.confirm(world.app, signing.id, "p-2")


async def test_only_an_uncertain_start_can_be_confirmed() -> None:
    world = World()
    with pytest.raises(WrongState):
        await uncertain.confirm(world.app, (await world.taken_in()).id, "p-1")
    with pytest.raises(WrongState):
        await uncertain.confirm(world.app, (await world.started()).id, "p-9")
    with pytest.raises(NotFound):
        await uncertain.confirm(world.app, "0193b0a0-0000-7000-8000-000000000001", "p-1")


# --------------------------------------------------------------------------------------------------- restart


async def test_a_restart_invites_once_more_and_the_marks_are_gone() -> None:
    world = one_call_world()
    signing = await lost(world, was_invited=False)
    restarted = await uncertain.restart(world.app, signing.id)
    assert not restarted.start.is_uncertain
    assert restarted.attention is None
    assert world.provider.invited == []
    assert [sent.queue for sent in world.queue.sent] == [Queue.STARTS]
    await world.work_off(Queue.STARTS)
    assert (await world.now(signing)).state is State.STARTED
    assert world.provider.invited == ["p-1"]
    history = await world.signings.history(signing.id)
    assert is_intact(history)
    managed = [entry.facts for entry in history if entry.kind is EntryKind.MANAGED]
    assert managed == [{"action": "restart_start", "said": "nobody_was_invited"}]
    assert EntryKind.ATTENTION_CLEARED in [entry.kind for entry in history]


async def test_a_restart_is_refused_when_the_provider_shows_that_people_were_invited() -> None:
    world = World()
    signing = await lost(world)
    world.provider.proof = StartProof(invited=True, started=Started("p-1", "Pending"))
    with pytest.raises(WrongState, match="were invited"):
        await uncertain.restart(world.app, signing.id)
    assert await world.now(signing) == signing


async def test_a_restart_waits_for_a_provider_that_could_tell_but_not_now() -> None:
    world = World()
    signing = await lost(world)
    world.provider.proof = Unavailable("down", sent=True)
    with pytest.raises(Unavailable):
        await uncertain.restart(world.app, signing.id)
    assert await world.now(signing) == signing
    world.provider.proof = ProviderNotFound("gone")
    assert not (await uncertain.restart(world.app, signing.id)).start.is_uncertain


async def test_a_restart_is_refused_as_long_as_the_invitation_may_be_on_its_way() -> None:
    world = one_call_world()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await start.run(world.app, RunStart(signing_id=signing.id))
    world.forward(world.app.policy.invite_proof_after_seconds - 1)
    with pytest.raises(WrongState, match="on its way"):
        await uncertain.restart(world.app, signing.id)
    world.forward(1)
    await uncertain.restart(world.app, signing.id)


async def test_nothing_is_decided_while_a_worker_holds_the_lease() -> None:
    world = one_call_world()
    world.with_policy(start_lease_seconds=10_000.0)
    signing = await world.taken_in()
    world.provider.fail_at["invite"] = RuntimeError("the process was killed here")
    with pytest.raises(RuntimeError):
        await start.run(world.app, RunStart(signing_id=signing.id))
    world.forward(9_000)
    for decision in (uncertain.restart(world.app, signing.id), uncertain.confirm(world.app, signing.id, "p-1")):
        with pytest.raises(WrongState, match="being started"):
            await decision


async def test_only_an_uncertain_start_can_be_restarted() -> None:
    world = World()
    for signing in (await world.taken_in(), await world.started()):
        with pytest.raises(WrongState):
            await uncertain.restart(world.app, signing.id)
    assert world.queue.sent == []


async def test_a_signing_that_changes_while_it_is_looked_at_is_not_restarted() -> None:
    world = one_call_world()
    signing = await lost(world)
    real_save = world.signings.save

    async def save(loaded: Loaded, changed: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        world.signings.save = real_save  # type: ignore[method-assign]
        world.provider.statuses = [PENDING]
        await world.run(world.event(signing, provider_signing_id="p-1"))
        return await real_save(loaded, changed, entries)

    world.signings.save = save  # type: ignore[method-assign]
    with pytest.raises(ConcurrentUpdate):
        await uncertain.restart(world.app, signing.id)
    assert (await world.now(signing)).state is State.STARTED
    assert Queue.STARTS not in {sent.queue for sent in world.queue.sent}


async def test_a_first_invitation_that_shows_after_a_restart_is_a_conflict() -> None:
    """The operator was wrong: the provider had it after all."""
    world = one_call_world()
    signing = await lost(world)
    await uncertain.restart(world.app, signing.id)
    await world.work_off(Queue.STARTS)
    assert (await world.now(signing)).provider_signing_id == "p-2"
    world.provider.statuses = [PENDING]
    await world.run(
        ProviderEvent(account="memory", source="callback", signing_id=signing.id, provider_signing_id="p-1")
    )
    seen = await world.now(signing)
    assert seen.attention is not None
    assert seen.attention.code is AttentionCode.CONFLICT
    assert seen.provider_signing_id == "p-2"


async def test_a_start_that_brings_another_id_than_a_callback_has_told_is_a_conflict() -> None:
    world = one_call_world()
    signing = await lost(world)
    world.provider.statuses = [PENDING]
    await world.run(world.event(signing, provider_signing_id="p-1"))
    await start_outcome.record_started(world.app, await world.loaded(signing), Started("p-2", "Pending"))
    seen = await world.now(signing)
    assert (seen.state, seen.provider_signing_id) == (State.STARTED, "p-1")
    assert seen.attention is not None
    assert seen.attention.code is AttentionCode.CONFLICT
