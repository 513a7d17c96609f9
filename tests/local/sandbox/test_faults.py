"""Each fault switch does what it says, as often as it says."""

from __future__ import annotations

import io
import time
import zipfile

import httpx
import pytest

from local.sandbox.faults import Fault, FaultKind, FaultPlan
from local.sandbox.pdf import inspect_pdf
from local.sandbox.pkisigning import PkisigningSandbox
from tests.local.sandbox.client import CONTRACT, Client, signer

BODY = {"name": "Lease", "clearancelevel": 1}


@pytest.mark.parametrize(("status", "retry_after"), [(429, "1"), (402, None), (500, None), (503, None)])
async def test_status_without_acting(
    sandbox: PkisigningSandbox, client: Client, status: int, retry_after: str | None
) -> None:
    sandbox.fault(FaultKind.STATUS, "Requests_Create", status=status)
    assert (await client.http.get("/Organisations/current")).status_code == 200
    refused = await client.http.post("/requests", json=BODY)
    assert (refused.status_code, refused.headers.get("retry-after")) == (status, retry_after)
    assert sandbox.state.requests == {}
    assert (await client.http.post("/requests", json=BODY)).status_code == 201


async def test_status_after_acting(sandbox: PkisigningSandbox, client: Client) -> None:
    sandbox.fault("status_after", "Requests_Create", status=503, retry_after=7)
    refused = await client.http.post("/requests", json=BODY)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    assert len(sandbox.state.requests) == 1


async def test_lost_answer_has_acted_and_hanging_up_before_has_not(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, _ = await client.prepared()
    sandbox.fault("hang_up_before", "Requests_Send")
    sandbox.fault("lost_answer", "Requests_Send")
    for invitations in (0, 1):
        with pytest.raises(httpx.TransportError):
            await client.http.post(f"/requests/{request_id}/Send")
        assert sandbox.invitations_sent(request_id) == invitations
    assert sandbox.state.start_calls[request_id] == 1
    cut_off = [call.status for call in sandbox.calls if call.operation == "Requests_Send"]
    assert cut_off == [0, 0]


async def test_slow(sandbox: PkisigningSandbox, client: Client) -> None:
    sandbox.fault("slow", seconds=0.3)
    began = time.monotonic()
    assert (await client.http.get("/Organisations/current")).status_code == 200
    assert time.monotonic() - began >= 0.3


async def test_truncated_and_corrupt_bodies(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    await sandbox.complete(request_id)
    path = f"/requests/{request_id}/Download"
    whole = (await client.http.get(path)).content
    sandbox.fault("truncate", "Requests_Download", at_byte=1000)
    received = bytearray()
    with pytest.raises(httpx.RemoteProtocolError):
        await _read_into(received, client, path)
    assert received == whole[:1000]
    sandbox.fault("corrupt", "Requests_Download", at_byte=1000)
    damaged = (await client.http.get(path)).content
    assert [at for at in range(len(whole)) if whole[at] != damaged[at]] == [1000]
    sandbox.fault("truncate", "Requests_Get")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.http.get(f"/requests/{request_id}")


async def _read_into(received: bytearray, client: Client, path: str) -> None:
    async with client.http.stream("GET", path) as answer:
        async for chunk in answer.aiter_raw():
            received += chunk


async def test_late_seal(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, _ = await client.prepared()
    await client.add(request_id, (await client.upload(request_id, name="annex.pdf")).json()["id"], signer(2))
    (await client.http.post(f"/requests/{request_id}/Send")).raise_for_status()
    await sandbox.complete(request_id)
    path = f"/requests/{request_id}/Download"
    sandbox.fault("late_seal", times=2)
    sandbox.fault("late_seal", seal="unsigned")
    sandbox.fault("late_seal", seal="incomplete")
    assert [(await client.http.get(path)).status_code for _ in range(2)] == [409, 409]
    unsigned, incomplete, sealed = [
        zipfile.ZipFile(io.BytesIO((await client.http.get(path)).content)) for _ in range(3)
    ]
    assert unsigned.read("lease.pdf") == CONTRACT
    assert incomplete.namelist() == ["lease.pdf", "Audit trail.pdf"]
    assert sealed.namelist() == ["lease.pdf", "annex.pdf", "Audit trail.pdf"]
    assert inspect_pdf(sealed.read("annex.pdf")).signatures == 1


async def test_late_seal_by_time(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    await sandbox.complete(request_id)
    sandbox.fault("late_seal", seconds=60)
    path = f"/requests/{request_id}/Download"
    assert (await client.http.get(path)).status_code == 409
    later = sandbox.faults.monotonic() + 61
    sandbox.faults.monotonic = lambda: later
    assert (await client.http.get(path)).status_code == 200


async def test_late_status_shows_the_one_before(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    await sandbox.complete(request_id)
    sandbox.fault("late_status", times=2)
    seen = [await client.status(request_id) for _ in range(3)]
    assert seen == ["PendingSignature", "PendingSignature", "Completed"]


async def test_switches_by_http(sandbox: PkisigningSandbox, client: Client) -> None:
    fault = {"kind": "status", "status": 503, "times": 2, "skip": 1}
    assert (await client.http.post("/_sandbox/faults", json=fault)).status_code == 204
    assert (await client.http.post("/_sandbox/faults", json={"kind": "meteor"})).status_code == 400
    codes = [(await client.http.get("/Organisations/current")).status_code for _ in range(3)]
    assert codes == [200, 503, 503]
    assert (await client.http.get("/_sandbox/faults")).json() == []
    await client.http.post("/_sandbox/faults", json=fault | {"times": None})
    assert len((await client.http.get("/_sandbox/faults")).json()) == 1
    assert (await client.http.delete("/_sandbox/faults")).status_code == 204
    assert (await client.http.get("/Organisations/current")).status_code == 200
    calls = (await client.http.get("/_sandbox/calls")).json()
    assert [call["status"] for call in calls[1:]] == [200, 503, 503, 200]
    assert (await client.http.get("/_sandbox/trust.pem")).content == sandbox.trust_bundle_pem


def test_probability_follows_the_seed() -> None:
    def hits(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.add(Fault(kind=FaultKind.STATUS, times=None, probability=0.5))
        return [bool(plan.take("Anything")) for _ in range(64)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 16 < sum(hits(1)) < 48
