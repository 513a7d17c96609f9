"""Request bodies of the Universal API as the simulator reads them, strictly.

Unknown fields, wrong case and wrong JSON types are refused, so that a client with a typing error fails here. This is a
reading of the contract of its own: it shares no code with the client it is meant to test.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SigningType = Literal["pdf", "asice", "bdoc", "edoc", "adoc", "adoc.cedoc"]
Method = Literal[
    "mobile", "smartid", "smartcard", "eparaksts_mobile", "bankid_no", "bankid_se", "audkenni_app", "ftn", "mitid",
    "electronic_id", "itsme", "idin", "swisscom", "sms_otp",
]  # fmt: skip
ExternalCountry = Literal["LT", "LV", "EE", "IS", "NO", "FI", "BE", "SE"]
InternalCountry = Literal["LT", "LV", "EE", "IS", "NO", "PL", "FI", "BE", "SE"]
Language = Literal["en", "lt", "lv", "et", "is", "no", "fr", "se", "de", "fi", "dk", "nl"]
JsonObject = dict[str, Any]


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


def _is_number(value: str) -> str:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError("is not a number above zero, as text")
    return value


Text = Annotated[str, Field(min_length=1)]
Email = Annotated[str, AfterValidator(_is_email)]
Address = Annotated[str, AfterValidator(_is_http_address)]
Number = Annotated[str, AfterValidator(_is_number)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class File(Body):
    name: Text
    content: Text
    digest: str | None = None

    def decoded(self) -> bytes:
        """Raises ValueError when the content is not base64."""
        try:
            return base64.b64decode(self.content, validate=True)
        except binascii.Error as error:
            raise ValueError("is not base64") from error

    def has_right_digest(self) -> bool:
        return self.digest == hashlib.sha256(self.decoded()).hexdigest()


class SealAnnotation(Body):
    page: Number = "1"
    top: Number = "1"
    left: Number = "1"


class Annotation(SealAnnotation):
    language: Literal["en", "lt", "lv", "et", "is"] | None = None


class Person(Body):
    """What a person of either flow has in common."""

    external_id: Text
    role: Literal["signer", "viewer"] = "signer"
    code: Text | None = None
    phone: Text | None = None
    annotation: Annotation | None = None
    custom_reason: str | None = None


class LatePerson(Person):
    name: Text | None = None
    surname: Text | None = None
    email: Email | None = None
    country_code: ExternalCountry | None = None
    company: Text | None = None
    position: Text | None = None
    notifications_language: Language | None = None

    @model_validator(mode="after")
    def _reachable(self) -> LatePerson:
        if self.email is None and self.phone is None:
            raise ValueError("email is needed unless phone is given")
        return self

    @model_validator(mode="after")
    def _with_country(self) -> LatePerson:
        if self.code is not None and self.country_code is None:
            raise ValueError("country_code is required when code is given")
        return self


class ExternalPerson(LatePerson):
    sequence: int | None = None


class InternalPerson(Person):
    country_code: InternalCountry | None = None
    language: Language | None = None

    @model_validator(mode="after")
    def _with_country(self) -> InternalPerson:
        if self.code is not None and self.country_code is None:
            raise ValueError("country_code is required when code is given")
        return self


class Policy(Body):
    require_qualified_signatures: bool | None = None
    allow_video_identification: bool | None = None
    allowed_signing_methods: list[Method] | None = None


class Create(Policy):
    type: SigningType
    name: Text
    postback_url: Address | None = None
    annotation_position: Literal["first_top", "first_bottom", "last_top", "last_bottom", "none"] = "first_top"
    annotation_personal_code: bool = False
    flatten_pdf: bool = False
    files: list[File] = Field(min_length=1)


class CreateExternal(Create):
    deadline: AwareDatetime | None = None
    hard_deadline: bool = False
    comment: str | None = None
    allow_document_saving: bool = True
    signers: list[ExternalPerson] = []


class CreateInternal(Create):
    redirect_uri: Address
    signers: list[InternalPerson] = []


class Remind(Body):
    signer: Text
    message: str | None = None


class AddExternal(Body):
    signers: list[LatePerson] = []
    comment: str | None = None


class AddInternal(Body):
    signers: list[InternalPerson] = []


class TokenOnly(Body):
    token: Text


class DeletePeople(Body):
    signers: list[TokenOnly] = []


class UpdateExternal(Policy):
    deadline: AwareDatetime | None = None
    hard_deadline: bool | None = None
    allow_document_saving: bool | None = None


class UpdateInternal(Policy):
    pass


class Seal(Body):
    custom_reason: str | None = None
    annotation: SealAnnotation | None = None


class Recipient(Body):
    external_id: Text
    code: Text
    country_code: Literal["lt", "lv", "ee", "is"]
    email: Email | None = None
    phone: Text | None = None
    notifications_language: Literal["en", "lt", "lv", "et", "is", "no", "fr", "se", "de"] | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Recipient:
        if self.email is None and self.phone is None:
            raise ValueError("email is needed unless phone is given")
        return self


class Deliver(Body):
    type: Literal["pdf"]
    name: Text
    postback_url: Address | None = None
    comment: str | None = None
    files: list[File] = Field(min_length=1)
    recipients: list[Recipient] = Field(min_length=1)


class Upload(Body):
    file: File
