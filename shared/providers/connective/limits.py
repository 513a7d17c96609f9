"""What a signing may ask for at Connective, and what an account cannot do. Pure (spec connective 2, 4, 5.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.capabilities import PlacementKind
from shared.domain.errors import FieldError, InvalidRequest, UnsupportedFeature
from shared.domain.signing import Participant, Role, Signing
from shared.providers.checks import SupportedBy, check_capabilities, kind_of, nobody
from shared.providers.connective import Config, PageSize, SigningTypes, capabilities_of
from shared.providers.connective.wire import Language, LegalNotice, PdfErrors, Target

# Spec 5.4.
MAX_DOCUMENT_BYTES = 30 * 1024 * 1024
MAX_FIELDS_PER_DOCUMENT = 30

# Signing types with conditions of their own (spec 4.4), compared without regard to case.
_SMS, _SERVER, _ITSME = "smsotp", "server", "itsme"
_PDF_A = frozenset({Target.PDF_A1A, Target.PDF_A2A})


class Options(BaseModel):
    """What one signing may choose beside the account's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    action_url_expiration_days: Annotated[int, Field(ge=1)] | None = None
    correlation_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    document_group_code: str | None = None
    document_language: Language | None = None
    download_unsigned_files: bool | None = None
    instant: bool | None = None
    legal_notice_code: LegalNotice | None = None
    legal_notice_text: Annotated[str, Field(min_length=1)] | None = None
    page_size: PageSize | None = None
    pdf_error_handling: PdfErrors | None = None
    reassign_enabled: bool | None = None
    redirect_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    send_notifications: bool | None = None
    signature_policy_id: str | None = None
    signing_template_code: str | None = None
    signing_types: Annotated[SigningTypes, Field(min_length=1)] | None = None
    target_type: Target | None = None
    theme_code: str | None = None


class Wishes:
    """A signing with its options read, and the account that carries it out. Raises ValidationError."""

    def __init__(self, signing: Signing, config: Config) -> None:
        self.signing, self.config = signing, config
        self.options = Options.model_validate(dict(signing.options))

    @property
    def is_instant(self) -> bool:
        """The account's preference is for signings that such a package can hold: those of one document."""
        preferred = self.config.instant and len(self.signing.documents) == 1
        return preferred if self.options.instant is None else self.options.instant

    def signing_types(self, participant: Participant) -> tuple[str, ...]:
        """Only qualified ones where those, or a strong check of identity, are asked for."""
        wished = self.options.signing_types or self.config.signing_types
        if not (self.signing.qualified_only or participant.strong_identity):
            return wished
        qualified = self.config.qualified_signing_types
        return tuple(one for one in wished if one in qualified) or qualified


def check(signing: Signing, config: Config, supported_by: SupportedBy = nobody) -> None:
    """Raises UnsupportedFeature or InvalidRequest for what this account cannot do, naming the field."""
    check_capabilities(signing, capabilities_of(config), supported_by)
    for index, participant in enumerate(signing.participants):
        if participant.deadline is not None:
            field = f"participants[{index}].deadline"
            sentence = "This provider has one deadline for everybody."
            raise UnsupportedFeature(sentence, field=field, supported_by=supported_by(field))
    problems = list(_option_problems(signing))
    if not problems:
        wishes = Wishes(signing, config)
        problems = [
            *_conflicts(wishes),
            *_person_problems(wishes),
            *_order_problems(signing),
            *_document_problems(signing),
            *_place_problems(signing),
        ]
    if problems:
        raise InvalidRequest("The signing does not fit Connective.", fields=problems)


def _option_problems(signing: Signing) -> Iterator[FieldError]:
    try:
        Options.model_validate(dict(signing.options))
    except ValidationError as error:
        for one in error.errors(include_input=False):
            yield FieldError(f"options.{one['loc'][0]}", one["msg"])


def _conflicts(wishes: Wishes) -> Iterator[FieldError]:
    """Options that do not go together (spec 2.1, 4.4, 4.7)."""
    options = wishes.options
    types = {one.lower() for person in _signers(wishes.signing) for one in wishes.signing_types(person)}
    if wishes.is_instant and len(wishes.signing.documents) != 1:
        yield FieldError("options.instant", "an instant package has exactly one document")
    if options.signing_template_code is not None and not wishes.is_instant:
        yield FieldError("options.signing_template_code", "for instant packages only")
    if options.legal_notice_code is not None and options.legal_notice_text is not None:
        yield FieldError("options.legal_notice_text", "give a code or a text, not both")
    if _SERVER in types and (types != {_SERVER} or not wishes.is_instant):
        yield FieldError("options.signing_types", "Server signs alone, and in instant packages only")
    if _ITSME in types and options.target_type not in _PDF_A:
        yield FieldError("options.target_type", "Itsme needs PdfA1A or PdfA2A")
    if _ITSME in types and options.signature_policy_id is None:
        yield FieldError("options.signature_policy_id", "Itsme needs a signature policy")


def _person_problems(wishes: Wishes) -> Iterator[FieldError]:
    for index, one in enumerate(wishes.signing.participants):
        path = f"participants[{index}]"
        for name in ("given_name", "family_name", "email"):
            if not getattr(one, name).strip():
                yield FieldError(f"{path}.{name}", "required")
        uses_sms = one.role is Role.SIGNER and _SMS in {kind.lower() for kind in wishes.signing_types(one)}
        if uses_sms and not (one.phone or "").strip():
            yield FieldError(f"{path}.phone", "required for SmsOtp")


def _order_problems(signing: Signing) -> Iterator[FieldError]:
    """Somebody has to sign, and approvers come before all signers (spec 2.7, 2.14b)."""
    first = min((one.order for one in _signers(signing)), default=None)
    if first is None:
        yield FieldError("participants", "somebody has to sign")
        return
    for index, one in enumerate(signing.participants):
        if one.role is Role.APPROVER and one.order >= first:
            yield FieldError(f"participants[{index}].order", "approvers come before all signers")


def _document_problems(signing: Signing) -> Iterator[FieldError]:
    used = Counter(place.document for one in signing.participants for place in one.placements)
    for index, document in enumerate(signing.documents):
        if document.size > MAX_DOCUMENT_BYTES:
            yield FieldError(f"documents[{index}]", "larger than 30 MB")
        if used[document.number] > MAX_FIELDS_PER_DOCUMENT:
            yield FieldError(f"documents[{index}]", f"more than {MAX_FIELDS_PER_DOCUMENT} places to sign")


def _place_problems(signing: Signing) -> Iterator[FieldError]:
    """Signers need a place, a marker or field is for one signature, and coordinates have to be complete."""
    taken: set[tuple[int, str]] = set()
    for index, participant in enumerate(signing.participants):
        path = f"participants[{index}].placements"
        if participant.role is Role.SIGNER and not participant.placements:
            yield FieldError(path, "a signer needs a place to sign at")
        for at, place in enumerate(participant.placements):
            marker = place.text or place.field
            if marker is not None and (place.document, marker) in taken:
                yield FieldError(f"{path}[{at}]", "taken by another signature")
            taken |= {(place.document, marker)} if marker is not None else set()
            if kind_of(place) is PlacementKind.COORDINATES and (place.x is None or place.y is None):
                yield FieldError(f"{path}[{at}]", "give x and y")
            elif (place.x or 0) + (place.width or 0) > 100 or (place.y or 0) + (place.height or 0) > 100:
                yield FieldError(f"{path}[{at}]", "reaches beyond the page")


def _signers(signing: Signing) -> list[Participant]:
    return [one for one in signing.participants if one.role is Role.SIGNER]
