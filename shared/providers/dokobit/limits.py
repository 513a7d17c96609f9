"""What a signing at Dokobit may choose, what it cannot have, and what it ends in. Pure (spec dokobit 1.3, 1.6, 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.errors import FieldError, InvalidRequest, UnsupportedFeature
from shared.domain.signing import Participant, ResultFormat, Role, Signing
from shared.providers.checks import SupportedBy, Wish, check_capabilities, nobody
from shared.providers.dokobit import PDF, Config, Flow, WebAddress, capabilities_of
from shared.providers.dokobit.wire import AnnotationPosition, SigningType, Text

TYPES: Mapping[ResultFormat, SigningType] = {
    ResultFormat.PADES: SigningType.PDF,
    ResultFormat.ASIC_E: SigningType.ASICE,
    ResultFormat.BDOC: SigningType.BDOC,
    ResultFormat.EDOC: SigningType.EDOC,
    # INFERRED (spec 3.1): `adoc` is for a container that exists already, `adoc.cedoc` makes one around the files.
    ResultFormat.ADOC: SigningType.ADOC_CEDOC,
}
if _unmapped_formats := set(ResultFormat) - TYPES.keys():
    raise NotImplementedError(f"no Dokobit type for the formats {sorted(_unmapped_formats)}")

_COUNTRIES = frozenset({"LT", "LV", "EE", "IS", "NO", "FI", "BE", "SE"})
COUNTRIES: Mapping[Flow, frozenset[str]] = {"external": _COUNTRIES, "internal": _COUNTRIES | {"PL"}}

XML = "application/xml"
_BLANK = b"\xef\xbb\xbf \t\r\n"
_ASIC_E = "application/vnd.etsi.asic-e+zip"
# How the result is stored: name and media type (spec 1.6).
RESULTS: Mapping[SigningType, tuple[str, str]] = {
    SigningType.PDF: ("signed.pdf", PDF),
    SigningType.ASICE: ("signed.asice", _ASIC_E),
    SigningType.BDOC: ("signed.bdoc", _ASIC_E),
    SigningType.EDOC: ("signed.edoc", _ASIC_E),
    SigningType.ADOC_CEDOC: ("signed.adoc", _ASIC_E),
}

# Spec 3.6, by ISO 639-1. Three of their codes are those of countries.
_LANGUAGES = {
    "en": "en", "lt": "lt", "lv": "lv", "et": "et", "is": "is", "no": "no", "nb": "no", "nn": "no", "fr": "fr",
    "sv": "se", "de": "de", "fi": "fi", "da": "dk", "nl": "nl",
}  # fmt: skip

# In points. Annotations are placed in points, our coordinates are in percent of the page.
PageSize = Literal["A3", "A4", "A5", "Letter", "Legal"]
PAGES: Mapping[PageSize, tuple[float, float]] = {
    "A3": (842, 1191),
    "A4": (595, 842),
    "A5": (420, 595),
    "Letter": (612, 792),
    "Legal": (612, 1008),
}

# Under this name a start remembers which of the two flows it took.
FLOW_FACT = "flow"
_EXTERNAL_ONLY_OPTIONS = ("allow_document_saving", "hard_deadline")
_PDF_ONLY_OPTIONS = ("annotation_position", "annotation_personal_code", "flatten_pdf", "page_size")


class PersonOptions(BaseModel):
    """About one participant. A personal code makes them prove who they are before they see anything (spec 1.3)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    code: Text | None = Field(default=None, repr=False)
    country_code: Text | None = None
    company: Text | None = None
    position: Text | None = None
    custom_reason: Text | None = None


class Options(BaseModel):
    """What one signing may choose beside the account's configuration. `participants` goes by number."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    flow: Flow | None = None
    redirect_uri: WebAddress | None = None
    hard_deadline: bool | None = None
    annotation_position: AnnotationPosition | None = None
    annotation_personal_code: bool | None = None
    flatten_pdf: bool | None = None
    page_size: PageSize = "A4"
    allow_video_identification: bool | None = None
    allow_document_saving: bool | None = None
    allowed_signing_methods: tuple[Text, ...] | None = None
    participants: Mapping[int, PersonOptions] = Field(default_factory=dict)

    def person(self, participant: Participant) -> PersonOptions:
        return self.participants.get(participant.number, PersonOptions())


def options_of(signing: Signing) -> Options:
    return Options.model_validate(dict(signing.options))


def flow_of(signing: Signing, config: Config) -> Flow:
    """What it was started as, else the account's, else the signing's choice, else external where Dokobit can reach
    everybody."""
    started_as = signing.start.facts.get(FLOW_FACT)
    if started_as is not None:
        return "internal" if started_as == "internal" else "external"
    chosen = config.flow or options_of(signing).flow
    if chosen is not None:
        return chosen
    return "external" if all(is_reachable(one) for one in signing.participants) else "internal"


def is_reachable(participant: Participant) -> bool:
    return bool(participant.email.strip() or (participant.phone or "").strip())


def type_of(signing: Signing) -> SigningType:
    return TYPES[signing.format or ResultFormat.PADES]


def is_hard_deadline(signing: Signing, config: Config) -> bool:
    wished = options_of(signing).hard_deadline
    return config.hard_deadline if wished is None else wished


def check(signing: Signing, config: Config, supported_by: SupportedBy = nobody) -> None:
    """Raises UnsupportedFeature or InvalidRequest for what this account cannot do, naming the field."""
    check_capabilities(signing, capabilities_of(config), supported_by)
    _refuse(_option_problems(signing))
    for wish in (*_excluded(signing, config), *_excluded_of_all_people(signing, config)):
        raise UnsupportedFeature(wish.sentence, field=wish.field, supported_by=supported_by(wish.field))
    flow = flow_of(signing, config)
    _refuse([*_missing(signing, config, flow), *_people_problems(signing, flow)])


def _refuse(problems: Iterator[FieldError] | list[FieldError]) -> None:
    found = list(problems)
    if found:
        raise InvalidRequest("The signing does not fit Dokobit.", fields=found)


def _option_problems(signing: Signing) -> Iterator[FieldError]:
    try:
        options = options_of(signing)
    except ValidationError as error:
        for one in error.errors(include_input=False):
            yield FieldError(".".join(["options", *map(str, one["loc"])]), one["msg"])
        return
    yield from _unknown_people(signing, options)


def _unknown_people(signing: Signing, options: Options) -> Iterator[FieldError]:
    numbers = {one.number for one in signing.participants}
    for number in sorted(options.participants.keys() - numbers):
        yield FieldError(f"options.participants.{number}", "there is no participant with this number")


def _excluded(signing: Signing, config: Config) -> Iterator[Wish]:
    is_pdf = type_of(signing) is SigningType.PDF
    if is_pdf and len(signing.documents) > 1 and not config.several_pdfs:
        yield Wish("documents", "A PDF signing takes one document; choose a container format for several.")
    for index, document in enumerate(signing.documents):
        if is_pdf and document.media_type != PDF:
            yield Wish(f"documents[{index}].media_type", "Only PDF documents become signed PDFs.")
    for name in _PDF_ONLY_OPTIONS:
        if not is_pdf and name in signing.options:
            yield Wish(f"options.{name}", "Only for signed PDFs.")
    if flow_of(signing, config) == "internal":
        yield from _excluded_from_internal(signing)
    elif "redirect_uri" in signing.options:
        yield Wish("options.redirect_uri", "Only for internal signings.")


def _excluded_from_internal(signing: Signing) -> Iterator[Wish]:
    """Spec 1.3, differences between operations 1 and 9."""
    if signing.deadline is not None:
        yield Wish("deadline", "An internal signing at Dokobit has no deadline.")
    if signing.message is not None:
        yield Wish("message", "An internal signing at Dokobit carries no message.")
    if len({one.order for one in signing.participants}) > 1:
        yield Wish("participants[0].order", "An internal signing at Dokobit is open to everybody at once.")
    for name in _EXTERNAL_ONLY_OPTIONS:
        if name in signing.options:
            yield Wish(f"options.{name}", "Only for external signings.")


def _excluded_of_all_people(signing: Signing, config: Config) -> Iterator[Wish]:
    is_pdf, is_internal = type_of(signing) is SigningType.PDF, flow_of(signing, config) == "internal"
    options = options_of(signing)
    for index, one in enumerate(signing.participants):
        path = f"participants[{index}]"
        if one.deadline is not None:
            yield Wish(f"{path}.deadline", "Dokobit has one deadline for all participants.")
        if one.placements and not is_pdf:
            yield Wish(f"{path}.placements[0]", "Only a PDF shows signatures.")
        if len(one.placements) > 1:
            yield Wish(f"{path}.placements[1]", "Dokobit shows one mark per signer.")
        for name in ("company", "position"):
            if is_internal and getattr(options.person(one), name) is not None:
                yield Wish(f"options.participants.{one.number}.{name}", "Only for external signings.")


def _missing(signing: Signing, config: Config, flow: Flow) -> Iterator[FieldError]:
    if flow == "internal" and options_of(signing).redirect_uri is None and config.redirect_uri is None:
        yield FieldError("options.redirect_uri", "an internal signing needs the address to return to")
    if not any(one.role is Role.SIGNER for one in signing.participants):
        yield FieldError("participants", "somebody has to sign")


def _people_problems(signing: Signing, flow: Flow) -> Iterator[FieldError]:
    options = options_of(signing)
    for index, one in enumerate(signing.participants):
        if flow == "external" and not is_reachable(one):
            yield FieldError(f"participants[{index}].email", "or a phone is needed: Dokobit invites by itself")
        person, path = options.person(one), f"options.participants.{one.number}.country_code"
        if person.code is not None and person.country_code is None:
            yield FieldError(path, "required beside a personal code")
        if person.country_code is not None and person.country_code.upper() not in COUNTRIES[flow]:
            yield FieldError(path, f"must be one of {', '.join(sorted(COUNTRIES[flow]))}")


def language_of(wished: str | None) -> str | None:
    """None leaves the choice to Dokobit; English stands in for what it does not speak."""
    return None if wished is None else _LANGUAGES.get(wished[:2].lower(), "en")


def needs_other_language(signing: Signing) -> bool:
    """Whether somebody is invited in a language other than the wished one."""
    wished = {one.language or signing.language for one in signing.participants} - {None}
    return any(one[:2].lower() not in _LANGUAGES for one in wished if one)


def is_signed(content: bytes) -> bool:
    """Whether a file carries any signature: a PDF in itself, a container in a member of that name (ZIP keeps names
    uncompressed). Nothing is said about whether it holds."""
    if content.startswith(b"%PDF"):
        return b"/ByteRange" in content
    return b"META-INF/" in content and b"signatures" in content


def kind_of(head: bytes, wanted: str) -> str | None:
    """What the first bytes show, where it fits `wanted`. JSON and HTML never do (spec 1.6)."""
    if wanted == XML:
        text = head.lstrip(_BLANK).lower()
        return XML if text.startswith(b"<") and not text.startswith((b"<!doctype html", b"<html")) else None
    if head.startswith(b"%PDF-"):
        return PDF
    return wanted if head.startswith(b"PK\x03\x04") and wanted != PDF else None
