"""The body of `POST /api/signings` as callers write it, read into the command. All problems are named at once."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.api.idempotency import key_from
from shared.domain.commands import NewDocument, StartSigning
from shared.domain.errors import FieldError, InvalidRequest
from shared.domain.inbox import is_inbox_address
from shared.domain.signing import Notify, Participant, Placement, ResultFormat, Role

# The part of RFC 5321/5322 that mail systems agree on; the provider has the last word.
_EMAIL = re.compile(r"[^@\s\"<>(),;:\\\[\]]+@[^@\s.\"<>(),;:\\\[\]]+(\.[^@\s.\"<>(),;:\\\[\]]+)+")
_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
_URL = re.compile(r"https?://[^?#]{1,2000}")
_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_MAGIC = {b"%PDF-": "pdf", b"PK\x03\x04": "docx"}
_UNKNOWN = "application/octet-stream"
_PDF_AS_BASE64 = b"JVBERi0"


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("not an e-mail address")
    return text


def _aware(moment: datetime) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the calendar") from None


def _file_name(text: str) -> str:
    if not text.strip() or re.search(r'[\\/:*?"<>|\x00-\x1f]', text) or text.strip(". ") == "":
        raise ValueError("a plain file name, without path or control characters")
    return text


Text = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
Moment = Annotated[datetime, AfterValidator(_aware)]
FileName = Annotated[str, Field(max_length=200), AfterValidator(_file_name)]


class _Body(BaseModel):
    """Unknown fields are refused: a misspelt `deadline` must not be a signing without one."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _content(value: object) -> bytes:
    """Plain base64, a data URI, or Power Automate's `{"$content-type", "$content"}` (power guide 1.7)."""
    if isinstance(value, Mapping):
        value = value.get("$content")
    if not isinstance(value, str):
        raise ValueError("base64 text, a data URI, or an object with $content")  # noqa: TRY004 (pydantic wants it)
    marker = _DATA_URI.match(value)
    text = value[marker.end() :] if marker else value
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if not content:
        raise ValueError("an empty file")
    return content


def _blob_address(text: str) -> str:
    if not is_inbox_address(text) and not _URL.fullmatch(text):
        raise ValueError("inbox/… or the URL of a blob in container inbox, without a query")
    return text


class DocumentBody(_Body):
    """The file itself, or the address of a blob in container `inbox` that the caller has put there (claim check).

    `blob` is `inbox/…` or the blob's URL; which URLs are ours is known to storage only. `sha256` is what the caller
    knows of the file, in hex.
    """

    name: FileName
    content: Annotated[bytes | None, BeforeValidator(_content)] = Field(default=None, repr=False)
    blob: Annotated[str, AfterValidator(_blob_address)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.content is None) == (self.blob is None):
            raise ValueError("give either content or blob")
        return self

    def to_domain(self, blobs: Mapping[str, bytes]) -> NewDocument:
        content = self.content if self.content is not None else blobs[self.blob or ""]
        return NewDocument(name=self.name, media_type=media_type_of(content), content=content)


class ParticipantBody(_Body):
    role: Role = Role.SIGNER
    givenName: Name
    familyNamePrefix: Name | None = None
    familyName: Name
    email: Email
    phone: Annotated[str, Field(min_length=3, max_length=40)] | None = None
    language: Annotated[str, Field(pattern="^[a-zA-Z]{2}$")] | None = None
    order: Annotated[int, Field(ge=1, le=100)] = 1
    deadline: Moment | None = None
    message: Text | None = None
    strongIdentity: bool = False
    placements: tuple[Placement, ...] = ()

    def to_domain(self, number: int) -> Participant:
        return Participant(
            number=number,
            role=self.role,
            given_name=self.givenName,
            family_name_prefix=self.familyNamePrefix,
            family_name=self.familyName,
            email=self.email,
            phone=self.phone,
            language=self.language.lower() if self.language else None,
            order=self.order,
            deadline=self.deadline,
            message=self.message,
            strong_identity=self.strongIdentity,
            placements=self.placements,
        )


class NotifyBody(_Body):
    url: Annotated[str, Field(min_length=1, max_length=4096)]


class StartBody(_Body):
    account: Name
    title: Name
    documents: Annotated[tuple[DocumentBody, ...], Field(min_length=1)]
    participants: Annotated[tuple[ParticipantBody, ...], Field(min_length=1)]
    reference: Name | None = None
    message: Text | None = None
    language: Annotated[str, Field(pattern="^[a-zA-Z]{2}$")] | None = None
    deadline: Moment | None = None
    metadata: Annotated[Mapping[str, Annotated[str, Field(max_length=500)]], Field(max_length=20)] = Field(
        default_factory=dict
    )
    options: Mapping[str, Any] = Field(default_factory=dict)
    notify: NotifyBody | None = None
    format: ResultFormat | None = None
    qualifiedOnly: bool = False
    idempotencyKey: Annotated[str, Field(min_length=1, max_length=255)] | None = None


def parse_start_request(body: bytes) -> StartBody:
    """An HTTP body, its shape and relations checked. Raises InvalidRequest naming every field that does not fit."""
    try:
        content = json.loads(body)
    except ValueError:
        raise InvalidRequest("The body is not JSON.", code="invalid_json") from None
    try:
        parsed = StartBody.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest("The request does not fit.", fields=field_errors(error)) from None
    _check_relations(parsed)
    return parsed


def blobs_of(parsed: StartBody) -> dict[int, str]:
    """The addresses of documents that the caller has put into blob storage, by their place in the request."""
    return {index: one.blob for index, one in enumerate(parsed.documents) if one.blob is not None}


def receipt_of(parsed: StartBody, own_key: str | None, platform_action: str | None) -> str | None:
    """SHA-256 of the order as it is written, when it names blobs: they may be gone when it comes again. None where
    nothing would tell a repeat from a new order, or where all is there."""
    is_recognisable = own_key or platform_action or parsed.idempotencyKey or parsed.reference
    if not is_recognisable or not blobs_of(parsed):
        return None
    written = json.dumps([own_key, platform_action, parsed.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def to_command(
    parsed: StartBody,
    idempotency_header: str | None,
    blobs: Mapping[str, bytes],
    platform_action: str | None = None,
    receipt: str | None = None,
) -> StartSigning:
    """The command, with the content of each of `blobs_of` at hand. Raises InvalidRequest for two different keys and for
    another file than said."""
    documents = tuple(document.to_domain(blobs) for document in parsed.documents)
    _check_hashes(parsed, documents)
    _check_kinds(parsed, documents)
    return StartSigning(
        account=parsed.account.lower(),
        title=parsed.title,
        documents=documents,
        participants=tuple(person.to_domain(number) for number, person in enumerate(parsed.participants, start=1)),
        reference=parsed.reference,
        message=parsed.message,
        language=parsed.language.lower() if parsed.language else None,
        deadline=parsed.deadline,
        metadata=parsed.metadata,
        options=parsed.options,
        notify=Notify(url=parsed.notify.url) if parsed.notify else None,
        format=parsed.format,
        qualified_only=parsed.qualifiedOnly,
        idempotency_key=key_from(idempotency_header, parsed.idempotencyKey),
        platform_action=platform_action,
        receipt=receipt,
    )


def _check_hashes(parsed: StartBody, documents: Sequence[NewDocument]) -> None:
    problems = [
        FieldError(f"documents[{index}].sha256", "is not the hash of this file")
        for index, (said, found) in enumerate(zip(parsed.documents, documents, strict=True))
        if said.sha256 is not None and said.sha256.lower() != found.sha256
    ]
    if problems:
        raise InvalidRequest("A document is not the one that was meant.", fields=problems)


def _check_kinds(parsed: StartBody, documents: Sequence[NewDocument]) -> None:
    """Whether this provider takes a DOCX is for the provider to say; that a file is none of either is said here."""
    problems = [
        FieldError(f"documents[{index}].{'blob' if said.content is None else 'content'}", _kind_problem(found.content))
        for index, (said, found) in enumerate(zip(parsed.documents, documents, strict=True))
        if found.media_type == _UNKNOWN
    ]
    if problems:
        raise InvalidRequest("A document is neither a PDF nor a DOCX.", fields=problems)


def _kind_problem(content: bytes) -> str:
    if content.startswith(_PDF_AS_BASE64):
        return "is base64 of base64: encode the file once"
    return "is neither a PDF (its first bytes would be %PDF-) nor a DOCX, whatever its name says"


def media_type_of(content: bytes) -> str:
    """By the first bytes, never by what the caller says."""
    kind = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    return _MEDIA_TYPES[kind] if kind else _UNKNOWN


def _check_relations(parsed: StartBody) -> None:
    problems = []
    count = len(parsed.documents)
    names = [document.name.lower() for document in parsed.documents]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.append(FieldError(f"documents[{index}].name", "each document needs a name of its own"))
    for index, person in enumerate(parsed.participants):
        for at, placement in enumerate(person.placements):
            if placement.document > count:
                field = f"participants[{index}].placements[{at}].document"
                problems.append(FieldError(field, f"there are only {count} documents"))
    if problems:
        raise InvalidRequest("The request contradicts itself.", fields=problems)


def field_errors(error: ValidationError) -> list[FieldError]:
    """pydantic's findings in our words: a path such as `documents[0].content`, and a sentence."""
    return [FieldError(_path(item["loc"]), item["msg"].removeprefix("Value error, ")) for item in error.errors()]


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".") or "body"
