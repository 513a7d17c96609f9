"""The operation table against spec signicat 1.3, and against the published definition where that is at hand."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from local.sandbox.signicat import SignicatSandbox
from shared.domain.signing import Signing
from shared.providers.http import CallBudget, HttpPool, ProviderClient
from shared.providers.oauth import BearerAuth, ClientCredentials, TokenEndpoint
from shared.providers.operation import BYTES, FileUpload, ListOf, Location, Operation, RawFile
from shared.providers.signicat import Config, mapping, wire
from shared.providers.signicat.operations import OPERATIONS, TOKEN_OPERATIONS
from tests.contracts.through_the_app import ClientThroughTheApp
from tests.providers.signicat.samples import (
    CALLBACK_URL,
    NOW,
    PDF_BYTES,
    QUICK,
    document,
    observer,
    signer,
    signing,
    utc_now,
)
from tests.providers.signicat.schema import mistakes

ORDER = "/orders/{orderId}"
TASK = f"{ORDER}/tasks/{{taskId}}"
DOCUMENT = f"{TASK}/documents/{{documentId}}"
PACKAGING = f"{ORDER}/packaging-tasks/{{packagingTaskId}}"

MADE, DELETED, READ = {200, 201, 202}, {200, 202, 204}, {200}
PUBLISHED = [
    ("uploadSessionDocument", "POST", "/documents", MADE),
    ("getDocument", "GET", "/documents/{documentId}", READ),
    ("deleteDocument", "DELETE", "/documents/{documentId}", DELETED),
    ("getArchivedDocument", "GET", "/archive-documents/{archiveId}", READ),
    ("deleteArchivedDocument", "DELETE", "/archive-documents/{archiveId}", DELETED),
    ("createSigningOrder", "POST", "/orders", MADE),
    ("getSigningOrder", "GET", ORDER, READ),
    ("deleteSigningOrder", "DELETE", ORDER, DELETED),
    ("getPackagingTaskStatus", "GET", f"{PACKAGING}/status", READ),
    ("getPackagingTaskResult", "GET", f"{PACKAGING}/result", READ),
    ("createTaskArtifact", "POST", f"{TASK}/artifact", MADE),
    ("getTaskDocumentOriginal", "GET", f"{DOCUMENT}/original", READ),
    ("getTaskDocumentGenerated", "GET", f"{DOCUMENT}/generated", READ),
    ("getTaskDocumentResult", "GET", f"{DOCUMENT}/result", READ),
    ("getTaskEvents", "GET", f"{TASK}/events", READ),
    ("getTaskForwards", "GET", f"{TASK}/forwards", READ),
    ("getTaskStatus", "GET", f"{TASK}/status", READ),
]
ANSWERS: Mapping[str, ListOf | type[BaseModel]] = {
    "uploadSessionDocument": wire.UploadDocumentResponse,
    "createSigningOrder": wire.SigningOrder,
    "getSigningOrder": wire.SigningOrder,
    "getPackagingTaskStatus": wire.PackagingTaskStatusInfo,
    "createTaskArtifact": wire.ArtifactInfo,
    "getTaskEvents": ListOf(wire.TaskEvent),
    "getTaskForwards": ListOf(wire.TaskForwardDetails),
    "getTaskStatus": wire.TaskStatusInfo,
}
DEFINITION = Path(__file__).resolve().parents[3] / "../shared/specs/signicat.openapi.json"

CONFIG = Config.model_validate(
    {
        "client_id": "c",
        "client_secret": "s",
        "signature_methods": "nbid-sign:SIGNED_STATEMENT,ftn-sign:AUTHENTICATION_BASED,handwritten",
        "authentication_methods": "nbid",
        "profile": "default",
        "configuration": "pades",
        "sender": "Lease office",
        "reminder_after_days": "3",
    }
)


def definition() -> Mapping[str, Any] | None:
    """What Signicat publishes, as our own study wrote it down; None away from the place where that is kept."""
    return json.loads(DEFINITION.read_text()) if DEFINITION.exists() else None


def everything() -> Signing:
    """A signing that uses all that can be wished for."""
    return signing(
        signer(1, strong_identity=True, language="nb", message="Please"),
        signer(2, order=2, deadline=NOW + timedelta(days=3)),
        observer(3, order=3),
        documents=(document(1), document(2)),
        message="Hello",
        deadline=NOW + timedelta(days=10),
        options={
            "subject_attributes": {"1": {"national-id": "10109001290"}},
            "days_until_deletion": 7,
            "on_task_complete": "https://app.example.org/done?order=${requestId}",
            "on_task_reject": "https://app.example.org/rejected",
            "on_task_postpone": "https://app.example.org/later",
        },
    )


# ------------------------------------------------------------------------------------------------- the table


def test_the_table_is_complete() -> None:
    assert [(one.id, one.method, one.path, set(one.answers)) for one in OPERATIONS.values()] == PUBLISHED
    assert len(OPERATIONS) == 17
    assert [(one.id, one.method, one.path) for one in TOKEN_OPERATIONS.values()] == [
        ("getAccessToken", "POST", "/connect/token")
    ]


def test_the_table_is_that_of_the_definition() -> None:
    published = definition() or {"paths": {path: {} for _, _, path, _ in PUBLISHED} | {"/connect/token": {}}}
    ours = {**OPERATIONS, **TOKEN_OPERATIONS}
    assert {one.path for one in ours.values()} == set(published["paths"])
    for path, methods in published["paths"].items():
        for method, described in methods.items():
            if method == "parameters":
                continue
            operation = ours[described["operationId"]]
            assert (operation.method, operation.path) == (method.upper(), path)
            successes = {int(code) for code in described["responses"] if code.startswith("2")}
            assert successes <= set(operation.answers)
            failures = {int(code) for code in described["responses"] if code.startswith(("4", "5"))}
            assert failures == set(operation.errors)
            assert ("requestBody" in described) == (operation.body is not None)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_parameters_are_ids_in_the_path(operation: Operation) -> None:
    assert {one.name for one in operation.parameters} == set(re.findall(r"{(\w+)}", operation.path))
    assert all(one.required and one.location is Location.PATH for one in operation.parameters)
    assert not operation.internal


def test_bodies_and_answers_have_their_shapes() -> None:
    upload = OPERATIONS["uploadSessionDocument"].body
    assert isinstance(upload, RawFile)
    assert upload.media_types == ("application/pdf",)
    assert {one.id: one.body for one in OPERATIONS.values() if isinstance(one.body, type)} == {
        "createSigningOrder": wire.SigningOrderCreate
    }
    for name, operation in OPERATIONS.items():
        (answer,) = {id(one): one for one in operation.answers.values()}.values()
        assert answer == ANSWERS.get(name, BYTES if operation.method == "GET" else None)


def test_what_must_never_be_repeated_blindly_says_so() -> None:
    dangerous = {one.id for one in OPERATIONS.values() if not one.safe_to_repeat}
    assert dangerous == {"uploadSessionDocument", "createSigningOrder", "createTaskArtifact"}


# -------------------------------------------------------------------------------- against the definition's schemas


def assert_fits(schema: str, value: object) -> None:
    """By the definition where it is at hand, and by our own model of it everywhere."""
    model: type[BaseModel] = getattr(wire, schema)
    model.model_validate_json(json.dumps(value))
    published = definition()
    if published is not None:
        assert list(mistakes(published, published["components"]["schemas"][schema], value)) == []


def test_the_order_that_we_send_fits_the_definition() -> None:
    for of, config in (
        (everything(), CONFIG),
        (signing(), CONFIG.model_copy(update={"invitations": "none"})),
        (signing(signer(1, phone="+4790000000")), CONFIG.model_copy(update={"invitations": "sms"})),
    ):
        body = mapping.to_wire_order(of, config, {1: "a" * 58, 2: "b" * 58}, CALLBACK_URL)
        assert_fits("SigningOrderCreate", json.loads(body.model_dump_json(exclude_none=True)))


def test_the_validator_of_these_tests_finds_mistakes() -> None:
    schemas = {"Part": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "minLength": 1}}}}
    by = {"components": {"schemas": schemas}}
    listed = {"type": "array", "items": {"$ref": "#/components/schemas/Part"}, "minItems": 1}
    assert list(mistakes(by, listed, [{"a": "x"}])) == []
    assert list(mistakes(by, listed, [])) == ["$: breaks minItems"]
    assert list(mistakes(by, listed, [{"a": 1}, {"b": 1}, {"a": ""}])) == [
        "$[0].a: not string",
        "$[1].a: missing",
        "$[1].b: unknown",
        "$[2].a: breaks minLength",
    ]


@asynccontextmanager
async def client_at(
    sandbox: SignicatSandbox, api_url: str, keep: Callable[[httpx.Response], Awaitable[None]] | None = None
) -> AsyncIterator[ProviderClient]:
    """A client for the simulator's API under that address; `keep` sees every answer."""
    http = HttpPool()
    if keep is not None:
        http.client().event_hooks = {"response": [keep]}
    endpoint = TokenEndpoint(
        sandbox.token_url, sandbox.client_id, sandbox.client_secret, http, account="main", now=utc_now
    )
    auth = BearerAuth(ClientCredentials(endpoint, ("signicat-api",)), utc_now)
    budget = CallBudget(1000)
    try:
        yield ProviderClient(api_url, auth, http, provider="signicat", account="main", budget=budget, now=utc_now)
    finally:
        await http.aclose()


async def test_every_operation_works_over_http() -> None:
    """And what the simulator answers fits the definition as well."""
    answers: list[bytes] = []

    async def keep(response: httpx.Response) -> None:
        answers.append(await response.aread())

    async with SignicatSandbox.start(options=QUICK) as sandbox:
        async with client_at(sandbox, sandbox.api_url, keep) as client:
            await call_everything(sandbox, client)
        called = {one.operation for one in sandbox.calls}
        assert called >= {*OPERATIONS, *TOKEN_OPERATIONS}
        for call, content in zip(sandbox.calls, answers, strict=True):
            _check_answer(call.operation, content)


async def call_everything(sandbox: SignicatSandbox, client: ProviderClient | ClientThroughTheApp) -> None:
    async def call(name: str, **arguments: Any) -> Any:
        return (await client.call(OPERATIONS[name], **arguments)).value

    async def read(name: str, **arguments: Any) -> bytes:
        async with client.stream(OPERATIONS[name], **arguments) as reply:
            return b"".join([chunk async for chunk in reply.chunks])

    file = FileUpload("lease.pdf", "application/pdf", PDF_BYTES)
    uploads = {number: (await call("uploadSessionDocument", file=file)).documentId for number in (1, 2, 3)}
    assert await read("getDocument", documentId=uploads[3]) == PDF_BYTES
    assert await call("deleteDocument", documentId=uploads[3]) is None
    body = mapping.to_wire_order(everything(), CONFIG, uploads, "http://127.0.0.1:9/callback")
    packages = tuple(one.model_copy(update={"sendToArchive": True}) for one in body.packagingTasks or ())
    body = body.model_copy(update={"packagingTasks": packages})
    order = await call("createSigningOrder", body=body)
    assert (await call("getSigningOrder", orderId=order.id)).tasks[0].signingUrl
    ids = {"orderId": order.id, "taskId": "participant-1"}
    assert len((await call("createTaskArtifact", **ids)).artifact) == 25
    sandbox.forward(order.id)
    (forward,) = await call("getTaskForwards", orderId=order.id, taskId="forwarded-4")
    assert forward.originalTaskId == "participant-1"
    other = await call("createSigningOrder", body=body)
    await sandbox.complete(other.id)
    done = {"orderId": other.id, "taskId": "participant-1"}
    assert (await call("getTaskStatus", **done)).taskStatus == "COMPLETED"
    assert [one.eventType for one in await call("getTaskEvents", **done)][-1] == "task-completed"
    for name in ("getTaskDocumentOriginal", "getTaskDocumentGenerated"):
        assert await read(name, **done, documentId="document-1") == PDF_BYTES
    assert b"SignatureValue" in await read("getTaskDocumentResult", **done, documentId="document-1")
    package = {"orderId": other.id, "packagingTaskId": "package-1"}
    assert (await call("getPackagingTaskStatus", **package)).packagingTaskStatus == "COMPLETED"
    signed = await read("getPackagingTaskResult", **package)
    packaging = sandbox.order(other.id).package("package-1")
    assert packaging is not None
    archive_id = packaging.archive_id
    assert await read("getArchivedDocument", archiveId=archive_id) == signed
    assert await call("deleteArchivedDocument", archiveId=archive_id) is None
    assert await call("deleteSigningOrder", orderId=other.id) is None


def _check_answer(name: str, content: bytes) -> None:
    if name in TOKEN_OPERATIONS:
        assert_fits("TokenResponse", json.loads(content))
    form = ANSWERS.get(name)
    if isinstance(form, ListOf):
        for one in json.loads(content):
            assert_fits(form.item.__name__, one)
    elif form is not None:
        assert_fits(form.__name__, json.loads(content))
