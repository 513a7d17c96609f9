from __future__ import annotations

import pytest

from shared.domain.errors import NotifyRefused, Unavailable
from shared.domain.messages import NotifyCaller, Queue, RunStart
from shared.domain.signing import AttentionCode, Signing, State
from shared.flow import notify
from shared.flow.cloud_event import cloud_event
from tests.fakes.provider import DONE
from tests.flow.world import World


async def owed(world: World) -> tuple[Signing, NotifyCaller]:
    """A started signing whose first notification is about to be delivered."""
    signing = await world.taken_in()
    await world.work_off(Queue.STARTS)
    await world.run(RunStart(signing_id=signing.id))
    (message,) = world.queue.on(Queue.NOTIFICATIONS)
    world.queue.take()
    assert isinstance(message, NotifyCaller)
    return await world.now(signing), message


async def test_a_delivered_notification_is_settled() -> None:
    world = World()
    signing, message = await owed(world)
    await notify.run(world.app, message)
    (announcement,) = (await world.now(signing)).announcements
    assert announcement.delivered_at == world.clock
    assert announcement.attempts == 1
    (event,) = world.notifier.delivered
    assert event["type"] == "io.countersign.signing.started.v1"
    assert event["data"]["reference"] == "lease-1"


@pytest.mark.parametrize("problem", [500, 404, 302, 429, Unavailable("no answer", sent=True)])
async def test_a_failed_delivery_is_repeated_on_schedule_with_the_same_id(problem: int | Exception) -> None:
    world = World()
    signing, message = await owed(world)
    world.notifier.statuses = [problem, problem]
    pauses = []
    for _ in range(2):
        await notify.run(world.app, message)
        (sent,) = world.queue.take()
        pauses.append(sent.delay_seconds)
        assert isinstance(sent.message, NotifyCaller)
        assert sent.message.event["id"] == message.event["id"]
        message = sent.message
    assert pauses == list(world.app.policy.notify_retry_seconds[:2])
    (announcement,) = (await world.now(signing)).announcements
    assert (announcement.attempts, announcement.delivered_at) == (2, None)
    assert announcement.next_attempt_at > world.clock


@pytest.mark.parametrize("problem", [410, NotifyRefused("private_address")])
async def test_a_final_refusal_is_given_up_at_once(problem: int | Exception) -> None:
    world = World()
    _, message = await owed(world)
    world.notifier.statuses = [problem]
    await notify.run(world.app, message)
    assert world.queue.sent == []
    assert len(await world.dead_letters.list(10)) == 1


async def test_the_end_of_the_schedule_is_a_dead_letter_with_its_reason() -> None:
    world = World()
    world.with_policy(notify_retry_seconds=(1.0,))
    signing, message = await owed(world)
    world.notifier.statuses = [500, 500]
    await notify.run(world.app, message)
    (sent,) = world.queue.take()
    await notify.run(world.app, sent.message)  # type: ignore[arg-type]
    assert world.queue.sent == []
    (letter,) = await world.dead_letters.list(10)
    assert (letter.reason, letter.signing_id) == ("http_500", signing.id)
    assert NotifyCaller.model_validate_json(letter.body).event["id"] == message.event["id"]
    given_up = await world.now(signing)
    assert given_up.attention is not None
    assert given_up.attention.code is AttentionCode.NOTIFY_FAILED
    assert given_up.announcements[0].given_up_reason == "http_500"


async def test_an_event_holds_no_personal_data_and_no_links() -> None:
    world = World()
    signing, _ = await owed(world)
    text = str(cloud_event(signing, signing.announcements[0]))
    assert signing.participants[0].family_name not in text
    assert "@" not in text
    assert "http" not in text


async def test_an_event_that_is_sent_again_later_says_the_same() -> None:
    world = World()
    signing, message = await owed(world)
    world.notifier.statuses = [503]
    await notify.run(world.app, message)
    world.queue.take()
    world.provider.statuses = [DONE]
    await world.run(world.event(signing))
    completed = await world.now(signing)
    assert completed.state is State.COMPLETED
    assert completed.provider_status != message.event["data"]["providerStatus"]
    again = {owed.seq: cloud_event(completed, owed) for owed in completed.announcements}
    assert again[message.seq] == message.event
