"""Bad callbacks over HTTP: the right status, a bare body, and nothing that reaches the signing."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.stack import Stack
from tests.scenarios.play import Play

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on the internet: no function key."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


class Knock:
    """A started signing's own address, and a genuine body and headers for it."""

    def __init__(self, stack: Stack, address: str, signing: dict[str, Any]) -> None:
        self.stack = stack
        self.address = address
        self.signing = signing
        self.body = json.dumps({"pkisId": signing["providerSigningId"], "dossierStatus": "Completed"}).encode()

    def headers(self, body: bytes | None = None, **knobs: Any) -> dict[str, str]:
        signer = self.stack.sandbox.pki.signer()
        now = knobs.pop("now", datetime.now(UTC))
        return signer.headers(body or self.body, now=now, **knobs) | {"content-type": "application/json"}


@pytest_asyncio.fixture(loop_scope="session")
async def knock(play: Play) -> Knock:
    signing = await play.start(V1_ACCOUNT)
    await play.stack.sandbox.settle()
    (address,) = {
        one.url
        for one in play.stack.sandbox.callbacks_sent
        if one.request_id == signing["providerSigningId"] and signing["id"] in one.url
    }
    return Knock(play.stack, address, signing)


def is_bare(answer: httpx.Response) -> bool:
    return answer.content == b""


async def test_a_genuine_callback_is_taken(knock: Knock, anybody: httpx.AsyncClient) -> None:
    answer = await anybody.post(knock.address, content=knock.body, headers=knock.headers())
    assert (answer.status_code, is_bare(answer)) == (200, True)


async def test_a_wrong_address_is_404(knock: Knock, anybody: httpx.AsyncClient) -> None:
    for address in (knock.address[:-1] + ("A" if knock.address[-1] != "A" else "B"), knock.address.rpartition("/")[0]):
        answer = await anybody.post(address, content=knock.body, headers=knock.headers())
        assert (answer.status_code, is_bare(answer)) == (404, True)


async def test_malformed_is_400(knock: Knock, anybody: httpx.AsyncClient) -> None:
    for body in (b"{}", b"[]", b"not json", knock.body + b"{}", b'{"pkisId":"1","pkisId":"2"}'):
        answer = await anybody.post(knock.address, content=body, headers=knock.headers(body))
        assert (answer.status_code, is_bare(answer)) == (400, True), body
    no_headers = await anybody.post(knock.address, content=knock.body)
    assert (no_headers.status_code, is_bare(no_headers)) == (400, True)


async def test_unverifiable_is_401(knock: Knock, anybody: httpx.AsyncClient) -> None:
    old = datetime.now(UTC) - timedelta(hours=1)
    for headers in (knock.headers(b"another body"), knock.headers(now=old), knock.headers(pss=True)):
        answer = await anybody.post(knock.address, content=knock.body, headers=headers)
        assert (answer.status_code, is_bare(answer)) == (401, True)


async def test_a_body_lost_to_chunked_encoding_is_411(knock: Knock, anybody: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield knock.body

    answer = await anybody.post(knock.address, content=pieces(), headers=knock.headers())
    assert (answer.status_code, is_bare(answer)) == (411, True)


async def test_a_body_over_32_kib_is_413(knock: Knock, anybody: httpx.AsyncClient) -> None:
    body = b" " * (32 * 1024) + knock.body
    answer = await anybody.post(knock.address, content=body, headers=knock.headers(body))
    assert (answer.status_code, is_bare(answer)) == (413, True)


async def test_a_forged_completed_moves_nothing(knock: Knock, play: Play, anybody: httpx.AsyncClient) -> None:
    """Even a genuine signature over a false status only makes the app look for itself."""
    answer = await anybody.post(knock.address, content=knock.body, headers=knock.headers())
    assert answer.status_code == 200
    await play.until_it(knock.signing["id"], lambda one: one.get("providerStatus") == "PendingSignature")
    assert (await play.get(knock.signing["id"]))["state"] == "started"


async def test_the_reason_is_logged_and_the_sender_is_not_told(knock: Knock, anybody: httpx.AsyncClient) -> None:
    await anybody.post(knock.address, content=knock.body, headers=knock.headers(b"x"))
    log = knock.stack.host.log_text()
    assert '"event": "callback_refused"' in log
    assert "signature_mismatch" in log


async def test_a_genuine_callback_for_an_unknown_signing_moves_nothing(play: Play, anybody: httpx.AsyncClient) -> None:
    """The webhook of a whole organisation tells of requests that others have made in it."""
    sandbox = play.stack.sandbox
    signing = await play.start(V2_ACCOUNT)
    await sandbox.settle()
    address = next(one.url for one in reversed(sandbox.callbacks_sent) if one.kind == "webhook")
    foreign = {"PkisId": str(uuid.uuid4()), "DossierStatus": "Completed", "AuthenticationKey": "0" * 32}
    body = json.dumps(foreign).encode()
    headers = sandbox.pki.signer().headers(body, now=datetime.now(UTC)) | {"content-type": "application/json"}
    before, letters = _count(play, "event_for_unknown_signing"), await _letters(play)
    answer = await anybody.post(address, content=body, headers=headers)
    assert (answer.status_code, is_bare(answer)) == (200, True)
    await play.until_it(signing["id"], lambda _: _count(play, "event_for_unknown_signing") > before)
    assert (await play.get(signing["id"]))["state"] == "started"
    assert foreign["PkisId"] not in {one.path.rpartition("/")[2] for one in sandbox.calls}
    assert await _letters(play) == letters


async def _letters(play: Play) -> list[str]:
    answer = await play.client.get("/api/deadletters", params={"queue": "signing-events", "limit": 100})
    return [one["id"] for one in answer.json()["deadLetters"]]


def _count(play: Play, event: str) -> int:
    return play.stack.log_text().count(f'"event": "{event}"')


async def test_callers_need_a_key(play: Play, anybody: httpx.AsyncClient) -> None:
    for path in ("/api/signings/x", "/api/signings/x/history"):
        assert (await anybody.get(play.stack.host.base_url + path)).status_code == 401
    assert (await anybody.post(play.stack.host.base_url + "/api/signings", json={})).status_code == 401
    assert (await anybody.get(play.stack.host.base_url + "/api/health")).status_code == 200
