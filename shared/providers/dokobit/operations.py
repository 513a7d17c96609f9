"""The complete table of Dokobit's Universal API: 22 operations (spec dokobit 1.2).

Ids, methods, paths and parameter names are the provider's, letter for letter. Both surfaces share the table: they
differ in base address, in where the token goes, and in the digest beside each file (spec 1.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from shared.providers.dokobit import wire
from shared.providers.operation import BYTES, AnswerForm, Location, Method, Operation, Parameter

_PREFIX = "DokobitUniversalAPI"
_SIGNING = Parameter("token", Location.PATH, required=True, description="token of the signing")
_VALIDATION = Parameter("token", Location.PATH, required=True, description="token of the validation")

# Documented is 400 alone, on every operation. The others are those of the sibling APIs (spec 4.1): INFERRED.
_ERRORS = {
    400: "refused; the body names the fields",
    401: "access token not accepted",
    403: "access token not accepted",
    404: "unknown token",
    429: "too many calls",
}


def _operation(
    name: str,
    method: Method,
    path: str,
    summary: str,
    answer: AnswerForm,
    *,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    repeatable: bool = False,
) -> Operation:
    """`repeatable` when a second, identical call has no second effect."""
    about = _VALIDATION if path.startswith("/validation/") else _SIGNING
    return Operation(
        _PREFIX + name,
        method,
        path,
        summary,
        (about,) if "{token}" in path else (),
        body,
        {200: answer},
        safe_to_repeat=repeatable or method == "GET",
        errors=_ERRORS,
        body_required=body_required,
    )


CREATE_EXTERNAL = _operation(
    "CreateExternalSigning",
    "POST",
    "/signing-external/create.json",
    "Create a signing whose participants Dokobit invites",
    wire.ExternalCreated,
    body=wire.CreateExternalSigning,
)
STATUS_EXTERNAL = _operation(
    "CheckExternalSigningStatus",
    "GET",
    "/signing-external/{token}/status.json",
    "Read the state of an external signing",
    wire.SigningStatus,
)
DOWNLOAD_EXTERNAL = _operation(
    "DownloadDocumentExternal",
    "GET",
    "/signing-external/{token}/download",
    "Download the signed document of an external signing",
    BYTES,
)
REMIND = _operation(
    "Reminder",
    "POST",
    "/signing-external/{token}/remind.json",
    "Remind one participant of an external signing who has not signed yet",
    wire.Ack,
    body=wire.Reminder,
)
ADD_EXTERNAL_SIGNER = _operation(
    "AddExternalSigner",
    "POST",
    "/signing-external/{token}/signers/add.json",
    "Add participants to an external signing",
    wire.ExternalSignersAdded,
    body=wire.AddExternalSigners,
)
DELETE_EXTERNAL_SIGNER = _operation(
    "DeleteExternalSigner",
    "POST",
    "/signing-external/{token}/signers/delete.json",
    "Take participants who have not signed out of an external signing",
    wire.Ack,
    body=wire.DeleteSigners,
    repeatable=True,
)
DELETE_EXTERNAL = _operation(
    "DeleteExternalSigning",
    "POST",
    "/signing-external/{token}/delete.json",
    "Delete an external signing",
    wire.Ack,
    repeatable=True,
)
UPDATE_EXTERNAL = _operation(
    "UpdateExternalSigning",
    "POST",
    "/signing-external/{token}/update.json",
    "Change deadline or signing policy of an external signing",
    wire.Ack,
    body=wire.UpdateExternalSigning,
    body_required=False,
    repeatable=True,
)
CREATE_INTERNAL = _operation(
    "CreateInternalSigning",
    "POST",
    "/signing-internal/create.json",
    "Create a signing whose links are returned instead of mailed",
    wire.InternalCreated,
    body=wire.CreateInternalSigning,
)
STATUS_INTERNAL = _operation(
    "CheckInternalSigningStatus",
    "GET",
    "/signing-internal/{token}/status.json",
    "Read the state of an internal signing",
    wire.SigningStatus,
)
DOWNLOAD_INTERNAL = _operation(
    "DownloadDocumentInternal",
    "GET",
    "/signing-internal/{token}/download",
    "Download the signed document of an internal signing",
    BYTES,
)
ADD_INTERNAL_SIGNER = _operation(
    "AddInternalSigner",
    "POST",
    "/signing-internal/{token}/signers/add.json",
    "Add participants to an internal signing",
    wire.InternalSignersAdded,
    body=wire.AddInternalSigners,
)
DELETE_INTERNAL_SIGNER = _operation(
    "DeleteInternalSigner",
    "POST",
    "/signing-internal/{token}/signers/delete.json",
    "Take participants who have not signed out of an internal signing",
    wire.Ack,
    body=wire.DeleteSigners,
    repeatable=True,
)
DELETE_INTERNAL = _operation(
    "DeleteInternalSigning",
    "POST",
    "/signing-internal/{token}/delete.json",
    "Delete an internal signing",
    wire.Ack,
    repeatable=True,
)
UPDATE_INTERNAL = _operation(
    "UpdateInternalSigning",
    "POST",
    "/signing-internal/{token}/update.json",
    "Change the signing policy of an internal signing",
    wire.Ack,
    body=wire.UpdateInternalSigning,
    body_required=False,
    repeatable=True,
)
SEAL = _operation(
    "SealSigning",
    "POST",
    "/signing/{token}/seal.json",
    "Put the organisation's seal on a signing of either kind",
    wire.Ack,
    body=wire.SealSigning,
    body_required=False,
)
DELIVER = _operation(
    "eDelivery",
    "POST",
    "/e-delivery/create.json",
    "Deliver a PDF to recipients who confirm its receipt",
    wire.DeliveryCreated,
    body=wire.CreateDelivery,
)
VALIDATE = _operation(
    "Validation",
    "POST",
    "/validation/upload.json",
    "Upload a signed file to have its signatures validated",
    wire.ValidationAccepted,
    body=wire.UploadForValidation,
)
DETAILED_PDF_REPORT = _operation(
    "ValidationDetailedPDFReport",
    "GET",
    "/validation/{token}/download/detailed-report-pdf",
    "Download the detailed validation report as PDF",
    BYTES,
)
DIAGNOSTIC_DATA = _operation(
    "ValidationXMLDiagnosticData",
    "GET",
    "/validation/{token}/download/diagnostic-data-xml",
    "Download the diagnostic data of a validation as XML",
    BYTES,
)
PDF_REPORT = _operation(
    "ValidationPDFReport",
    "GET",
    "/validation/{token}/download/report-pdf",
    "Download the validation report as PDF",
    BYTES,
)
XML_REPORT = _operation(
    "ValidationXMLReport",
    "GET",
    "/validation/{token}/download/report-xml",
    "Download the validation report as XML",
    BYTES,
)

OPERATIONS: Mapping[str, Operation] = {
    one.id: one
    for one in (
        CREATE_EXTERNAL,
        STATUS_EXTERNAL,
        DOWNLOAD_EXTERNAL,
        REMIND,
        ADD_EXTERNAL_SIGNER,
        DELETE_EXTERNAL_SIGNER,
        DELETE_EXTERNAL,
        UPDATE_EXTERNAL,
        CREATE_INTERNAL,
        STATUS_INTERNAL,
        DOWNLOAD_INTERNAL,
        ADD_INTERNAL_SIGNER,
        DELETE_INTERNAL_SIGNER,
        DELETE_INTERNAL,
        UPDATE_INTERNAL,
        SEAL,
        DELIVER,
        VALIDATE,
        DETAILED_PDF_REPORT,
        DIAGNOSTIC_DATA,
        PDF_REPORT,
        XML_REPORT,
    )
}
