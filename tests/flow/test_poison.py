from __future__ import annotations

from typing import Any

import pytest

from shared.domain.errors import ConcurrentUpdate
from shared.domain.history import EntryKind
from shared.domain.messages import DownloadDocuments, Queue, RunStart
from shared.domain.signing import AttentionCode
from shared.domain.states import EventKind
from shared.flow import letters, poison
from shared.ports import Loaded, ProviderStatus
from tests.fakes.provider import DONE
from tests.flow.archives import GOOD
from tests.flow.test_letters import replay
from tests.flow.world import World


async def test_a_poison_message_is_tied_to_its_signing() -> None:
    world = World()
    signing = await world.started()
    text = RunStart(signing_id=signing.id).model_dump_json()
    await poison.run(world.app, Queue.STARTS, "m-1", text)
    flagged = await world.now(signing)
    assert flagged.attention is not None
    assert flagged.attention.code is AttentionCode.POISON
    (letter,) = await world.dead_letters.list(10)
    assert (letter.id, letter.queue, letter.body, letter.signing_id) == (
        "signing-starts-m-1",
        "signing-starts",
        text,
        signing.id,
    )
    assert (await world.signings.history(signing.id))[-1].kind is EntryKind.POISONED


async def test_an_organisation_wide_event_leads_to_its_signing() -> None:
    world = World()
    signing = await world.started()
    message = world.event(signing, signing_id=None)
    await poison.run(world.app, Queue.EVENTS, "m-2", message.model_dump_json())
    assert (await world.now(signing)).attention is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[1]",
        '{"signing_id": 7}',
        '{"signing_id": "0193b0a0-0000-7000-8000-00000000dead"}',
        '{"signing_id": "\' or 1 eq 1"}',
        '{"account": "memory", "provider_signing_id": "\u0000/#"}',
        '{"seq": 1e999, "n": ' + "9" * 5_000 + "}",
        "[" * 60_000,
        '{"a":' * 10_000,
        "\ud800",
    ],
)
async def test_what_leads_nowhere_is_kept_all_the_same(text: str) -> None:
    world = World()
    await poison.run(world.app, Queue.EVENTS, "m-3", text)
    (letter,) = await world.dead_letters.list(10)
    assert letter.body == text
    assert letter.signing_id in (None, "0193b0a0-0000-7000-8000-00000000dead")


async def test_what_strangers_wrote_points_at_no_signing() -> None:
    world = World()
    signing = await world.started()
    await poison.run(world.app, Queue.REQUESTS, "m-5", RunStart(signing_id=signing.id).model_dump_json())
    (letter,) = await world.dead_letters.list(10)
    assert (letter.queue, letter.signing_id) == ("signing-requests", None)
    assert (await world.now(signing)).attention is None


async def test_the_same_poison_message_is_one_dead_letter() -> None:
    world = World()
    for _ in range(2):
        await poison.run(world.app, Queue.EVENTS, "m-4", "{}")
    assert len(await world.dead_letters.list(10)) == 1


async def test_the_next_move_does_not_hide_a_poison_message() -> None:
    world = World()
    signing = await world.started()
    await poison.run(world.app, Queue.STARTS, "m-1", RunStart(signing_id=signing.id).model_dump_json())
    world.provider.statuses = [DONE]
    await world.run(world.event(signing))
    still = (await world.now(signing)).attention
    assert still is not None
    assert still.code is AttentionCode.POISON


async def test_messages_without_an_id_do_not_hide_each_other() -> None:
    world = World()
    for text in ("one", "two", "one"):
        await poison.run(world.app, Queue.EVENTS, "", text)
    assert sorted(letter.body for letter in await world.dead_letters.list(10)) == ["one", "two"]


@pytest.mark.parametrize("queue", [Queue.STARTS, Queue.EVENTS, Queue.DOWNLOADS])
async def test_a_message_that_could_bring_nothing_about_calls_nobody(queue: Queue) -> None:
    world = World()
    world.provider.downloads = [GOOD]
    signing = await world.completed()
    await world.run(DownloadDocuments(signing_id=signing.id))
    await poison.run(world.app, queue, "m-1", RunStart(signing_id=signing.id).model_dump_json())
    stored = await world.now(signing)
    assert (stored.state, stored.attention) == ("stored", None)
    (letter,) = await world.dead_letters.list(10)
    assert letter.signing_id == signing.id
    assert (await world.signings.history(signing.id))[-1].kind is EntryKind.POISONED


@pytest.mark.parametrize("is_delivered", [True, False])
async def test_a_notification_calls_somebody_only_when_the_caller_was_not_told(is_delivered: bool) -> None:
    world = World()
    signing = await world.taken_in()
    await world.run(RunStart(signing_id=signing.id))
    (sent,) = world.queue.take()
    if is_delivered:
        await world.run(sent.message)
    await poison.run(world.app, Queue.NOTIFICATIONS, "m-1", sent.message.model_dump_json())
    assert ((await world.now(signing)).attention is None) == is_delivered


async def test_a_conflict_is_not_painted_over() -> None:
    world = World()
    signing = await world.completed()
    world.provider.statuses = [ProviderStatus("Declined", EventKind.DECLINED)]
    await world.run(world.event(signing))
    conflict = (await world.now(signing)).attention
    assert conflict is not None
    await poison.run(world.app, Queue.EVENTS, "m-1", world.event(signing).model_dump_json())
    assert (await world.now(signing)).attention == conflict


async def cut_short(world: World, text: str) -> None:
    """A worker dies between the letter and the signing."""
    save = world.signings.save

    async def dies(*_: Any) -> Loaded:
        raise KeyboardInterrupt

    world.signings.save = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        await poison.run(world.app, Queue.STARTS, "m-1", text)
    world.signings.save = save  # type: ignore[method-assign]
    assert len(await world.dead_letters.list(10)) == 1


async def test_a_worker_that_died_after_the_letter_is_caught_up_with() -> None:
    world = World()
    signing = await world.started()
    text = RunStart(signing_id=signing.id).model_dump_json()
    await cut_short(world, text)
    for _ in range(2):
        await poison.run(world.app, Queue.STARTS, "m-1", text)
    assert (await world.now(signing)).attention is not None
    kinds = [entry.kind for entry in await world.signings.history(signing.id)]
    assert kinds.count(EntryKind.POISONED) == 1


@pytest.mark.parametrize("settle", ["replay", "discard"])
@pytest.mark.parametrize("is_cut_short", [True, False])
async def test_a_repetition_after_the_letter_was_settled_changes_nothing(settle: str, is_cut_short: bool) -> None:
    world = World()
    signing = await world.started()
    text = RunStart(signing_id=signing.id).model_dump_json()
    if is_cut_short:
        await cut_short(world, text)
    else:
        await poison.run(world.app, Queue.STARTS, "m-1", text)
    if settle == "replay":
        await replay(world, "signing-starts-m-1")
    else:
        await letters.discard(world.app, "signing-starts-m-1", "of no use")
    before = await world.now(signing)
    await poison.run(world.app, Queue.STARTS, "m-1", text)
    assert await world.now(signing) == before
    assert before.attention is None


async def test_a_storm_on_the_signing_does_not_keep_the_message_in_the_poison_queue() -> None:
    world = World()
    signing = await world.started()

    async def lost(*_: Any) -> Loaded:
        raise ConcurrentUpdate("always")

    world.signings.save = lost  # type: ignore[method-assign, assignment]
    await poison.run(world.app, Queue.STARTS, "m-1", RunStart(signing_id=signing.id).model_dump_json())
    assert len(await world.dead_letters.list(10)) == 1


@pytest.mark.parametrize(("count", "copies"), [(1, 0), (3, 0), (4, 1), (5, 1)])
async def test_a_copy_is_left_before_the_last_runs_that_the_host_gives(count: int, copies: int) -> None:
    """After five the host never runs the message again, and it would lie there unseen until it expires."""
    world = World()
    await poison.run(world.app, Queue.EVENTS, "m-1", "{}", dequeue_count=count)
    assert [(queue, text) for queue, text, _ in world.queue.put_back] == [(Queue.EVENTS, "{}")] * copies
    assert all(delay > 600 for _, _, delay in world.queue.put_back)
    assert len(await world.dead_letters.list(10)) == 1
