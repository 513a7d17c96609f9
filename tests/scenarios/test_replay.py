"""Dead letters in an operator's hands, over HTTP, through the whole app."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from azure.storage.queue.aio import QueueClient

from local.players import V2_ACCOUNT
from local.sandbox.pkisigning import CallbackKnobs
from shared.domain.messages import Message, ProviderEvent, RunStart
from shared.domain.states import Source
from tests.scenarios.play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def put(play: Play, queue: str, message: Message) -> None:
    async with QueueClient.from_connection_string(play.stack.azurite.connection_string, queue) as client:
        await client.send_message(message.model_dump_json())


async def letters(play: Play, **query: str) -> list[dict[str, Any]]:
    answer = await play.client.get("/api/deadletters", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["deadLetters"]
    return found


async def settle(play: Play, letter: dict[str, Any], how: str, **body: object) -> httpx.Response:
    return await play.client.post(f"/api/deadletters/{letter['id']}/{how}", json=body)


def is_calm(signing: dict[str, Any]) -> bool:
    return "attention" not in signing


async def actions(play: Play, signing: dict[str, Any]) -> list[str]:
    return [entry["facts"]["action"] for entry in await play.history(signing["id"]) if entry["kind"] == "managed"]


async def test_the_event_that_was_lost_to_poison_is_replayed_and_the_signing_gets_stored(play: Play) -> None:
    play.stack.sandbox.set_knobs(CallbackKnobs(drop=True))
    signing = await play.start()
    await play.stack.sandbox.complete(signing["providerSigningId"])
    lost = ProviderEvent(account=V2_ACCOUNT, source=Source.CALLBACK, provider_signing_id=signing["providerSigningId"])
    await put(play, "signing-events-poison", lost)
    flagged = await play.until_it(signing["id"], lambda one: "attention" in one)
    assert (flagged["state"], flagged["attention"]["code"]) == ("started", "poison")

    (letter,) = await letters(play, signingId=signing["id"], status="open")
    assert (letter["queue"], letter["reason"]) == ("signing-events", "processing_failed")
    whole = (await play.client.get(f"/api/deadletters/{letter['id']}")).json()
    assert ProviderEvent.model_validate_json(whole["body"]) == lost

    answer = await settle(play, letter, "replay")
    assert (answer.status_code, answer.json()["sent"]) == (200, True), answer.text
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    assert is_calm(stored)
    assert await letters(play, signingId=signing["id"], status="open") == []
    (settled,) = await letters(play, signingId=signing["id"])
    assert (settled["status"], settled["replays"]) == ("replayed", 1)
    assert await actions(play, stored) == ["replay"]
    again = await settle(play, letter, "replay")
    assert (again.status_code, again.json()["sent"]) == (200, False)


async def test_a_notification_that_was_given_up_is_delivered_by_a_replay(play: Play) -> None:
    play.stack.receiver.statuses_for["replayed"] = deque([500, 500, 500])
    signing = await play.start(reference="replayed")
    await play.until_it(signing["id"], lambda one: not is_calm(one))
    (letter,) = await letters(play, signingId=signing["id"], reason="http_500")
    assert (await settle(play, letter, "replay")).json()["sent"] is True
    await play.told(signing["id"], "started")
    ids = [one.event["id"] for one in play.stack.receiver.deliveries if one.event["subject"] == signing["id"]]
    assert len(ids) == 4
    assert len(set(ids)) == 1
    told = await play.until_it(signing["id"], lambda one: one["notifications"][0]["deliveredAt"] is not None)
    assert is_calm(told)


async def test_a_letter_of_no_use_is_discarded_with_a_note(play: Play) -> None:
    signing = await play.start()
    await put(play, "signing-starts-poison", RunStart(signing_id=signing["id"]))
    await play.until_it(signing["id"], lambda one: not is_calm(one))
    (letter,) = await letters(play, signingId=signing["id"])
    answer = await settle(play, letter, "discard", note="the signing had started already")
    assert answer.status_code == 200, answer.text
    (settled,) = await letters(play, signingId=signing["id"], status="settled")
    assert (settled["status"], settled["note"]) == ("discarded", "the signing had started already")
    assert is_calm(await play.get(signing["id"]))
    assert "had started already" not in str(await play.history(signing["id"]))
    assert (await settle(play, letter, "replay")).status_code == 409


async def test_all_that_one_bad_hour_left_behind_is_replayed_by_reason(play: Play) -> None:
    began = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    signings = []
    for number in range(3):
        play.stack.receiver.statuses_for[f"hour-{number}"] = deque([503, 503, 503])
        signings.append(await play.start(reference=f"hour-{number}"))
    for signing in signings:
        await play.until_it(signing["id"], lambda one: not is_calm(one))

    order: dict[str, object] = {"from": began, "reason": "http_503", "limit": 2}
    first = (await play.client.post("/api/deadletters/replay", json=order)).json()
    assert (first["replayed"], first["refused"]) == (2, {})
    second = (await play.client.post("/api/deadletters/replay", json=order | {"cursor": first["cursor"]})).json()
    assert (second["replayed"], second["refused"], second["cursor"]) == (1, {}, None)
    for signing in signings:
        await play.told(signing["id"], "started")
    assert (await play.client.post("/api/deadletters/replay", json={"limit": 2})).status_code == 400


async def test_a_signing_is_brought_on_whatever_was_lost(play: Play) -> None:
    play.stack.sandbox.set_knobs(CallbackKnobs(drop=True))
    play.stack.receiver.statuses_for["brought-on"] = deque([410])
    signing = await play.start(reference="brought-on")
    await play.stack.sandbox.complete(signing["providerSigningId"])
    await play.until_it(signing["id"], lambda one: not is_calm(one))
    answer = await play.client.post(f"/api/signings/{signing['id']}/replay")
    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["queued"]) == ["caller-notifications", "signing-events"]
    stored = await play.until(signing["id"], "stored")
    assert is_calm(stored)
    await play.told(signing["id"], "started", "completed", "stored")
