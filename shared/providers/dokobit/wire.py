"""Dokobit's JSON, under its own names (spec dokobit 1.3, 1.4, 2.3). Nothing is renamed here.

Requests are strict, answers tolerant: no field of an answer is promised, so all are optional, and lists that the
definition gives in prose only (countries, languages, signing methods) stay open, for the server may know more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from shared.providers.json_files import Base64File


class SigningType(StrEnum):
    PDF = "pdf"
    ASICE = "asice"
    BDOC = "bdoc"
    EDOC = "edoc"
    ADOC = "adoc"
    ADOC_CEDOC = "adoc.cedoc"


class DeliveryType(StrEnum):
    PDF = "pdf"


class AnnotationPosition(StrEnum):
    FIRST_TOP = "first_top"
    FIRST_BOTTOM = "first_bottom"
    LAST_TOP = "last_top"
    LAST_BOTTOM = "last_bottom"
    NONE = "none"


class SignerRole(StrEnum):
    SIGNER = "signer"
    VIEWER = "viewer"


class SigningState(StrEnum):
    """`SigningStatus.status`. No list is published; these are the evidenced ones (spec 3.2)."""

    PENDING = "pending"
    COMPLETED = "completed"
    DECLINED = "declined"
    ARCHIVED = "archived"
    FAILED = "failed"


class SignerState(StrEnum):
    """`SigningStatus.signers[].status`, all INFERRED (spec 3.3)."""

    PENDING = "pending"
    SIGNED = "signed"
    DECLINED = "declined"
    FAILED = "failed"


class Action(StrEnum):
    """What a postback tells of (spec 2.2)."""

    SIGNING_CREATED = "signing_created"
    SIGNER_SIGNED = "signer_signed"
    SIGNER_DECLINED = "signer_declined"
    SIGNER_APPROVED = "signer_approved"
    SIGNING_COMPLETED = "signing_completed"
    SIGNING_ARCHIVED = "signing_archived"
    SIGNING_ARCHIVE_FAILED = "signing_archive_failed"
    DOCUMENT_RECEIVED = "document_received"


def _as_utc(moment: datetime) -> datetime:
    """A time without a zone counts as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _to_text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


Moment = Annotated[datetime, AfterValidator(_as_utc), PlainSerializer(_to_text, return_type=str, when_used="json")]
Text = Annotated[str, Field(min_length=1)]
# Numbers of an annotation travel as text (spec 1.3).
Number = Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]


class Body(BaseModel):
    """Base of what we send: a name that the provider does not know is a mistake of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """Base of what we receive."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, hide_input_in_errors=True)


# -------------------------------------------------------------------------------------------------- requests


class File(Body):
    """`digest` (SHA-256 in lower-case hex) belongs to the plain Universal API only, which insists on it (spec 1.1)."""

    name: Text
    content: Annotated[Base64File, Field(min_length=1, repr=False)]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class SealAnnotation(Body):
    page: Number | None = None
    top: Number | None = None
    left: Number | None = None


class Annotation(SealAnnotation):
    language: Text | None = None


class _Signer(Body):
    external_id: Text
    code: Text | None = None
    country_code: Text | None = None
    role: SignerRole | None = None
    phone: Text | None = None
    custom_reason: Text | None = None
    annotation: Annotation | None = None


class LateExternalSigner(_Signer):
    """Somebody added to an external signing: the order cannot be chosen any more."""

    name: Text | None = None
    surname: Text | None = None
    email: Text | None = None
    company: Text | None = None
    position: Text | None = None
    notifications_language: Text | None = None


class ExternalSigner(LateExternalSigner):
    sequence: int | None = None


class InternalSigner(_Signer):
    language: Text | None = None


class _Policy(Body):
    """What may be used to sign; the part of a signing that can be changed later."""

    require_qualified_signatures: bool | None = None
    allow_video_identification: bool | None = None
    allowed_signing_methods: tuple[Text, ...] | None = None


class _Created(_Policy):
    type: SigningType
    name: Text
    postback_url: Text | None = Field(default=None, repr=False)
    annotation_position: AnnotationPosition | None = None
    annotation_personal_code: bool | None = None
    flatten_pdf: bool | None = None
    files: Annotated[list[File], Field(min_length=1)]


class CreateExternalSigning(_Created):
    deadline: Moment | None = None
    hard_deadline: bool | None = None
    comment: Text | None = None
    allow_document_saving: bool | None = None
    signers: tuple[ExternalSigner, ...] | None = None


class CreateInternalSigning(_Created):
    redirect_uri: Text
    signers: tuple[InternalSigner, ...] | None = None


class Reminder(Body):
    signer: Text
    message: Text | None = None


class AddExternalSigners(Body):
    signers: tuple[LateExternalSigner, ...] | None = None
    comment: Text | None = None


class AddInternalSigners(Body):
    signers: tuple[InternalSigner, ...] | None = None


class SignerToken(Body):
    token: Text


class DeleteSigners(Body):
    signers: tuple[SignerToken, ...] | None = None


class UpdateExternalSigning(_Policy):
    deadline: Moment | None = None
    hard_deadline: bool | None = None
    allow_document_saving: bool | None = None


class UpdateInternalSigning(_Policy):
    """The policy is all that can be changed here."""


class SealSigning(Body):
    custom_reason: Text | None = None
    annotation: SealAnnotation | None = None


class DeliveryRecipient(Body):
    """One of `email` and `phone` is needed; the definition says so in prose only (spec 1.3, operation 17)."""

    external_id: Text
    code: Text
    country_code: Text
    email: Text | None = None
    phone: Text | None = None
    notifications_language: Text | None = None


class CreateDelivery(Body):
    type: DeliveryType
    name: Text
    postback_url: Text | None = Field(default=None, repr=False)
    comment: Text | None = None
    files: Annotated[list[File], Field(min_length=1)]
    recipients: tuple[DeliveryRecipient, ...]


class UploadForValidation(Body):
    file: File


# --------------------------------------------------------------------------------------------------- answers


class Ack(Answer):
    """`status` is an acknowledgement here, `ok`; in `SigningStatus` it is the state of the signing (spec 1.4)."""

    status: str | None = None


class CreatedExternalSigner(Answer):
    external_id: str | None = None
    token: str | None = Field(default=None, repr=False)
    first_name: str | None = None
    last_name: str | None = None
    code: str | None = None
    country: str | None = None
    email: str | None = None


class ExternalCreated(Ack):
    token: str | None = None
    signers: list[CreatedExternalSigner] | None = None


class CreatedInternalSigner(Answer):
    external_id: str | None = None
    token: str | None = Field(default=None, repr=False)
    redirect_uri: str | None = Field(default=None, repr=False)


class InternalCreated(Ack):
    token: str | None = None
    signers: list[CreatedInternalSigner] | None = None


class AddedInternalSigner(Answer):
    external_id: str | None = None
    token: str | None = Field(default=None, repr=False)
    name: str | None = None
    surname: str | None = None
    email: str | None = None
    code: str | None = None
    country_code: str | None = None
    role: str | None = None
    company: str | None = None
    position: str | None = None
    phone: str | None = None


class AddedExternalSigner(AddedInternalSigner):
    notifications_language: str | None = None


class ExternalSignersAdded(Ack):
    signers: list[AddedExternalSigner] | None = None


class InternalSignersAdded(Ack):
    signers: list[AddedInternalSigner] | None = None


class StatusFile(Answer):
    name: str | None = None
    url: str | None = Field(default=None, repr=False)
    mime_type: str | None = None


class StatusSigner(Answer):
    """Carries no `external_id`. What `type` means is not published, so nothing is read from it (spec 1.4)."""

    token: str | None = Field(default=None, repr=False)
    first_name: str | None = None
    last_name: str | None = None
    code: str | None = None
    country: str | None = None
    email: str | None = None
    type: str | None = None
    status: str | None = None


class SigningStatus(Answer):
    status: str | None = None
    name: str | None = None
    type: str | None = None
    date_created: str | None = None
    deadline: Moment | None = None
    filename: str | None = None
    files: list[StatusFile] | None = None
    signers: list[StatusSigner] | None = None


class CreatedRecipient(Answer):
    external_id: str | None = None
    token: str | None = Field(default=None, repr=False)
    code: str | None = None
    country: str | None = None
    email: str | None = None


class DeliveryCreated(Ack):
    token: str | None = None
    recipients: list[CreatedRecipient] | None = None


class ValidationAccepted(Ack):
    token: str | None = None
