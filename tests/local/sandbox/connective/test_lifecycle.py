"""From draft to every end, by plain HTTP."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree.ElementTree import fromstring

import httpx
import pytest
from asn1crypto import pem, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, append_signature_field
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from local.sandbox.connective import ConnectiveSandbox
from local.sandbox.pdf import page_of_text
from tests.local.sandbox.connective.client import BOX, CONTRACT, FIELD, Client, actor, b64, person


async def signers_of(pdf: bytes, sandbox: ConnectiveSandbox) -> list[str]:
    """The names in all signatures, each of which must be valid and lead to the simulator's root."""
    _, _, der = pem.unarmor(sandbox.trust_bundle_pem)
    context = ValidationContext(trust_roots=[x509.Certificate.load(der)], allow_fetching=False)
    usage = KeyUsageConstraints(key_usage={"digital_signature"})
    names = []
    for embedded in PdfFileReader(io.BytesIO(pdf)).embedded_regular_signatures:
        verdict = await async_validate_pdf_signature(embedded, context, key_usage_settings=usage)
        assert verdict.intact
        assert verdict.valid
        assert verdict.trusted
        names.append(verdict.signing_cert.subject.native["common_name"])
    return names


async def test_from_draft_to_signed_documents(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.create(ExternalPackageReference="our-1", CorrelationId="c")
    first, second = await client.upload(package_id, FIELD, {**BOX, "PageNumber": -1})
    located = (await client.call("GET", f"/packages/{package_id}/locations")).json()["Documents"]
    assert [(one["Label"], one["PageNumber"]) for one in located[0]["Locations"]] == [("one", 2), ("two", 2)]
    people = (
        person(actor(LocationIds=[first])),
        person(actor(LocationIds=[second], OrderIndex=2), name="Bob"),
        person({"Type": "Receiver"}, name="Cem"),
    )
    assert (await client.process(package_id, *people)).status_code == 200
    sent = (await client.set_status(package_id)).json()
    states = [one["Actors"][0]["ActorStatus"] for one in sent["Stakeholders"]]
    assert (sent["PackageStatus"], states) == ("Pending", ["Available", "Waiting", "Waiting"])
    assert sandbox.invitations_sent(package_id) == sandbox.invitations_total == 1
    await sandbox.sign(package_id)
    await sandbox.complete(package_id)
    done = await client.status(package_id)
    assert done["PackageStatus"] == "Finished"
    assert done["Stakeholders"][1]["Actors"][0]["Locations"] == [{"Id": second, "UsedSigningType": "Manual"}]
    package = (await client.call("GET", f"/packages/{package_id}/download")).content
    document_id = done["PackageDocuments"][0]["DocumentId"]
    one = await client.call("GET", f"/packages/{package_id}/download/{document_id}")
    assert zipfile.ZipFile(io.BytesIO(package)).read("lease.pdf") == one.content
    assert one.headers["content-type"] == "application/pdf"
    assert await signers_of(one.content, sandbox) == ["Ada Jansen", "Bob Jansen"]
    proof = fromstring((await client.call("GET", f"/packages/{package_id}/auditproof/download")).content)
    assert [node.get("locationId") for node in proof.iter("signatures")] == [first, second]
    assert len(list(proof.iter("proof"))) == 2


async def test_existing_fields_and_coordinates_are_places(sandbox: ConnectiveSandbox, client: Client) -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(CONTRACT))
    append_signature_field(writer, SigFieldSpec("Lessee", box=(50, 50, 200, 90)))
    write: Any = writer.write  # carries no types
    with_field = io.BytesIO()
    write(with_field)
    package_id = await client.create()
    places = await client.upload(package_id, {"MarkerOrFieldId": "Lessee"}, BOX, Document=b64(with_field.getvalue()))
    assert (await client.process(package_id, person(actor(LocationIds=places)))).status_code == 200
    await client.set_status(package_id)
    await sandbox.complete(package_id)
    (document,) = sandbox.state.packages[package_id].documents
    fields = PdfFileReader(io.BytesIO(document.content)).root["/AcroForm"]["/Fields"]
    boxes = {str(one.get_object()["/T"]): [int(two) for two in one.get_object()["/Rect"]] for one in fields}
    assert boxes.pop("Lessee") == [50, 50, 200, 90]
    assert list(boxes.values()) == [[50, 741, 170, 781]]  # 842 points high, 60 from the top


def test_a_text_is_found_on_its_page() -> None:
    assert page_of_text(CONTRACT, "_signer2_") == 2
    assert page_of_text(CONTRACT, "_signer3_") is None


async def test_an_instant_package_starts_at_once(sandbox: ConnectiveSandbox, client: Client) -> None:
    body = {
        "Initiator": "sender@example.org",
        "Document": b64(CONTRACT),
        "DocumentLanguage": "EN",
        "DocumentName": "Instant",
        "Stakeholders": [person(actor(SigningFields=[FIELD])), person(actor(SigningFields=[BOX]), name="Bob")],
    }
    started = await client.call("POST", "/packages/instant", body)
    assert started.status_code == 200
    found = started.json()
    assert (found["PackageName"], found["PackageStatus"], found["Warnings"]) == ("Instant", "Pending", [])
    assert [len(one["Actors"][0]["Locations"]) for one in found["Stakeholders"]] == [1, 1]
    assert all(one["Actors"][0]["ActionUrl"] for one in found["Stakeholders"])
    sandbox.options.instant_answer = "short"
    assert (await client.call("POST", "/packages/instant", body)).json().keys() == {"PackageId", "CreationTimestamp"}


async def test_rejection_ends_it_with_a_reason(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.sent(signers=2)
    await sandbox.decline(package_id, "Too dear")
    found = await client.status(package_id)
    assert found["PackageStatus"] == "Rejected"
    actors = [one["Actors"][0] for one in found["Stakeholders"]]
    assert [(one["ActorStatus"], one["Reason"]) for one in actors] == [("Rejected", "Too dear"), ("Waiting", None)]
    assert (await client.call("GET", f"/packages/{package_id}/download")).status_code == 409


async def test_skipping_needs_a_signature(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.sent(signers=2)
    early = await client.call("POST", f"/packages/{package_id}/skipsigners")
    assert early.json()["Errors"][0]["ErrorCode"] == f"Package.NotSigned:{package_id}"
    await sandbox.sign(package_id)
    assert (await client.call("POST", f"/packages/{package_id}/skipsigners")).status_code == 200
    found = await client.status(package_id)
    states = [one["Actors"][0]["ActorStatus"] for one in found["Stakeholders"]]
    assert (found["PackageStatus"], states) == ("Finished", ["Finished", "Skipped"])


async def test_the_deadline_passes_and_moves(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.sent()
    path = f"/packages/{package_id}/expirytimestamp"
    soon = (sandbox.state.now()).replace(microsecond=0)
    assert (await client.call("PUT", path, {"ExpiryTimestamp": soon.isoformat()})).status_code == 400
    assert (await client.call("PUT", path, {"ExpiryTimestamp": "2090-01-01T00:00:00.000Z"})).status_code == 200
    assert (await client.http.post(f"{sandbox.base_url}/_sandbox/clock", json={"seconds": 3e9})).status_code == 204
    assert (await client.status(package_id))["PackageStatus"] == "Expired"
    assert (await client.call("DELETE", f"/packages/{package_id}")).status_code == 409
    assert (await client.call("PUT", path, {"ExpiryTimestamp": "2190-01-01T00:00:00.000Z"})).status_code == 200
    assert (await client.status(package_id))["PackageStatus"] == "Pending"


async def test_a_group_signs_by_whoever_comes_first(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.create()
    (place,) = await client.upload(package_id)
    members = [person(name="Ada"), person(name="Bob")]
    for one in members:
        del one["Actors"]
    group = {"Type": "persongroup", "PersonGroupName": "Board", "Persons": members}
    signing = actor(Locations=[{"Id": place}], OrderIndex="2")
    approving = person({"Type": "Approver", "OrderIndex": 1}, name="Cem")
    answer = await client.process(package_id, approving, {**group, "Actors": [signing]}, version="v3.1")
    assert answer.status_code == 200, answer.text
    await client.set_status(package_id)
    await sandbox.sign(package_id)
    found = (await client.status(package_id))["Stakeholders"][1]
    assert (found["Type"], found["EmailAddress"], found["Actors"][0]["ActionUrl"]) == ("PersonGroup", None, None)
    urls = {one["EmailAddress"]: one["Url"] for one in found["Actors"][0]["ActionUrls"]}
    assert urls.keys() == {"ada@example.org", "bob@example.org"}
    async with httpx.AsyncClient(trust_env=False) as browser:
        done = await browser.post(urls["bob@example.org"], data={"choice": "accept"})
    assert "You have signed" in done.text
    assert (await client.status(package_id))["PackageStatus"] == "Finished"


async def test_everybody_may_be_steered_by_http(sandbox: ConnectiveSandbox, client: Client) -> None:
    control = f"{sandbox.base_url}/_sandbox/packages"
    deeds = {"sign": "Finished", "reject": "Rejected", "expire": "Expired", "withdraw": "Revoked", "fail": "Failed"}
    for deed, status in deeds.items():
        package_id = await client.sent()
        assert (await client.http.post(f"{control}/{package_id}/{deed}")).status_code == 204
        assert (await client.status(package_id))["PackageStatus"] == status
    assert (await client.http.post(f"{control}/{package_id}/sign")).status_code == 409
    package_id = await client.sent()
    await client.http.post(f"{control}/{package_id}/reassign", json={"email": "dee@example.org"})
    assert (await client.status(package_id))["Stakeholders"][0]["EmailAddress"] == "dee@example.org"
    listed = (await client.http.get(control)).json()
    assert len(listed) == 6
    assert {one["Openings"] for one in listed} == {1}


async def test_external_proofs_become_part_of_the_audit_proof(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.create(CorrelationId="run-1")
    (place,) = await client.upload(package_id, CorrelationId="doc-1")
    await client.process(package_id, person(actor(LocationIds=[place])))
    await client.set_status(package_id)
    body = {"Content": "<seen/>", "LocationId": place, "Name": "Video", "Type": "video", "IpAddress": "192.0.2.1"}
    path = f"/packages/{package_id}/auditproof"
    assert (await client.call("POST", f"{path}/proofs", body)).status_code == 204
    assert (await client.call("POST", f"{path}/proofs", {**body, "LocationId": "x"})).status_code == 404
    assert (await client.call("GET", "/packagecorrelations/run-1/auditproof/download")).status_code == 409
    await sandbox.complete(package_id)
    document_id = sandbox.state.packages[package_id].documents[0].id
    for where in (
        f"{path}/download",
        f"{path}/download/{document_id}",
        "/packagecorrelations/run-1/auditproof/download",
        "/documentcorrelations/doc-1/auditproof/download",
    ):
        proof = fromstring((await client.call("GET", where)).content)
        assert [one.text for one in proof.iter("content")][1:] == ["<seen/>"]
    for where in ("/packagecorrelations/x", "/documentcorrelations/x"):
        assert (await client.call("GET", f"{where}/auditproof/download")).status_code == 404
    sandbox.options.audit_proofs = False
    assert (await client.call("GET", f"{path}/download")).status_code == 409


@pytest.mark.parametrize("count", [1, 2])
async def test_a_package_of_one_may_come_bare(sandbox: ConnectiveSandbox, client: Client, count: int) -> None:
    sandbox.options.bare_pdf = True
    package_id = await client.create()
    places = [await client.upload(package_id, DocumentName=f"lease {number}") for number in range(count)]
    await client.process(package_id, person(actor(LocationIds=[one for found in places for one in found])))
    await client.set_status(package_id)
    await sandbox.complete(package_id)
    content = (await client.call("GET", f"/packages/{package_id}/download")).content
    assert content.startswith(b"%PDF" if count == 1 else b"PK")


async def test_xml_documents_are_kept_as_they_are(sandbox: ConnectiveSandbox, client: Client) -> None:
    package_id = await client.create()
    xml = {"Document": b64(b"<a/>"), "DocumentType": "application/xml"}
    (place,) = await client.upload(package_id, {"PageNumber": 1, "Label": "x", **BOX}, **xml)
    await client.process(package_id, person(actor(LocationIds=[place])))
    await client.set_status(package_id)
    await sandbox.complete(package_id)
    (document,) = (await client.status(package_id))["PackageDocuments"]
    assert document["DocumentType"] == "application/xml"
    one = await client.call("GET", f"/packages/{package_id}/download/{document['DocumentId']}")
    assert (one.headers["content-type"], one.content) == ("application/xml", b"<a/>")
