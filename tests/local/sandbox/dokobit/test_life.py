"""From creation to the signed file: states, signatures that hold, postbacks, pages, switches."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.sandbox.answers import Problem
from local.sandbox.dokobit import CallbackKnobs, DokobitSandbox
from local.sandbox.pdf import inspect_pdf
from tests.local.sandbox.client import Receiver
from tests.local.sandbox.dokobit.client import Client, external, file, internal, person


async def result(client: Client, token: str, flow: str = "external") -> bytes:
    return (await client.http.get(f"/signing-{flow}/{token}/download")).raise_for_status().content


async def test_people_sign_in_their_order_and_are_asked_in_it(sandbox: DokobitSandbox, client: Client) -> None:
    made = await client.created(external(person(1, sequence=2), person(2, sequence=1), person(3, role="viewer")))
    token, people = made["token"], [one["token"] for one in made["signers"]]
    assert [sandbox.invitations_sent(token, one) for one in people] == [0, 1, 1]
    with pytest.raises(Problem):
        await sandbox.sign(token, people[0])
    await sandbox.sign(token)
    assert [sandbox.invitations_sent(token, one) for one in people] == [1, 1, 1]
    shown = await client.status(token)
    assert (shown["status"], [one["status"] for one in shown["signers"]]) == (
        "pending",
        ["pending", "signed", "pending"],
    )
    assert all("external_id" not in one for one in shown["signers"])
    assert inspect_pdf(await result(client, token)).signatures == 1
    await sandbox.complete(token)
    assert (await client.status(token))["status"] == "completed"
    assert inspect_pdf(await result(client, token)).signatures == 2
    with pytest.raises(Problem):
        await sandbox.sign(token)


async def test_a_decliner_may_change_their_mind(sandbox: DokobitSandbox, client: Client) -> None:
    token = (await client.created(external(person(1), person(2))))["token"]
    await sandbox.decline(token)
    assert (await client.status(token))["status"] == "declined"
    await sandbox.sign(token)
    assert (await client.status(token))["status"] == "pending"
    await sandbox.complete(token)
    assert (await client.status(token))["status"] == "completed"


async def test_only_a_hard_deadline_blocks_and_can_be_moved(sandbox: DokobitSandbox, client: Client) -> None:
    soft = (await client.created(external(deadline="2040-01-01T00:00:00Z")))["token"]
    hard = (await client.created(external(deadline="2040-01-01T00:00:00Z", hard_deadline=True)))["token"]
    for token in (soft, hard):
        sandbox.expire(token)
    await sandbox.sign(soft)
    with pytest.raises(Problem):
        await sandbox.sign(hard)
    assert (await client.status(hard))["status"] == "pending"
    await client.post(f"/signing-external/{hard}/update.json", {"deadline": "2041-01-01T00:00:00Z"})
    await sandbox.sign(hard)


async def test_a_seal_alone_completes_a_signing_without_signers(sandbox: DokobitSandbox, client: Client) -> None:
    token = (await client.created({"type": "pdf", "name": "Seal", "files": [file()]}))["token"]
    assert (await client.status(token))["status"] == "pending"
    body = {"custom_reason": "Sealed", "annotation": {"page": "1", "top": "10", "left": "10"}}
    assert (await client.post(f"/signing/{token}/seal.json", body)).json() == {"status": "ok"}
    assert (await client.status(token))["status"] == "completed"
    assert inspect_pdf(await result(client, token)).signatures == 1


@pytest.mark.parametrize("kind", ["asice", "bdoc", "edoc", "adoc.cedoc"])
async def test_a_container_is_signed_for_real(sandbox: DokobitSandbox, client: Client, kind: str) -> None:
    files = [file("a b.txt", b"first"), file("š.pdf", b"second")]
    token = (await client.created(external(person(1), person(2), type=kind, files=files)))["token"]
    await sandbox.complete(token)
    content = await result(client, token)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.infolist()[0].filename == "mimetype"
        assert content[38:].startswith(b"application/vnd.etsi.asic-e+zip")
        assert (archive.read("a b.txt"), archive.read("š.pdf")) == (b"first", b"second")
        signatures = [archive.read(f"META-INF/signatures{number}.xml") for number in (0, 1)]
    for xml in signatures:
        check_signature(xml, {"a%20b.txt": b"first", "%C5%A1.pdf": b"second"})


def check_signature(xml: bytes, files: dict[str, bytes]) -> None:
    """The value holds over SignedInfo, which holds the digests of the files and of the signed properties."""
    (signed_info,) = re.findall(rb"<ds:SignedInfo .*?</ds:SignedInfo>", xml)
    (value,) = re.findall(rb"<ds:SignatureValue>(.*?)<", xml)
    (certificate,) = re.findall(rb"<ds:X509Certificate>(.*?)<", xml)
    key = x509.load_der_x509_certificate(base64.b64decode(certificate)).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(value), signed_info, padding.PKCS1v15(), hashes.SHA256())
    found = dict(re.findall(r'URI="([^"]*)">.*?<ds:DigestValue>(.*?)<', signed_info.decode()))
    (properties,) = re.findall(rb"<xades:SignedProperties .*?</xades:SignedProperties>", xml)
    (reference,) = [uri for uri in found if uri.startswith("#")]
    expected = files | {reference: properties}
    assert found == {
        uri: base64.b64encode(hashlib.sha256(content).digest()).decode() for uri, content in expected.items()
    }


# ------------------------------------------------------------------------------------------------- postbacks


async def test_each_step_is_told(sandbox: DokobitSandbox, client: Client, receiver: Receiver) -> None:
    made = await client.created(external(person(1), postback_url=receiver.url))
    await sandbox.decline(made["token"])
    await sandbox.complete(made["token"])
    await sandbox.archive(made["token"])
    await sandbox.settle()
    told = [json.loads(body) for _, body in receiver.arrived]
    assert sorted(one["action"] for one in told) == [
        "signer_declined", "signer_signed", "signing_archived", "signing_completed", "signing_created",
    ]  # fmt: skip
    assert {one["token"] for one in told} == {made["token"]}
    (done,) = [one for one in told if one["action"] == "signing_completed"]
    assert done["file"] == f"{sandbox.universal_url}/signing-external/{made['token']}/download"
    assert done["file_digest"] == hashlib.sha256(await result(client, made["token"])).hexdigest()
    assert all(headers["content-type"] == "application/json" for headers, _ in receiver.arrived)
    assert not any(
        name.startswith("x-") or name == "authorization" for headers, _ in receiver.arrived for name in headers
    )


async def test_a_failed_postback_is_repeated_three_times_byte_for_byte(
    sandbox: DokobitSandbox, client: Client, receiver: Receiver
) -> None:
    receiver.status = 503
    sandbox.set_knobs(CallbackKnobs(clock_scale=1e-7))
    await client.created(external(postback_url=receiver.url))
    await sandbox.settle()
    (postback,) = sandbox.callbacks_sent
    assert (postback.outcome, postback.answers) == ("refused", [503] * 4)
    assert len({body for _, body in receiver.arrived}) == 1


async def test_switches_of_postbacks(sandbox: DokobitSandbox, client: Client, receiver: Receiver) -> None:
    body = external(postback_url=receiver.url)
    sandbox.set_knobs(CallbackKnobs(drop=True))
    await client.created(body)
    sandbox.set_knobs(CallbackKnobs(copies=2, form="bare", foreign_file=True, reorder=2))
    token = (await client.created(body))["token"]
    await sandbox.sign(token)
    await sandbox.settle()
    sandbox.postbacks.flush()
    await sandbox.settle()
    told = [json.loads(body) for _, body in receiver.arrived]
    assert [one["action"] for one in told] == [
        "signer_signed", "signer_signed", "signing_created", "signing_created", "signing_completed",
        "signing_completed",
    ]  # fmt: skip
    assert all(one.keys() <= {"action", "file"} for one in told)
    assert "attacker" in told[-1]["file"]
    sandbox.postbacks.resend(sandbox.callbacks_sent[-1].id)
    await sandbox.settle()
    assert receiver.arrived[-1][1] == receiver.arrived[-2][1]


async def test_a_delivery_is_confirmed_by_a_postback_only(
    sandbox: DokobitSandbox, client: Client, receiver: Receiver
) -> None:
    recipient = {"external_id": "r-1", "code": "1", "country_code": "ee", "phone": "+3725550000"}
    body = {"type": "pdf", "name": "Notice", "files": [file()], "recipients": [recipient], "postback_url": receiver.url}
    made = (await client.post("/e-delivery/create.json", body)).json()
    assert [one["external_id"] for one in made["recipients"]] == ["r-1"]
    await sandbox.receive(made["token"])
    await sandbox.settle()
    told = json.loads(receiver.arrived[0][1])
    assert (told["action"], told["token"]) == ("document_received", made["token"])


# ---------------------------------------------------------------------------------------- pages and switches


async def test_a_person_signs_by_clicking(sandbox: DokobitSandbox, client: Client) -> None:
    made = await client.created(internal({"external_id": "p<1>"}, {"external_id": "p-2"}), flow="internal")
    link = made["signers"][0]["redirect_uri"]
    page = (await client.http.get(link)).text
    assert "p&lt;1&gt;" in page
    assert "<button" in page
    assert (await client.http.get(f"{link}/files/0")).content.startswith(b"%PDF")
    back = await client.http.post(link, data={"choice": "accept"})
    assert (back.status_code, back.headers["Location"]) == (303, "https://app.example.org/back")
    assert "Thank you" in (await client.http.get(link)).text
    other = made["signers"][1]["redirect_uri"]
    await client.http.post(other, data={"choice": "decline"})
    assert (await client.status(made["token"], "internal"))["status"] == "declined"
    assert made["token"] in (await client.http.get(sandbox.base_url + "/")).text
    assert (await client.http.get(f"{sandbox.base_url}/sign/{made['token']}/nobody")).status_code == 404


async def test_it_is_steered_by_http_too(sandbox: DokobitSandbox, client: Client) -> None:
    token = (await client.created())["token"]
    control = f"{sandbox.base_url}/_sandbox/signings"
    assert (await client.http.post(f"{control}/{token}/decline")).status_code == 204
    assert (await client.http.post(f"{control}/{token}/sign", json={"person": "everyone"})).status_code == 204
    (listed,) = (await client.http.get(control)).json()
    assert (listed["status"], listed["invitationsSent"]) == ("completed", 1)
    assert (await client.http.post(f"{control}/{token}/dance")).status_code == 404
    assert (await client.http.post(f"{control}/{token}/fail")).status_code == 204
    assert (await client.status(token))["status"] == "failed"
    await client.http.post(f"{sandbox.base_url}/_sandbox/options", json={"error_in_success": True})
    answer = await client.http.get(f"/signing-external/{token}/download")
    assert (answer.status_code, answer.json()["status"]) == (200, "error")
    assert (await client.http.post(f"{control}/{token}/remove")).status_code == 204
    assert (await client.http.get(f"/signing-external/{token}/status.json")).status_code == 404


@pytest.mark.parametrize("status", [200, 400])
async def test_a_validation_takes_its_time(sandbox: DokobitSandbox, client: Client, status: int) -> None:
    sandbox.options.validation_polls, sandbox.options.validation_wait_status = 2, status  # type: ignore[assignment]
    token = (await client.post("/validation/upload.json", {"file": file()})).json()["token"]
    for _ in range(2):
        answer = await client.http.get(f"/validation/{token}/download/report-xml")
        assert (answer.status_code, answer.json()["message"]) == (status, "Validation is still in progress")
    answer = await client.http.get(f"/validation/{token}/download/report-xml")
    assert answer.headers["Content-Type"].startswith("application/xml")
    assert "noSignatureFound" in answer.text
