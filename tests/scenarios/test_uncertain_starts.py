"""An invitation of which nobody knows whether it went out, and the operator who looks at the provider."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from local.players import V1_ACCOUNT
from local.sandbox.pkisigning import CallbackKnobs
from tests.scenarios.play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def uncertain(play: Play, fault: str) -> dict[str, Any]:
    """A V1 signing whose start call got no answer and whose callbacks got lost: nothing can be looked up."""
    play.stack.sandbox.set_knobs(CallbackKnobs(drop=True))
    play.stack.sandbox.fault(fault, "Share_StartSignFlow")
    signing = await play.start(V1_ACCOUNT, title=f"Lease {secrets.token_hex(6)}")
    waiting = await play.until_it(signing["id"], lambda one: "attention" in one)
    assert (waiting["state"], waiting["attention"]["code"]) == ("requested", "start_uncertain")
    return waiting


async def decide(play: Play, signing: dict[str, Any], decision: str, **body: object) -> Any:
    return await play.client.post(f"/api/signings/{signing['id']}/start/{decision}", json=body)


async def test_the_operator_finds_the_signing_at_the_provider(play: Play) -> None:
    signing = await uncertain(play, "lost_answer")
    (request,) = play.stack.sandbox.state.named(signing["title"])
    wrong = await decide(play, signing, "confirm", providerSigningId="6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e11")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "providerSigningId")
    answer = await decide(play, signing, "confirm", providerSigningId=request.id)
    assert (answer.status_code, answer.json()["state"]) == (200, "started"), answer.text
    play.stack.sandbox.set_knobs(CallbackKnobs())
    await play.stack.sandbox.complete(request.id)
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    assert "attention" not in stored
    assert play.invitations(stored) == 1
    assert len(play.stack.sandbox.state.named(signing["title"])) == 1
    await play.told(signing["id"], "started", "completed", "stored")


async def test_the_operator_finds_nothing_at_the_provider(play: Play) -> None:
    signing = await uncertain(play, "hang_up_before")
    assert play.stack.sandbox.state.named(signing["title"]) == []
    unsaid = await decide(play, signing, "restart")
    assert (unsaid.status_code, unsaid.json()["errors"][0]["field"]) == (400, "nobodyWasInvited")
    answer = await decide(play, signing, "restart", nobodyWasInvited=True)
    assert answer.status_code == 200, answer.text
    started = await play.until(signing["id"], "started")
    assert "attention" not in started
    assert len(play.stack.sandbox.state.named(signing["title"])) == 1
    assert play.invitations(started) == 1
    again = await decide(play, signing, "restart", nobodyWasInvited=True)
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


async def test_the_operator_was_wrong_and_the_second_invitation_shows(play: Play) -> None:
    signing = await uncertain(play, "lost_answer")
    (first,) = play.stack.sandbox.state.named(signing["title"])
    assert (await decide(play, signing, "restart", nobodyWasInvited=True)).status_code == 200
    await play.until(signing["id"], "started")
    play.stack.sandbox.set_knobs(CallbackKnobs())
    await play.stack.sandbox.complete(first.id)
    seen = await play.until_it(signing["id"], lambda one: "attention" in one)
    assert (seen["state"], seen["attention"]["code"]) == ("started", "conflict")
    assert seen["providerSigningId"] != first.id
    entries = [one["facts"] for one in await play.history(signing["id"]) if one["kind"] == "conflict"]
    assert [one["other_provider_signing_id"] for one in entries] == [first.id]
