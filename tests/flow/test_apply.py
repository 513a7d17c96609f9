"""A message says where to look; the provider's own status is what moves a signing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.domain.errors import NotReady, ProviderNotFound, Rejected, Throttled, Unauthorised, Unavailable
from shared.domain.history import EntryKind, is_intact
from shared.domain.messages import CarriedCallback, ProviderEvent, Queue
from shared.domain.signing import AttentionCode, Progress, Signing, State
from shared.domain.states import EventKind, Source
from shared.flow import apply
from shared.ports import ParticipantProgress, ProviderStatus
from tests.domain.make import NOW
from tests.fakes.provider import DONE, PENDING
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


async def test_a_callback_for_another_signing_of_the_provider_changes_nothing() -> None:
    world = World()
    signing = await world.started()
    await deliver(world, world.event(signing, provider_signing_id="p-99"))
    assert world.provider.status_reads == []
    assert await world.now(signing) == signing


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
    await deliver(world, world.event(signing, source=Source.RECONCILE))
    failed = await world.now(signing)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "provider_not_found"


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
