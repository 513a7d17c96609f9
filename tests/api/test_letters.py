from __future__ import annotations

import json
from typing import Any

import pytest

from shared.api import letters, manage
from shared.api.answers import Answer
from shared.domain.messages import Queue, RunStart
from shared.flow import poison
from shared.flow.letters import discard
from tests.flow.world import World

LETTER = "signing-starts-m-1"


async def world_with_letter() -> World:
    world = World()
    signing = await world.started()
    await poison.run(world.app, Queue.STARTS, "m-1", RunStart(signing_id=signing.id).model_dump_json())
    return world


def content(answer: Answer) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(answer.encoded())
    return decoded


def fields(answer: Answer) -> list[str]:
    return [error["field"] for error in content(answer)["errors"]]


async def test_a_list_shows_letters_without_their_messages() -> None:
    world = await world_with_letter()
    answer = await letters.listed(world.app, {"code": "the host's own key", "status": "open", "limit": "5"})
    assert answer.status == 200
    (shown,) = content(answer)["deadLetters"]
    assert "body" not in shown
    assert (shown["id"], shown["queue"], shown["status"], shown["replays"]) == (LETTER, "signing-starts", "open", 0)
    assert content(answer)["cursor"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 1),
        ({"reason": "processing_failed"}, 1),
        ({"reason": "http_500"}, 0),
        ({"queue": "signing-starts"}, 1),
        ({"queue": "signing-events"}, 0),
        ({"signingId": "another"}, 0),
        ({"status": "settled"}, 0),
        ({"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}, 1),
        ({"from": "2027-01-01T00:00:00Z"}, 0),
        ({"to": "2026-01-01"}, 0),
    ],
)
async def test_a_list_is_narrowed_down(query: dict[str, str], count: int) -> None:
    world = await world_with_letter()
    answer = await letters.listed(world.app, query)
    assert len(content(answer)["deadLetters"]) == count


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"from": "yesterday"}, "from"),
        ({"status": "lost"}, "status"),
        ({"cursor": "made up"}, "cursor"),
    ],
)
async def test_what_a_list_cannot_be_narrowed_by_is_named(query: dict[str, str], field: str) -> None:
    answer = await letters.listed((await world_with_letter()).app, query)
    assert (answer.status, fields(answer)) == (400, [field])


async def test_one_letter_is_shown_with_its_message() -> None:
    world = await world_with_letter()
    answer = await letters.get(world.app, LETTER)
    assert answer.status == 200
    assert RunStart.model_validate_json(content(answer)["body"])
    assert content(answer)["encoding"] == "text"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("letter_id", ["replay", "no such", "../signings", "a" * 201, ""])
async def test_an_unknown_letter_is_a_404(letter_id: str) -> None:
    world = await world_with_letter()
    answers = [
        await letters.get(world.app, letter_id),
        await letters.replay(world.app, letter_id, b""),
        await letters.discard(world.app, letter_id, b'{"note": "x"}'),
    ]
    assert [answer.status for answer in answers] == [404] * 3
    assert "deadletters" in str(content(answers[1])["nextStep"])


async def test_a_replay_says_whether_anything_was_sent() -> None:
    world = await world_with_letter()
    answers = [
        await letters.replay(world.app, LETTER, b""),
        await letters.replay(world.app, LETTER, b"{}"),
        await letters.replay(world.app, LETTER, b'{"again": true}'),
    ]
    assert [(answer.status, content(answer)["sent"]) for answer in answers] == [(200, True), (200, False), (200, True)]
    assert content(answers[2])["status"] == "replayed"
    assert content(answers[2])["replays"] == 2


async def test_a_letter_that_was_discarded_says_how_to_replay_it() -> None:
    world = await world_with_letter()
    discarded = await letters.discard(world.app, LETTER, b'{"note": "of no use"}')
    assert (discarded.status, content(discarded)["note"]) == (200, "of no use")
    answer = await letters.replay(world.app, LETTER, b"")
    assert (answer.status, content(answer)["code"]) == (409, "wrong_state")
    assert "again" in content(answer)["nextStep"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"note": ""}', b'{"note": 7}', b'{"note": "x", "reason": "y"}'])
async def test_a_discard_needs_a_note(body: bytes) -> None:
    world = await world_with_letter()
    assert (await letters.discard(world.app, LETTER, body)).status == 400
    assert (await world.dead_letters.get(LETTER)).letter.status.is_open


@pytest.mark.parametrize("body", [b"", b"{}", b'{"limit": 10}', b'{"reason": "x", "limit": 101}', b'{"resaon": "x"}'])
async def test_a_replay_of_many_needs_a_filter_and_a_bound(body: bytes) -> None:
    world = await world_with_letter()
    assert (await letters.replay_some(world.app, body)).status == 400
    assert world.queue.sent == []


async def test_a_replay_of_many_counts_what_it_did_and_leaves_settled_letters_alone() -> None:
    world = await world_with_letter()
    for number in range(2, 5):
        await poison.run(world.app, Queue.STARTS, f"m-{number}", "not json" if number == 2 else "{}")
    await poison.run(world.app, Queue.DOWNLOADS, "m-1", '{"signing_id": "x"}')
    await discard(world.app, "signing-starts-m-4", "of no use")
    order = {"reason": "processing_failed", "queue": "signing-starts", "from": "2026-01-01T00:00:00Z"}
    answer = await letters.replay_some(world.app, json.dumps(order).encode())
    assert content(answer) == {"replayed": 1, "unsent": 0, "refused": {"not_replayable": 2}, "cursor": None}
    assert len(world.queue.sent) == 1


async def test_replaying_a_signing_says_what_was_queued() -> None:
    world = World()
    signing = await world.started()
    answer = await manage.replay(world.app, signing.id)
    assert answer.status == 200
    assert content(answer)["queued"] == ["signing-events"]
    assert content(answer)["signing"]["id"] == signing.id
    assert (await manage.replay(world.app, "no-id")).status == 404
