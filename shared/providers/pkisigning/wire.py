"""PKIsigning's JSON, under its own names (spec pkisigning 1.6, 2.2, 3.2, 3.6). Nothing is renamed here.

Requests are strict, answers tolerant: unknown fields are ignored, names are read without regard to case, and a value
that an enumeration does not list is kept as text. The enumerations below hold what is documented; they grow and shrink
between versions (spec 4.1).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from shared.providers.json_files import Base64File


class DocumentSignerAction(StrEnum):
    SIGN = "Sign"
    DOWNLOAD = "Download"
    APPROVE = "Approve"


class Language(StrEnum):
    NL = "NL"
    EN = "EN"


class DossierStatus(StrEnum):
    ACTIVE = "Active"
    COMPLETED = "Completed"
    DECLINED = "Declined"
    PROCESSING = "Processing"
    ERROR = "Error"
    PENDING_SBR_NEXUS = "PendingSbrNexus"
    WITHDRAWN = "Withdrawn"
    PENDING_DIGIPOORT = "PendingDigipoort"
    NEW = "New"
    FILING = "Filing"
    INVITATION_EXPIRED = "InvitationExpired"
    EXPIRED = "Expired"
    PENDING_APPROVAL = "PendingApproval"
    PENDING_DOWNLOAD = "PendingDownload"
    PENDING_SIGNATURE = "PendingSignature"


class DocumentStatus(StrEnum):
    ACTIVE = "Active"
    COMPLETED = "Completed"
    DECLINED = "Declined"
    PROCESSING = "Processing"
    ERROR = "Error"
    PENDING_SBR_NEXUS = "PendingSbrNexus"
    WITHDRAWN = "Withdrawn"
    PENDING_DIGIPOORT = "PendingDigipoort"
    NEW = "New"
    FILING = "Filing"
    INVITATION_EXPIRED = "InvitationExpired"
    ELAPSED = "Elapsed"
    EXPIRED = "Expired"
    PENDING_APPROVAL = "PendingApproval"
    PENDING_DOWNLOAD = "PendingDownload"
    PENDING_SIGNATURE = "PendingSignature"
    PENDING_DETERMINATION = "PendingDetermination"


class DossierType(StrEnum):
    ICP_DECLARATION = "IcpDeclaration"
    INCOME_TAX_DECLARATION = "IncomeTaxDeclaration"
    VAT_DECLARATION = "VatDeclaration"
    UNKNOWN = "Unknown"
    PDF = "PDF"
    FINANCIAL_STATEMENTS = "FinancialStatements"
    SBR_ASSURANCE = "SbrAssurance"
    SBR_NEXUS_ASSURANCE = "SbrNexusAssurance"
    SBR_NEXUS_ANNUAL_REPORT = "SbrNexusAnnualReport"
    CORPORATE_TAX_DECLARATION = "CorporateTaxDeclaration"
    INCOMPLETE = "Incomplete"
    ANNUAL_FINANCIAL_FILES = "AnnualFinancialFiles"


class DocumentType(StrEnum):
    REGULAR_PDF = "RegularPdf"
    XBRL_PUBLICATION_VERSION_ANNUAL_REPORT = "XbrlPublicationVersionAnnualReport"
    XBRL_AUDITORS_REPORT = "XbrlAuditorsReport"
    DETACHED_SIGNATURE = "DetachedSignature"
    XBRL_PREPARER_EXTENSION = "XbrlPreparerExtension"
    PDF_AUDITTRAIL = "PdfAudittrail"
    XBRL_COMPOSITION_STATEMENT = "XbrlCompositionStatement"
    XBRL_STATUTORY_VERSION_ANNUAL_REPORT = "XbrlStatutoryVersionAnnualReport"
    DNB_STAAT = "DNBStaat"
    REGULAR_XML = "RegularXml"
    REFERENCED_DOCUMENT = "ReferencedDocument"
    JSON = "Json"
    JSON_SIGNATURE = "JsonSignature"
    GENERIC_TEXT_FILE = "GenericTextFile"
    VAT_DECLARATION = "VatDeclaration"
    VAT_EU_RECAPITULATIVE_STATEMENT = "VatEuRecapitulativeStatement"
    INCOME_TAX_DECLARATION = "IncomeTaxDeclaration"
    CORPORATE_TAX_DECLARATION = "CorporateTaxDeclaration"
    XBRL_NEXUS_VERSION_ANNUAL_REPORT = "XbrlNexusVersionAnnualReport"
    XBRL_AUDITORS_REPORT_SFO = "XbrlAuditorsReportSFO"
    XBRL_ASSESSMENT_STATEMENT = "XbrlAssessmentStatement"
    SIGNATURE_STYLESHEET = "SignatureStylesheet"
    ENVELOPING_SIGNATURE_DATA = "EnvelopingSignatureData"
    PAGE_IMAGE = "PageImage"
    SHA256_HASH = "SHA256Hash"
    SHA256_SIGNATURE = "SHA256Signature"
    UNSPECIFIED = "Unspecified"


def _as_utc(moment: datetime) -> datetime:
    """A time without a zone counts as UTC. .NET's zero date with an offset has no UTC form, so it keeps its digits."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


def _to_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Sent as UTC with `Z`; .NET's seven fraction digits are read and cut to six (spec 1.3).
Moment = Annotated[datetime, AfterValidator(_as_utc), PlainSerializer(_to_text, return_type=str, when_used="json")]
Text = Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    """Base of what we send: a name that the provider does not know is a mistake of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """Base of what we receive."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _ignore_case(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        names = {name.lower(): name for name in cls.model_fields}
        return {names.get(str(key).lower(), key): value for key, value in data.items()}


# ------------------------------------------------------------------------------------------------ V2 bodies


class CreateDossierModel(Body):
    name: Annotated[str, Field(min_length=4, max_length=500)]
    workgroupId: UUID | None = None
    clearancelevel: int = 1
    owner: str | None = None


class UpdateDocumentMetadataModel(Body):
    name: str | None = None
    filename: str | None = None
    documentType: DocumentType


class ActorModel(Body):
    action: DocumentSignerAction
    firstname: Text
    prefix: str | None = None
    lastname: Text
    email: Text
    mobile: Text
    deadline: Moment
    language: Language = Language.NL
    validateRealIdentity: bool = False
    dossierPersonId: int | None = None
    message: str | None = None


class SignerModel(ActorModel):
    """The four `sigField` numbers are required and sent as 0 beside a placeholder or field (spec 1.7)."""

    fieldName: str | None = None
    placeholder: str | None = None
    sigFieldX: float = 0
    sigFieldY: float = 0
    sigFieldH: float = 0
    sigFieldW: float = 0


class UserIdModel(Body):
    username: Text


class WebhookRequestConfig(Body):
    model_config = ConfigDict(extra="allow", defer_build=True)

    url: Text


class WebhookRequestModel(Body):
    """PascalCase, unlike everything else that is sent (spec 3.6)."""

    Events: tuple[str, ...] = ("status",)
    Config: WebhookRequestConfig
    Active: bool = True


# ----------------------------------------------------------------------------------------------- V2 answers


class KeyValuePairOfStringAndString(Answer):
    key: str
    value: str


class SignatureData(Answer):
    subject: list[KeyValuePairOfStringAndString] | None = None
    issuer: list[KeyValuePairOfStringAndString] | None = None
    date: Moment
    location: str | None = None
    reason: str | None = None
    euQualified: bool
    advanced: bool
    eSeal: bool
    ipAddress: str | None = None
    signatureField: str | None = None
    signatureImage: str | None = None


class SignatureField(Answer):
    name: str | None = None
    page: int
    x: float
    y: float
    height: float
    width: float


class EmailActivity(Answer):
    event: str | None = None
    reason: str | None = None
    timestamp: Moment
    pkisMessageType: str | None = None
    pkisInviteId: str | None = None
    email: str | None = None


class SignerAnswer(Answer):
    """SignerModel as it is read back inside `RequestModel.documents`: enumerations open, lengths unchecked."""

    action: str
    firstname: str
    prefix: str | None = None
    lastname: str
    email: str
    mobile: str
    deadline: Moment
    language: str = Language.NL
    validateRealIdentity: bool = False
    dossierPersonId: int | None = None
    message: str | None = None
    fieldName: str | None = None
    placeholder: str | None = None
    sigFieldX: float = 0
    sigFieldY: float = 0
    sigFieldH: float = 0
    sigFieldW: float = 0


class ExtendedSignerModel(SignerAnswer):
    id: UUID | None = None
    signingDate: Moment | None = None
    hasSigned: bool
    fullName: str | None = None
    emailActivity: list[EmailActivity] | None = None
    documentId: UUID


class DocumentModel(Answer):
    id: UUID
    name: str | None = None
    documentType: str
    dossierIndex: int
    documentstatus: str
    actors: list[SignerAnswer] | None = None


class DocumentMetaDataModel(Answer):
    name: str | None = None
    lastUpdate: Moment | None = None
    pages: int
    created: Moment
    expires: Moment | None = None
    id: UUID
    status: str
    signed: bool | None = None
    signatures: list[SignatureData] | None = None
    emptySignatureFields: list[SignatureField] | None = None
    containsBlankSignatureFields: bool | None = None
    actors: list[ExtendedSignerModel] | None = None
    requestId: UUID
    reasons: str | None = None
    signerNote: str | None = None
    recipientNote: str | None = None
    isMyDocument: bool = False
    dossierIndex: int
    documentSize: int
    documentType: str


class RequestModel(Answer):
    id: UUID
    dossierName: str | None = None
    documents: list[DocumentModel] | None = None
    status: str
    actors: list[ExtendedSignerModel] | None = None
    signed: bool = False
    signatures: list[SignatureData] | None = None
    dossierType: str
    reasons: str | None = None
    signerNote: str | None = None
    recipientNote: str | None = None
    accorderNote: str | None = None
    expires: Moment | None = None
    emailActivity: list[EmailActivity] | None = None
    myDossier: bool
    taxPaymentStatus: str | None = None
    workgroup: UUID | None = None
    clearancelevel: int = 1


class OrganisationIdModel(Answer):
    id: UUID
    name: str | None = None


class OrganisationWorkgroup(Answer):
    id: UUID
    name: str | None = None


class WebhookConfig(Answer):
    url: str


class WebhookResponseModel(Answer):
    events: list[str] = ["status"]
    config: WebhookConfig
    active: bool = True
    id: UUID
    created: Moment
    lastUpdate: Moment


class WebhookNotification(Answer):
    """The body of a callback: PascalCase from a V2 webhook, camelCase from V1 (spec 3.2)."""

    PkisId: UUID
    DossierStatus: str
    Reason: str | None = None
    AuthenticationKey: str | None = Field(default=None, repr=False)


# -------------------------------------------------------------------------------------------------------- V1


class ShareRecipient(Body):
    """INFERRED: a V1 signer without the place of a signature (spec 2.2)."""

    ordinal: int
    deadline: Moment
    firstname: Text
    prefix: str | None = None
    lastname: Text
    mobile: Text
    email: Text
    extendedIdentityVerification: bool = False
    language: str | None = None


class ShareSigner(ShareRecipient):
    placeholder: str | None = None
    signatureFieldName: str | None = None


class ShareDocument(Body):
    contents: Base64File = Field(repr=False)
    filename: Text
    name: Text
    mimeType: int = 1
    documentType: int = 1
    signers: tuple[ShareSigner, ...] = ()
    recipients: tuple[ShareRecipient, ...] = ()


class StartSignFlowModel(Body):
    documents: Annotated[tuple[ShareDocument, ...], Field(min_length=1)]
    callbackUrl: str | None = Field(default=None, repr=False)
    dossierName: Annotated[str, Field(min_length=4, max_length=500)]
    signatureNote: str | None = None
    workgroupId: UUID | None = None
    clearanceLevel: int | None = None


class PkisIdModel(Body):
    """INFERRED: the body of the POST forms of RetrieveDocument and RemoveDocument (spec 2.3, 2.4)."""

    pkisId: UUID


class WorkgroupWithClearanceLevel(Answer):
    """INFERRED item fields (spec 2.5)."""

    id: UUID
    name: str | None = None
    clearanceLevel: int | None = None
