"""By the clock: what was lost is found, derived from state, and nothing is edited."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.errors import Throttled, Unavailable
from shared.domain.messages import DownloadDocuments, NotifyCaller, ProviderEvent, Queue, RunStart
from shared.domain.signing import Signing, State
from shared.domain.states import EventKind, Source
from shared.flow import intake, reconcile
from shared.ports import ProviderStatus
from tests.domain.make import NOW
from tests.fakes.provider import DONE, PENDING, MemoryProvider
from tests.flow.archives import GOOD
from tests.flow.clockwork import Clockwork
from tests.flow.world import World


async def tick(world: World) -> list[object]:
    await reconcile.run(world.app, budget_seconds=60)
    return [sent.message for sent in world.queue.take()]


def later(world: World) -> None:
    world.forward(world.app.policy.reconcile_max_seconds)


async def test_a_lost_callback_is_found() -> None:
    world = World()
    signing = await world.started()
    later(world)
    (question,) = await tick(world)
    assert isinstance(question, ProviderEvent)
    assert (question.source, question.provider_signing_id) == (Source.RECONCILE, "p-1")
    world.provider.statuses = [DONE]
    await world.run(question)
    assert (await world.now(signing)).state is State.COMPLETED


async def test_a_lost_start_message_is_sent_again() -> None:
    world = World()
    signing = await world.taken_in()
    later(world)
    assert await tick(world) == [RunStart(signing_id=signing.id)]


async def test_a_start_that_is_being_worked_on_is_left_alone() -> None:
    world = World()
    world.with_policy(reconcile_min_seconds=1.0)
    await intake.run(world.app, world.command(), lease_owner="http")
    world.queue.take()
    world.forward(2)
    assert await tick(world) == []


async def test_a_lost_download_is_sent_again() -> None:
    world = World()
    signing = await world.completed()
    later(world)
    assert DownloadDocuments(signing_id=signing.id) in await tick(world)


async def test_a_lost_notification_is_sent_again_with_the_same_id() -> None:
    world = World()
    signing = await world.taken_in()
    await world.run(RunStart(signing_id=signing.id))
    (lost,) = world.queue.on(Queue.NOTIFICATIONS)
    world.queue.take()
    later(world)
    again = [message for message in await tick(world) if isinstance(message, NotifyCaller)]
    assert again == [lost]


async def test_a_signing_that_is_over_and_told_is_not_looked_at_again() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [GOOD]
    await world.run(DownloadDocuments(signing_id=signing.id))
    await world.work_off()
    later(world)
    assert await tick(world) == []
    assert await world.signings.due(world.clock + timedelta(days=3650), 100) == []


async def test_a_soft_end_is_watched_for_a_while_and_then_let_go() -> None:
    world = World()
    signing = await world.started()
    world.provider.statuses = [ProviderStatus("Expired", EventKind.EXPIRED)]
    await world.run(world.event(signing))
    await world.work_off()
    looks = 0
    for _ in range(100):
        later(world)
        looks += len(await tick(world))
    assert 10 < looks < 100
    assert await world.signings.due(world.clock + timedelta(days=3650), 100) == []


async def test_looks_become_rarer_with_age() -> None:
    world = World()
    await world.started()
    looks = []
    for _ in range(24 * 12):
        world.forward(300)
        looks.append(len(await tick(world)))
    assert sum(looks[: 12 * 6]) > sum(looks[-12 * 6 :]) > 0


async def test_a_deadline_is_followed_by_a_question_soon_and_by_more_while_the_provider_says_open() -> None:
    world = World()
    deadline = NOW + timedelta(days=10)
    signing = await world.started(deadline=deadline)
    world.provider.statuses = [PENDING]
    clockwork = Clockwork(world)
    clockwork.every(300, lambda: reconcile.run(world.app, budget_seconds=60))
    await clockwork.run_until(deadline - timedelta(seconds=1))
    before = len(world.provider.status_reads)
    await clockwork.run_for(30 * 60)
    assert len(world.provider.status_reads) > before
    await clockwork.run_for(6 * 3600)
    assert before + 10 < len(world.provider.status_reads) < before + 30
    world.provider.statuses = [ProviderStatus("Expired", EventKind.EXPIRED)]
    await clockwork.run_for(3600)
    assert (await world.now(signing)).state is State.EXPIRED


async def test_reconcile_changes_no_signing() -> None:
    world = World()
    signing = await world.completed()
    before = await world.loaded(signing)
    later(world)
    await tick(world)
    assert await world.loaded(signing) == before


async def test_a_due_row_that_leads_nowhere_is_removed() -> None:
    world = World()
    await world.signings.mark_due("0193b0a0-0000-7000-8000-00000000dead", world.clock)
    assert await tick(world) == []
    assert await world.signings.due(world.clock, 10) == []


async def test_one_bad_signing_does_not_keep_the_others_back() -> None:
    world = World()
    bad, good = await world.taken_in(), await world.taken_in()
    real_load = world.signings.load

    async def load(signing_id: str) -> object:
        if signing_id == bad.id:
            raise OSError("storage is broken here")
        return await real_load(signing_id)

    world.signings.load = load  # type: ignore[method-assign, assignment]
    world.with_policy(reconcile_batch=1)
    later(world)
    assert await reconcile.run(world.app, budget_seconds=60) == 2
    assert world.queue.on(Queue.STARTS) == [RunStart(signing_id=good.id)]
    # It is not lost, but behind the others.
    assert await world.signings.due(world.clock, 10) == []
    assert bad.id in {row.signing_id for row in await world.signings.due(world.app.soon(), 10)}


async def test_storage_that_fails_altogether_loses_no_row() -> None:
    world = World()
    signing = await world.taken_in()
    later(world)

    async def broken(*_: object) -> None:
        raise OSError("storage is down")

    world.signings.mark_all_due = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="down"):
        await reconcile.run(world.app, budget_seconds=60)
    assert [row.signing_id for row in await world.signings.due(world.clock, 10)] == [signing.id]


async def test_questions_are_spread_over_time_and_not_asked_again_while_they_wait() -> None:
    world = World()
    world.with_policy(reconcile_calls_per_minute=6, reconcile_max_seconds=900.0)
    for _ in range(200):
        await world.started()
    later(world)
    await reconcile.run(world.app, budget_seconds=60)
    assert [sent.delay_seconds for sent in world.queue.take()] == [10 * number for number in range(200)]
    asked = 0
    while world.clock < NOW + timedelta(seconds=900 + 2000):
        world.forward(300)
        await reconcile.run(world.app, budget_seconds=60)
        asked += len(world.queue.take())
    # The first are asked again from a quarter of an hour after their slots on; nobody sooner.
    assert 0 < asked <= 200


async def test_one_accounts_backlog_does_not_delay_anothers_questions() -> None:
    world = World()
    quiet = MemoryProvider(account="quiet")
    world.app = replace(world.app, providers={**world.app.providers, "quiet": quiet})
    for _ in range(30):
        await world.started()
    await world.started(account="quiet")
    world.forward(world.app.policy.reconcile_max_seconds)
    await world.app.pace.reserve("memory", 1000, 1.0, world.clock)
    await reconcile.run(world.app, budget_seconds=60)
    delays = {sent.message.account: sent.delay_seconds for sent in world.queue.take()}  # type: ignore[attr-defined]
    assert delays["memory"] >= 1000
    assert delays["quiet"] == 0


async def test_two_ticks_at_once_leave_one_row_a_signing() -> None:
    world = World()
    ids = {(await world.started()).id for _ in range(10)}
    for _ in range(20):
        later(world)
        await asyncio.gather(*(reconcile.run(world.app, budget_seconds=60) for _ in range(3)))
        world.queue.take()
    rows = await world.signings.due(world.clock + timedelta(days=3650), 1000)
    assert sorted(row.signing_id for row in rows) == sorted(ids)


async def test_a_signing_of_an_account_that_is_gone_is_kept_but_not_asked_about() -> None:
    world = World()
    signing = await world.started()
    world.app = replace(world.app, providers={})
    later(world)
    assert await tick(world) == []
    later(world)
    assert [row.signing_id for row in await world.signings.due(world.clock, 10)] == [signing.id]


async def test_a_start_that_waits_for_a_provider_that_is_down_is_not_doubled() -> None:
    world = World()
    world.provider.fail_at["create"] = Unavailable("down", sent=False)
    world.with_policy(throttle_max_seconds=7200.0, outage_retry_seconds=7200.0)
    signing = await world.taken_in()
    await world.run(RunStart(signing_id=signing.id))
    assert [sent.delay_seconds for sent in world.queue.take()] == [7200]
    world.forward(3600)
    assert await tick(world) == []
    world.forward(2 * 3600)
    assert await tick(world) == [RunStart(signing_id=signing.id)]


async def test_a_download_that_waits_for_a_throttling_provider_is_not_doubled() -> None:
    world = World()
    signing = await world.completed()
    world.with_policy(throttle_max_seconds=7200.0)
    world.provider.downloads = [Throttled("slow", retry_after_seconds=7200)]
    await world.run(DownloadDocuments(signing_id=signing.id))
    world.queue.take()
    world.forward(3600)
    assert DownloadDocuments(signing_id=signing.id) not in await tick(world)
    assert (await world.now(signing)).download.attempts == 0


async def test_a_tick_works_in_batches_until_its_time_is_up() -> None:
    world = World()
    world.with_policy(reconcile_batch=3)
    for _ in range(10):
        await world.taken_in()
    later(world)
    assert await reconcile.run(world.app, budget_seconds=60) == 10


async def test_the_webhook_of_an_account_is_registered_once() -> None:
    provider = MemoryProvider(account_webhook_wanted=True)
    world = World(provider=provider)
    for _ in range(3):
        await tick(world)
        world.app = replace(world.app, registered_webhooks=set())
    assert provider.subscribed == [world.app.addresses.for_account("memory", "memory")]


async def test_a_webhook_that_cannot_be_registered_holds_nothing_up() -> None:
    provider = MemoryProvider(account_webhook_wanted=True)
    provider.fail_at["subscribe"] = Unavailable("down", sent=True)
    world = World(provider=provider)
    signing: Signing = await world.started()
    assert signing.state is State.STARTED
    world.forward(301)
    await tick(world)
    assert len(provider.subscribed) == 1
