"""The operation table against the published list (spec pkisigning 1.4, 2), typed out by hand."""

from __future__ import annotations

import re

import pytest

from shared.providers.operation import BYTES, ListOf, Location, MultipartFile, Operation
from shared.providers.pkisigning import operations, wire
from shared.providers.pkisigning.operations import OPERATIONS, V1_OPERATIONS, V2_OPERATIONS

REQUEST = "/requests/{requestId}"
DOCUMENT = f"{REQUEST}/documents/{{documentId}}"

V2 = [
    ("Requests_Create", "POST", "/requests", {201}),
    ("Requests_Get", "GET", REQUEST, {200}),
    ("Requests_Update", "PUT", REQUEST, {200}),
    ("Requests_Delete", "DELETE", REQUEST, {204}),
    ("Requests_Download", "GET", "/requests/{requestId}/Download", {200}),
    ("Requests_Send", "POST", "/requests/{requestId}/Send", {204}),
    ("Documents_Create", "POST", "/requests/{requestId}/documents", {201, 202}),
    ("Documents_Get", "GET", DOCUMENT, {200, 202}),
    ("Documents_Update", "PUT", DOCUMENT, {200}),
    ("Documents_Delete", "DELETE", DOCUMENT, {204}),
    ("Documents_GetDocumentStatus", "GET", "/status/Documents/create", {200, 202}),
    ("Actors_List", "GET", "/requests/{requestId}/documents/{documentId}/Actors", {200}),
    ("Actors_Create", "POST", "/requests/{requestId}/documents/{documentId}/Actors", {201}),
    ("Actors_Get", "GET", "/requests/{requestId}/documents/{documentId}/Actors/{actorId}", {200}),
    ("Actors_Update", "PUT", "/requests/{requestId}/documents/{documentId}/Actors/{actorId}", {200}),
    ("Actors_Delete", "DELETE", "/requests/{requestId}/documents/{documentId}/Actors/{actorId}", {204}),
    ("Actors_RequestActors", "GET", "/requests/{requestId}/Actors", {200}),
    ("Actors_ResendCurrentInvite", "POST", "/requests/{requestId}/Actors/ResendCurrentInvite", {204}),
    ("Actors_WithdrawCurrentInvite", "POST", "/requests/{requestId}/Actors/WithdrawCurrentInvite", {204}),
    ("Organisations_GetOrganisationOfCurrentUser", "GET", "/Organisations/current", {200}),
    ("Organisations_GetWorkgroups", "GET", "/Organisations/{organisationId}/workgroups", {200}),
    ("Organisations_GetWorkgroupsByUser", "POST", "/Organisations/{organisationId}/workgroups", {200}),
    ("Webhooks_CreateWebhook", "POST", "/organisations/{organisationId}/webhooks", {200}),
]
V1 = [
    ("Share_StartSignFlow", "POST", "/api/share/startsignflow", {200, 201, 202}),
    ("Share_RetrieveDocument", "GET", "/api/share/retrievedocument", {200}),
    ("Share_RemoveDocument", "DELETE", "/api/share/removedocument", {200, 204}),
    ("Share_GetWorkgroupWithClearanceLevel", "GET", "/api/share/getworkgroupwithclearancelevel", {200}),
]
NOT_IN_PATH = {
    "Requests_Get": {("callbackAuthenticationKey", "query")},
    "Documents_GetDocumentStatus": {("requestId", "query"), ("documentId", "query")},
    "Actors_List": {("hasActed", "query")},
    "Actors_RequestActors": {("hasActed", "query")},
    "Share_RetrieveDocument": {("pkisId", "query")},
    "Share_RemoveDocument": {("pkisId", "query")},
}
BODIES = {
    "Requests_Create": wire.CreateDossierModel,
    "Requests_Update": wire.CreateDossierModel,
    "Documents_Update": wire.UpdateDocumentMetadataModel,
    "Actors_Create": wire.SignerModel,
    "Actors_Update": wire.ActorModel,
    "Organisations_GetWorkgroupsByUser": wire.UserIdModel,
    "Webhooks_CreateWebhook": wire.WebhookRequestModel,
    "Share_StartSignFlow": wire.StartSignFlowModel,
}


@pytest.mark.parametrize(("table", "published"), [(V2_OPERATIONS, V2), (V1_OPERATIONS, V1)])
def test_the_table_is_complete(table: tuple[Operation, ...], published: list[tuple[str, str, str, set[int]]]) -> None:
    assert [(one.id, one.method, one.path, set(one.answers)) for one in table] == published


def test_there_are_23_and_4() -> None:
    assert (len(V2_OPERATIONS), len(V1_OPERATIONS), len(OPERATIONS)) == (23, 4, 27)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_parameters_are_those_of_the_definition(operation: Operation) -> None:
    named = {one.name for one in operation.parameters if one.location is Location.PATH}
    assert named == set(re.findall(r"{(\w+)}", operation.path))
    others = {(one.name, one.location.value) for one in operation.parameters if one.location is not Location.PATH}
    assert others == NOT_IN_PATH.get(operation.id, set())
    assert all(one.required for one in operation.parameters if one.location is Location.PATH)
    assert operation.errors[401]


def test_bodies_are_those_of_the_definition() -> None:
    bodies = {one.id: one.body for one in OPERATIONS.values() if one.body is not None}
    upload = bodies.pop("Documents_Create")
    assert isinstance(upload, MultipartFile)
    assert upload.field == "file"
    assert bodies == BODIES


def test_only_two_operations_are_internal() -> None:
    internal = {one.id for one in OPERATIONS.values() if one.internal}
    assert internal == {"Documents_GetDocumentStatus", "Organisations_GetOrganisationOfCurrentUser"}


def test_what_must_never_be_repeated_blindly_says_so() -> None:
    dangerous = {one.id for one in OPERATIONS.values() if not one.safe_to_repeat}
    assert dangerous == {
        "Requests_Create",
        "Requests_Send",
        "Documents_Create",
        "Actors_Create",
        "Actors_ResendCurrentInvite",
        "Actors_WithdrawCurrentInvite",
        "Webhooks_CreateWebhook",
        "Share_StartSignFlow",
    }


def test_answers_have_their_shapes() -> None:
    assert OPERATIONS["Requests_Download"].answers[200] is BYTES
    assert OPERATIONS["Organisations_GetOrganisationOfCurrentUser"].answers[200] == ListOf(wire.OrganisationIdModel)
    assert OPERATIONS["Documents_GetDocumentStatus"].answers[202] is None
    assert OPERATIONS["Documents_Create"].answers[202] is wire.DocumentMetaDataModel


@pytest.mark.parametrize(
    ("form", "path", "parameters", "body"),
    [
        (("GET", "query"), "/api/share/retrievedocument", [("pkisId", Location.QUERY)], None),
        (("GET", "path"), "/api/share/retrievedocument/{pkisId}", [("pkisId", Location.PATH)], None),
        (("POST", "post"), "/api/share/retrievedocument", [], wire.PkisIdModel),
    ],
)
def test_the_unknown_v1_forms_can_be_switched_in_one_place(
    monkeypatch: pytest.MonkeyPatch,
    form: tuple[str, str],
    path: str,
    parameters: list[tuple[str, Location]],
    body: object,
) -> None:
    monkeypatch.setattr(operations, "V1_FORMS", {"RetrieveDocument": form})
    made = operations._share("RetrieveDocument", "x", {200: BYTES})
    assert (made.method, made.path, made.body) == (form[0], path, body)
    assert [(one.name, one.location) for one in made.parameters] == parameters
