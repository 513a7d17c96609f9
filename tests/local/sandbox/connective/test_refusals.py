"""What the simulated environment does not take, and how it says so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from local.sandbox.connective import ConnectiveSandbox, Options
from tests.local.sandbox.connective.client import BOX, CONTRACT, FIELD, Client, actor, b64, document, person

UNKNOWN = "6f0d1c1e-0000-4000-8000-000000000001"
PACKAGE = {"Initiator": "sender@example.org", "PackageName": "Lease"}


@pytest.mark.parametrize("header", [None, "Bearer x", "Basic !", "Basic YTpi"])
async def test_credentials_are_asked_for(sandbox: ConnectiveSandbox, header: str | None) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {} if header is None else {"Authorization": header}
        answer = await http.get(f"{sandbox.base_url}/webportalapi/v3/packages", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="esig"')


async def test_too_many_calls_are_turned_away() -> None:
    options = Options(rate_limit=2, rate_window_seconds=60)
    async with ConnectiveSandbox.start(options=options) as sandbox, Client(sandbox) as client:
        codes = [(await client.call("GET", "/packages")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        later = sandbox.platform.monotonic() + 61
        sandbox.platform.monotonic = lambda: later
        assert (await client.call("GET", "/packages")).status_code == 200


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"PackageName": "x"}, "Initiator"),
        ({**PACKAGE, "Initiator": "nobody"}, "Initiator"),
        ({**PACKAGE, "PackageName": "a/b"}, "PackageName"),
        ({**PACKAGE, "PackageName": "x" * 151}, "PackageName"),
        ({**PACKAGE, "CallBackUrl": "ftp://x"}, "CallBackUrl"),
        ({**PACKAGE, "ExpiryTimestamp": "2001-01-01T00:00:00Z"}, "ExpiryTimestamp"),
        ({**PACKAGE, "ExpiryTimestamp": "2090-01-01"}, "ExpiryTimestamp"),
        ({**PACKAGE, "ExternalPackageData": "x"}, "ExternalPackageData"),
        ({**PACKAGE, "DownloadUnsignedFiles": "perhaps"}, "DownloadUnsignedFiles"),
    ],
)
async def test_packages_that_are_refused(client: Client, body: dict[str, Any], names: str) -> None:
    answer = await client.call("POST", "/packages", body)
    (error,) = answer.json()["Errors"]
    assert (answer.status_code, error["ErrorCode"].rpartition(":")[2]) == (400, names)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Document": "no base64!"}, 400),
        ({"Document": b64(b"no pdf")}, 400),
        ({"DocumentLanguage": "xx"}, 400),
        ({"DocumentName": ""}, 400),
        ({"DocumentType": "image/png"}, 400),
        ({"DocumentType": "application/xml"}, 400),
        ({"PdfErrorHandling": []}, 400),
        ({"RepresentationType": "application/xml"}, 400),
        ({"SigningFields": [{"Label": "x"}]}, 400),
        ({"SigningFields": [{**FIELD, "Width": "1"}]}, 400),
        ({"SigningFields": [{**BOX, "PageNumber": 0}]}, 400),
        ({"SigningFields": [{**BOX, "PageNumber": 3}]}, 400),
        ({"SigningFields": [{**BOX, "Left": "left"}]}, 400),
        ({"SigningFields": [FIELD, FIELD]}, 400),
        ({"SigningFields": [BOX] * 31}, 400),
        ({"SigningFields": [{"MarkerOrFieldId": "_signer9_"}]}, 409),
    ],
)
async def test_documents_that_are_refused(client: Client, changes: dict[str, Any], status: int) -> None:
    package_id = await client.create()
    answer = await client.call("POST", f"/packages/{package_id}/documents", document(**changes))
    assert answer.status_code == status
    assert (await client.call("GET", f"/packages/{package_id}/locations")).json() == {"Documents": []}


@pytest.mark.parametrize(
    ("change", "version", "status"),
    [
        ({}, "v3", 200),
        ({"type": "SIGNER", "orderindex": "1", "signingtypes": [{"signingtype": "beid"}]}, "v3", 200),
        ({"Type": "Approver"}, "v3", 400),
        ({"Type": "FormFiller"}, "v3", 400),
        ({"SigningTypes": []}, "v3", 400),
        ({"SigningTypes": [{"SigningType": "Guess"}]}, "v3", 400),
        ({"SigningTypes": [{"SigningType": "SmsOtp"}]}, "v3", 400),
        ({"SigningTypes": [{"SigningType": "SmsOtp"}], "Phonenumber": "+316"}, "v3", 200),
        ({"SigningTypes": [{"SigningType": "OpenIdConnect:Bank"}]}, "v3", 200),
        ({"LocationIds": []}, "v3", 400),
        ({"LocationIds": [UNKNOWN]}, "v3", 409),
        ({"OrderIndex": None}, "v3", 400),
        ({"LegalNoticeCode": "LEGALNOTICE4"}, "v3", 400),
        ({"RedirectType": "AfterDelay"}, "v3", 400),
        ({"LocationIds": ["x"]}, "v3.1", 400),
    ],
)
async def test_people_that_are_refused(client: Client, change: dict[str, Any], version: str, status: int) -> None:
    package_id = await client.create()
    places = await client.upload(package_id)
    lowered = {name.lower() for name in change}
    base = {name: value for name, value in actor(LocationIds=places).items() if name.lower() not in lowered}
    answer = await client.process(package_id, person({**base, **change}), version=version)
    assert answer.status_code == status, answer.text


async def test_places_are_for_one_and_approvers_come_first(client: Client) -> None:
    package_id = await client.create()
    (place,) = await client.upload(package_id)
    one = actor(LocationIds=[place])
    assert (await client.process(package_id, person(one), person(one, name="Bob"))).status_code == 409
    signing = person(actor(Locations=[{"Id": place}], OrderIndex=2))
    for order, status in ((1, 200), (2, 409)):
        approving = person({"Type": "Approver", "OrderIndex": order}, name="Bob")
        assert (await client.process(package_id, signing, approving, version="v3.1")).status_code == status
    for broken in (
        {"Type": "Person", "Actors": [one]},
        {"Type": "PersonGroup", "Actors": [one]},
        {"Type": "ContactGroup", "Actors": [one]},
    ):
        assert (await client.process(package_id, broken, version="v3.1")).status_code == 400


async def test_the_process_call_replaces_everybody(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.create()
    (place,) = await client.upload(package_id)
    for name in ("Ada", "Bob"):
        await client.process(package_id, person(actor(LocationIds=[place]), name=name))
    assert [one.name for one in sandbox.state.packages[package_id].stakeholders] == ["Bob Jansen"]


async def test_what_the_state_forbids(sandbox: ConnectiveSandbox, client: Client) -> None:
    draft = await client.create()
    assert (await client.set_status(draft)).status_code == 409
    places = await client.upload(draft)
    assert (await client.set_status(draft)).status_code == 409
    assert (await client.set_status(draft, "Revoked")).status_code == 409
    assert (await client.set_status(draft, "Finished")).status_code == 400
    path = f"/packages/{draft}"
    assert (await client.call("POST", f"{path}/reminders")).status_code == 409
    late = {"ExpiryTimestamp": "2090-01-01T00:00:00Z"}
    assert (await client.call("PUT", f"{path}/expirytimestamp", late)).status_code == 409
    await client.process(draft, person(actor(LocationIds=places)))
    await client.set_status(draft)
    assert (await client.set_status(draft)).status_code == 409
    assert (await client.process(draft, person(actor(LocationIds=places)))).status_code == 409
    assert (await client.call("POST", f"{path}/documents", document())).status_code == 409
    document_id = sandbox.state.packages[draft].documents[0].id
    assert (await client.call("DELETE", f"{path}/documents/{document_id}")).status_code == 409
    assert (await client.call("GET", f"{path}/download/{document_id}")).status_code == 409
    assert (await client.call("DELETE", path)).status_code == 409
    await sandbox.complete(draft)
    assert (await client.call("DELETE", path)).status_code == 200
    assert (await client.call("GET", f"{path}/status")).status_code == 404
    unsent = await client.create()
    assert (await client.call("DELETE", f"/packages/{unsent}")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/status", None, 404),
        ("PUT", "/status", {"Status": "Pending"}, 404),
        ("GET", "/locations", None, 404),
        ("POST", "/documents", document(), 404),
        ("PUT", "/process", {"Stakeholders": []}, 404),
        ("POST", "/skipsigners", None, 404),
        ("POST", "/reminders", None, 400),
        ("PUT", "/expirytimestamp", {"ExpiryTimestamp": "2090-01-01T00:00:00Z"}, 404),
        ("GET", "/download", None, 404),
        ("GET", f"/download/{UNKNOWN}", None, 404),
        ("GET", "/auditproof/download", None, 404),
        ("POST", "/auditproof/proofs", {}, 404),
        ("DELETE", "", None, 404),
        ("DELETE", f"/documents/{UNKNOWN}", None, 404),
    ],
)
async def test_an_unknown_package(client: Client, method: str, path: str, body: Any, status: int) -> None:
    answer = await client.call(method, f"/packages/{UNKNOWN}{path}", body)
    assert answer.status_code == status
    assert answer.json()["Errors"][0]["ErrorCode"] == f"Package.NotFound:{UNKNOWN}"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("wrapped", '{"Errors": [{"ErrorCode": "Package.NotFound:'),
        ("single", '{"ErrorCode": "Package.NotFound:'),
        ("array", '[{"ErrorCode": "Package.NotFound:'),
        ("html", "<html>"),
        ("empty", ""),
    ],
)
async def test_forms_of_errors(sandbox: ConnectiveSandbox, client: Client, form: str, text: str) -> None:
    await client.http.post(f"{sandbox.base_url}/_sandbox/options", json={"error_form": form})
    answer = await client.call("GET", f"/packages/{UNKNOWN}/status")
    assert answer.status_code == 404
    assert answer.text.startswith(text)
    assert bool(answer.text) == bool(text)


async def test_switches_of_the_environment(sandbox: ConnectiveSandbox, client: Client) -> None:
    sandbox.options.portal_users = ["sender@example.org"]
    refused = await client.call("POST", "/packages", {**PACKAGE, "Initiator": "other@example.org"})
    assert refused.json()["Errors"][0]["ErrorCode"] == "User.NotFound:other@example.org"
    package_id = await client.create()
    sandbox.options.audit_proofs = False
    assert (await client.call("POST", "/packages", {**PACKAGE, "CorrelationId": "c"})).status_code == 400
    sandbox.options.max_document_bytes = len(CONTRACT) - 1
    answer = await client.call("POST", f"/packages/{package_id}/documents", document())
    assert answer.status_code == 400
    answer = await client.http.put(f"{client.root}/v3/packages/{package_id}/status", content=b"Status=Pending")
    assert answer.status_code == 400


async def test_lists_go_page_by_page(sandbox: ConnectiveSandbox, client: Client) -> None:
    ids = [await client.create(ExternalPackageReference=f"r{number}") for number in range(5)]
    first = (await client.call("GET", "/packages", MaxQuantity=2)).json()
    assert (first["Total"], first["MaxQuantity"], len(first["Items"])) == (5, 2, 2)
    assert first["Items"][0] == {"Id": ids[0], "PackageStatus": "DRAFT", "ExternalPackageReference": "r0"}
    seen, token = [one["Id"] for one in first["Items"]], first["ContinuationToken"]
    while token:
        page = (await client.call("GET", "/packages", continuationtoken=token, MaxQuantity=2)).json()
        seen, token = seen + [one["Id"] for one in page["Items"]], page["ContinuationToken"]
    assert seen == ids
    newest = (await client.call("GET", "/packages", SortOrder="desc", Status="draft")).json()
    assert [one["Id"] for one in newest["Items"]] == ids[::-1]
    for query, count in (
        ({"createdAfterDate": "2090-01-01"}, 0),
        ({"CreatedBeforeDate": "2090-01-01T00:00:00Z"}, 5),
        ({"Status": "Pending"}, 0),
    ):
        assert len((await client.call("GET", "/packages", **query)).json()["Items"]) == count
    for query in (
        {"ContinuationToken": "x"},
        {"MaxQuantity": "0"},
        {"MaxQuantity": "x"},
        {"SortOrder": "up"},
        {"Status": "Sleeping"},
        {"createdAfterDate": "soon"},
    ):
        assert (await client.call("GET", "/packages", **query)).status_code == 400
