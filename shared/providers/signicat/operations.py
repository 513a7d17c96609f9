"""The complete table of Signicat's Sign API v1 (spec signicat 1.3), and the token call beside it (1.2).

Which success codes are answered is not public, so the likely ones are accepted (spec 1.3).
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.providers.operation import (
    BYTES,
    AnswerForm,
    ListOf,
    Location,
    Method,
    Operation,
    Parameter,
    RawFile,
)
from shared.providers.signicat import PDF, wire


def _id(name: str, about: str) -> Parameter:
    return Parameter(name, Location.PATH, required=True, description=about)


_ORDER = _id("orderId", "id of the order")
_TASK = _id("taskId", "id of the task, chosen when the order was created")
_PACKAGING = _id("packagingTaskId", "id of the packaging task, chosen when the order was created")
_UPLOAD = _id("documentId", "id that the upload was given")
_TASK_DOCUMENT = _id("documentId", "id of the document inside the task, chosen when the order was created")
_ARCHIVE = _id("archiveId", "id in the archive")

_ORDER_PATH = "/orders/{orderId}"
_TASK_PATH = f"{_ORDER_PATH}/tasks/{{taskId}}"
_DOCUMENT_PATH = f"{_TASK_PATH}/documents/{{documentId}}"
_PACKAGING_PATH = f"{_ORDER_PATH}/packaging-tasks/{{packagingTaskId}}"

# INFERRED (spec 1.3, row 11): neither method nor path of this one is public. To try another form, change it here.
ARTIFACT_FORM: tuple[Method, str] = ("POST", f"{_TASK_PATH}/artifact")

_ANY = {401: "token missing or expired", 403: "the API client lacks the permission", 500: "failure at the provider"}
_BAD = {400: "invalid input"}
_GONE = {404: "unknown, deleted, or not ready yet"}


def _made(model: type[wire.Answer]) -> Mapping[int, AnswerForm]:
    return {201: model, 200: model, 202: model}


_DELETED: Mapping[int, AnswerForm] = {204: None, 200: None, 202: None}

UPLOAD_DOCUMENT = Operation(
    "uploadSessionDocument",
    "POST",
    "/documents",
    "Upload a document for a later order",
    body=RawFile((PDF,), "the file itself: no multipart, no base64, no name"),
    answers=_made(wire.UploadDocumentResponse),
    errors=_ANY | _BAD | _GONE | {413: "file too large"},
)
GET_DOCUMENT = Operation(
    "getDocument",
    "GET",
    "/documents/{documentId}",
    "Get an uploaded document",
    (_UPLOAD,),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
DELETE_DOCUMENT = Operation(
    "deleteDocument",
    "DELETE",
    "/documents/{documentId}",
    "Delete an uploaded document",
    (_UPLOAD,),
    answers=_DELETED,
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_ARCHIVED_DOCUMENT = Operation(
    "getArchivedDocument",
    "GET",
    "/archive-documents/{archiveId}",
    "Get an archived document",
    (_ARCHIVE,),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
DELETE_ARCHIVED_DOCUMENT = Operation(
    "deleteArchivedDocument",
    "DELETE",
    "/archive-documents/{archiveId}",
    "Delete an archived document",
    (_ARCHIVE,),
    answers=_DELETED,
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
CREATE_ORDER = Operation(
    "createSigningOrder",
    "POST",
    "/orders",
    "Create an order, which is live at once; the only way to say anything about it",
    body=wire.SigningOrderCreate,
    answers=_made(wire.SigningOrder),
    errors=_ANY | _BAD | _GONE,
)
GET_ORDER = Operation(
    "getSigningOrder",
    "GET",
    _ORDER_PATH,
    "Get an order",
    (_ORDER,),
    answers={200: wire.SigningOrder},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
DELETE_ORDER = Operation(
    "deleteSigningOrder",
    "DELETE",
    _ORDER_PATH,
    "Delete an order with everything that is not in the archive; the only way to cancel one",
    (_ORDER,),
    answers=_DELETED,
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_PACKAGING_STATUS = Operation(
    "getPackagingTaskStatus",
    "GET",
    f"{_PACKAGING_PATH}/status",
    "Get the status of a packaging task",
    (_ORDER, _PACKAGING),
    answers={200: wire.PackagingTaskStatusInfo},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_PACKAGING_RESULT = Operation(
    "getPackagingTaskResult",
    "GET",
    f"{_PACKAGING_PATH}/result",
    "Get the signed file that a packaging task made",
    (_ORDER, _PACKAGING),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
CREATE_ARTIFACT = Operation(
    "createTaskArtifact",
    *ARTIFACT_FORM,
    "Make a new artifact that logs the signer in once; the old one ends",
    (_ORDER, _TASK),
    answers=_made(wire.ArtifactInfo),
    errors=_ANY | _GONE,
)
GET_TASK_ORIGINAL = Operation(
    "getTaskDocumentOriginal",
    "GET",
    f"{_DOCUMENT_PATH}/original",
    "Get a task's document as it was uploaded",
    (_ORDER, _TASK, _TASK_DOCUMENT),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_TASK_GENERATED = Operation(
    "getTaskDocumentGenerated",
    "GET",
    f"{_DOCUMENT_PATH}/generated",
    "Get a task's document as it was shown",
    (_ORDER, _TASK, _TASK_DOCUMENT),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_TASK_RESULT = Operation(
    "getTaskDocumentResult",
    "GET",
    f"{_DOCUMENT_PATH}/result",
    "Get what one signer signed of one document (LTV-SDO)",
    (_ORDER, _TASK, _TASK_DOCUMENT),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_TASK_EVENTS = Operation(
    "getTaskEvents",
    "GET",
    f"{_TASK_PATH}/events",
    "List what has happened to a task",
    (_ORDER, _TASK),
    answers={200: ListOf(wire.TaskEvent)},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_TASK_FORWARDS = Operation(
    "getTaskForwards",
    "GET",
    f"{_TASK_PATH}/forwards",
    "List by whom, and to whom, a task was handed over",
    (_ORDER, _TASK),
    answers={200: ListOf(wire.TaskForwardDetails)},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)
GET_TASK_STATUS = Operation(
    "getTaskStatus",
    "GET",
    f"{_TASK_PATH}/status",
    "Get the status of a task",
    (_ORDER, _TASK),
    answers={200: wire.TaskStatusInfo},
    safe_to_repeat=True,
    errors=_ANY | _GONE,
)

OPERATIONS: Mapping[str, Operation] = {
    one.id: one
    for one in (
        UPLOAD_DOCUMENT,
        GET_DOCUMENT,
        DELETE_DOCUMENT,
        GET_ARCHIVED_DOCUMENT,
        DELETE_ARCHIVED_DOCUMENT,
        CREATE_ORDER,
        GET_ORDER,
        DELETE_ORDER,
        GET_PACKAGING_STATUS,
        GET_PACKAGING_RESULT,
        CREATE_ARTIFACT,
        GET_TASK_ORIGINAL,
        GET_TASK_GENERATED,
        GET_TASK_RESULT,
        GET_TASK_EVENTS,
        GET_TASK_FORWARDS,
        GET_TASK_STATUS,
    )
}

# Below another address, with a form for a body, and answering with a secret: `oauth.py` makes this call, and nobody can
# make it by name. It is here because the published definition lists it.
GET_ACCESS_TOKEN = Operation(
    "getAccessToken",
    "POST",
    "/connect/token",
    "Get an access token by client credentials",
    body=wire.TokenRequest,
    answers={200: wire.TokenResponse},
    internal=True,
    safe_to_repeat=True,
    errors={400: "refused, with a word from RFC 6749", 401: "wrong client credentials"},
)
TOKEN_OPERATIONS: Mapping[str, Operation] = {GET_ACCESS_TOKEN.id: GET_ACCESS_TOKEN}
