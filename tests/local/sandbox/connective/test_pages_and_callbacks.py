"""The pages behind a signing link, the callbacks that follow, and the fault switches."""

from __future__ import annotations

import io
import zipfile

import httpx
import pytest

from local.sandbox.connective import CallbackKnobs, ConnectiveSandbox
from local.sandbox.faults import FaultKind
from local.sandbox.pdf import inspect_pdf
from tests.local.sandbox.connective.client import CONTRACT, Client
from tests.providers.stand_ins import ScriptedServer


def link_of(status: dict[str, object], at: int = 0) -> str:
    people = status["Stakeholders"]
    assert isinstance(people, list)
    return str(people[at]["Actors"][0]["ActionUrl"])


async def test_a_person_reads_signs_and_sees_a_confirmation(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.sent(signers=2)
    sandbox.state.packages[package_id].name = "<b>Lease"
    link = link_of(await client.status(package_id))
    async with httpx.AsyncClient(trust_env=False, base_url=sandbox.base_url) as browser:
        overview = (await browser.get("/")).text
        assert link.removeprefix(sandbox.base_url) in overview
        page = (await browser.get(link)).text
        assert "&lt;b&gt;Lease" in page
        shown = page.partition('<li><a href="')[2].partition('"')[0]
        assert (await browser.get(shown)).content == CONTRACT
        done = await browser.post(link, data={"choice": "accept"})
        assert "You have signed" in done.text
        assert "You have signed" in (await browser.get(link)).text
        assert (await browser.post(link, data={"choice": "accept"})).status_code == 409
        second = link_of(await client.status(package_id), 1)
        refused = await browser.post(second, data={"choice": "decline", "reason": "Too late"})
        assert "Rejected" in refused.text
        assert (await browser.get("/signinit?token=x")).status_code == 404
    assert (await client.status(package_id))["PackageStatus"] == "Rejected"


async def test_a_link_opens_once_and_a_new_one_is_asked_for(sandbox: ConnectiveSandbox, client: Client) -> None:
    async with ScriptedServer.start() as receiver, httpx.AsyncClient(trust_env=False) as browser:
        package_id = await client.sent(NotificationCallBackUrl=f"{receiver.base_url}/links")
        link = link_of(await client.status(package_id))
        assert "Sign" in (await browser.get(link)).text
        again = (await browser.get(link)).text
        assert "Request a new link" in again
        assert (await browser.post(link.replace("/signinit", "/signinit/renew"))).status_code == 200
        await sandbox.settle()
        assert [one.raw_path for one in receiver.seen] == ["/links"]
        assert [one.kind for one in sandbox.callbacks_sent] == ["notification"]
        fresh = link_of(await client.status(package_id))
        assert fresh != link
        assert "Request" not in (await browser.get(fresh)).text


@pytest.mark.parametrize(
    ("form", "method", "content_type"),
    [
        ("empty", "POST", "application/octet-stream"),
        ("json", "POST", "application/json"),
        ("form", "POST", "application/x-www-form-urlencoded"),
        ("get", "GET", None),
    ],
)
async def test_forms_of_callbacks(
    sandbox: ConnectiveSandbox, client: Client, form: str, method: str, content_type: str | None
) -> None:
    async with ScriptedServer.start() as receiver:
        knobs = {"form": form}
        assert (await client.http.post(f"{sandbox.base_url}/_sandbox/callbacks/knobs", json=knobs)).status_code == 204
        package_id = await client.sent(CallBackUrl=f"{receiver.base_url}/cb?x=1")
        await sandbox.complete(package_id)
        await sandbox.settle()
        (seen,) = receiver.seen
    assert (seen.method, seen.headers.get("Content-Type")) == (method, content_type)
    assert (package_id in seen.body.decode() + seen.raw_path) == (form != "empty")
    listed = (await client.http.get(f"{sandbox.base_url}/_sandbox/callbacks")).json()
    assert [(one["outcome"], one["status"], one["answers"]) for one in listed] == [("delivered", "Finished", [204])]


async def test_callbacks_are_copied_dropped_held_back_and_repeated(sandbox: ConnectiveSandbox, client: Client) -> None:
    async with ScriptedServer.start() as receiver:
        package_id = await client.sent(signers=2, CallBackUrl=f"{receiver.base_url}/cb")
        sandbox.set_knobs(CallbackKnobs(reorder=2, form="json", copies=2))
        await sandbox.sign(package_id)
        await sandbox.sign(package_id)
        await sandbox.settle()
        assert [one.attempts for one in sandbox.callbacks_sent] == [2, 2]
        sandbox.set_knobs(CallbackKnobs(drop=True))
        other = await client.sent(CallBackUrl=f"{receiver.base_url}/cb")
        sandbox.withdraw(other)
        await sandbox.settle()
        assert sandbox.callbacks_sent[-1].outcome == "dropped"
        resend = f"{sandbox.base_url}/_sandbox/callbacks/{sandbox.callbacks_sent[-1].id}/resend"
        assert (await client.http.post(resend)).status_code == 204
        await sandbox.settle()
        assert len(receiver.seen) == 5
        assert (await client.http.post(f"{sandbox.base_url}/_sandbox/callbacks/x/resend")).status_code == 404


async def test_nobody_listens_and_nobody_is_told(sandbox: ConnectiveSandbox, client: Client) -> None:
    sandbox.set_knobs(CallbackKnobs(retries=1))
    package_id = await client.sent(CallBackUrl="http://127.0.0.1:9/cb")
    await sandbox.complete(package_id)
    await sandbox.settle()
    (lost,) = sandbox.callbacks_sent
    assert (lost.outcome, lost.answers) == ("unreachable", [0, 0])
    sandbox.options.announce_ends = False
    sandbox.expire(await client.sent(CallBackUrl="http://127.0.0.1:9/cb"))
    await sandbox.complete(await client.sent())
    assert len(sandbox.callbacks_sent) == 1


async def test_late_seals_and_late_statuses(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.sent()
    await sandbox.complete(package_id)
    path = f"/packages/{package_id}/download"
    document_id = sandbox.state.packages[package_id].documents[0].id
    for operation in ("DownloadPackage", "DownloadDocumentFromPackage"):
        sandbox.fault(FaultKind.LATE_SEAL, operation)
        sandbox.fault(FaultKind.LATE_SEAL, operation, seal="unsigned")
        sandbox.fault(FaultKind.LATE_SEAL, operation, seal="incomplete")
    assert (await client.call("GET", path)).status_code == 409
    unsigned, incomplete, sealed = [
        zipfile.ZipFile(io.BytesIO((await client.call("GET", path)).content)) for _ in range(3)
    ]
    assert unsigned.read("lease.pdf") == CONTRACT
    assert incomplete.namelist() == []
    assert inspect_pdf(sealed.read("lease.pdf")).signatures == 1
    one = f"{path}/{document_id}"
    assert (await client.call("GET", one)).status_code == 409
    contents = [(await client.call("GET", one)).content for _ in range(3)]
    assert contents[0] == CONTRACT
    assert contents[2].startswith(contents[1])
    sandbox.fault(FaultKind.LATE_STATUS, times=1)
    assert [(await client.status(package_id))["PackageStatus"] for _ in range(2)] == ["Pending", "Finished"]
    sandbox.fault(FaultKind.LATE_SEAL, "PackageAuditProof")
    proofs = [(await client.call("GET", f"/packages/{package_id}/auditproof/download")).status_code for _ in "ab"]
    assert proofs == [409, 200]


async def test_published_slips_on_a_switch(sandbox: ConnectiveSandbox, client: Client) -> None:
    sandbox.options.quirks = True
    sandbox.options.waiting_status = "Draft"
    package_id = await client.sent(signers=2)
    first, second = (await client.status(package_id))["Stakeholders"]
    assert isinstance(first["Actors"], dict)
    assert first["Actors"]["ActionUrls"] is None
    assert "UserSigningType" in first["Actors"]["Locations"][0]
    assert second["Actors"]["ActorStatus"] == "Draft"
