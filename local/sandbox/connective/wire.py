"""Request bodies of Connective as the simulator reads them (spec connective 2), strictly.

Names and enumerated values count in any case, as the real service seems to take them; unknown names, wrong JSON types
and missing fields are refused. This is a reading of the contract of its own: it shares no code with the client.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Status(StrEnum):
    DRAFT = "Draft"
    PENDING = "Pending"
    FINISHED = "Finished"
    REJECTED = "Rejected"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    FAILED = "Failed"


class ActorStatus(StrEnum):
    DRAFT = "Draft"
    WAITING = "Waiting"
    AVAILABLE = "Available"
    FINISHED = "Finished"
    REJECTED = "Rejected"
    SKIPPED = "Skipped"
    FAILED = "Failed"


def _folded(*values: str) -> BeforeValidator:
    """The documented spelling of a value given in any case."""
    known = {value.lower(): value for value in values}
    return BeforeValidator(lambda value: known.get(value.lower(), value) if isinstance(value, str) else value)


def _is_email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not (local and at and domain) or any(letter.isspace() for letter in value):
        raise ValueError("is not an e-mail address")
    return value


def _is_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an absolute http(s) address")
    return value


def _is_name(value: str) -> str:
    if any(letter in "/\\?%*:'\"<>|&" for letter in value):
        raise ValueError("holds a character that names must not have")
    return value


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("is not text")  # noqa: TRY004  (pydantic wants it)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64") from error


def _number(value: object) -> object:
    """A number, or one written as text: the definition declares both (spec connective 2.1.1)."""
    return float(value) if isinstance(value, str) and value.replace(".", "", 1).isdecimal() else value


Email = Annotated[str, AfterValidator(_is_email)]
Address = Annotated[str, AfterValidator(_is_address)]
Name = Annotated[str, Field(min_length=1, max_length=150), AfterValidator(_is_name)]
Reference = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(min_length=1)]
File = Annotated[bytes, BeforeValidator(_from_base64)]
Number = Annotated[float, BeforeValidator(_number), Field(ge=0)]
Order = Annotated[float, BeforeValidator(_number)]

_LANGUAGES = ("en", "nl", "de", "fr", "es")
Language = Annotated[Literal["en", "nl", "de", "fr", "es"], _folded(*_LANGUAGES)]
UiLanguage = Annotated[
    Literal["en", "nl", "de", "fr", "es", "da", "fi", "lv", "nb", "pl", "sv"],
    _folded(*_LANGUAGES, "da", "fi", "lv", "nb", "pl", "sv"),
]
SigningKind = Annotated[
    str,
    Field(
        pattern="^(Manual|BeId|ManualBeId|BeLawyer|SmsOtp|MailOtp|Idin|Itsme|Biometric|Server|OpenIdConnect:.+)$",
    ),
    _folded("Manual", "BeId", "ManualBeId", "BeLawyer", "SmsOtp", "MailOtp", "Idin", "Itsme", "Biometric", "Server"),
]
Notice = Annotated[
    Literal["LEGALNOTICE1", "LEGALNOTICE2", "LEGALNOTICE3"], _folded("LEGALNOTICE1", "LEGALNOTICE2", "LEGALNOTICE3")
]
ActorKind = Annotated[Literal["Signer", "Approver", "Receiver"], _folded("Signer", "Approver", "Receiver")]
PersonKind = Annotated[
    Literal["Person", "PersonGroup", "ContactGroup"], _folded("Person", "PersonGroup", "ContactGroup")
]
PdfErrors = Annotated[
    Literal["Ignore", "DetectWarn", "DetectFail", "DetectFixWarn", "DetectFixFail"],
    _folded("Ignore", "DetectWarn", "DetectFail", "DetectFixWarn", "DetectFixFail"),
]
Target = Annotated[Literal["Pdf", "PdfA1A", "PdfA2A"], _folded("Pdf", "PdfA1A", "PdfA2A")]
Redirect = Annotated[
    Literal["AfterSession", "AfterCompletion", "AfterDelay", "Immediately"],
    _folded("AfterSession", "AfterCompletion", "AfterDelay", "Immediately"),
]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = {name.lower(): name for name in cls.model_fields}
        return {names.get(str(key).lower(), str(key)): value for key, value in data.items()}


class SigningFieldBody(Body):
    PageNumber: int | None = None
    Width: Number | None = None
    Height: Number | None = None
    Left: Number | None = None
    Top: Number | None = None
    MarkerOrFieldId: Text | None = None
    Label: Text | None = None

    @model_validator(mode="after")
    def _one_place(self) -> SigningFieldBody:
        box = (self.PageNumber, self.Width, self.Height, self.Left, self.Top)
        if self.MarkerOrFieldId is None and any(one is None for one in box):
            raise ValueError("needs a marker or field, or a page with width, height, left and top")
        if self.MarkerOrFieldId is not None and any(one is not None for one in box):
            raise ValueError("takes a marker or coordinates, not both")
        if self.PageNumber == 0:
            raise ValueError("there is no page 0")
        return self


class SigningTypeBody(Body):
    SigningType: SigningKind
    CommitmentTypes: list[str] | None = None
    MandatedSignerValidation: str | None = None
    MandatedSignerIds: list[str] | None = None
    SignaturePolicyId: str | None = None


class SigningTypeBodyV31(SigningTypeBody):
    MatchLevel: float | None = None


class ActorBody(Body):
    Type: ActorKind
    OrderIndex: Order | None = None
    PhoneNumber: str | None = None
    RedirectUrl: Address | None = None
    SendNotifications: bool = False
    UserRoles: list[str] | None = None
    LegalNoticeCode: Notice | None = None
    LegalNoticeText: str | None = None
    SigningTypes: Sequence[SigningTypeBody] = []

    @model_validator(mode="after")
    def _a_signer_signs(self) -> ActorBody:
        if self.Type == "Signer" and not self.SigningTypes:
            raise ValueError("SigningTypes are required for a signer")
        if self.Type != "Receiver" and self.OrderIndex is None:
            raise ValueError("OrderIndex is required")
        if any(one.SigningType == "SmsOtp" for one in self.SigningTypes) and not self.PhoneNumber:
            raise ValueError("PhoneNumber is required for SmsOtp")
        return self


class InstantActorBody(ActorBody):
    SigningFields: list[SigningFieldBody] = []


class ProcessActorBody(ActorBody):
    """v3 has no approvers (spec connective 2.14)."""

    Type: Annotated[Literal["Signer", "Receiver"], _folded("Signer", "Receiver")]
    LocationIds: list[str] = []


class LocationBody(Body):
    Id: Text
    LegalNoticeCode: Notice | None = None
    LegalNoticeText: str | None = None


class ProcessActorBodyV31(ActorBody):
    Locations: list[LocationBody] = []
    RedirectType: Redirect | None = None
    SigningTypes: Sequence[SigningTypeBodyV31] = []


class PersonBody(Body):
    EmailAddress: Email
    FirstName: Text
    LastName: Text
    Language: UiLanguage
    BirthDate: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class InstantStakeholderBody(PersonBody):
    ExternalStakeholderReference: Reference | None = None
    Actors: list[InstantActorBody] = Field(min_length=1)


class ProcessStakeholderBody(PersonBody):
    ExternalStakeholderReference: Reference | None = None
    Actors: list[ProcessActorBody] = Field(min_length=1)


class ProcessStakeholderBodyV31(Body):
    Type: PersonKind = "Person"
    EmailAddress: Email | None = None
    FirstName: Text | None = None
    LastName: Text | None = None
    Language: UiLanguage | None = None
    BirthDate: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    PersonGroupName: Text | None = None
    Persons: list[PersonBody] = []
    ContactGroupCode: Text | None = None
    ExternalStakeholderReference: Reference | None = None
    Actors: list[ProcessActorBodyV31] = Field(min_length=1)

    @model_validator(mode="after")
    def _somebody(self) -> ProcessStakeholderBodyV31:
        person = (self.EmailAddress, self.FirstName, self.LastName, self.Language)
        if self.Type == "Person" and any(one is None for one in person):
            raise ValueError("a person needs an address, names and a language")
        if self.Type == "PersonGroup" and not (self.PersonGroupName and self.Persons):
            raise ValueError("a group of persons needs a name and persons")
        if self.Type == "ContactGroup" and not self.ContactGroupCode:
            raise ValueError("a contact group needs a code")
        return self


class ProcessRequest(Body):
    Stakeholders: list[ProcessStakeholderBody] = Field(min_length=1)


class ProcessRequestV31(Body):
    Stakeholders: list[ProcessStakeholderBodyV31] = Field(min_length=1)


class PackageFields(Body):
    Initiator: Email
    CallBackUrl: Address | None = None
    NotificationCallBackUrl: Address | None = None
    CorrelationId: Reference | None = None
    DocumentGroupCode: str | None = None
    ThemeCode: str | None = None
    DownloadUnsignedFiles: bool | None = None
    ReassignEnabled: bool | None = None
    ActionUrlExpirationPeriodInDays: Annotated[int, Field(ge=1)] | None = None
    ExpiryTimestamp: AwareDatetime | None = None
    ExternalPackageReference: Reference | None = None
    F2FRedirectUrl: Address | None = None


class CreatePackage(PackageFields):
    PackageName: Name


class DocumentFields(Body):
    Document: File = Field(repr=False)
    DocumentLanguage: Language
    DocumentName: Name
    ExternalDocumentReference: Reference | None = None
    PdfErrorHandling: PdfErrors | None = None
    Representation: File | None = Field(default=None, repr=False)
    RepresentationType: Literal["application/pdf"] | None = None
    TargetType: Target | None = None


class CreateInstant(PackageFields, DocumentFields):
    Stakeholders: list[InstantStakeholderBody] = Field(min_length=1)
    SigningTemplateCode: str | None = None


class AddDocument(DocumentFields):
    SigningFields: Annotated[list[SigningFieldBody], Field(max_length=30)] = []
    CorrelationId: Reference | None = None
    DocumentType: Annotated[
        Literal["application/pdf", "application/xml"], _folded("application/pdf", "application/xml")
    ] = "application/pdf"


class SetStatus(Body):
    Status: Annotated[Literal["Pending", "Revoked"], _folded("Pending", "Revoked")]


class SetExpiry(Body):
    ExpiryTimestamp: AwareDatetime


class ExternalProof(Body):
    Content: Text
    LocationId: Text
    Name: Text
    Type: Text
    Description: str | None = None
    IpAddress: str | None = None


JsonObject = dict[str, Any]
