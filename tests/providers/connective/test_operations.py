"""The operation table against the published list (spec connective 2.0), typed out by hand, and against the wire."""

from __future__ import annotations

import json
import re
import zipfile
from io import BytesIO

import pytest

from shared.domain.errors import InvalidRequest
from shared.providers.connective import operations, wire
from shared.providers.connective.operations import EXTRA_OPERATIONS, OPERATIONS, PUBLISHED_OPERATIONS
from shared.providers.json_files import JsonWithFiles
from shared.providers.operation import BYTES, Location, Operation, prepare
from tests.providers.connective import definition
from tests.providers.connective.samples import PDF_BYTES
from tests.providers.connective.tour import Exchange, touring

PUBLISHED = [
    ("CreateInstantPackage", "POST", "/packages/instant", 200),
    ("PackageList", "GET", "/packages", 200),
    ("CreatePackage", "POST", "/packages", 201),
    ("AddDocumentToPackage", "POST", "/packages/{PackageId}/documents", 200),
    ("GetSigningLocations", "GET", "/packages/{Id}/locations", 200),
    ("GetPackageStatus", "GET", "/packages/{Id}/status", 200),
    ("SetPackageStatus", "PUT", "/packages/{Id}/status", 200),
    ("SkipSigners", "POST", "/packages/{PackageId}/skipsigners", 200),
    ("DownloadPackage", "GET", "/packages/{id}/download", 200),
    ("DownloadDocumentFromPackage", "GET", "/packages/{id}/download/{documentId}", 200),
    ("ExpiryTimeStamp", "PUT", "/packages/{id}/expirytimestamp", 200),
    ("SendPackageReminders", "POST", "/packages/{PackageId}/reminders", 200),
    ("DeletePackage", "DELETE", "/packages/{id}", 200),
    ("SetProcessInformation", "PUT", "/packages/{id}/process", 200),
    ("PackageAuditProof", "GET", "/packages/{packageId}/auditproof/download", 200),
    ("PackageAuditProofDoc", "GET", "/packages/{packageId}/auditproof/download/{documentId}", 200),
    ("PackageCorrelationAuditProof", "GET", "/packagecorrelations/{correlationId}/auditproof/download", 200),
    ("DocumentCorrelationAuditProof", "GET", "/documentcorrelations/{correlationId}/auditproof/download", 200),
    ("ProofExternalSource", "POST", "/packages/{packageId}/auditproof/proofs", 204),
]
EXTRA = [
    ("SetProcessInformationV31", "PUT", "/v3.1/packages/{id}/process"),
    ("DeleteDocumentFromPackage", "DELETE", "/v3/packages/{packageId}/documents/{documentId}"),
]
LIST_QUERY = {
    "ContinuationToken",
    "MaxQuantity",
    "SortField",
    "SortOrder",
    "CreatedBeforeDate",
    "createdAfterDate",
    "Status",
}
BODIES = {
    "CreateInstantPackage": wire.InstantPackageBody,
    "CreatePackage": wire.CreatePackageBody,
    "AddDocumentToPackage": wire.AddDocumentBody,
    "SetPackageStatus": wire.SetStatusBody,
    "ExpiryTimeStamp": wire.ExpiryBody,
    "SetProcessInformation": wire.ProcessBody,
    "ProofExternalSource": wire.ExternalProofBody,
    "SetProcessInformationV31": wire.ProcessBodyV31,
}
# v3.1 has two shapes that v3 does not know, beside the spellings that spec 2.14 lets us choose.
_PREFIX = "/webportalapi"


def test_the_table_is_complete() -> None:
    found = [(one.id, one.method, one.path, next(iter(one.answers))) for one in PUBLISHED_OPERATIONS]
    assert found == [(name, method, f"/v3{path}", status) for name, method, path, status in PUBLISHED]
    assert [(one.id, one.method, one.path) for one in EXTRA_OPERATIONS] == EXTRA
    assert (len(PUBLISHED_OPERATIONS), len(OPERATIONS)) == (19, 21)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_parameters_are_those_of_the_definition(operation: Operation) -> None:
    named = {one.name for one in operation.parameters if one.location is Location.PATH}
    assert named == set(re.findall(r"{(\w+)}", operation.path))
    others = {one.name for one in operation.parameters if one.location is Location.QUERY}
    assert others == (LIST_QUERY if operation.id == "PackageList" else set())
    assert len(named) + len(others) == len(operation.parameters)
    assert all(one.required for one in operation.parameters if one.location is Location.PATH)
    assert operation.errors[401]


def test_bodies_and_files_are_those_of_the_definition() -> None:
    assert {one.id: one.body for one in OPERATIONS.values() if one.body is not None} == BODIES
    downloads = {one.id for one in OPERATIONS.values() if one.answers[200] is BYTES}
    proofs = {"PackageAuditProof", "PackageAuditProofDoc", "PackageCorrelationAuditProof"}
    rest = {"DocumentCorrelationAuditProof", "DownloadPackage", "DownloadDocumentFromPackage"}
    assert downloads == proofs | rest


def test_what_must_never_be_repeated_blindly_says_so() -> None:
    dangerous = {one.id for one in OPERATIONS.values() if not one.safe_to_repeat}
    assert dangerous == {
        "CreateInstantPackage",
        "CreatePackage",
        "AddDocumentToPackage",
        "SetPackageStatus",
        "SkipSigners",
        "SendPackageReminders",
        "ProofExternalSource",
    }


def test_the_process_call_can_be_switched_in_one_place() -> None:
    assert operations.PROCESS_OPERATIONS["v3"].path == "/v3/packages/{id}/process"
    assert operations.PROCESS_OPERATIONS["v3.1"].path == "/v3.1/packages/{id}/process"


def test_what_is_no_base64_is_refused_before_the_call() -> None:
    body = {"Document": "not/base64!", "DocumentLanguage": "en", "DocumentName": "x"}
    with pytest.raises(InvalidRequest) as caught:
        prepare(operations.ADD_DOCUMENT_TO_PACKAGE, {"PackageId": "1"}, body=body)
    assert [one.field for one in caught.value.fields] == ["body.Document"]
    good = prepare(operations.ADD_DOCUMENT_TO_PACKAGE, {"PackageId": "1"}, body={**body, "Document": "JVBERg=="})
    assert isinstance(good.json, JsonWithFiles)
    assert json.loads(b"".join(good.json.pieces()))["Document"] == "JVBERg=="


async def test_every_operation_works_over_http() -> None:
    async with touring() as tour:
        await tour.run()
    assert {one.operation_id for one in tour.exchanges} == tour.values.keys() == OPERATIONS.keys()
    assert all(one.headers["authorization"].startswith("Basic ") for one in tour.exchanges)
    assert all(one.headers["content-type"] == "application/json" for one in tour.exchanges if one.body)
    for one in tour.exchanges:
        assert one.status in OPERATIONS[one.operation_id].answers
    _check_values(tour.values)
    _check_definition(tour.exchanges)


def _check_values(values: dict[str, object]) -> None:
    page, status = values["PackageList"], values["GetPackageStatus"]
    assert isinstance(page, wire.PackagePage)
    assert [one.PackageStatus for one in page.Items] == ["PENDING"]
    assert isinstance(status, wire.PackageStatus)
    assert status.PackageStatus == "Finished"
    group = next(one for one in status.Stakeholders if one.Type == "PersonGroup")
    assert [one.EmailAddress for one in group.Actors[0].ActionUrls] == ["ada@example.org", "bob@example.org"]
    instant = values["CreateInstantPackage"]
    assert isinstance(instant, wire.InstantPackage)
    assert instant.PackageStatus == "Pending"
    package = values["DownloadPackage"]
    assert isinstance(package, bytes)
    with zipfile.ZipFile(BytesIO(package)) as archive:
        assert archive.namelist() == ["lease.pdf"]
        assert len(archive.read("lease.pdf")) > len(PDF_BYTES)
    for name in ("PackageAuditProof", "PackageAuditProofDoc", "PackageCorrelationAuditProof"):
        assert b"video-ident" in bytes(values[name])  # type: ignore[call-overload]


def _check_definition(exchanges: list[Exchange]) -> None:
    """What went over the wire, both ways, against the vendor's own words, where they lie beside the repository."""
    published = definition.load()
    if published is None:
        return
    listed = [(one["operationId"], verb, path) for verb, path, one in definition.operations(published)]
    assert listed == [(name, method, path) for name, method, path, _ in PUBLISHED]
    for one in exchanges:
        if one.operation_id not in {name for name, *_ in EXTRA}:
            _check_exchange(published, one)


def _check_exchange(published: definition.Json, one: Exchange) -> None:
    path = one.path.removeprefix(published["basePath"])
    described = definition.find(published, one.method, path)
    assert described is not None
    assert described["operationId"] == one.operation_id
    declared = described.get("parameters", [])
    assert set(one.query) <= {two["name"] for two in declared if two["in"] == "query"}
    assert all(two["name"].lower() in one.headers for two in declared if two["in"] == "header")
    body = next((two["schema"] for two in declared if two["in"] == "body"), None)
    assert (body is not None) == bool(one.body)
    if body is not None:
        sent = json.loads(one.body)
        assert definition.problems(body, sent, published) == []
        # `Label` stands in the definition's examples only (spec connective 2.1.1).
        names = [name for name in definition.undocumented(body, sent, published) if not name.endswith(".Label")]
        assert names == []
    described_answer = described["responses"][str(one.status)]
    if one.answer_type.startswith("application/json"):
        found = definition.problems(described_answer["schema"], json.loads(one.answer), published, may_be_null=True)
        assert found == []
