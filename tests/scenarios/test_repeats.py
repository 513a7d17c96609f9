"""The same order many times at once, whatever tells that it is the same."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from tests.scenarios.play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


def by_header() -> tuple[dict[str, Any], dict[str, str]]:
    return {}, {"Idempotency-Key": secrets.token_hex(8)}


def by_body() -> tuple[dict[str, Any], dict[str, str]]:
    return {"idempotencyKey": secrets.token_hex(8)}, {}


def by_platform() -> tuple[dict[str, Any], dict[str, str]]:
    headers = {"x-ms-workflow-id": "w", "x-ms-workflow-run-id": secrets.token_hex(8), "x-ms-action-tracking-id": "a"}
    return {"reference": None}, headers


def by_reference() -> tuple[dict[str, Any], dict[str, str]]:
    return {}, {}


@pytest.mark.parametrize("source", [by_header, by_body, by_platform, by_reference])
async def test_eight_equal_orders_at_once_invite_once(play: Play, source: Any) -> None:
    changes, headers = source()
    title = f"Lease {secrets.token_hex(6)}"
    order = play.order(title=title, **changes)
    answers = await asyncio.gather(*(play.post(order, **headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", *["true"] * 7]
    (signing_id,) = {answer.json()["id"] for answer in answers}
    started = await play.until(signing_id, "started")
    assert play.invitations(started) == 1
    assert len(play.stack.sandbox.state.named(title)) == 1
    refused = await play.post(order | {"title": "Another lease"}, **headers)
    if source is by_platform:
        assert refused.json()["id"] != signing_id
    else:
        assert (refused.status_code, refused.json()["signingId"]) == (422, signing_id)


async def test_after_a_refusal_by_a_signer_another_order_is_a_new_try_and_a_copy_is_not(play: Play) -> None:
    order = play.order()
    first = (await play.post(order)).json()
    await play.stack.sandbox.decline(first["providerSigningId"], reason="The rent is too high")
    await play.until(first["id"], "declined")
    copy = await play.post(order)
    assert (copy.json()["id"], copy.json()["state"]) == (first["id"], "declined")
    assert copy.headers["Idempotency-Replayed"] == "true"
    answers = await asyncio.gather(*(play.post({**order, "title": "Lease, lower rent"}) for _ in range(4)))
    (second_id,) = {answer.json()["id"] for answer in answers}
    assert second_id != first["id"]
    assert play.invitations(await play.until(second_id, "started")) == 1


@pytest.mark.parametrize("source", [by_header, by_body, by_platform, by_reference])
async def test_an_order_is_known_again_when_its_document_is_gone_from_the_inbox(play: Play, source: Any) -> None:
    changes, headers = source()
    path = f"{secrets.token_hex(6)}.pdf"
    order = play.order(documents=[{"name": "lease.pdf", "blob": await play.put_into_inbox(path)}], **changes)
    first = await play.post(order, **headers)
    await play.clear_from_inbox(path)
    again = await play.post(order, **headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (first.json()["id"], "true")
    assert (await play.post({**order, "title": "Other"}, **headers)).status_code == 400
    assert play.invitations(await play.get(first.json()["id"])) == 1
