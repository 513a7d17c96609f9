"""`start/confirm` and `start/restart` as an operator sends them."""

from __future__ import annotations

import json

import pytest

from shared.api import manage
from shared.domain.errors import Unavailable
from shared.domain.messages import RunStart
from shared.domain.signing import State
from shared.flow import start
from tests.fakes.provider import PENDING
from tests.flow.world import World


async def lost(world: World) -> str:
    """A signing whose start is uncertain; the proof window is over."""
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await start.run(world.app, RunStart(signing_id=signing.id))
    world.forward(world.app.policy.invite_proof_after_seconds)
    return signing.id


async def test_confirm_answers_with_the_started_signing() -> None:
    world = World()
    signing_id = await lost(world)
    world.provider.statuses = [PENDING]
    answer = await manage.confirm_start(world.app, signing_id, b'{"providerSigningId": "p-1"}')
    assert (answer.status, answer.body["state"], answer.body["providerSigningId"]) == (200, State.STARTED, "p-1")


async def test_restart_answers_with_the_signing_as_it_waits() -> None:
    world = World()
    signing_id = await lost(world)
    answer = await manage.restart_start(world.app, signing_id, b'{"nobodyWasInvited": true}')
    assert (answer.status, answer.body["state"]) == (200, State.REQUESTED)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "nobodyWasInvited"),
        (b'{"nobodyWasInvited": false}', "nobodyWasInvited"),
        (b'{"nobodyWasInvited": "true"}', "nobodyWasInvited"),
        (b'{"nobodyWasInvited": 1}', "nobodyWasInvited"),
        (b'{"nobodyWasInvited": true, "force": true}', "force"),
    ],
)
async def test_a_restart_has_to_be_said_in_so_many_words(body: bytes, field: str) -> None:
    world = World()
    signing_id = await lost(world)
    answer = await manage.restart_start(world.app, signing_id, body)
    assert (answer.status, [item["field"] for item in answer.body["errors"]]) == (400, [field])
    assert (await world.signings.load(signing_id)).signing.start.is_uncertain


@pytest.mark.parametrize("theirs", [None, "", "p 1", "p-1\n", "x" * 201, 7])
async def test_a_confirmation_needs_an_id(theirs: object) -> None:
    body = json.dumps({"providerSigningId": theirs}).encode()
    world = World()
    answer = await manage.confirm_start(world.app, await lost(world), body)
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "providerSigningId")


async def test_where_nothing_is_uncertain_there_is_nothing_to_decide() -> None:
    world = World()
    signing = await world.started()
    restarted = await manage.restart_start(world.app, signing.id, b'{"nobodyWasInvited": true}')
    confirmed = await manage.confirm_start(world.app, signing.id, b'{"providerSigningId": "p-9"}')
    assert [(one.status, one.body["code"]) for one in (restarted, confirmed)] == [(409, "wrong_state")] * 2
    unknown = await manage.restart_start(world.app, "no-such-id", b'{"nobodyWasInvited": true}')
    assert unknown.status == 404
