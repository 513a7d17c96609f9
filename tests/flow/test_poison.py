from __future__ import annotations

import pytest

from shared.domain.history import EntryKind
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import AttentionCode
from shared.flow import poison
from tests.fakes.provider import DONE
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
    ["", "not json", "[1]", '{"signing_id": 7}', '{"signing_id": "0193b0a0-0000-7000-8000-00000000dead"}', "\ud800"],
)
async def test_what_leads_nowhere_is_kept_all_the_same(text: str) -> None:
    world = World()
    await poison.run(world.app, Queue.EVENTS, "m-3", text)
    (letter,) = await world.dead_letters.list(10)
    assert letter.body == text


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
