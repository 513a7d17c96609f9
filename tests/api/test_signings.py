"""Repeats of `POST /api/signings` as the caller sees them."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.api import signings
from shared.domain.errors import CreditsExhausted, ProviderError, Rejected, Unavailable
from shared.domain.signing import Failure, State
from tests.flow.world import PDF, World

KEY = {"idempotency-key": "order-1"}


def body(**changes: Any) -> bytes:
    person = {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org", "placements": [{"text": "_s1_"}]}
    content: dict[str, Any] = {
        "account": "memory",
        "title": "Lease",
        "documents": [{"name": "lease.pdf", "content": base64.b64encode(PDF).decode()}],
        "participants": [person],
    }
    return json.dumps(content | changes).encode()


async def test_a_repeat_gets_the_first_answer_and_is_told_so() -> None:
    world = World()
    first = await signings.start(world.app, body(), KEY)
    again = await signings.start(world.app, body(), KEY)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert world.provider.invited == ["p-1"]


async def test_a_repeat_after_its_deadline_gets_the_first_answer_and_anything_else_is_refused() -> None:
    world = World()
    wish = body(deadline=(world.clock + timedelta(days=1)).isoformat())
    first = await signings.start(world.app, wish, KEY)
    world.forward(2 * 86400)
    again = await signings.start(world.app, wish, KEY)
    assert (again.status, again.body, again.headers["idempotency-replayed"]) == (201, first.body, "true")
    refused = await signings.start(world.app, wish, {"idempotency-key": "order-2"})
    assert (refused.status, refused.body["errors"]) == (400, [{"field": "deadline", "message": "lies in the past"}])


@pytest.mark.parametrize(("error", "status"), [(Rejected("bad placeholder"), 422), (CreditsExhausted("none"), 402)])
async def test_a_failed_start_is_replayed_as_the_same_problem(error: ProviderError, status: int) -> None:
    world = World()
    world.provider.fail_at["create"] = error
    first = await signings.start(world.app, body(), KEY)
    again = await signings.start(world.app, body(), KEY)
    assert (first.status, first.body["code"]) == (status, error.code)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert world.provider.created == []


async def test_a_start_in_progress_is_answered_with_the_same_signing() -> None:
    world = World()
    world.provider.fail_at["create"] = Unavailable("502", sent=True)
    first = await signings.start(world.app, body(), KEY)
    again = await signings.start(world.app, body(), KEY)
    assert (again.status, again.body["id"], again.body["state"]) == (201, first.body["id"], State.REQUESTED)


async def test_a_signing_that_failed_after_its_start_was_started_all_the_same() -> None:
    world = World()
    first = await signings.start(world.app, body(), KEY)
    loaded = await world.signings.load(first.body["id"])
    failure = Failure(code="provider_not_found", detail="gone", next_step="")
    changed = loaded.signing.model_copy(update={"state": State.FAILED, "failure": failure})
    await world.signings.save(loaded, changed, [])
    again = await signings.start(world.app, body(), KEY)
    assert (again.status, again.body["state"]) == (201, State.FAILED)


async def test_another_body_with_the_same_key_names_the_first_signing() -> None:
    world = World()
    first = await signings.start(world.app, body(), KEY)
    refused = await signings.start(world.app, body(title="Other"), KEY)
    assert (refused.status, refused.body["code"]) == (422, "idempotency_mismatch")
    assert refused.body["signingId"] == first.body["id"]
    assert refused.body["retryable"] is False


async def test_the_headers_of_a_workflow_platform_are_a_key() -> None:
    world = World()
    headers = {"x-ms-workflow-run-id": "run", "x-ms-action-tracking-id": "action"}
    first = await signings.start(world.app, body(), headers)
    assert (await signings.start(world.app, body(), headers)).body["id"] == first.body["id"]
    other = await signings.start(world.app, body(), headers | {"x-ms-action-tracking-id": "another"})
    assert other.body["id"] != first.body["id"]
