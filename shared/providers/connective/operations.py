"""The complete table of Connective's API v3: the 19 published operations (spec connective 2.0) and 2 more.

Methods, paths and the changing case of parameter names are the provider's, letter for letter. Paths begin with the
API's version; what goes before it is part of an account's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.providers.connective import wire
from shared.providers.operation import BYTES, AnswerForm, Location, Operation, Parameter, ParameterType


def _in_path(name: str, about: str) -> Parameter:
    """Ids are GUIDs in every example, and plain text in the definition."""
    return Parameter(name, Location.PATH, ParameterType.STRING, required=True, description=about)


def _in_query(name: str, about: str, kind: ParameterType = ParameterType.STRING) -> Parameter:
    return Parameter(name, Location.QUERY, kind, description=about)


def _package(name: str) -> Parameter:
    return _in_path(name, "id of the package")


def _answer(documented: int, form: AnswerForm) -> Mapping[int, AnswerForm]:
    """The documented status first. Any success counts as one (INFERRED, spec 2.0), so its nearest kin is read too."""
    return {documented: form, **({200: form, 201: form} if form is not None else {200: None, 204: None})}


_DOCUMENT = _in_path("documentId", "id of the document")
_CORRELATION = _in_path("correlationId", "correlation id that was given at creation or upload")

# 401 and 429 are listed nowhere (spec 2.0, 5.3), the others are the definition's.
_ANY = {401: "user name or password wrong", 429: "too many calls"}
_BAD = {400: "a parameter is invalid"}
_GONE = {404: "unknown package, document, location or correlation"}
_STATE = {409: "does not fit the state or the settings of the package"}

CREATE_INSTANT_PACKAGE = Operation(
    "CreateInstantPackage",
    "POST",
    "/v3/packages/instant",
    "Create a package with one document and send it, in one call",
    body=wire.InstantPackageBody,
    answers=_answer(200, wire.InstantPackage),
    errors=_ANY | _BAD | _STATE,
)
PACKAGE_LIST = Operation(
    "PackageList",
    "GET",
    "/v3/packages",
    "List packages, page by page",
    (
        _in_query("ContinuationToken", "empty, or the token of the page before"),
        _in_query("MaxQuantity", "size of a page", ParameterType.INTEGER),
        _in_query("SortField", "values are not published"),
        Parameter("SortOrder", Location.QUERY, description="ASC is the default", values=("ASC", "DESC")),
        _in_query("CreatedBeforeDate", "ISO 8601"),
        _in_query("createdAfterDate", "ISO 8601; the first letter is small"),
        _in_query("Status", "a package status"),
    ),
    answers={200: wire.PackagePage},
    safe_to_repeat=True,
    errors=_ANY | _BAD,
)
CREATE_PACKAGE = Operation(
    "CreatePackage",
    "POST",
    "/v3/packages",
    "Create an empty draft",
    # The definition also lists the header Content-Type; it goes with every JSON body here.
    body=wire.CreatePackageBody,
    answers=_answer(201, wire.CreatedPackage),
    errors=_ANY | _BAD,
)
ADD_DOCUMENT_TO_PACKAGE = Operation(
    "AddDocumentToPackage",
    "POST",
    "/v3/packages/{PackageId}/documents",
    "Upload one document and say where it is to be signed",
    (_package("PackageId"),),
    body=wire.AddDocumentBody,
    answers=_answer(200, wire.AddedDocument),
    errors=_ANY | _BAD | _GONE | _STATE,
)
GET_SIGNING_LOCATIONS = Operation(
    "GetSigningLocations",
    "GET",
    "/v3/packages/{Id}/locations",
    "List the documents of a package with their places to sign",
    (_package("Id"),),
    answers={200: wire.PackageLocations},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
GET_PACKAGE_STATUS = Operation(
    "GetPackageStatus",
    "GET",
    "/v3/packages/{Id}/status",
    "Get a package with its documents, people and links",
    (_package("Id"),),
    answers={200: wire.PackageStatus},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
SET_PACKAGE_STATUS = Operation(
    "SetPackageStatus",
    "PUT",
    "/v3/packages/{Id}/status",
    "Send a draft for signing, or revoke a package",
    (_package("Id"),),
    body=wire.SetStatusBody,
    answers={200: wire.PackageStatus},
    errors=_ANY | _BAD | _GONE | _STATE,
)
SKIP_SIGNERS = Operation(
    "SkipSigners",
    "POST",
    "/v3/packages/{PackageId}/skipsigners",
    "Skip everybody who has not signed, and finish the package",
    (_package("PackageId"),),
    answers=_answer(200, None),
    errors=_ANY | _GONE | _STATE,
)
DOWNLOAD_PACKAGE = Operation(
    "DownloadPackage",
    "GET",
    "/v3/packages/{id}/download",
    "Download all documents of a finished package",
    (_package("id"),),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
DOWNLOAD_DOCUMENT_FROM_PACKAGE = Operation(
    "DownloadDocumentFromPackage",
    "GET",
    "/v3/packages/{id}/download/{documentId}",
    "Download one document of a finished package",
    (_package("id"), _DOCUMENT),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
EXPIRY_TIMESTAMP = Operation(
    "ExpiryTimeStamp",
    "PUT",
    "/v3/packages/{id}/expirytimestamp",
    "Move the deadline of a package",
    (_package("id"),),
    body=wire.ExpiryBody,
    answers=_answer(200, None),
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
SEND_PACKAGE_REMINDERS = Operation(
    "SendPackageReminders",
    "POST",
    "/v3/packages/{PackageId}/reminders",
    "Remind everybody who has not signed",
    (_package("PackageId"),),
    answers=_answer(200, None),
    errors=_ANY | {400: "unknown package; other operations answer 404"} | _STATE,
)
DELETE_PACKAGE = Operation(
    "DeletePackage",
    "DELETE",
    "/v3/packages/{id}",
    "Delete a package that is over",
    (_package("id"),),
    answers=_answer(200, None),
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
SET_PROCESS_INFORMATION = Operation(
    "SetProcessInformation",
    "PUT",
    "/v3/packages/{id}/process",
    "Say who signs and receives, replacing all that was said before",
    (_package("id"),),
    body=wire.ProcessBody,
    answers=_answer(200, None),
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
PACKAGE_AUDIT_PROOF = Operation(
    "PackageAuditProof",
    "GET",
    "/v3/packages/{packageId}/auditproof/download",
    "Download the audit proof of a package (signed XML)",
    (_package("packageId"),),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
PACKAGE_AUDIT_PROOF_DOC = Operation(
    "PackageAuditProofDoc",
    "GET",
    "/v3/packages/{packageId}/auditproof/download/{documentId}",
    "Download the audit proof of one document (signed XML)",
    (_package("packageId"), _DOCUMENT),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
PACKAGE_CORRELATION_AUDIT_PROOF = Operation(
    "PackageCorrelationAuditProof",
    "GET",
    "/v3/packagecorrelations/{correlationId}/auditproof/download",
    "Download the audit proof of correlated packages (signed XML)",
    (_CORRELATION,),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
DOCUMENT_CORRELATION_AUDIT_PROOF = Operation(
    "DocumentCorrelationAuditProof",
    "GET",
    "/v3/documentcorrelations/{correlationId}/auditproof/download",
    "Download the audit proof of correlated documents (signed XML)",
    (_CORRELATION,),
    answers={200: BYTES},
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)
PROOF_EXTERNAL_SOURCE = Operation(
    "ProofExternalSource",
    "POST",
    "/v3/packages/{packageId}/auditproof/proofs",
    "Add a proof from elsewhere to the audit proof",
    (_package("packageId"),),
    body=wire.ExternalProofBody,
    answers=_answer(204, None),
    errors=_ANY | _BAD | _GONE | _STATE,
)

PUBLISHED_OPERATIONS = (
    CREATE_INSTANT_PACKAGE,
    PACKAGE_LIST,
    CREATE_PACKAGE,
    ADD_DOCUMENT_TO_PACKAGE,
    GET_SIGNING_LOCATIONS,
    GET_PACKAGE_STATUS,
    SET_PACKAGE_STATUS,
    SKIP_SIGNERS,
    DOWNLOAD_PACKAGE,
    DOWNLOAD_DOCUMENT_FROM_PACKAGE,
    EXPIRY_TIMESTAMP,
    SEND_PACKAGE_REMINDERS,
    DELETE_PACKAGE,
    SET_PROCESS_INFORMATION,
    PACKAGE_AUDIT_PROOF,
    PACKAGE_AUDIT_PROOF_DOC,
    PACKAGE_CORRELATION_AUDIT_PROOF,
    DOCUMENT_CORRELATION_AUDIT_PROOF,
    PROOF_EXTERNAL_SOURCE,
)

# ------------------------------------------------------------------ known from one source each (spec 2.0, 2.14b)

SET_PROCESS_INFORMATION_V31 = Operation(
    "SetProcessInformationV31",
    "PUT",
    "/v3.1/packages/{id}/process",
    "Say who approves, signs and receives, groups included; what the vendor recommends",
    (_package("id"),),
    body=wire.ProcessBodyV31,
    answers=_answer(200, None),
    safe_to_repeat=True,
    errors=_ANY | _BAD | _GONE | _STATE,
)
DELETE_DOCUMENT_FROM_PACKAGE = Operation(
    "DeleteDocumentFromPackage",
    "DELETE",
    "/v3/packages/{packageId}/documents/{documentId}",
    "Remove a document from a draft",
    (_package("packageId"), _DOCUMENT),
    answers=_answer(200, None),
    safe_to_repeat=True,
    errors=_ANY | _GONE | _STATE,
)

EXTRA_OPERATIONS = (SET_PROCESS_INFORMATION_V31, DELETE_DOCUMENT_FROM_PACKAGE)

OPERATIONS: Mapping[str, Operation] = {one.id: one for one in (*PUBLISHED_OPERATIONS, *EXTRA_OPERATIONS)}

# The one place that knows which call describes the participants; the account's `process` picks.
PROCESS_OPERATIONS: Mapping[str, Operation] = {"v3": SET_PROCESS_INFORMATION, "v3.1": SET_PROCESS_INFORMATION_V31}
