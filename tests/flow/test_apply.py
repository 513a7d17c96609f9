"""A message says where to look; the provider's own status is what moves a signing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import (
    NotReady,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.domain.history import EntryKind, is_intact
from shared.domain.messages import CarriedCallback, ProviderEvent, Queue
from shared.domain.signing import AttentionCode, Progress, Signing, State
from shared.domain.states import EventKind, Source
from shared.flow import apply, start_outcome
from shared.ports import ParticipantProgress, ProviderStatus, Started
from tests.domain.make import NOW
from tests.fakes.provider import DONE, DRAFT, PENDING, MemoryProvider
from tests.flow.world import World

DECLINED = ProviderStatus("Refused", EventKind.DECLINED, reason="too expensive")


def callback(key: str) -> CarriedCallback:
    return CarriedCallback(received_at=NOW, headers={}, body_base64="e30=", verdicts={}, event_key=key)


async def deliver(world: World, message: ProviderEvent, *, redelivered: bool = False) -> None:
    await apply.run(world.app, message, redelivered=redelivered)


async def test_a_completed_signing_gets_its_documents_and_its_caller_told() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DONE]
    await deliver(world, world.event(signing))
    assert (await world.now(signing)).state is State.COMPLETED
    assert {sent.queue for sent in world.queue.sent} == {Queue.DOWNLOADS, Queue.NOTIFICATIONS}


async def test_what_the_callback_claims_does_not_count() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [PENDING]
    await deliver(world, world.event(signing, provider_status="Done"))
    assert (await world.now(signing)).state is State.STARTED
    assert world.queue.sent == []


@pytest.mark.parametrize("answer", [DRAFT, ProviderNotFound("no such signing"), Rejected("400")])
async def test_a_callback_that_names_another_id_changes_nothing_when_nobody_sees_that_one(
    answer: ProviderStatus | ProviderError,
) -> None:
    """A draft that a lost answer left behind, or nothing that can be read."""
    world = World()
    signing = await world.started()
    world.provider.statuses = [answer]
    await deliver(world, world.event(signing, provider_signing_id="p-99"))
    assert await world.now(signing) == signing
    assert world.queue.sent == []


@pytest.mark.parametrize("state", [State.STARTED, State.STORED])
async def test_a_callback_about_a_second_signing_at_the_provider_is_a_conflict(state: State) -> None:
    world = World()
    signing = await world.started()
    loaded = await world.loaded(signing)
    await world.signings.save(loaded, signing.model_copy(update={"state": state}), [])
    world.provider.statuses = [PENDING]
    for _ in range(2):
        await deliver(world, world.event(signing, provider_signing_id="p-99"))
    seen = await world.now(signing)
    assert seen.attention is not None
    assert seen.attention.code is AttentionCode.CONFLICT
    assert (seen.state, seen.provider_signing_id) == (state, "p-1")
    (entry,) = [one for one in await world.signings.history(signing.id) if one.kind is EntryKind.CONFLICT]
    assert entry.facts == {"other_provider_signing_id": "p-99", "source": "callback"}


async def test_a_second_signing_that_cannot_be_read_now_is_asked_about_again() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [Throttled("slow down", retry_after_seconds=7)]
    await deliver(world, world.event(signing, provider_signing_id="p-99"))
    (sent,) = world.queue.take()
    assert isinstance(sent.message, ProviderEvent)
    assert (sent.message.provider_signing_id, sent.delay_seconds) == ("p-99", 7)


async def test_the_start_call_returns_with_another_id_while_a_callback_is_read_back() -> None:
    world = World()
    signing = await world.taken_in()

    class Racing(MemoryProvider):
        async def status(self, *arguments: Any, **more: Any) -> ProviderStatus:
            loaded = await world.loaded(signing)
            await start_outcome.record_started(world.app, loaded, Started("p-2", "Pending"))
            return PENDING

    world.app = replace(world.app, providers={"memory": Racing()})
    await deliver(world, world.event(signing, provider_signing_id="p-1"))
    seen = await world.now(signing)
    assert (seen.provider_signing_id, seen.state) == ("p-2", State.STARTED)
    assert seen.attention is not None
    assert seen.attention.code is AttentionCode.CONFLICT


@pytest.mark.parametrize(
    "changes",
    [
        {"signing_id": None, "provider_signing_id": "p-unknown"},
        {"signing_id": None, "provider_signing_id": None},
        {"signing_id": "0193b0a0-0000-7000-8000-00000000ffff"},
        {"account": "other"},
    ],
)
async def test_foreign_events_are_passed_over(changes: dict[str, str | None]) -> None:
    world = World()
    signing = await world.started()
    await deliver(world, world.event(signing, **changes))
    assert world.provider.status_reads == []
    assert world.queue.sent == []


async def test_an_organisation_wide_event_finds_its_signing_by_the_providers_id() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DONE]
    await deliver(world, world.event(signing, signing_id=None))
    assert (await world.now(signing)).state is State.COMPLETED


async def test_the_same_callback_is_applied_once() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DONE]
    message = world.event(signing, callback=callback("k1"))
    await deliver(world, message)
    sent = world.queue.take()
    await deliver(world, message)
    assert len(world.provider.status_reads) == 1
    assert len(sent) == 2
    assert world.queue.sent == []


async def test_a_redelivered_message_sends_what_its_first_worker_may_not_have_sent() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DONE]
    message = world.event(signing, callback=callback("k1"))
    await deliver(world, message)
    first = world.queue.take()
    await deliver(world, message, redelivered=True)
    assert sorted(map(str, world.queue.take())) == sorted(map(str, first))
    assert {sent.queue for sent in first} == {Queue.DOWNLOADS, Queue.NOTIFICATIONS}


async def test_many_callbacks_at_once_move_once() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DONE]
    await asyncio.gather(*(deliver(world, world.event(signing, callback=callback(f"k{n}"))) for n in range(6)))
    moves = [entry for entry in await world.signings.history(signing.id) if entry.kind is EntryKind.MOVED]
    assert [move.facts["to"] for move in moves] == ["started", "completed"]
    assert len(world.queue.on(Queue.DOWNLOADS)) == 1
    assert len(world.queue.on(Queue.NOTIFICATIONS)) == 1
    assert is_intact(await world.signings.history(signing.id))


async def test_an_end_that_contradicts_completion_is_shown_to_a_person() -> None:
    world = World()
    signing = await world.completed()
    world.provider.statuses = [DECLINED]
    await deliver(world, world.event(signing))
    conflicted = await world.now(signing)
    assert conflicted.state is State.COMPLETED
    assert conflicted.attention is not None
    assert conflicted.attention.code is AttentionCode.CONFLICT


async def test_a_decline_carries_its_reason_and_the_history_does_not() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [DECLINED]
    await deliver(world, world.event(signing))
    assert (await world.now(signing)).reason == "too expensive"
    assert "expensive" not in str(await world.signings.history(signing.id))


async def test_an_unknown_status_is_kept_as_text_and_nothing_breaks() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderStatus("PendingMoonPhase", None, known=False)]
    await deliver(world, world.event(signing))
    kept = await world.now(signing)
    assert (kept.state, kept.provider_status) == (State.STARTED, "PendingMoonPhase")


async def test_a_draft_is_not_taken_for_started() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.statuses = [ProviderStatus("Draft", None)]
    await deliver(world, world.event(signing, provider_signing_id="p-1"))
    assert (await world.now(signing)).state is State.REQUESTED


async def test_participants_advance_and_never_go_back() -> None:
    world = World()
    signing = await world.started()
    signed = ParticipantProgress(1, Progress.SIGNED, NOW)
    world.provider.statuses = [ProviderStatus("Pending", EventKind.ACCEPTED, participants=(signed,))]
    await deliver(world, world.event(signing))
    waiting = ParticipantProgress(1, Progress.INVITED, NOW)
    world.provider.statuses = [ProviderStatus("Pending", EventKind.ACCEPTED, participants=(waiting,))]
    await deliver(world, world.event(signing))
    assert (await world.now(signing)).participants[0].progress is Progress.SIGNED


@pytest.mark.parametrize(
    ("error", "delay", "attempt"),
    [
        (Throttled("slow", retry_after_seconds=9), 9, 1),
        (Unavailable("down", sent=True), 15, 1),
        (NotReady("soon"), 15, 2),
        (ProviderNotFound("?"), 15, 2),
        (Rejected("400"), 15, 2),
        (Unauthorised("401"), 15, 2),
    ],
)
async def test_a_read_back_that_fails_comes_again_without_burning_the_message(
    error: Exception, delay: float, attempt: int
) -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [error]  # type: ignore[list-item]
    await deliver(world, world.event(signing))
    (sent,) = world.queue.take()
    assert isinstance(sent.message, ProviderEvent)
    assert (sent.queue, sent.delay_seconds, sent.message.attempt) == (Queue.EVENTS, delay, attempt)


async def test_at_some_point_asking_again_is_left_to_reconcile() -> None:
    world = World()
    signing = await world.started()
    for answer in (ProviderNotFound("?"), Rejected("400"), NotReady("soon")):
        world.provider.statuses = [answer]
        await deliver(world, world.event(signing, attempt=apply.MAX_READ_BACKS))
    world.provider.statuses = [Unavailable("down", sent=True)]
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    assert world.queue.sent == []


async def test_gone_at_the_provider_is_a_failure_when_reconcile_sees_it() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderNotFound("gone")]
    world.forward(world.app.policy.provider_gone_after_seconds)
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    failed = await world.now(signing)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "provider_not_found"


async def test_not_being_there_right_after_the_start_means_nothing_yet() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderNotFound("replicas do not agree yet")]
    world.forward(world.app.policy.provider_gone_after_seconds - 1)
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    assert (await world.now(signing)).state is State.STARTED


async def test_a_throttled_question_gets_a_later_slot_of_its_account() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [Throttled("slow", retry_after_seconds=40)]
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    # The second waits twice as long after the first as a question that was not refused.
    assert [sent.delay_seconds for sent in world.queue.take()] == [40, 42]
    assert await world.app.pace.reserve("other", 1, 1.0, world.clock) == world.clock
    await deliver(world, world.event(signing, source=Source.RECONCILE, attempt=5))
    assert world.queue.take() == []


async def test_the_download_of_what_reconcile_found_waits_for_a_slot() -> None:
    world = World()
    signing = await world.started()
    await world.app.pace.reserve("memory", 90, 1.0, world.clock)
    world.provider.statuses = [DONE]
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    assert {sent.queue: sent.delay_seconds for sent in world.queue.take()} == {
        Queue.NOTIFICATIONS: 0,
        Queue.DOWNLOADS: 90,
    }
    assert (await world.now(signing)).download.next_attempt_at == NOW + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("error", "attention"),
    [(Unauthorised("401"), AttentionCode.PROVIDER_UNAUTHORISED), (Rejected("400"), None)],
)
async def test_a_refused_read_back_is_for_a_person(error: Rejected, attention: AttentionCode | None) -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [error]
    await deliver(world, world.event(signing))
    seen = await world.now(signing)
    assert seen.state is State.STARTED
    assert (seen.attention.code if seen.attention else None) is attention


async def test_completion_makes_reconcile_look_soon() -> None:
    world = World()
    signing: Signing = await world.completed()
    soon = NOW + timedelta(seconds=world.app.policy.reconcile_min_seconds)
    assert signing.id in {row.signing_id for row in await world.signings.due(soon, 10)}


async def test_a_read_back_that_lags_behind_its_callback_is_asked_again() -> None:
    """The provider's callback was faster than its own reads; the next look would otherwise be reconcile's."""
    world = World()
    signing = await world.started()
    world.provider.statuses = [PENDING, DONE]
    await deliver(world, world.event(signing, callback=callback("end"), claims_end=True))
    (again,) = world.queue.take()
    assert (again.queue, again.delay_seconds > 0) == (Queue.EVENTS, True)
    await world.run(again.message)
    assert (await world.now(signing)).state is State.COMPLETED


async def test_an_end_that_nobody_sees_is_left_to_reconcile_in_the_end() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [PENDING]
    await deliver(world, world.event(signing, callback=callback("end"), claims_end=True))
    await world.work_off(Queue.EVENTS)
    assert len(world.provider.status_reads) == apply.MAX_LAG_READ_BACKS
    assert (await world.now(signing)).state is State.STARTED


async def test_a_callback_that_names_the_id_of_another_signing_is_no_poison() -> None:
    """On the address of a signing that has no id yet: what it names is known to be somebody else's."""
    world = World()
    other = await world.started()
    signing = await world.taken_in()
    world.provider.statuses = [PENDING]
    await deliver(world, world.event(signing, provider_signing_id=other.provider_signing_id))
    assert (await world.now(signing)).provider_signing_id is None
    assert (await world.now(signing)).state is State.REQUESTED
