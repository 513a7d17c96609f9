"""Request bodies of PKIsigning as the simulator reads them (spec pkisigning 1.6, 2.2, 3.6), strictly.

Unknown fields, wrong case and wrong JSON types are refused, so that a client with a typing error fails here. This is a
reading of the contract of its own: it shares no code with the client it is meant to test.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator


class Status(StrEnum):
    """DossierStatuses; documents use the same names here (4.1)."""

    NEW = "New"
    PROCESSING = "Processing"
    PENDING_APPROVAL = "PendingApproval"
    PENDING_SIGNATURE = "PendingSignature"
    PENDING_DOWNLOAD = "PendingDownload"
    COMPLETED = "Completed"
    DECLINED = "Declined"
    WITHDRAWN = "Withdrawn"
    INVITATION_EXPIRED = "InvitationExpired"
    EXPIRED = "Expired"
    ERROR = "Error"


class Action(StrEnum):
    SIGN = "Sign"
    DOWNLOAD = "Download"
    APPROVE = "Approve"


DocumentType = Literal[
    "RegularPdf", "XbrlPublicationVersionAnnualReport", "XbrlAuditorsReport", "DetachedSignature",
    "XbrlPreparerExtension", "PdfAudittrail", "XbrlCompositionStatement", "XbrlStatutoryVersionAnnualReport",
    "DNBStaat", "RegularXml", "ReferencedDocument", "Json", "JsonSignature", "GenericTextFile", "VatDeclaration",
    "VatEuRecapitulativeStatement", "IncomeTaxDeclaration", "CorporateTaxDeclaration", "XbrlNexusVersionAnnualReport",
    "XbrlAuditorsReportSFO", "XbrlAssessmentStatement", "SignatureStylesheet", "EnvelopingSignatureData", "PageImage",
    "SHA256Hash", "SHA256Signature", "Unspecified",
]  # fmt: skip


def _is_email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not (local and at and domain) or any(letter.isspace() for letter in value):
        raise ValueError("is not an e-mail address")
    return value


def _is_http_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an absolute http(s) address")
    return value


def _is_guid(value: str) -> str:
    return str(UUID(value))


Email = Annotated[str, Field(min_length=1), AfterValidator(_is_email)]
Address = Annotated[str, Field(min_length=1), AfterValidator(_is_http_address)]
Guid = Annotated[str, AfterValidator(_is_guid)]
Text = Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateDossier(Body):
    name: str = Field(min_length=4, max_length=500)
    workgroupId: Guid | None = None
    clearancelevel: int
    owner: Email | None = None


class UpdateDocument(Body):
    name: str | None = None
    filename: str | None = None
    documentType: DocumentType


class ActorBody(Body):
    """ActorModel: an actor without the place of the signature."""

    action: Action
    firstname: Text
    prefix: str | None = None
    lastname: Text
    email: Email
    mobile: Text
    deadline: AwareDatetime
    language: Literal["NL", "EN"]
    validateRealIdentity: bool
    dossierPersonId: int | None = None
    message: str | None = None


class SignerBody(ActorBody):
    """SignerModel. A Sign actor needs exactly one way of placement (1.7)."""

    fieldName: Text | None = None
    placeholder: Text | None = None
    sigFieldX: float = Field(ge=0, le=100)
    sigFieldY: float = Field(ge=0, le=100)
    sigFieldH: float = Field(ge=0, le=100)
    sigFieldW: float = Field(ge=0, le=100)

    @property
    def has_coordinates(self) -> bool:
        return any((self.sigFieldX, self.sigFieldY, self.sigFieldH, self.sigFieldW))

    @property
    def ways(self) -> int:
        """How many ways of placement are given."""
        return (self.fieldName is not None) + (self.placeholder is not None) + self.has_coordinates

    @model_validator(mode="after")
    def _one_placement(self) -> SignerBody:
        if self.has_coordinates and not (self.sigFieldW and self.sigFieldH):
            raise ValueError("coordinates need a width and a height")
        if self.action is Action.SIGN and self.ways != 1:
            raise ValueError("a Sign actor needs exactly one of placeholder, fieldName and coordinates")
        return self


class UserId(Body):
    username: Email


class WebhookConfig(BaseModel):
    model_config = ConfigDict(extra="allow")
    url: Address


class CreateWebhook(Body):
    """PascalCase, unlike every other body (3.6)."""

    Events: list[Literal["status"]] = Field(min_length=1)
    Config: WebhookConfig
    Active: bool


class RecipientV1(Body):
    ordinal: int
    deadline: AwareDatetime
    firstname: Text
    prefix: str | None = None
    lastname: Text
    mobile: Text
    email: Email
    extendedIdentityVerification: bool = False
    language: Literal["nl", "en"] | None = None


class SignerV1(RecipientV1):
    placeholder: Text | None = None
    signatureFieldName: Text | None = None

    @model_validator(mode="after")
    def _one_placement(self) -> SignerV1:
        if (self.placeholder is None) == (self.signatureFieldName is None):
            raise ValueError("a signer needs exactly one of placeholder and signatureFieldName")
        return self


class DocumentV1(Body):
    contents: str
    filename: Text
    name: Text
    mimeType: Literal[1]
    documentType: Literal[1]
    signers: list[SignerV1] = []
    recipients: list[RecipientV1] = []

    @model_validator(mode="after")
    def _somebody(self) -> DocumentV1:
        if not self.signers and not self.recipients:
            raise ValueError("a document needs a signer or a recipient")
        return self

    def decoded(self) -> bytes:
        """Raises ValueError when the contents are not base64."""
        try:
            return base64.b64decode(self.contents, validate=True)
        except binascii.Error as error:
            raise ValueError("the contents are not base64") from error


class StartSignFlow(Body):
    """The old single-file fields (`document`, `signers` ... at top level) are refused like any unknown field."""

    documents: list[DocumentV1] = Field(min_length=1)
    callbackUrl: Address | None = None
    dossierName: str = Field(min_length=4, max_length=500)
    signatureNote: str | None = None
    recipientNote: str | None = None
    workgroupId: Guid | None = None
    clearanceLevel: int = 1


class ById(Body):
    """Body of the POST alternatives of the V1 calls whose wire form is unknown (2.3, 2.4)."""

    pkisId: Guid


def as_guid(text: str) -> str:
    """The canonical form; raises ValueError."""
    return _is_guid(text)


JsonObject = dict[str, Any]
