"""What an operator's replay derives from a signing's state, whatever was lost or given up before."""

from __future__ import annotations

import pytest

from shared.domain.errors import NotFound
from shared.domain.history import EntryKind
from shared.domain.messages import NotifyCaller, ProviderEvent, Queue, RunStart
from shared.domain.signing import Attention, AttentionCode, Signing
from shared.domain.states import Source
from shared.flow import notify, replay
from tests.fakes.provider import DONE
from tests.flow.archives import GOOD
from tests.flow.world import World


async def flag(world: World, signing: Signing, code: AttentionCode) -> None:
    loaded = await world.loaded(signing)
    attention = Attention(code=code, detail="", since=world.clock)
    await world.signings.save(loaded, loaded.signing.model_copy(update={"attention": attention}), [])


async def test_a_start_that_nobody_carries_on_is_carried_on() -> None:
    world = World()
    signing = await world.taken_in()
    done = await replay.run(world.app, signing.id)
    assert done.queued == [Queue.STARTS]
    await world.work_off()
    assert (await world.now(signing)).state == "started"


async def test_a_started_signing_is_read_back() -> None:
    world = World()
    world.provider.downloads = [GOOD]
    signing = await world.started()
    done = await replay.run(world.app, signing.id)
    assert done.queued == [Queue.EVENTS]
    (question,) = world.queue.on(Queue.EVENTS)
    assert isinstance(question, ProviderEvent)
    assert question.source is Source.OPERATOR
    world.provider.statuses = [DONE]
    await world.work_off()
    assert (await world.now(signing)).state == "stored"


async def test_a_completed_signing_is_downloaded_now() -> None:
    world = World()
    world.provider.downloads = [GOOD]
    signing = await world.completed()
    done = await replay.run(world.app, signing.id)
    assert done.queued == [Queue.DOWNLOADS]
    await world.work_off()
    stored = await world.now(signing)
    assert stored.state == "stored"
    assert (await replay.run(world.app, signing.id)).queued == []


async def test_what_was_not_delivered_is_sent_anew_and_what_was_is_not() -> None:
    world = World()
    world.provider.downloads = [GOOD]
    world.with_policy(notify_retry_seconds=())
    signing = await world.started()
    world.notifier.delivered.clear()
    world.notifier.statuses = [500]
    world.provider.statuses = [DONE]
    await world.run(world.event(signing))
    await world.work_off()
    given_up = [one for one in (await world.now(signing)).announcements if one.given_up_reason]
    assert len(given_up) == 1
    before = [event["id"] for event in world.notifier.delivered]
    done = await replay.run(world.app, signing.id)
    assert done.queued == [Queue.NOTIFICATIONS]
    assert done.signing.attention is None
    await world.work_off()
    assert [event["id"] for event in world.notifier.delivered] == [*before, f"{signing.id}:{given_up[0].seq}"]
    assert all(one.delivered_at for one in (await world.now(signing)).announcements)


async def test_a_delivery_under_way_ends_when_a_replay_overtakes_it() -> None:
    world = World()
    signing = await world.taken_in()
    world.notifier.statuses = [500]
    await world.run(RunStart(signing_id=signing.id))
    (first,) = world.queue.take()
    await world.run(first.message)
    (waiting,) = world.queue.take()
    await replay.run(world.app, signing.id)
    assert isinstance(waiting.message, NotifyCaller)
    await notify.run(world.app, waiting.message)
    assert world.notifier.delivered == []
    await world.work_off(Queue.NOTIFICATIONS)
    await notify.run(world.app, waiting.message)
    assert len(world.notifier.delivered) == 1


async def test_a_replay_whose_messages_were_lost_is_found_by_reconcile() -> None:
    world = World()
    world.with_policy(notify_retry_seconds=())
    signing = await world.taken_in()
    world.notifier.statuses = [500]
    await world.run(RunStart(signing_id=signing.id))
    await world.work_off(Queue.NOTIFICATIONS)
    for row in await world.signings.due(world.clock.replace(year=2100), 10):
        await world.signings.settle_due(row)
    await replay.run(world.app, signing.id)
    world.queue.take()
    (row,) = await world.signings.due(world.clock.replace(year=2100), 10)
    assert row.signing_id == signing.id
    assert not (await world.now(signing)).announcements[0].is_settled


@pytest.mark.parametrize("code", AttentionCode)
async def test_the_attention_that_trying_again_may_cure_is_cleared(code: AttentionCode) -> None:
    world = World()
    signing = await world.started()
    await flag(world, signing, code)
    await replay.run(world.app, signing.id)
    is_cleared = (await world.now(signing)).attention is None
    kinds = [entry.kind for entry in await world.signings.history(signing.id)]
    assert is_cleared == (kinds[-1] is EntryKind.ATTENTION_CLEARED)
    assert is_cleared == (
        code in {"poison", "notify_failed", "seal_late", "provider_unauthorised", "provider_unavailable"}
    )
    assert EntryKind.MANAGED in kinds


async def test_an_unknown_signing_is_said_to_be_unknown() -> None:
    world = World()
    with pytest.raises(NotFound):
        await replay.run(world.app, "0193b0a0-0000-7000-8000-00000000dead")
