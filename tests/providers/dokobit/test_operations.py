"""The operation table against the published list (spec dokobit 1.2), typed out by hand, and against the definition."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel

from local.sandbox.dokobit import DokobitSandbox
from shared.domain.errors import InvalidRequest
from shared.providers.dokobit import wire
from shared.providers.dokobit.operations import OPERATIONS
from shared.providers.dokobit.provider import DokobitProvider
from shared.providers.operation import BYTES, Location, Operation, prepare
from tests.contracts.through_the_app import ThroughTheApp
from tests.providers.dokobit import published
from tests.providers.dokobit.samples import PDF_BYTES, RETURN_URL, provider_at
from tests.providers.stand_ins import ScriptedServer

Operator = DokobitProvider | ThroughTheApp

EXTERNAL, INTERNAL = "/signing-external/{token}", "/signing-internal/{token}"
CREATE_EXTERNAL, CREATE_INTERNAL = "/signing-external/create.json", "/signing-internal/create.json"
REPORTS = "/validation/{token}/download"
TABLE: dict[str, tuple[str, str, type[BaseModel] | None, object]] = {
    "CreateExternalSigning": (
        "POST",
        "/signing-external/create.json",
        wire.CreateExternalSigning,
        wire.ExternalCreated,
    ),
    "CheckExternalSigningStatus": ("GET", f"{EXTERNAL}/status.json", None, wire.SigningStatus),
    "DownloadDocumentExternal": ("GET", f"{EXTERNAL}/download", None, BYTES),
    "Reminder": ("POST", f"{EXTERNAL}/remind.json", wire.Reminder, wire.Ack),
    "AddExternalSigner": ("POST", f"{EXTERNAL}/signers/add.json", wire.AddExternalSigners, wire.ExternalSignersAdded),
    "DeleteExternalSigner": ("POST", f"{EXTERNAL}/signers/delete.json", wire.DeleteSigners, wire.Ack),
    "DeleteExternalSigning": ("POST", f"{EXTERNAL}/delete.json", None, wire.Ack),
    "UpdateExternalSigning": ("POST", f"{EXTERNAL}/update.json", wire.UpdateExternalSigning, wire.Ack),
    "CreateInternalSigning": (
        "POST",
        "/signing-internal/create.json",
        wire.CreateInternalSigning,
        wire.InternalCreated,
    ),
    "CheckInternalSigningStatus": ("GET", f"{INTERNAL}/status.json", None, wire.SigningStatus),
    "DownloadDocumentInternal": ("GET", f"{INTERNAL}/download", None, BYTES),
    "AddInternalSigner": ("POST", f"{INTERNAL}/signers/add.json", wire.AddInternalSigners, wire.InternalSignersAdded),
    "DeleteInternalSigner": ("POST", f"{INTERNAL}/signers/delete.json", wire.DeleteSigners, wire.Ack),
    "DeleteInternalSigning": ("POST", f"{INTERNAL}/delete.json", None, wire.Ack),
    "UpdateInternalSigning": ("POST", f"{INTERNAL}/update.json", wire.UpdateInternalSigning, wire.Ack),
    "SealSigning": ("POST", "/signing/{token}/seal.json", wire.SealSigning, wire.Ack),
    "eDelivery": ("POST", "/e-delivery/create.json", wire.CreateDelivery, wire.DeliveryCreated),
    "Validation": ("POST", "/validation/upload.json", wire.UploadForValidation, wire.ValidationAccepted),
    "ValidationDetailedPDFReport": ("GET", f"{REPORTS}/detailed-report-pdf", None, BYTES),
    "ValidationXMLDiagnosticData": ("GET", f"{REPORTS}/diagnostic-data-xml", None, BYTES),
    "ValidationPDFReport": ("GET", f"{REPORTS}/report-pdf", None, BYTES),
    "ValidationXMLReport": ("GET", f"{REPORTS}/report-xml", None, BYTES),
}
PREFIX = "DokobitUniversalAPI"


def test_all_22_operations_are_those_of_the_list() -> None:
    found = {
        one.id.removeprefix(PREFIX): (one.method, one.path, one.body, one.answers[200]) for one in OPERATIONS.values()
    }
    assert found == TABLE
    assert len(OPERATIONS) == 22


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda one: one.id)
def test_parameters_and_errors(operation: Operation) -> None:
    expected = [("token", Location.PATH, True)] if "{token}" in operation.path else []
    assert [(one.name, one.location, one.required) for one in operation.parameters] == expected
    assert list(operation.answers) == [200]
    assert operation.errors[400]


def test_what_must_never_be_repeated_blindly_says_so() -> None:
    dangerous = {one.id.removeprefix(PREFIX) for one in OPERATIONS.values() if not one.safe_to_repeat}
    assert dangerous == {
        "CreateExternalSigning",
        "CreateInternalSigning",
        "AddExternalSigner",
        "AddInternalSigner",
        "Reminder",
        "SealSigning",
        "eDelivery",
        "Validation",
    }


def test_bodies_that_may_be_left_out_are_left_out() -> None:
    optional = {one.id.removeprefix(PREFIX) for one in OPERATIONS.values() if not one.body_required}
    assert optional == {"UpdateExternalSigning", "UpdateInternalSigning", "SealSigning"}
    assert prepare(OPERATIONS[f"{PREFIX}SealSigning"], {"token": "t"}).json is None
    with pytest.raises(InvalidRequest):
        prepare(OPERATIONS[f"{PREFIX}Reminder"], {"token": "t"})


def test_a_token_stays_one_segment_of_the_path() -> None:
    call = prepare(OPERATIONS[f"{PREFIX}CheckExternalSigningStatus"], {"token": "a/../b?c"})
    assert call.path == "/signing-external/a%2F..%2Fb%3Fc/status.json"


# ------------------------------------------------------------------------------------ the published definition


def _names_in_model(model: type[BaseModel]) -> set[str]:
    schema = model.model_json_schema()
    return set(_walk(schema, schema.get("$defs", {}), "$"))


def _walk(schema: dict[str, Any], known: dict[str, Any], path: str) -> Iterator[str]:
    chosen = [schema, *schema.get("anyOf", ())]
    for one in [known[item["$ref"].rpartition("/")[2]] if "$ref" in item else item for item in chosen]:
        if "items" in one:
            yield from _walk(one["items"], known, f"{path}[]")
        for name, inner in one.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from _walk(inner, known, f"{path}.{name}")


@pytest.mark.parametrize("name", TABLE)
def test_models_hold_exactly_the_published_names(name: str) -> None:
    """Where the definition is at hand; the table above is the same list in any case."""
    operation, definition = OPERATIONS[PREFIX + name], published.definition()
    if definition is None:
        assert name in TABLE
        return
    ((method, path, wanted),) = [
        one for one in published.operations_of(definition) if one[2]["operationId"] == operation.id
    ]
    assert (operation.method, operation.path) == (method, path)
    schema = published.body_schema(wanted)
    assert (schema is None) == (operation.body is None)
    if schema is not None and isinstance(operation.body, type):
        digests = {"$.files[].digest", "$.file.digest"}  # of the other surface
        assert _names_in_model(operation.body) - digests == set(published.property_names(schema))
    answer = operation.answers[200]
    if isinstance(answer, type):
        assert _names_in_model(answer) == set(published.property_names(wanted["responses"]["200"]["schema"]))


def test_the_definition_lists_nothing_else() -> None:
    definition = published.definition()
    listed = {one[2]["operationId"] for one in published.operations_of(definition)} if definition else set(OPERATIONS)
    assert listed == OPERATIONS.keys()


# ------------------------------------------------------------------------------------------- over the wire


class Between:
    """Stands between client and simulator, and holds every request and JSON answer against the definition."""

    def __init__(self, server: ScriptedServer, sandbox: DokobitSandbox, session: aiohttp.ClientSession) -> None:
        self.seen: set[str] = set()
        self.mistakes: list[str] = []
        self._sandbox, self._session, self._definition = sandbox, session, published.definition()
        server.handler = self._pass_on

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {one: request.headers[one] for one in ("X-Access-Token", "Content-Type") if one in request.headers}
        url = self._sandbox.base_url + request.path_qs
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            content = await answer.read()
            self._judge(request, body, answer.status, answer.content_type, content)
            return web.Response(status=answer.status, body=content, content_type=answer.content_type)

    def _judge(self, request: web.Request, body: bytes, status: int, content_type: str, content: bytes) -> None:
        if self._definition is None:
            return
        path = request.path.removeprefix("/api/connector")
        operation = published.operation_for(self._definition, request.method, path)
        self.seen.add(operation["operationId"])
        schema = published.body_schema(operation)
        if body and schema is None:
            self.mistakes.append(f"{path}: a body that nobody asked for")
        elif body and schema is not None:
            self.mistakes += [f"{path}: {one}" for one in published.mistakes(schema, json.loads(body))]
        if request.query_string or "X-Access-Token" not in request.headers:
            self.mistakes.append(f"{path}: credentials in the wrong place")
        if content_type == "application/json":
            answer = operation["responses"][str(status)]["schema"]
            self.mistakes += [f"{path} answered: {one}" for one in published.mistakes(answer, json.loads(content))]


async def _run(provider: Operator, name: str, token: str | None = None, body: object = None) -> Any:
    arguments: dict[str, object] = {"token": token} if token is not None else {}
    async with provider.operate(PREFIX + name, arguments | ({"body": body} if body is not None else {})) as answer:
        if answer.download is not None:
            return b"".join([chunk async for chunk in answer.download.chunks])
        return answer.content


FILE = {"name": "lease.pdf", "content": base64.b64encode(PDF_BYTES).decode()}
PERSON = {
    "external_id": "p-1",
    "role": "signer",
    "code": "39901019999",
    "country_code": "LT",
    "phone": "+37060000000",
    "custom_reason": "Agreed",
    "annotation": {"page": "1", "top": "40", "left": "40", "language": "lt"},
}
NAMED = {
    "name": "Ona",
    "surname": "Jonaite",
    "email": "ona@example.org",
    "company": "Acme",
    "position": "Clerk",
    "notifications_language": "lt",
}
POLICY = {
    "require_qualified_signatures": True,
    "allow_video_identification": False,
    "allowed_signing_methods": ["smartid", "mobile"],
}
COMMON = POLICY | {
    "type": "pdf",
    "name": "Lease",
    "postback_url": "http://127.0.0.1:9/x",
    "annotation_position": "last_bottom",
    "annotation_personal_code": False,
    "flatten_pdf": False,
    "files": [FILE],
}


async def _external(provider: Operator, sandbox: DokobitSandbox) -> None:
    body = COMMON | {
        "deadline": "2040-01-31T12:00:00Z",
        "hard_deadline": True,
        "comment": "Please sign",
        "allow_document_saving": False,
        "signers": [PERSON | NAMED | {"sequence": 1}],
    }
    created = await _run(provider, "CreateExternalSigning", body=body)
    token = created["token"]
    assert (await _run(provider, "CheckExternalSigningStatus", token))["status"] == "pending"
    await _run(provider, "Reminder", token, {"signer": created["signers"][0]["token"], "message": "Soon, please"})
    late = PERSON | NAMED | {"external_id": "p-2"}
    added = await _run(provider, "AddExternalSigner", token, {"signers": [late], "comment": "You too"})
    await _run(provider, "DeleteExternalSigner", token, {"signers": [{"token": added["signers"][0]["token"]}]})
    changes = POLICY | {"deadline": "2041-01-31T12:00:00Z", "hard_deadline": False, "allow_document_saving": True}
    await _run(provider, "UpdateExternalSigning", token, changes)
    seal = {"custom_reason": "Sealed", "annotation": {"page": "1", "top": "9", "left": "9"}}
    assert await _run(provider, "SealSigning", token, seal) == {"status": "ok"}
    await sandbox.complete(token)
    signed = await _run(provider, "DownloadDocumentExternal", token)
    assert signed.count(b"/ByteRange") == 2
    await _validation(provider, signed)
    await _run(provider, "DeleteExternalSigning", token)
    assert token not in sandbox.state.signings


async def _internal(provider: Operator, sandbox: DokobitSandbox) -> None:
    body = COMMON | {"redirect_uri": RETURN_URL, "signers": [PERSON | {"language": "lt"}]}
    created = await _run(provider, "CreateInternalSigning", body=body)
    token = created["token"]
    assert created["signers"][0]["redirect_uri"].startswith(sandbox.base_url)
    late = PERSON | {"language": "en", "external_id": "p-2"}
    added = await _run(provider, "AddInternalSigner", token, {"signers": [late]})
    await _run(provider, "DeleteInternalSigner", token, {"signers": [{"token": added["signers"][0]["token"]}]})
    await _run(provider, "UpdateInternalSigning", token, POLICY)
    await sandbox.complete(token)
    assert (await _run(provider, "CheckInternalSigningStatus", token))["status"] == "completed"
    assert (await _run(provider, "DownloadDocumentInternal", token)).startswith(b"%PDF")
    await _run(provider, "DeleteInternalSigning", token)


async def _validation(provider: Operator, signed: bytes) -> None:
    file = {"name": "signed.pdf", "content": base64.b64encode(signed).decode()}
    token = (await _run(provider, "Validation", body={"file": file}))["token"]
    assert (await _run(provider, "ValidationPDFReport", token)).startswith(b"%PDF")
    assert (await _run(provider, "ValidationDetailedPDFReport", token)).startswith(b"%PDF")
    assert b"totalPassed" in await _run(provider, "ValidationXMLReport", token)
    assert b"<Signatures>2<" in await _run(provider, "ValidationXMLDiagnosticData", token)


async def _delivery(provider: Operator, sandbox: DokobitSandbox) -> None:
    recipient = {
        "external_id": "r-1",
        "code": "39901019999",
        "country_code": "lt",
        "email": "ona@example.org",
        "phone": "+37060000000",
        "notifications_language": "lt",
    }
    body = {"type": "pdf", "name": "Notice", "comment": "For you", "files": [FILE], "recipients": [recipient]}
    token = (await _run(provider, "eDelivery", body=body | {"postback_url": "http://127.0.0.1:9/x"}))["token"]
    await sandbox.receive(token)
    assert len(sandbox.state.deliveries[token].received) == 1


async def every_operation(provider: Operator, sandbox: DokobitSandbox) -> None:
    """One walk through all 22."""
    await _external(provider, sandbox)
    await _internal(provider, sandbox)
    await _delivery(provider, sandbox)


async def test_every_operation_runs_and_says_what_the_definition_says() -> None:
    async with (
        DokobitSandbox.start() as sandbox,
        ScriptedServer.start() as server,
        aiohttp.ClientSession() as session,
        provider_at(sandbox, api_url=f"{server.base_url}/api/connector") as provider,
    ):
        sandbox.options.validation_polls = 0
        between = Between(server, sandbox, session)
        await every_operation(provider, sandbox)
    assert between.mistakes == []
    assert {one.operation for one in sandbox.calls} == OPERATIONS.keys()
    assert between.seen == (OPERATIONS.keys() if published.definition() else set())


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("CreateExternalSigning", COMMON | {"files": [FILE | {"content": "not base64!"}]}, "body.files[0].content"),
        ("CreateExternalSigning", COMMON | {"files": [FILE | {"content": "abcde"}]}, "body.files[0].content"),
        ("CreateExternalSigning", COMMON | {"type": "docx"}, "body.type"),
        ("CreateExternalSigning", COMMON | {"files": []}, "body.files"),
        ("CreateInternalSigning", COMMON, "body.redirect_uri"),
        ("eDelivery", {"type": "asice", "name": "x", "files": [FILE], "recipients": []}, "body.type"),
        ("CreateExternalSigning", COMMON | {"signers": [PERSON | {"role": "approver"}]}, "body.signers[0].role"),
        ("CreateExternalSigning", COMMON | {"singers": []}, "body.singers"),
    ],
)
async def test_a_body_that_does_not_fit_is_never_sent(name: str, body: dict[str, object], field: str) -> None:
    async with DokobitSandbox.start() as sandbox, provider_at(sandbox) as provider:
        with pytest.raises(InvalidRequest) as caught:
            await _run(provider, name, body=body)
        assert [one.field for one in caught.value.fields] == [field]
        assert sandbox.calls == []
