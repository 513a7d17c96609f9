"""From a token to a ZIP with valid signatures, by V2 and by V1."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest
from asn1crypto import pem, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import SigFieldSpec, append_signature_field
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from local.sandbox.pdf import inspect_pdf
from local.sandbox.pkisigning import Options, PkisigningSandbox
from tests.local.sandbox.client import CONTRACT, Client, signer, start_body


async def signer_names(pdf: bytes, sandbox: PkisigningSandbox) -> list[str]:
    """The names in all signatures, each of which must be intact and lead to the sandbox's root."""
    _, _, der = pem.unarmor(sandbox.trust_bundle_pem)
    context = ValidationContext(trust_roots=[x509.Certificate.load(der)], allow_fetching=False)
    usage = KeyUsageConstraints(key_usage={"digital_signature"})
    names = []
    for embedded in PdfFileReader(io.BytesIO(pdf)).embedded_regular_signatures:
        assert embedded.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
        verdict = await async_validate_pdf_signature(embedded, context, key_usage_settings=usage)
        assert verdict.intact
        assert verdict.valid
        assert verdict.trusted
        assert verdict.modification_level in {ModificationLevel.NONE, ModificationLevel.FORM_FILLING}
        names.append(verdict.signing_cert.subject.native["common_name"])
    return names


async def test_v2_from_token_to_signed_documents(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, document_id = await client.prepared(signer(2), signer(1))
    assert await client.status(request_id) == "New"
    assert sandbox.invitations_sent(request_id) == 0

    assert (await client.http.post(f"/requests/{request_id}/Send")).status_code == 204
    assert await client.status(request_id) == "PendingSignature"
    assert sandbox.invitations_sent(request_id) == 1

    await sandbox.sign(request_id)
    actors = (await client.http.get(f"/requests/{request_id}/Actors", params={"hasActed": "true"})).json()
    assert [actor["fullName"] for actor in actors] == ["Ada Jansen 1"]
    assert sandbox.invitations_sent(request_id) == 2
    await sandbox.sign(request_id)

    answer = (await client.http.get(f"/requests/{request_id}")).json()
    assert (answer["status"], answer["signed"]) == ("Completed", True)
    assert [one["documentstatus"] for one in answer["documents"]] == ["Completed"]
    download = await client.http.get(f"/requests/{request_id}/Download")
    assert download.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(download.content))
    assert archive.namelist() == ["lease.pdf", "Audit trail.pdf"]
    signed = archive.read("lease.pdf")
    assert signed.startswith(CONTRACT)
    assert await signer_names(signed, sandbox) == ["Ada Jansen 1", "Ada Jansen 2"]
    assert inspect_pdf(archive.read("Audit trail.pdf")).pages == 1

    assert (await client.http.delete(f"/requests/{request_id}")).status_code == 204
    assert (await client.http.get(f"/requests/{request_id}")).status_code == 404
    assert document_id not in sandbox.state.requests


async def test_v1_from_start_to_signed_documents(sandbox: PkisigningSandbox, client: Client) -> None:
    started = await client.http.post("/api/share/startsignflow", json=start_body())
    assert started.status_code == 200
    request_id = started.json()["pkisId"]
    assert await client.status(request_id) == "PendingSignature"
    await sandbox.sign(request_id)
    assert await client.status(request_id) == "PendingDownload"
    await sandbox.download(request_id)
    by_query = await client.http.get("/api/share/retrievedocument", params={"pkisId": request_id})
    by_path = await client.http.get(f"/api/share/RetrieveDocument/{request_id}")
    by_body = await client.http.post("/api/share/retrievedocument", json={"pkisId": request_id})
    for answer in (by_query, by_path, by_body):
        signed = zipfile.ZipFile(io.BytesIO(answer.content)).read("lease.pdf")
        assert await signer_names(signed, sandbox) == ["Bob Bakker"]
    levels = (await client.http.get("/api/share/getworkgroupwithclearancelevel")).json()
    assert {group["clearanceLevel"] for group in levels} == {1, 3}
    assert (await client.http.delete("/api/share/removedocument", params={"pkisId": request_id})).status_code == 204
    assert (await client.http.get("/api/share/retrievedocument", params={"pkisId": request_id})).status_code == 404


@pytest.mark.parametrize(
    ("form", "read"),
    [("string", lambda answer: answer), ("requestId", lambda answer: answer["requestId"])],
)
async def test_v1_answer_takes_other_forms(sandbox: PkisigningSandbox, client: Client, form: str, read: object) -> None:
    assert callable(read)
    (await client.http.post("/_sandbox/options", json={"start_answer": form})).raise_for_status()
    started = await client.http.post("/api/share/startsignflow", json=start_body())
    assert read(started.json()) in sandbox.state.requests


@pytest.mark.parametrize("form", ["deflate", "stored", "data_descriptor"])
async def test_zip_forms_and_the_bare_pdf(form: str) -> None:
    options = Options.model_validate({"zip_form": form, "audit_trail": False})
    async with PkisigningSandbox.start(options=options) as sandbox, Client(sandbox) as client:
        request_id = await client.sent()
        await sandbox.complete(request_id)
        packed = (await client.http.get(f"/requests/{request_id}/Download")).content
        has_descriptor = bool(packed[6] & 0x08)
        assert has_descriptor == (form == "data_descriptor")
        archive = zipfile.ZipFile(io.BytesIO(packed))
        assert archive.testzip() is None
        sandbox.options.bare_pdf = True
        bare = await client.http.get(f"/requests/{request_id}/Download")
        assert bare.headers["content-type"] == "application/pdf"
        assert hashlib.sha256(bare.content).digest() == hashlib.sha256(archive.read("lease.pdf")).digest()


def _with_field(name: str) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(CONTRACT))
    append_signature_field(writer, SigFieldSpec(name, box=(50, 50, 200, 90)))
    write: Any = writer.write  # carries no types
    with_field = io.BytesIO()
    write(with_field)
    return with_field.getvalue()


async def test_coordinates_and_existing_fields_are_places_too(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.create()
    uploaded = (await client.upload(request_id, _with_field("Lessee"))).json()
    assert [(one["name"], one["page"], one["width"]) for one in uploaded["emptySignatureFields"]] == [
        ("Lessee", 1, 150)
    ]
    unknown = await client.add(request_id, uploaded["id"], signer(1, placeholder=None, fieldName="Nobody"))
    assert unknown.status_code == 400
    place = {"sigFieldX": 10, "sigFieldY": 80, "sigFieldW": 30, "sigFieldH": 5}
    for body in (signer(1, placeholder=None, fieldName="Lessee"), signer(2, placeholder=None, **place)):
        (await client.add(request_id, uploaded["id"], body)).raise_for_status()
    (await client.http.post(f"/requests/{request_id}/Send")).raise_for_status()
    await sandbox.complete(request_id)
    archive = zipfile.ZipFile(io.BytesIO((await client.http.get(f"/requests/{request_id}/Download")).content))
    assert await signer_names(archive.read("lease.pdf"), sandbox) == ["Ada Jansen 1", "Ada Jansen 2"]
