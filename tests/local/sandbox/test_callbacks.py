"""What arrives at a callback address. Signatures are checked here with `cryptography` alone."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.sandbox.pkisigning import CallbackKnobs, PkisigningSandbox
from tests.local.sandbox.client import Client, Receiver, signer, start_body

TIMESTAMP, CERTIFICATES, SIGNATURE = (
    f"x-pkisigning-{name}" for name in ("timestamp", "publickey", "signature")
)  # fmt: skip


def certificates(headers: dict[str, str]) -> list[x509.Certificate]:
    """In the order of the container, which `cryptography`'s own reader insists on seeing sorted."""
    container = cms.ContentInfo.load(base64.b64decode(headers[CERTIFICATES]))
    assert container["content_type"].native == "signed_data"
    return [x509.load_der_x509_certificate(one.chosen.dump()) for one in container["content"]["certificates"]]


def leaf_of(found: list[x509.Certificate]) -> x509.Certificate:
    issuers = {one.issuer for one in found if one.issuer != one.subject}
    [leaf] = [one for one in found if one.subject not in issuers]
    return leaf


def check_signature(headers: dict[str, str], body: bytes, leaf: x509.Certificate) -> None:
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signed = body + headers[TIMESTAMP].encode()
    key.verify(base64.b64decode(headers[SIGNATURE]), signed, padding.PKCS1v15(), hashes.SHA256())


async def started(client: Client, url: str) -> str:
    answer = await client.http.post("/api/share/startsignflow", json=start_body(url))
    return str(answer.raise_for_status().json()["pkisId"])


async def test_every_change_of_status_is_announced_and_signed(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver
) -> None:
    request_id = await started(client, receiver.url)
    await sandbox.settle()
    await sandbox.complete(request_id)
    await sandbox.settle()
    bodies = [json.loads(body) for _, body in receiver.arrived]
    assert sorted(one["dossierStatus"] for one in bodies) == ["Completed", "PendingDownload", "PendingSignature"]
    assert all(set(one) == {"pkisId", "dossierStatus", "reason", "authenticationKey"} for one in bodies)
    assert {one["pkisId"] for one in bodies} == {request_id}
    for headers, body in receiver.arrived:
        assert int(headers["content-length"]) == len(body)
        found = certificates(headers)
        leaf = leaf_of(found)
        check_signature(headers, body, leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["callback.sandbox.pkisigning.io"]
        assert len(found) == 2
        leaf.verify_directly_issued_by(next(one for one in found if one is not leaf))
        assert headers[TIMESTAMP].endswith("Z")
        assert len(headers[TIMESTAMP].partition(".")[2]) == 8
    assert [one.outcome for one in sandbox.callbacks_sent] == ["delivered"] * 3


async def test_webhooks_hear_of_every_request_in_pascal_case(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver
) -> None:
    path = f"/organisations/{sandbox.state.organisation_id}/webhooks"
    body = {"Events": ["status"], "Config": {"url": receiver.url}, "Active": True}
    assert (await client.http.post(path, json={"events": ["status"], "config": {"url": "x"}})).status_code == 400
    webhook = (await client.http.post(path, json=body)).raise_for_status().json()
    assert (webhook["events"], webhook["config"], webhook["active"]) == (["status"], {"url": receiver.url}, True)
    await client.http.post(path, json=body | {"Active": False})
    request_id = await client.sent()
    await sandbox.decline(request_id, reason="Nee")
    await sandbox.settle()
    told = sorted((json.loads(body) for _, body in receiver.arrived), key=lambda one: str(one["DossierStatus"]))
    assert [(one["PkisId"], one["DossierStatus"], one["Reason"]) for one in told] == [
        (request_id, "Declined", "Nee"),
        (request_id, "PendingSignature", ""),
    ]
    assert (await client.http.delete(f"{path}/{webhook['id']}")).status_code == 204
    await client.sent(signer())
    await sandbox.settle()
    assert len(receiver.arrived) == 2


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_chain_length_and_shuffling(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver, length: int
) -> None:
    sandbox.set_knobs(CallbackKnobs(chain_length=length, shuffle=True))
    await started(client, receiver.url)
    await sandbox.settle()
    [(headers, body)] = receiver.arrived
    found = certificates(headers)
    assert len(found) == length
    check_signature(headers, body, leaf_of(found))
    assert length == 1 or found[0] != leaf_of(found)


async def test_bare_certificate(sandbox: PkisigningSandbox, client: Client, receiver: Receiver) -> None:
    sandbox.set_knobs(CallbackKnobs(bare=True))
    await started(client, receiver.url)
    await sandbox.settle()
    [(headers, body)] = receiver.arrived
    check_signature(headers, body, x509.load_der_x509_certificate(base64.b64decode(headers[CERTIFICATES])))


@pytest.mark.parametrize("knobs", [{"certificate": "wrong_key"}, {"wrong_order": True}, {"corrupt_body": True}])
async def test_knobs_that_break_the_signature(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver, knobs: dict[str, object]
) -> None:
    sandbox.set_knobs(CallbackKnobs.model_validate(knobs))
    await started(client, receiver.url)
    await sandbox.settle()
    [(headers, body)] = receiver.arrived
    with pytest.raises(InvalidSignature):
        check_signature(headers, body, leaf_of(certificates(headers)))


async def test_certificates_that_must_not_be_trusted(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver
) -> None:
    leaves = {}
    for kind in ("wrong_domain", "expired", "revoked", "untrusted", "good"):
        sandbox.set_knobs(CallbackKnobs.model_validate({"certificate": kind}))
        await started(client, receiver.url)
        await sandbox.settle()
        headers, body = receiver.arrived[-1]
        leaves[kind] = leaf_of(certificates(headers))
        check_signature(headers, body, leaves[kind])
    assert leaves["wrong_domain"].subject != leaves["good"].subject
    assert leaves["expired"].not_valid_after_utc < datetime.now(UTC) < leaves["good"].not_valid_after_utc
    issuing = sandbox.pki.issuing.certificate
    with pytest.raises((ValueError, InvalidSignature)):
        leaves["untrusted"].verify_directly_issued_by(issuing)
    address = f"/pki/crl/{sandbox.pki.issuing.name}.crl"
    revoked = x509.load_der_x509_crl((await client.http.get(address)).content)
    assert revoked.get_revoked_certificate_by_serial_number(leaves["revoked"].serial_number) is not None
    assert revoked.get_revoked_certificate_by_serial_number(leaves["good"].serial_number) is None


async def test_clock_and_timestamp_format(sandbox: PkisigningSandbox, client: Client, receiver: Receiver) -> None:
    sandbox.set_knobs(CallbackKnobs(timestamp_format="unix", clock_offset_seconds=-600))
    await started(client, receiver.url)
    await sandbox.settle()
    stamp = datetime.fromtimestamp(int(receiver.arrived[0][0][TIMESTAMP]), UTC)
    assert timedelta(seconds=590) < datetime.now(UTC) - stamp < timedelta(seconds=620)


async def test_missing_header_copies_and_replay(sandbox: PkisigningSandbox, client: Client, receiver: Receiver) -> None:
    knobs = {"missing_header": SIGNATURE, "copies": 3}
    assert (await client.http.post("/_sandbox/callbacks/knobs", json=knobs)).status_code == 204
    await started(client, receiver.url)
    await sandbox.settle()
    assert len(receiver.arrived) == 3
    assert SIGNATURE not in receiver.arrived[0][0]
    [listed] = (await client.http.get("/_sandbox/callbacks")).json()
    assert (listed["outcome"], listed["answers"]) == ("delivered", [200, 200, 200])
    assert (await client.http.post(f"/_sandbox/callbacks/{listed['id']}/resend")).status_code == 204
    await sandbox.settle()
    assert len(receiver.arrived) == 4
    assert receiver.arrived[3][1] == receiver.arrived[0][1]
    assert receiver.arrived[3][0][TIMESTAMP] == receiver.arrived[0][0][TIMESTAMP]


async def test_dropped_delayed_and_reordered(sandbox: PkisigningSandbox, client: Client, receiver: Receiver) -> None:
    sandbox.set_knobs(CallbackKnobs(drop=True))
    request_id = await started(client, receiver.url)
    await sandbox.settle()
    assert [one.outcome for one in sandbox.callbacks_sent] == ["dropped"]
    sandbox.set_knobs(CallbackKnobs(reorder=2))
    await sandbox.complete(request_id)
    await sandbox.settle()
    order = [json.loads(body)["dossierStatus"] for _, body in receiver.arrived]
    assert order == ["Completed", "PendingDownload"]
    sandbox.set_knobs(CallbackKnobs(delay_seconds=0.2))
    await started(client, receiver.url)
    assert len(receiver.arrived) == 2
    await sandbox.settle()
    assert len(receiver.arrived) == 3


async def test_no_retry_unless_asked_for(sandbox: PkisigningSandbox, client: Client, receiver: Receiver) -> None:
    receiver.status = 503
    await started(client, receiver.url)
    await sandbox.settle()
    assert (sandbox.callbacks_sent[0].outcome, sandbox.callbacks_sent[0].answers) == ("refused", [503])
    sandbox.set_knobs(CallbackKnobs(retries=1))
    await started(client, receiver.url)
    await sandbox.settle()
    assert sandbox.callbacks_sent[1].answers == [503, 503]
    sandbox.set_knobs(CallbackKnobs())
    await started(client, "http://127.0.0.1:9/nobody")
    await sandbox.settle()
    assert sandbox.callbacks_sent[2].outcome == "unreachable"


async def test_callbacks_can_be_sent_to_another_host(
    sandbox: PkisigningSandbox, client: Client, receiver: Receiver
) -> None:
    sandbox.options.callback_base = receiver.url
    await started(client, "https://app.example.org/api/callbacks?code=7")
    await sandbox.settle()
    assert len(receiver.arrived) == 1
    assert sandbox.callbacks_sent[0].url.endswith("/api/callbacks?code=7")
