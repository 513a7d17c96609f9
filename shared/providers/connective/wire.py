"""Connective's JSON, under its own names (spec connective 2, 4). Nothing is renamed here.

Requests are strict, answers tolerant: unknown fields are ignored, names are read without regard to case, every field
may be missing, and a value that an enumeration does not list is kept as text (spec 2.6).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from shared.providers.json_files import Base64File


class PackageState(StrEnum):
    """The values of `PackageStatus` (spec 4.1); the last three are those of API v4, should a host mix them in."""

    DRAFT = "Draft"
    PENDING = "Pending"
    FINISHED = "Finished"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    REJECTED = "Rejected"
    FAILED = "Failed"
    IN_PROGRESS = "InProgress"
    ENDING = "Ending"
    ARCHIVED = "Archived"


class ActorState(StrEnum):
    """The values of `ActorStatus` (spec 4.2)."""

    DRAFT = "Draft"
    WAITING = "Waiting"
    AVAILABLE = "Available"
    IN_PROGRESS = "InProgress"
    FINISHED = "Finished"
    REJECTED = "Rejected"
    SKIPPED = "Skipped"
    FAILED = "Failed"


class ActorType(StrEnum):
    SIGNER = "Signer"
    APPROVER = "Approver"
    RECEIVER = "Receiver"


class StakeholderType(StrEnum):
    PERSON = "Person"
    PERSON_GROUP = "PersonGroup"
    CONTACT_GROUP = "ContactGroup"


class Language(StrEnum):
    EN = "en"
    NL = "nl"
    DE = "de"
    FR = "fr"
    ES = "es"


class NewStatus(StrEnum):
    """What the status can be set to (spec 2.7)."""

    PENDING = "Pending"
    REVOKED = "Revoked"


class LegalNotice(StrEnum):
    LEGALNOTICE1 = "LEGALNOTICE1"
    LEGALNOTICE2 = "LEGALNOTICE2"
    LEGALNOTICE3 = "LEGALNOTICE3"


class PdfErrors(StrEnum):
    IGNORE = "Ignore"
    DETECT_WARN = "DetectWarn"
    DETECT_FAIL = "DetectFail"
    DETECT_FIX_WARN = "DetectFixWarn"
    DETECT_FIX_FAIL = "DetectFixFail"


class Target(StrEnum):
    PDF = "Pdf"
    PDF_A1A = "PdfA1A"
    PDF_A2A = "PdfA2A"


class RedirectWhen(StrEnum):
    AFTER_SESSION = "AfterSession"
    AFTER_COMPLETION = "AfterCompletion"
    AFTER_DELAY = "AfterDelay"
    IMMEDIATELY = "Immediately"


def _to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_aware), PlainSerializer(_to_text, return_type=str, when_used="json")]
Text = Annotated[str, Field(min_length=1)]
# Declared as text, although a public client sends numbers (spec 2.1.1).
Points = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


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


def _listed(value: object) -> object:
    """A lone object instead of a list, and null instead of an empty one, as the published examples have them."""
    if value is None:
        return []
    return [value] if isinstance(value, dict) else value


# --------------------------------------------------------------------------------------------------- bodies


class SigningField(Body):
    """One place to sign: a marker or field in the document, or coordinates in points from the upper left corner."""

    PageNumber: int | None = None
    Width: Points | None = None
    Height: Points | None = None
    Left: Points | None = None
    Top: Points | None = None
    MarkerOrFieldId: str | None = None
    Label: str | None = None


class SigningType(Body):
    """One way to sign; `SigningType` is an open set (spec 4.4). `MatchLevel` is known to v3.1 only."""

    SigningType: Text
    CommitmentTypes: tuple[str, ...] | None = None
    MandatedSignerValidation: str | None = None
    MandatedSignerIds: tuple[str, ...] | None = None
    MatchLevel: float | None = None
    SignaturePolicyId: str | None = None


class _ActorBody(Body):
    """What all forms of an actor share. Of the spellings in circulation these are the ones of the published example
    and of a public client: `PhoneNumber`, `RedirectUrl`, `LegalNoticeText` (INFERRED that all are taken, spec 2.14)."""

    Type: ActorType
    OrderIndex: int | None = None
    SigningTypes: tuple[SigningType, ...] | None = None
    PhoneNumber: str | None = None
    RedirectUrl: str | None = None
    SendNotifications: bool | None = None
    UserRoles: tuple[str, ...] | None = None
    LegalNoticeCode: LegalNotice | None = None
    LegalNoticeText: str | None = None


class _Person(Body):
    EmailAddress: Text
    FirstName: Text
    LastName: Text
    Language: str | None = None
    BirthDate: str | None = None


class InstantActor(_ActorBody):
    SigningFields: tuple[SigningField, ...] | None = None


class InstantStakeholder(_Person):
    ExternalStakeholderReference: str | None = None
    Actors: tuple[InstantActor, ...]


class ProcessActor(_ActorBody):
    LocationIds: tuple[str, ...] | None = None


class ProcessStakeholder(_Person):
    ExternalStakeholderReference: str | None = None
    Actors: tuple[ProcessActor, ...]


class ProcessBody(Body):
    Stakeholders: tuple[ProcessStakeholder, ...]


class ActorLocation(Body):
    Id: Text
    LegalNoticeCode: LegalNotice | None = None
    LegalNoticeText: str | None = None


class ProcessActorV31(_ActorBody):
    Locations: tuple[ActorLocation, ...] | None = None
    RedirectType: RedirectWhen | None = None


class ProcessStakeholderV31(Body):
    """A person, a group of persons named here, or a group of contacts that the environment knows (spec 2.14b)."""

    Type: StakeholderType = StakeholderType.PERSON
    EmailAddress: str | None = None
    FirstName: str | None = None
    LastName: str | None = None
    Language: str | None = None
    BirthDate: str | None = None
    PersonGroupName: str | None = None
    Persons: tuple[_Person, ...] | None = None
    ContactGroupCode: str | None = None
    ExternalStakeholderReference: str | None = None
    Actors: tuple[ProcessActorV31, ...]


class ProcessBodyV31(Body):
    Stakeholders: tuple[ProcessStakeholderV31, ...]


class _PackageOptions(Body):
    """What both ways of creating a package share. `ExternalPackageData` is reserved: do not send it (spec 2.1)."""

    Initiator: Text
    CallBackUrl: str | None = Field(default=None, repr=False)
    NotificationCallBackUrl: str | None = Field(default=None, repr=False)
    CorrelationId: str | None = None
    DocumentGroupCode: str | None = None
    ThemeCode: str | None = None
    DownloadUnsignedFiles: bool | None = None
    ReassignEnabled: bool | None = None
    ActionUrlExpirationPeriodInDays: int | None = None
    ExpiryTimestamp: Moment | None = None
    ExternalPackageReference: str | None = None
    ExternalPackageData: str | None = None
    F2FRedirectUrl: str | None = None


class CreatePackageBody(_PackageOptions):
    PackageName: Text


class InstantPackageBody(_PackageOptions):
    Document: Base64File = Field(repr=False)
    DocumentLanguage: Language
    DocumentName: Text
    Stakeholders: tuple[InstantStakeholder, ...]
    ExternalDocumentReference: str | None = None
    PdfErrorHandling: PdfErrors | None = None
    Representation: Base64File | None = Field(default=None, repr=False)
    RepresentationType: str | None = None
    SigningTemplateCode: str | None = None
    TargetType: Target | None = None


class AddDocumentBody(Body):
    """`PdfErrorHandling` is text: the definition's list of errors is a slip (spec 2.4)."""

    Document: Base64File = Field(repr=False)
    DocumentLanguage: Language
    DocumentName: Text
    SigningFields: tuple[SigningField, ...] | None = None
    CorrelationId: str | None = None
    DocumentType: str | None = None
    ExternalDocumentReference: str | None = None
    PdfErrorHandling: PdfErrors | None = None
    Representation: Base64File | None = Field(default=None, repr=False)
    RepresentationType: str | None = None
    TargetType: Target | None = None


class SetStatusBody(Body):
    Status: NewStatus


class ExpiryBody(Body):
    ExpiryTimestamp: Moment


class ExternalProofBody(Body):
    """`Content` is the proof itself, `IpAddress` that of the person it is about."""

    Content: str | None = Field(default=None, repr=False)
    LocationId: str | None = None
    Name: str | None = None
    Type: str | None = None
    Description: str | None = None
    IpAddress: str | None = Field(default=None, repr=False)


# -------------------------------------------------------------------------------------------------- answers


class CreatedPackage(Answer):
    PackageId: str
    CreationTimestamp: str | None = None


class Location(Answer):
    Id: str
    Label: str | None = None
    PageNumber: int | None = None


LocationList = Annotated[list[Location], BeforeValidator(_listed)]


class AddedDocument(Answer):
    DocumentId: str
    CreationTimestamp: str | None = None
    Locations: LocationList = []


class LocatedDocument(Answer):
    DocumentId: str
    ExternalDocumentReference: str | None = None
    Locations: LocationList = []


class PackageLocations(Answer):
    Documents: Annotated[list[LocatedDocument], BeforeValidator(_listed)] = []


class PersonalUrl(Answer):
    EmailAddress: str | None = None
    Url: str | None = Field(default=None, repr=False)


class ActorLocationAnswer(Answer):
    """`UserSigningType` is how one published example spells `UsedSigningType`."""

    Id: str | None = None
    UsedSigningType: str | None = None
    UserSigningType: str | None = None


class ActorAnswer(Answer):
    ActorId: str | None = None
    Type: str | None = None
    ActorStatus: str | None = None
    ActionUrl: str | None = Field(default=None, repr=False)
    ActionUrls: Annotated[list[PersonalUrl], BeforeValidator(_listed)] = Field(default=[], repr=False)
    CompletedBy: str | None = None
    CompletedTimestamp: str | None = None
    Reason: str | None = None
    Locations: Annotated[list[ActorLocationAnswer], BeforeValidator(_listed)] = []


class StakeholderAnswer(Answer):
    Type: str | None = None
    PersonGroupName: str | None = None
    ContactGroupCode: str | None = None
    EmailAddress: str | None = None
    ExternalStakeholderReference: str | None = None
    StakeholderId: str | None = None
    Actors: Annotated[list[ActorAnswer], BeforeValidator(_listed)] = []


class PackageDocument(Answer):
    DocumentId: str
    DocumentName: str | None = None
    DocumentType: str | None = None
    ExternalDocumentReference: str | None = None


class PackageStatus(Answer):
    PackageName: str | None = None
    Initiator: str | None = None
    CreationTimestamp: str | None = None
    ExpiryTimestamp: str | None = None
    ExternalPackageReference: str | None = None
    F2FSigningUrl: str | None = Field(default=None, repr=False)
    PackageStatus: str | None = None
    DocumentGroupCode: str | None = None
    PackageDocuments: Annotated[list[PackageDocument], BeforeValidator(_listed)] = []
    Stakeholders: Annotated[list[StakeholderAnswer], BeforeValidator(_listed)] = []


class InstantPackage(PackageStatus):
    """Declared with two fields, answered with nearly the whole status (spec 2.1): what is missing is read back."""

    PackageId: str
    Warnings: Annotated[list[object], BeforeValidator(_listed)] = []


class ListedPackage(Answer):
    Id: str
    PackageStatus: str | None = None
    ExternalPackageReference: str | None = None


class PackagePage(Answer):
    ContinuationToken: str | None = None
    MaxQuantity: int | None = None
    Total: int | None = None
    Items: Annotated[list[ListedPackage], BeforeValidator(_listed)] = []
