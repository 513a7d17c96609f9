"""The complete table of PKIsigning's API: 23 V2 operations (spec pkisigning 1.4, 1.5) and 4 V1 calls (spec 2).

Methods, paths with their mixed case, and parameter names are the provider's, letter for letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from shared.providers.operation import (
    BYTES,
    TEXT,
    AnswerForm,
    ListOf,
    Location,
    Method,
    MultipartFile,
    Operation,
    Parameter,
    ParameterType,
)
from shared.providers.pkisigning import wire


def _guid(name: str, location: Location = Location.PATH, *, required: bool = True, about: str = "") -> Parameter:
    return Parameter(name, location, ParameterType.GUID, required, about)


_REQUEST = _guid("requestId", about="id of the request (PkisId)")
_DOCUMENT = _guid("documentId", about="id of the document")
_ACTOR = _guid("actorId", about="id of the actor")
_ORGANISATION = _guid("organisationId", about="id of the organisation")
_HAS_ACTED = Parameter(
    "hasActed", Location.QUERY, ParameterType.BOOLEAN, description="only those who did, or did not, act"
)
_ACCESS_KEY = Parameter("callbackAuthenticationKey", Location.QUERY, description="the key that came in a callback")

# No operation documents its failures (spec 1.3). These readings are those of spec section 5.
_ANY = {401: "token missing or expired", 403: "scope or clearance missing", 429: "too many calls"}
_BAD = {400: "invalid input"}
_GONE = {404: "unknown, or not visible to the caller"}
_STATE = {409: "does not fit the state of the request"}
_CREDITS = {402: "no credits left to reserve"}
_FILE = {413: "file too large", 415: "type not accepted", 422: "PDF protected with an owner password"}

REQUESTS_CREATE = Operation(
    "Requests_Create",
    "POST",
    "/requests",
    "Create an empty request",
    body=wire.CreateDossierModel,
    answers={201: wire.RequestModel},
    errors=_ANY | _BAD,
)
REQUESTS_GET = Operation(
    "Requests_Get",
    "GET",
    "/requests/{requestId}",
    "Get a request",
    (_REQUEST, _ACCESS_KEY),
    answers={200: wire.RequestModel},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
REQUESTS_UPDATE = Operation(
    "Requests_Update",
    "PUT",
    "/requests/{requestId}",
    "Change a request that was not sent yet",
    (_REQUEST,),
    body=wire.CreateDossierModel,
    answers={200: wire.RequestModel},
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
REQUESTS_DELETE = Operation(
    "Requests_Delete",
    "DELETE",
    "/requests/{requestId}",
    "Delete a request for good",
    (_REQUEST,),
    answers={204: None},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
REQUESTS_DOWNLOAD = Operation(
    "Requests_Download",
    "GET",
    "/requests/{requestId}/Download",
    "Download a completed request as an archive",
    (_REQUEST,),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
REQUESTS_SEND = Operation(
    "Requests_Send",
    "POST",
    "/requests/{requestId}/Send",
    "Start the workflow and invite the first actor",
    (_REQUEST,),
    answers={204: None},
    errors=_ANY | _GONE | _STATE,
)
DOCUMENTS_CREATE = Operation(
    "Documents_Create",
    "POST",
    "/requests/{requestId}/documents",
    "Upload one document",
    (_REQUEST,),
    body=MultipartFile("file", "one file; its name and media type tell what it is"),
    answers={201: wire.DocumentMetaDataModel, 202: wire.DocumentMetaDataModel},
    errors=_ANY | _BAD | _GONE | _STATE | _FILE,
)
DOCUMENTS_GET = Operation(
    "Documents_Get",
    "GET",
    "/requests/{requestId}/documents/{documentId}",
    "Get a document's data",
    (_REQUEST, _DOCUMENT),
    answers={200: wire.DocumentMetaDataModel, 202: None},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
DOCUMENTS_UPDATE = Operation(
    "Documents_Update",
    "PUT",
    "/requests/{requestId}/documents/{documentId}",
    "Change a document's name or type",
    (_REQUEST, _DOCUMENT),
    body=wire.UpdateDocumentMetadataModel,
    answers={200: wire.DocumentMetaDataModel},
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
DOCUMENTS_DELETE = Operation(
    "Documents_Delete",
    "DELETE",
    "/requests/{requestId}/documents/{documentId}",
    "Remove a document",
    (_REQUEST, _DOCUMENT),
    answers={204: None},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
DOCUMENTS_GET_STATUS = Operation(
    "Documents_GetDocumentStatus",
    "GET",
    "/status/Documents/create",
    "Ask whether an uploaded document has been processed",
    # The definition marks neither as required; without them the question makes no sense (spec 1.5, operation 11).
    (_guid("requestId", Location.QUERY, required=False), _guid("documentId", Location.QUERY, required=False)),
    answers={200: wire.DocumentMetaDataModel, 202: None},
    internal=True,
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
ACTORS_LIST = Operation(
    "Actors_List",
    "GET",
    "/requests/{requestId}/documents/{documentId}/Actors",
    "List the actors of a document",
    (_REQUEST, _DOCUMENT, _HAS_ACTED),
    answers={200: ListOf(wire.ExtendedSignerModel)},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
ACTORS_CREATE = Operation(
    "Actors_Create",
    "POST",
    "/requests/{requestId}/documents/{documentId}/Actors",
    "Add an actor to a document; reserves credits",
    (_REQUEST, _DOCUMENT),
    body=wire.SignerModel,
    answers={201: wire.ExtendedSignerModel},
    errors=_ANY | _BAD | _GONE | _STATE | _CREDITS,
)
ACTORS_GET = Operation(
    "Actors_Get",
    "GET",
    "/requests/{requestId}/documents/{documentId}/Actors/{actorId}",
    "Get an actor",
    (_REQUEST, _DOCUMENT, _ACTOR),
    answers={200: wire.ExtendedSignerModel},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
ACTORS_UPDATE = Operation(
    "Actors_Update",
    "PUT",
    "/requests/{requestId}/documents/{documentId}/Actors/{actorId}",
    "Change an actor, but not the place of the signature",
    (_REQUEST, _DOCUMENT, _ACTOR),
    body=wire.ActorModel,
    answers={200: wire.ExtendedSignerModel},
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
ACTORS_DELETE = Operation(
    "Actors_Delete",
    "DELETE",
    "/requests/{requestId}/documents/{documentId}/Actors/{actorId}",
    "Remove an actor",
    (_REQUEST, _DOCUMENT, _ACTOR),
    answers={204: None},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
ACTORS_REQUEST_ACTORS = Operation(
    "Actors_RequestActors",
    "GET",
    "/requests/{requestId}/Actors",
    "List the actors of all documents of a request",
    (_REQUEST, _HAS_ACTED),
    answers={200: ListOf(wire.ExtendedSignerModel)},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
ACTORS_RESEND_CURRENT_INVITE = Operation(
    "Actors_ResendCurrentInvite",
    "POST",
    "/requests/{requestId}/Actors/ResendCurrentInvite",
    "Invite the actor in line again",
    (_REQUEST,),
    answers={204: None},
    errors=_ANY | _GONE | _STATE,
)
ACTORS_WITHDRAW_CURRENT_INVITE = Operation(
    "Actors_WithdrawCurrentInvite",
    "POST",
    "/requests/{requestId}/Actors/WithdrawCurrentInvite",
    "Withdraw the invitation of the actor in line",
    (_REQUEST,),
    answers={204: None},
    errors=_ANY | _GONE | _STATE,
)
ORGANISATIONS_CURRENT = Operation(
    "Organisations_GetOrganisationOfCurrentUser",
    "GET",
    "/Organisations/current",
    "Get the organisations of the current user",
    answers={200: ListOf(wire.OrganisationIdModel)},
    internal=True,
    safe_to_repeat=True,
    errors=_ANY,
)
ORGANISATIONS_WORKGROUPS = Operation(
    "Organisations_GetWorkgroups",
    "GET",
    "/Organisations/{organisationId}/workgroups",
    "List the workgroups of an organisation",
    (_ORGANISATION,),
    answers={200: ListOf(wire.OrganisationWorkgroup)},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
ORGANISATIONS_WORKGROUPS_BY_USER = Operation(
    "Organisations_GetWorkgroupsByUser",
    "POST",
    "/Organisations/{organisationId}/workgroups",
    "List the workgroups of one user; creates nothing",
    (_ORGANISATION,),
    body=wire.UserIdModel,
    answers={200: ListOf(wire.OrganisationWorkgroup)},
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE,
)
WEBHOOKS_CREATE = Operation(
    "Webhooks_CreateWebhook",
    "POST",
    "/organisations/{organisationId}/webhooks",
    "Register an address for status changes of all requests of the organisation",
    (_ORGANISATION,),
    body=wire.WebhookRequestModel,
    answers={200: wire.WebhookResponseModel},
    errors=_ANY | _BAD | _GONE,
)

V2_OPERATIONS = (
    REQUESTS_CREATE,
    REQUESTS_GET,
    REQUESTS_UPDATE,
    REQUESTS_DELETE,
    REQUESTS_DOWNLOAD,
    REQUESTS_SEND,
    DOCUMENTS_CREATE,
    DOCUMENTS_GET,
    DOCUMENTS_UPDATE,
    DOCUMENTS_DELETE,
    DOCUMENTS_GET_STATUS,
    ACTORS_LIST,
    ACTORS_CREATE,
    ACTORS_GET,
    ACTORS_UPDATE,
    ACTORS_DELETE,
    ACTORS_REQUEST_ACTORS,
    ACTORS_RESEND_CURRENT_INVITE,
    ACTORS_WITHDRAW_CURRENT_INVITE,
    ORGANISATIONS_CURRENT,
    ORGANISATIONS_WORKGROUPS,
    ORGANISATIONS_WORKGROUPS_BY_USER,
    WEBHOOKS_CREATE,
)

# -------------------------------------------------------------------------------------------------------- V1

_PKIS_ID = "pkisId"
Form = Literal["query", "path", "post"]

# INFERRED (spec 2.3 to 2.5): only StartSignFlow has a published address. These are the most probable forms of the other
# three; each V2 counterpart is documented and is what this product uses. To try another form, change it here.
V1_FORMS: Mapping[str, tuple[Method, Form]] = {
    "RetrieveDocument": ("GET", "query"),
    "RemoveDocument": ("DELETE", "query"),
    "GetWorkgroupWithClearanceLevel": ("GET", "query"),
}


def _share(action: str, summary: str, answers: Mapping[int, AnswerForm], *, about_one: bool = True) -> Operation:
    """A V1 call in the form that `V1_FORMS` chooses; `about_one` when it takes the id of one request."""
    method, form = V1_FORMS[action]
    path, body = f"/api/share/{action.lower()}", None
    parameters: tuple[Parameter, ...] = ()
    if about_one and form == "post":
        body = wire.PkisIdModel
    elif about_one:
        parameters = (_guid(_PKIS_ID, Location(form)),)
        path += f"/{{{_PKIS_ID}}}" if form == "path" else ""
    body_type: type[BaseModel] | None = body
    return Operation(
        f"Share_{action}",
        method,
        path,
        summary,
        parameters,
        body_type,
        answers,
        safe_to_repeat=True,
        errors=_ANY | _GONE,
    )


# The answer's form is not public, hence text; `mapping.pkis_id_from` reads every probable one (spec 2.2).
SHARE_START_SIGN_FLOW = Operation(
    "Share_StartSignFlow",
    "POST",
    "/api/share/startsignflow",
    "Create a request with documents and actors and invite them, in one call",
    body=wire.StartSignFlowModel,
    answers={200: TEXT, 201: TEXT, 202: TEXT},
    errors=_ANY | _BAD | _CREDITS | _FILE,
)
SHARE_RETRIEVE_DOCUMENT = _share("RetrieveDocument", "Download all documents of a request", {200: BYTES})
SHARE_REMOVE_DOCUMENT = _share("RemoveDocument", "Remove a request", {200: None, 204: None})
SHARE_GET_WORKGROUPS = _share(
    "GetWorkgroupWithClearanceLevel",
    "List the workgroups the caller may use, with the highest clearance level in each",
    {200: ListOf(wire.WorkgroupWithClearanceLevel)},
    about_one=False,
)

V1_OPERATIONS = (SHARE_START_SIGN_FLOW, SHARE_RETRIEVE_DOCUMENT, SHARE_REMOVE_DOCUMENT, SHARE_GET_WORKGROUPS)

OPERATIONS: Mapping[str, Operation] = {one.id: one for one in (*V2_OPERATIONS, *V1_OPERATIONS)}
