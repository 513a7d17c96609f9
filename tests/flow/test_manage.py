"""What can be done to a started signing, and what is refused before any call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.api.answers import problem
from shared.domain.capabilities import Action
from shared.domain.errors import (
    NotFound,
    OutcomeUnknown,
    ProviderNotFound,
    Unavailable,
    UnsupportedFeature,
    WrongState,
)
from shared.domain.history import EntryKind
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.signing import Signing, State
from shared.domain.states import EventKind, Source
from shared.flow import intake, manage, reconcile
from shared.ports import ProviderStatus
from tests.domain.make import NOW
from tests.fakes.provider import DONE
from tests.flow.archives import GOOD
from tests.flow.world import World

LATER = NOW + timedelta(days=30)
Deed = Callable[[World, str], Awaitable[object]]
DEEDS: dict[Action, Deed] = {
    Action.CANCEL: lambda world, one: manage.cancel(world.app, one, "changed our minds"),
    Action.REMIND: lambda world, one: manage.remind(world.app, one, None),
    Action.ADD_PARTICIPANT: lambda world, one: manage.add_participant(
        world.app, one, world.command().participants[0].model_copy(update={"email": "ben@example.org"})
    ),
    Action.REMOVE_PARTICIPANT: lambda world, one: manage.remove_participant(world.app, one, 1),
    Action.EXTEND: lambda world, one: manage.extend(world.app, one, LATER),
    Action.LINKS: lambda world, one: manage.links(world.app, one),
    Action.DELETE: lambda world, one: manage.delete(world.app, one),
}
each_deed = pytest.mark.parametrize("action", DEEDS)


def able(world: World, *actions: Action) -> None:
    world.provider.capabilities = replace(world.provider.capabilities, actions=frozenset(actions))


@each_deed
async def test_what_a_provider_cannot_do_is_refused_before_any_call(action: Action) -> None:
    world = World()
    signing = await world.started()
    able(world)
    with pytest.raises(UnsupportedFeature) as refusal:
        await DEEDS[action](world, signing.id)
    assert refusal.value.field == action.value
    assert world.provider.managed == []


@pytest.mark.parametrize("action", sorted(set(DEEDS) - {Action.DELETE}))
async def test_a_signing_that_is_over_is_left_alone(action: Action) -> None:
    world = World()
    signing = await world.completed()
    with pytest.raises(WrongState):
        await DEEDS[action](world, signing.id)
    assert world.provider.managed == []


@pytest.mark.parametrize("action", sorted(set(DEEDS) - {Action.DELETE, Action.LINKS}))
async def test_a_deed_is_done_recorded_and_read_back(action: Action) -> None:
    world = World()
    signing = await world.started()
    await DEEDS[action](world, signing.id)
    ((done, of, *_),) = world.provider.managed
    assert (done, of) == (action.value, signing.id)
    entry = (await world.signings.history(signing.id))[-1]
    assert (entry.kind, entry.facts["action"]) == (EntryKind.MANAGED, action.value)
    (sent,) = world.queue.take()
    assert isinstance(sent.message, ProviderEvent)
    assert (sent.queue, sent.message.source) == (Queue.EVENTS, Source.OPERATOR)


async def test_cancelled_is_what_the_provider_says_afterwards() -> None:
    world = World()
    signing = await world.started()
    await manage.cancel(world.app, signing.id, None)
    assert (await world.now(signing)).state is State.STARTED
    world.provider.statuses = [ProviderStatus("Withdrawn", EventKind.CANCELLED)]
    await world.work_off(Queue.EVENTS)
    assert (await world.now(signing)).state is State.CANCELLED


async def test_a_provider_that_cancels_by_deleting_proves_it_by_having_nothing() -> None:
    world = World()
    signing = await world.started()
    await manage.cancel(world.app, signing.id, None)
    world.provider.statuses = [ProviderNotFound("gone")]
    await world.work_off(Queue.EVENTS)
    assert (await world.now(signing)).state is State.CANCELLED


async def test_a_signing_that_was_not_sent_is_cancelled_at_once() -> None:
    world = World()
    signing = await world.taken_in()
    cancelled = await manage.cancel(world.app, signing.id, "typing error")
    assert (cancelled.state, cancelled.reason) == (State.CANCELLED, "typing error")
    assert world.documents.blobs == {}
    await world.work_off(Queue.STARTS)
    assert world.provider.invited == []


async def test_a_start_under_way_is_not_cancelled_from_under_its_worker() -> None:
    world = World()
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    with pytest.raises(WrongState):
        await manage.cancel(world.app, taken.loaded.signing.id, None)


async def test_an_added_participant_gets_the_next_number() -> None:
    world = World()
    signing = await world.started()
    await DEEDS[Action.ADD_PARTICIPANT](world, signing.id)
    assert [one.number for one in (await world.now(signing)).participants] == [1, 2]
    await manage.remove_participant(world.app, signing.id, 1)
    assert [one.number for one in (await world.now(signing)).participants] == [2]


async def test_participants_are_named_by_number() -> None:
    world = World()
    signing = await world.started()
    able(world, *Action)
    for deed in (manage.remind, manage.remove_participant):
        with pytest.raises(NotFound):
            await deed(world.app, signing.id, 9)


async def test_an_expired_signing_can_be_extended() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderStatus("Expired", EventKind.EXPIRED)]
    await world.run(world.event(signing))
    extended = await manage.extend(world.app, signing.id, LATER)
    assert extended.deadline == LATER


async def test_an_extended_signing_is_looked_at_again_even_when_it_was_let_go() -> None:
    """Its callbacks may get lost as well as anybody's."""
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderStatus("Expired", EventKind.EXPIRED)]
    await world.run(world.event(signing))
    await world.work_off(Queue.NOTIFICATIONS)
    while await world.signings.due(world.clock + timedelta(days=365), 1):
        world.forward(world.app.policy.reconcile_max_seconds)
        await reconcile.run(world.app, budget_seconds=60)
        await world.work_off()
    await manage.extend(world.app, signing.id, world.clock + timedelta(days=7))
    world.queue.take()
    world.provider.statuses = [DONE]
    world.provider.downloads = [GOOD]
    world.forward(world.app.policy.reconcile_max_seconds)
    await reconcile.run(world.app, budget_seconds=60)
    await world.work_off()
    assert (await world.now(signing)).state is State.STORED


async def test_links_are_given_and_kept_nowhere() -> None:
    world = World()
    signing = await world.started()
    (link,) = await manage.links(world.app, signing.id)
    assert link.url == "https://sign.example/1"
    kept: Signing = await world.now(signing)
    assert "sign.example" not in kept.model_dump_json()
    assert "sign.example" not in str(await world.signings.history(signing.id))


async def test_only_what_is_over_is_deleted_at_the_provider() -> None:
    world = World()
    signing = await world.started()
    with pytest.raises(WrongState):
        await manage.delete(world.app, signing.id)
    world.provider.statuses = [ProviderStatus("Declined", EventKind.DECLINED)]
    await world.run(world.event(signing))
    await manage.delete(world.app, signing.id)
    assert world.provider.managed == [("delete", signing.id)]


async def test_an_extended_signing_is_watched_again_to_its_new_deadline_and_beyond() -> None:
    """It had expired so long ago that nobody looked at it any more; then its callback is lost."""
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderStatus("Expired", EventKind.EXPIRED)]
    await world.run(world.event(signing))
    for row in await world.signings.due(world.clock + timedelta(days=3650), 100):
        await world.signings.settle_due(row)
    world.forward(30 * 24 * 3600)
    await manage.extend(world.app, signing.id, world.clock + timedelta(days=60))
    world.queue.take()
    world.forward(70 * 24 * 3600)
    await reconcile.run(world.app, budget_seconds=60)
    assert len(world.queue.on(Queue.EVENTS)) == 1
    assert await world.signings.due(world.clock + timedelta(days=1), 10)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_call_to_people_without_an_answer_is_not_offered_for_repetition(sent: bool) -> None:
    world = World()
    signing = await world.started()
    able(world, *Action)

    async def lost(*_: object) -> None:
        raise Unavailable("no answer", sent=sent)

    world.provider.remind = world.provider.add_participant = lost  # type: ignore[method-assign, assignment]
    expected = OutcomeUnknown if sent else Unavailable
    with pytest.raises(expected):
        await manage.remind(world.app, signing.id, None)
    with pytest.raises(expected):
        await manage.add_participant(world.app, signing.id, signing.participants[0])
    assert problem(OutcomeUnknown("no answer")).status == 409
