"""From a token to a PDF with valid signatures, and everything that is refused on the way."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from asn1crypto import pem, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_der_x509_certificate
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from local.sandbox.signicat import Options, SignicatSandbox
from tests.local.sandbox.signicat.client import CONTRACT, Client, JsonObject, order, task


async def signer_names(pdf: bytes, sandbox: SignicatSandbox) -> list[str]:
    """The names in all signatures, each of which must be intact and lead to the sandbox's root."""
    _, _, der = pem.unarmor(sandbox.trust_bundle_pem)
    context = ValidationContext(trust_roots=[x509.Certificate.load(der)], allow_fetching=False)
    usage = KeyUsageConstraints(key_usage={"digital_signature"})
    names = []
    for embedded in PdfFileReader(io.BytesIO(pdf)).embedded_regular_signatures:
        assert embedded.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
        verdict = await async_validate_pdf_signature(embedded, context, key_usage_settings=usage)
        assert verdict.bottom_line
        names.append(verdict.signing_cert.subject.native["common_name"])
    return names


async def test_from_upload_to_signed_file(sandbox: SignicatSandbox, client: Client) -> None:
    document = await client.uploaded()
    assert re.fullmatch(r"\d{8}[a-z0-9]{50}", document)
    body = order(task(1, document), task(2, document, dependsOnTasks=["task-1"]))
    made = await client.ordered(body)
    assert {name: made[name] for name in body if name != "tasks"} == {
        name: body[name] for name in body if name != "tasks"
    }
    for sent, kept in zip(body["tasks"], made["tasks"], strict=True):
        address = kept.pop("signingUrl")
        assert address.startswith(f"{sandbox.base_url}/sign/{made['id']}/")
        assert kept == sent
    package = f"/orders/{made['id']}/packaging-tasks/package"
    assert (await client.http.get(f"{package}/result")).status_code == 404
    await sandbox.sign(made["id"])
    assert [await client.status(made["id"], number) for number in (1, 2)] == ["COMPLETED", "CREATED"]
    assert (await client.http.get(f"{package}/status")).json()["packagingTaskStatus"] == "CREATED"
    await sandbox.complete(made["id"])
    answer = (await client.http.get(f"{package}/status")).json()
    assert (answer["packagingTaskStatus"], answer["packagingTaskResultUri"]) == (
        "COMPLETED",
        f"{sandbox.api_url}{package}/result",
    )
    signed = await client.http.get(f"{package}/result")
    assert signed.headers["content-type"] == "application/pdf"
    assert signed.content.startswith(CONTRACT)
    assert await signer_names(signed.content, sandbox) == ["Signer task-1", "Signer task-2"]


async def test_what_each_signer_signed_is_signed_for_real(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    path = f"/orders/{made['id']}/tasks/task-1/documents/doc"
    assert (await client.http.get(f"{path}/result")).status_code == 404
    await sandbox.complete(made["id"])
    statement = await client.http.get(f"{path}/result")
    assert statement.headers["content-type"] == "application/x-ltv-sdo"
    root = ElementTree.fromstring(statement.content)
    described = root.find("SignedInfo/Document")
    assert described is not None
    assert described.attrib["sha256"] == hashlib.sha256(CONTRACT).hexdigest()
    certificate = load_der_x509_certificate(base64.b64decode(root.findtext("X509Certificate", "")))
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    (info,) = re.findall(rb"<SignedInfo>.*</SignedInfo>", statement.content)
    key.verify(base64.b64decode(root.findtext("SignatureValue", "")), info, padding.PKCS1v15(), hashes.SHA256())
    certificate.verify_directly_issued_by(sandbox.pki.issuing.certificate)
    status = (await client.http.get(f"/orders/{made['id']}/tasks/task-1/status")).json()
    assert status["documents"][0]["resultUri"] == f"{sandbox.api_url}{path}/result"
    assert (await client.http.get(f"{path}/original")).content == CONTRACT


# --------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (("nobody", "x"), {}, 401, "invalid_client"),
        (None, {"scope": "everything"}, 400, "invalid_scope"),
        (None, {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_tokens_are_not_for_everybody(
    client: Client, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str
) -> None:
    refused = await client.token(auth, **form)
    assert (refused.status_code, refused.json()["error"]) == (status, error)


async def test_the_client_may_also_say_who_it_is_in_the_form(sandbox: SignicatSandbox, client: Client) -> None:
    form = {"grant_type": "client_credentials", "scope": "signicat-api"}
    named = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    granted = await client.http.post(sandbox.token_url, data=form | named, headers={"Authorization": ""})
    assert granted.json()["token_type"] == "Bearer"
    wrong = await client.http.post(sandbox.token_url, data=form, headers={"Authorization": "Basic %%%"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert (await client.http.post(sandbox.token_url, json=form)).status_code == 400


async def test_every_operation_wants_a_token(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    one = f"/orders/{made['id']}"
    calls = [
        ("POST", "/documents"), ("GET", "/documents/x"), ("DELETE", "/documents/x"),
        ("GET", "/archive-documents/x"), ("DELETE", "/archive-documents/x"), ("POST", "/orders"), ("GET", one),
        ("DELETE", one), ("GET", f"{one}/packaging-tasks/package/status"),
        ("GET", f"{one}/packaging-tasks/package/result"), ("POST", f"{one}/tasks/task-1/artifact"),
        ("GET", f"{one}/tasks/task-1/documents/doc/original"), ("GET", f"{one}/tasks/task-1/documents/doc/generated"),
        ("GET", f"{one}/tasks/task-1/documents/doc/result"), ("GET", f"{one}/tasks/task-1/events"),
        ("GET", f"{one}/tasks/task-1/forwards"), ("GET", f"{one}/tasks/task-1/status"),
    ]  # fmt: skip
    assert len(calls) == 17
    good = client.http.headers["Authorization"]
    for authorization, permission, status in (("Basic x", True, 401), ("Bearer x", True, 401), (good, False, 403)):
        sandbox.options.permission = permission
        for method, path in calls:
            refused = await client.http.request(method, path, headers={"Authorization": authorization})
            assert (refused.status_code, refused.json()["status"]) == (status, status)
    sandbox.options.permission = True
    sandbox.tokens.expire()
    assert (await client.http.get(one)).status_code == 401


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/pdf", 400),
        (b"hello", "application/pdf", 400),
        (CONTRACT, "application/octet-stream", 400),
        (CONTRACT, "multipart/form-data; boundary=x", 400),
        (CONTRACT + b" " * 1024**2, "application/pdf", 413),
    ],
)
async def test_uploads_are_pdf(content: bytes, media_type: str, status: int) -> None:
    options = Options(max_document_bytes=len(CONTRACT))
    async with SignicatSandbox.start(options=options) as sandbox, Client(sandbox) as client:
        refused = await client.upload(content, media_type)
        assert (refused.status_code, refused.json()["status"]) == (status, status)


def faults(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400
    return {one["propertyPath"]: one["message"] for one in answer.json()["violations"]}


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"tasks": []}, {"tasks"}),
        ({"notifications": []}, {"notifications"}),
        ({"packagingTasks": []}, {"packagingTasks"}),
        ({"notificationTemplateParams": []}, {"notificationTemplateParams"}),
        ({"clientReference": ""}, {"clientReference"}),
        ({"clientReference": "x" * 256, "daysUntilDeletion": 0}, {"clientReference", "daysUntilDeletion"}),
        ({"daysUntilDeletion": 31, "surprise": 1}, {"daysUntilDeletion", "surprise"}),
        ({"daysUntilDeletion": "7"}, {"daysUntilDeletion"}),
    ],
)
async def test_orders_keep_their_bounds(client: Client, changes: JsonObject, paths: set[str]) -> None:
    body = order(task(1, await client.uploaded()), **changes)
    assert set(faults(await client.http.post("/orders", json=body))) == paths


async def test_a_subject_needs_its_value(client: Client) -> None:
    subject = {"id": "s", "attributes": [{"name": "national-id"}]}
    body = order(task(1, await client.uploaded(), subject=subject))
    assert "tasks[0].subject.attributes[0].value" in faults(await client.http.post("/orders", json=body))


async def test_all_faults_between_parts_are_told_at_once(client: Client) -> None:
    known = await client.uploaded()
    second = task(1, "unknown", dependsOnTasks=["task-9"])
    second["documents"] *= 2
    circle = task(3, known, dependsOnTasks=["task-4"], signatureMethods=None)
    body = order(task(1, known), second, circle, task(4, known, dependsOnTasks=["task-3"]))
    body["packagingTasks"][0]["documents"].append({"taskId": "task-3", "documentIds": ["nothing"]})
    assert set(faults(await client.http.post("/orders", json=body))) == {
        "tasks[1].id",
        "tasks[1].documents[1].id",
        "tasks[1].documents[0].documentRef",
        "tasks[1].documents[1].documentRef",
        "tasks[1].dependsOnTasks[0]",
        "tasks[2].signatureMethods",
        "tasks[2].dependsOnTasks",
        "tasks[3].dependsOnTasks",
        "packagingTasks[0].documents",
        "packagingTasks[0].documents[4].documentIds[0]",
    }


async def test_one_package_is_of_one_file(client: Client) -> None:
    body = order(task(1, await client.uploaded()), task(2, await client.uploaded()))
    assert set(faults(await client.http.post("/orders", json=body))) == {"packagingTasks[0].documents"}


async def test_what_is_not_there_is_not_found(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    one = f"/orders/{made['id']}"
    for path in (
        "/orders/x", "/documents/x", "/archive-documents/x", f"{one}/tasks/x/status", f"{one}/packaging-tasks/x/status",
        f"{one}/tasks/task-1/documents/x/original", f"{one}/tasks/task-1/documents/x/result", "/_collect/x",
    ):  # fmt: skip
        missing = await client.http.get(path)
        assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    assert (await client.http.put(one, json={})).status_code == 405
    assert (await client.http.post("/orders", content=b"<order/>")).status_code == 415


# ------------------------------------------------------------------------------------------------- afterwards


async def test_deleting_an_order_takes_its_documents_but_not_the_archive(
    sandbox: SignicatSandbox, client: Client
) -> None:
    document = await client.uploaded()
    body = order(task(1, document))
    body["packagingTasks"][0]["sendToArchive"] = True
    made = await client.ordered(body)
    await sandbox.complete(made["id"])
    (archive_id,) = sandbox.state.archive
    assert (await client.http.delete(f"/orders/{made['id']}")).status_code == 204
    assert (await client.http.get(f"/orders/{made['id']}")).status_code == 404
    assert (await client.http.get(f"/documents/{document}")).status_code == 404
    assert (await client.http.get(f"/archive-documents/{archive_id}")).status_code == 200
    assert (await client.http.delete(f"/archive-documents/{archive_id}")).status_code == 204
    assert (await client.http.delete(f"/archive-documents/{archive_id}")).status_code == 404
    assert sandbox.invitations_sent(made["id"]) == 1
    assert sandbox.invitations_sent("unknown") == 0


async def test_artifacts_are_replaced(client: Client) -> None:
    plain = await client.ordered(order(task(1, await client.uploaded())))
    assert "artifact" not in plain
    wanting = task(1, await client.uploaded(), authentication={"methods": ["nbid"], "artifact": True})
    made = await client.ordered(order(wanting))
    assert re.fullmatch(r"[a-z0-9]{25}", made["artifact"])
    fresh = (await client.http.post(f"/orders/{made['id']}/tasks/task-1/artifact")).json()
    assert (fresh["orderId"], fresh["taskId"]) == (made["id"], "task-1")
    read = (await client.http.get(f"/orders/{made['id']}")).json()
    assert read["artifact"] == fresh["artifact"] != made["artifact"]
