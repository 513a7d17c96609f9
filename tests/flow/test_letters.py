"""A dead letter is sent again once, or discarded; a crash at any write leaves it open or sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.errors import ConcurrentUpdate, NotFound, WrongState
from shared.domain.history import EntryKind, is_intact
from shared.domain.letters import LetterFilter, LetterStatus, Outcome
from shared.domain.messages import NotifyCaller, ProviderEvent, Queue, RunStart
from shared.domain.signing import AttentionCode, Signing
from shared.flow import letters, poison
from shared.ports import DeadLetter
from tests.fakes.provider import DONE
from tests.flow.archives import GOOD
from tests.flow.world import World


async def no_order(letter: DeadLetter) -> None:
    raise AssertionError(f"{letter.id} is not an order")


async def replay(
    world: World, letter_id: str, run_order: letters.RunOrder = no_order, *, again: bool = False
) -> letters.Replayed:
    return await letters.replay(world.app, letter_id, run_order, again=again)


async def poisoned(world: World, signing: Signing, number: int = 1) -> str:
    """The id of the dead letter of an event that is the only one to say that the signing is completed."""
    message = world.event(signing, attempt=7)
    await poison.run(world.app, Queue.EVENTS, f"m-{number}", message.model_dump_json())
    return f"signing-events-m-{number}"


async def given_up(world: World, answers: int = 2) -> tuple[Signing, str]:
    """A started signing whose caller answered badly until the schedule ended, and its dead letter."""
    world.with_policy(notify_retry_seconds=(1.0,) * (answers - 1))
    signing = await world.taken_in()
    world.notifier.statuses = [500] * answers
    await world.run(RunStart(signing_id=signing.id))
    await world.work_off(Queue.NOTIFICATIONS)
    world.queue.take()
    (owed,) = (await world.now(signing)).announcements
    assert owed.given_up_reason == "http_500"
    return await world.now(signing), f"notification-{signing.id}-{owed.seq}"


async def letter(world: World, letter_id: str) -> DeadLetter:
    return (await world.dead_letters.get(letter_id)).letter


async def facts(world: World, signing: Signing, kind: EntryKind) -> list[dict[str, str]]:
    entries = await world.signings.history(signing.id)
    assert is_intact(entries)
    return [dict(entry.facts) for entry in entries if entry.kind is kind]


async def test_a_replayed_event_brings_the_signing_on() -> None:
    world = World()
    world.provider.downloads = [GOOD]
    signing = await world.started()
    letter_id = await poisoned(world, signing)
    done = await replay(world, letter_id)
    assert done.sent
    assert (done.letter.status.outcome, done.letter.status.replays) == (Outcome.REPLAYED, 1)
    assert done.letter.status.settled_at == world.clock
    (message,) = world.queue.on(Queue.EVENTS)
    assert message == world.event(signing, attempt=1)
    assert (await world.now(signing)).attention is None
    assert await facts(world, signing, EntryKind.MANAGED) == [
        {"action": "replay", "dead_letter": letter_id, "queue": "signing-events"}
    ]
    assert await facts(world, signing, EntryKind.ATTENTION_CLEARED) == [{"code": "poison"}]
    world.provider.statuses = [DONE]
    await world.work_off()
    assert (await world.now(signing)).state == "stored"


async def test_a_letter_is_replayed_once_unless_asked_for_again() -> None:
    world = World()
    signing = await world.started()
    letter_id = await poisoned(world, signing)
    await replay(world, letter_id)
    assert not (await replay(world, letter_id)).sent
    assert len(world.queue.take()) == 1
    again = await replay(world, letter_id, again=True)
    assert again.sent
    assert again.letter.status.replays == 2
    assert len(world.queue.take()) == 1


async def test_of_two_operators_one_replays() -> None:
    world = World()
    letter_id = await poisoned(world, await world.started())
    results = await asyncio.gather(*(replay(world, letter_id) for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, Exception)] == [ConcurrentUpdate]
    assert len(world.queue.on(Queue.EVENTS)) == 1


async def test_a_notification_that_was_given_up_is_delivered_with_the_same_event_id() -> None:
    world = World()
    signing, letter_id = await given_up(world)
    original = NotifyCaller.model_validate_json((await letter(world, letter_id)).body)
    assert (await replay(world, letter_id)).sent
    replayed = await world.now(signing)
    assert replayed.attention is None
    (owed,) = replayed.announcements
    assert (owed.is_settled, owed.attempts, owed.replays) == (False, 0, 1)
    await world.work_off(Queue.NOTIFICATIONS)
    (event,) = world.notifier.delivered
    assert event["id"] == original.event["id"]
    (owed,) = (await world.now(signing)).announcements
    assert (owed.delivered_at, owed.replays) == (world.clock, 1)


async def test_a_replayed_notification_gets_the_whole_schedule_and_then_a_letter_of_its_own() -> None:
    world = World()
    signing, letter_id = await given_up(world, answers=3)
    await replay(world, letter_id)
    world.notifier.statuses = [500] * 3
    assert await world.work_off(Queue.NOTIFICATIONS) == 3
    (owed,) = (await world.now(signing)).announcements
    assert owed.given_up_reason == "http_500"
    attention = (await world.now(signing)).attention
    assert attention is not None
    assert attention.code is AttentionCode.NOTIFY_FAILED
    page = await world.dead_letters.page(LetterFilter(is_open=True), 10)
    assert [one.id for one in page.letters] == [f"{letter_id}-1"]
    assert (await replay(world, f"{letter_id}-1")).sent
    await world.work_off(Queue.NOTIFICATIONS)
    assert len(world.notifier.delivered) == 1


async def test_a_caller_who_was_told_meanwhile_is_not_told_twice() -> None:
    world = World()
    signing, letter_id = await given_up(world)
    await replay(world, letter_id)
    await world.work_off(Queue.NOTIFICATIONS)
    (owed,) = (await world.now(signing)).announcements
    other = replace(await letter(world, letter_id), id="other", status=LetterStatus())
    await world.dead_letters.add(other)
    done = await replay(world, "other")
    assert (done.sent, done.letter.status.outcome) == (False, Outcome.REPLAYED)
    assert (await world.now(signing)).announcements == (owed,)
    assert (await replay(world, "other", again=True)).sent
    await world.work_off(Queue.NOTIFICATIONS)
    assert len(world.notifier.delivered) == 2


@pytest.mark.parametrize("crash", ["signings.mark_due", "signings.save", "queue.send", "dead_letters.update"])
async def test_a_crash_at_any_write_leaves_the_letter_to_be_replayed(crash: str) -> None:
    world = World()
    signing, letter_id = await given_up(world)
    part, name = crash.split(".")
    target = getattr(world, part)
    working = getattr(target, name)
    calls = 0

    async def dies(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        # The claim is an update too; it is the one after it that dies.
        if name == "update" and calls == 1:
            return await working(*arguments, **named)
        raise KeyboardInterrupt

    setattr(target, name, dies)
    with pytest.raises(KeyboardInterrupt):
        await replay(world, letter_id)
    setattr(target, name, working)

    assert (await letter(world, letter_id)).status.is_open
    with pytest.raises(WrongState):
        await replay(world, letter_id)
    world.forward(letters.CLAIM_SECONDS + 1)
    assert (await replay(world, letter_id)).sent
    await world.work_off(Queue.NOTIFICATIONS)
    assert {event["id"] for event in world.notifier.delivered} == {f"{signing.id}:{signing.announcements[0].seq}"}
    (owed,) = (await world.now(signing)).announcements
    assert owed.delivered_at is not None


async def test_a_worker_whose_claim_ran_out_leaves_the_letter_to_the_next() -> None:
    world = World()
    letter_id = await poisoned(world, await world.started())
    send = world.queue.send

    async def slow(queue: Queue, message: Any, **named: Any) -> None:
        world.queue.send = send  # type: ignore[method-assign]
        world.forward(letters.CLAIM_SECONDS + 1)
        await replay(world, letter_id)
        await send(queue, message, **named)

    world.queue.send = slow  # type: ignore[method-assign]
    done = await replay(world, letter_id)
    assert (done.letter.status.outcome, done.letter.status.replays) == (Outcome.REPLAYED, 1)


async def test_the_attention_goes_with_the_last_open_letter_of_the_signing() -> None:
    world = World()
    signing = await world.started()
    first, second = await poisoned(world, signing, 1), await poisoned(world, signing, 2)
    await replay(world, second)
    assert (await world.now(signing)).attention is not None
    await letters.discard(world.app, first, "of no use")
    assert (await world.now(signing)).attention is None


async def test_another_attention_stays() -> None:
    world = World()
    signing = await world.started()
    letter_id = await poisoned(world, signing)
    loaded = await world.loaded(signing)
    assert loaded.signing.attention is not None
    conflict = loaded.signing.attention.model_copy(update={"code": AttentionCode.CONFLICT})
    await world.signings.save(loaded, loaded.signing.model_copy(update={"attention": conflict}), [])
    await replay(world, letter_id)
    assert (await world.now(signing)).attention == conflict


async def test_a_note_stays_on_the_letter() -> None:
    world = World()
    signing = await world.started()
    letter_id = await poisoned(world, signing)
    done = await letters.discard(world.app, letter_id, "Ada signed on paper")
    assert (done.status.outcome, done.status.note) == (Outcome.DISCARDED, "Ada signed on paper")
    assert await letter(world, letter_id) == done
    assert (await world.now(signing)).attention is None
    assert await facts(world, signing, EntryKind.MANAGED) == [
        {"action": "discard", "dead_letter": letter_id, "queue": "signing-events"}
    ]
    assert world.queue.sent == []
    assert await letters.discard(world.app, letter_id, "another") == done


async def test_what_is_settled_is_not_settled_otherwise() -> None:
    world = World()
    signing = await world.started()
    first, second = await poisoned(world, signing, 1), await poisoned(world, signing, 2)
    await replay(world, first)
    await letters.discard(world.app, second, "of no use")
    with pytest.raises(WrongState):
        await letters.discard(world.app, first, "of no use")
    with pytest.raises(WrongState):
        await replay(world, second)
    world.queue.take()
    changed_mind = await replay(world, second, again=True)
    assert (changed_mind.sent, changed_mind.letter.status.note) == (True, None)


@pytest.mark.parametrize(
    "changes",
    [{"body": "not json"}, {"body": "{}"}, {"queue": "no-such-queue"}, {"encoding": "base64", "body": "/w=="}],
)
async def test_what_cannot_be_sent_stays_open(changes: dict[str, Any]) -> None:
    world = World()
    made = DeadLetter("l-1", world.clock, "signing-starts", "processing_failed", "", "{}")
    await world.dead_letters.add(replace(made, **changes))
    with pytest.raises(WrongState) as refusal:
        await replay(world, "l-1")
    assert refusal.value.code == "not_replayable"
    assert (await letter(world, "l-1")).status.is_open
    assert world.queue.sent == []


async def test_an_order_is_run_and_its_letter_stays_open_when_it_is_refused_again() -> None:
    world = World()
    letter = DeadLetter("l-1", world.clock, Queue.REQUESTS.value, "invalid_request", "", '{"title": "Zoë"}')
    await world.dead_letters.add(letter)
    ran: list[str] = []

    async def refuse(order: DeadLetter) -> None:
        raise WrongState("still refused", code="not_replayable")

    async def accept(order: DeadLetter) -> None:
        ran.append(order.body)

    with pytest.raises(WrongState):
        await replay(world, "l-1", refuse)
    assert (await world.dead_letters.get("l-1")).letter.status.outcome is Outcome.OPEN
    assert (await replay(world, "l-1", accept)).sent
    assert ran == [letter.body]
    assert (await world.dead_letters.get("l-1")).letter.status.outcome is Outcome.REPLAYED
    assert world.queue.sent == []


async def test_a_letter_of_no_signing_is_replayed_too() -> None:
    world = World()
    for number, text in enumerate(
        (
            ProviderEvent(account="memory", source="callback", provider_signing_id="p-9").model_dump_json(),
            RunStart(signing_id="0193b0a0-0000-7000-8000-00000000dead").model_dump_json(),
        )
    ):
        queue = (Queue.EVENTS, Queue.STARTS)[number]
        await poison.run(world.app, queue, "m-1", text)
        assert (await replay(world, f"{queue.value}-m-1")).sent
        (sent,) = world.queue.take()
        assert sent.message.model_dump_json() == text
    with pytest.raises(NotFound):
        await replay(world, "nobody")


async def test_letters_are_replayed_by_what_they_have_in_common() -> None:
    world = World()
    signing = await world.started()
    for number in range(5):
        world.forward(1)
        await poisoned(world, signing, number)
    world.forward(1)
    await poison.run(world.app, Queue.EVENTS, "unreadable", "not json")
    await letters.discard(world.app, "signing-events-m-0", "of no use")
    wanted = LetterFilter(queue="signing-events", is_open=True)
    first = await letters.replay_some(world.app, wanted, no_order, limit=3, cursor=None)
    assert (first.replayed, first.unsent, first.refused) == (2, 0, {"not_replayable": 1})
    second = await letters.replay_some(world.app, wanted, no_order, limit=3, cursor=first.cursor)
    assert (second.replayed, second.refused, second.cursor) == (2, {}, None)
    assert len(world.queue.take()) == 4
    # The one that cannot be read is still there for somebody to discard.
    page = await world.dead_letters.page(LetterFilter(is_open=True), 10)
    assert [one.id for one in page.letters] == ["signing-events-unreadable"]
