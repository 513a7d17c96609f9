"""Connective's words and ours, both ways. Pure (spec connective 7)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from shared.domain.errors import ProviderError
from shared.domain.signing import Document, Participant, Placement, Progress, Role, Signing
from shared.domain.states import EventKind
from shared.ports import Deliverable, ParticipantProgress, ProviderStatus, SigningLink
from shared.providers.answers import UnreadableAnswer, failure
from shared.providers.connective import NAME, PDF, page_size_of
from shared.providers.connective.limits import Wishes
from shared.providers.connective.wire import (
    ActorAnswer,
    ActorLocation,
    ActorState,
    ActorType,
    AddDocumentBody,
    CreatePackageBody,
    InstantActor,
    InstantPackageBody,
    InstantStakeholder,
    Language,
    LocatedDocument,
    PackageDocument,
    PackageState,
    PackageStatus,
    ProcessActor,
    ProcessActorV31,
    ProcessBody,
    ProcessBodyV31,
    ProcessStakeholder,
    ProcessStakeholderV31,
    SigningField,
    SigningType,
    StakeholderAnswer,
)
from shared.providers.operation import Operation

# ------------------------------------------------------------------------------------------- wire -> domain

# Spec 4.1 and 7. ACCEPTED: went out and goes on; None: a draft.
STATUSES: Mapping[str, EventKind | None] = {
    PackageState.DRAFT: None,
    PackageState.PENDING: EventKind.ACCEPTED,
    PackageState.IN_PROGRESS: EventKind.ACCEPTED,
    PackageState.ENDING: EventKind.ACCEPTED,
    PackageState.FINISHED: EventKind.ALL_SIGNED,
    PackageState.ARCHIVED: EventKind.ALL_SIGNED,
    PackageState.REJECTED: EventKind.DECLINED,
    PackageState.REVOKED: EventKind.CANCELLED,
    PackageState.EXPIRED: EventKind.EXPIRED,
    PackageState.FAILED: EventKind.FAILED,
}
if _unmapped := {*PackageState} - STATUSES.keys():
    raise NotImplementedError(f"no meaning given to the Connective statuses {sorted(_unmapped)}")

# Spec 4.2. None: says nothing new about the participant; somebody who was skipped did nothing.
ACTOR_STATUSES: Mapping[str, Progress | None] = {
    ActorState.DRAFT: None,
    ActorState.WAITING: None,
    ActorState.AVAILABLE: Progress.INVITED,
    ActorState.IN_PROGRESS: Progress.VIEWED,
    ActorState.FINISHED: Progress.SIGNED,
    ActorState.REJECTED: Progress.DECLINED,
    ActorState.SKIPPED: None,
    ActorState.FAILED: None,
}
if _unmapped_actors := {*ActorState} - ACTOR_STATUSES.keys():
    raise NotImplementedError(f"no meaning given to the Connective actor statuses {sorted(_unmapped_actors)}")

# Compared without regard to case: examples and older documents spell them differently (spec 2.2, 4.2).
_STATES = {one.lower(): one.value for one in PackageState}
_ACTOR_STATES = {one.lower(): one.value for one in ActorState}

_DONE = {Role.SIGNER: Progress.SIGNED, Role.APPROVER: Progress.APPROVED, Role.OBSERVER: Progress.RECEIVED}
_TYPES = {Role.SIGNER: ActorType.SIGNER, Role.APPROVER: ActorType.APPROVER, Role.OBSERVER: ActorType.RECEIVER}
_OPEN = frozenset({ActorState.AVAILABLE, ActorState.IN_PROGRESS})

EVIDENCE_NAME = "audit-proof.xml"
EVIDENCE_TYPE = "application/xml"


def canonical(status: str | None) -> str:
    """A package status in the documented spelling; an unknown one as it is, a missing one as `unknown`."""
    text = (status or "").strip()
    return _STATES.get(text.lower(), text) or "unknown"


def judge(now: Callable[[], datetime]) -> Callable[[Operation, int, Mapping[str, object]], ProviderError | None]:
    """Reads this provider's own form of errors (spec 5.1), also where one comes with a status of success."""

    def verdict(operation: Operation, status: int, problem: Mapping[str, object]) -> ProviderError | None:
        words = error_words(problem)
        if not words or status == 429:
            return None
        if status < 400:
            return UnreadableAnswer(NAME, operation, status, f"it is an error ({words})", is_outage=False)
        content = json.dumps({"detail": words}).encode()
        return failure(NAME, operation, status, headers={}, content=content, now=now())

    return verdict


def error_words(problem: Mapping[str, object]) -> str:
    """Codes and messages of a single error or of a list of them. What follows a code's first colon is left out, for it
    may be somebody's address."""
    fields = _lowered(problem)
    listed = fields.get("errors")
    found = listed if isinstance(listed, list) else [problem] if "errorcode" in fields else []
    return "; ".join(words for one in found if isinstance(one, dict) and (words := _error_word(_lowered(one))))


def _error_word(fields: Mapping[str, object]) -> str:
    code, message = fields.get("errorcode"), fields.get("message") or fields.get("errormessage")
    texts = [code.partition(":")[0] if isinstance(code, str) else "", message if isinstance(message, str) else ""]
    return ": ".join(text for text in texts if text)


def _lowered(fields: Mapping[str, object]) -> dict[str, object]:
    return {str(name).lower(): value for name, value in fields.items()}


def was_sent(status: str | None) -> bool | None:
    """Whether a package with this status went out; None when it cannot be told."""
    known = canonical(status)
    return None if known not in STATUSES else known != PackageState.DRAFT


def status_of(package: PackageStatus, signing: Signing | None = None) -> ProviderStatus:
    """The read-back in our words; with `signing` at hand also who has acted."""
    status = canonical(package.PackageStatus)
    return ProviderStatus(
        provider_status=status,
        kind=STATUSES.get(status),
        known=status in STATUSES,
        reason=_reason(package),
        participants=progress_of(signing, package) if signing is not None else (),
    )


def _reason(package: PackageStatus) -> str | None:
    """What the one who ended the package gave as a reason, or that some were skipped (spec 4.2, 7)."""
    actors = [actor for person in package.Stakeholders for actor in person.Actors]
    refusing = [one.Reason for one in actors if _actor_state(one) == ActorState.REJECTED and one.Reason]
    others = [one.Reason for one in actors if one.Reason]
    if refusing or others:
        return (refusing or others)[0]
    skipped = sum(_actor_state(one) == ActorState.SKIPPED for one in actors)
    return f"{skipped} skipped" if skipped else None


def progress_of(signing: Signing, package: PackageStatus) -> tuple[ParticipantProgress, ...]:
    """How far each participant got: known by our reference, which survives a reassignment (spec 2.6)."""
    found = (_progress_of(one, _actors_of(signing, package, one)) for one in signing.participants)
    return tuple(one for one in found if one is not None)


def _progress_of(participant: Participant, actors: Sequence[ActorAnswer]) -> ParticipantProgress | None:
    """Somebody may have an actor per document (spec 2.6), and is done when all of them are."""
    steps = {ACTOR_STATUSES.get(_actor_state(one)) for one in actors}
    at = max((moment for one in actors if (moment := read_moment(one.CompletedTimestamp))), default=None)
    if Progress.DECLINED in steps:
        return ParticipantProgress(participant.number, Progress.DECLINED, at)
    if steps == {Progress.SIGNED}:
        return ParticipantProgress(participant.number, _DONE[participant.role], at)
    if steps & {Progress.VIEWED, Progress.SIGNED}:
        return ParticipantProgress(participant.number, Progress.VIEWED)
    if Progress.INVITED in steps:
        return ParticipantProgress(participant.number, Progress.INVITED)
    return None


def _actor_state(actor: ActorAnswer) -> str:
    text = (actor.ActorStatus or "").strip()
    return _ACTOR_STATES.get(text.lower(), text)


def _actors_of(signing: Signing, package: PackageStatus, participant: Participant) -> list[ActorAnswer]:
    return [actor for person in _stakeholders_of(signing, package, participant) for actor in person.Actors]


def _stakeholders_of(signing: Signing, package: PackageStatus, participant: Participant) -> list[StakeholderAnswer]:
    reference = reference_of(signing, participant)
    return [one for one in package.Stakeholders if one.ExternalStakeholderReference == reference]


def read_moment(text: str | None) -> datetime | None:
    """None for what is no time. One without a zone counts as UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def links_of(signing: Signing, package: PackageStatus) -> list[SigningLink]:
    """The link of everybody whose turn it is. They work once, so they are passed on and kept nowhere (spec 7)."""
    links = []
    for participant in signing.participants:
        addresses = (_address_of(one) for one in _actors_of(signing, package, participant))
        url = next((one for one in addresses if one), None)
        if url is not None:
            links.append(SigningLink(participant.number, url))
    return links


def _address_of(actor: ActorAnswer) -> str | None:
    """Examples leave `ActionUrl` empty where `ActionUrls` is filled (spec 2.6)."""
    if _actor_state(actor) not in _OPEN:
        return None
    return actor.ActionUrl or next((one.Url for one in actor.ActionUrls if one.Url), None)


def deliverables_of(signing: Signing, package: PackageStatus, *, with_proof: bool) -> list[Deliverable]:
    """One file per document of the package, ours first and under our names, then the audit proof (spec 2.9, 6)."""
    ours = {_document_reference(signing, one): one for one in signing.documents}
    ranked = sorted(package.PackageDocuments, key=lambda one: _rank(one, ours))
    taken = {EVIDENCE_NAME}
    files = []
    for one in ranked:
        own = ours.get(one.ExternalDocumentReference or "")
        name = _EXTENSION.sub("", own.name) if own else plain_name(one.DocumentName or "")
        files.append(_deliverable(one, name, taken))
    proof = Deliverable(EVIDENCE_NAME, "evidence", EVIDENCE_TYPE)
    return [*files, proof] if with_proof else files


def _rank(document: PackageDocument, ours: Mapping[str, Document]) -> int:
    own = ours.get(document.ExternalDocumentReference or "")
    return own.number if own else len(ours) + 1


def _deliverable(document: PackageDocument, name: str, taken: set[str]) -> Deliverable:
    """A document that somebody added in the portal may be XML, which can only be kept as it is."""
    media_type = (document.DocumentType or PDF).lower()
    kind, suffix = ("document", ".pdf") if media_type == PDF else ("evidence", ".xml")
    return Deliverable(_free_name(name, suffix, taken), kind, media_type, {"document_id": document.DocumentId})


def _free_name(stem: str, suffix: str, taken: set[str]) -> str:
    candidate, number = f"{stem}{suffix}", 2
    while candidate.lower() in taken:
        candidate, number = f"{stem} ({number}){suffix}", number + 1
    taken.add(candidate.lower())
    return candidate


# ------------------------------------------------------------------------------------------- domain -> wire

# INFERRED: room for a drawn signature with its caption, where the caller gives no size.
_FIELD_WIDTH, _FIELD_HEIGHT = 170.0, 60.0

# "Avoid" says the client that restates the vendor's list (spec 5.4).
_AVOIDED = re.compile(r"[/\\?%*:'\"<>|&\x00-\x1f]+")
_EXTENSION = re.compile(r"\.(pdf|docx?|txt|xml)$", re.IGNORECASE)
_LONGEST_NAME = 150


def reference_of(signing: Signing, participant: Participant) -> str:
    return f"{signing.id}-p{participant.number}"


def _document_reference(signing: Signing, document: Document) -> str:
    return f"{signing.id}-d{document.number}"


def documents_there(signing: Signing, located: Iterable[LocatedDocument]) -> dict[int, list[LocatedDocument]]:
    """What the package holds per document of ours, in the order of uploading."""
    numbers = {_document_reference(signing, one): one.number for one in signing.documents}
    there: dict[int, list[LocatedDocument]] = {one.number: [] for one in signing.documents}
    for one in located:
        number = numbers.get(one.ExternalDocumentReference or "")
        if number is not None:
            there[number].append(one)
    return there


def to_wire_package(wishes: Wishes, callback_url: str) -> CreatePackageBody:
    return CreatePackageBody.model_validate(
        {"PackageName": plain_name(wishes.signing.title, keep_extension=True), **_package_options(wishes, callback_url)}
    )


def _package_options(wishes: Wishes, callback_url: str) -> dict[str, object]:
    options, config, signing = wishes.options, wishes.config, wishes.signing
    return {
        "Initiator": config.initiator,
        "CallBackUrl": callback_url,
        "CorrelationId": options.correlation_id,
        "DocumentGroupCode": options.document_group_code or config.document_group_code,
        "ThemeCode": options.theme_code or config.theme_code,
        "DownloadUnsignedFiles": options.download_unsigned_files,
        "ReassignEnabled": options.reassign_enabled,
        "ActionUrlExpirationPeriodInDays": options.action_url_expiration_days,
        "ExpiryTimestamp": signing.deadline,
        "ExternalPackageReference": signing.id,
    }


def to_wire_document(wishes: Wishes, document: Document, content: bytes) -> AddDocumentBody:
    fields = [
        _signing_field(wishes, participant, at, place)
        for participant, at, place in _places(wishes.signing)
        if place.document == document.number
    ]
    return AddDocumentBody.model_validate(
        {
            "Document": content,
            "DocumentName": plain_name(document.name),
            "DocumentType": document.media_type,
            "SigningFields": tuple(fields) or None,
            **_document_options(wishes, document),
        }
    )


def _document_options(wishes: Wishes, document: Document) -> dict[str, object]:
    options = wishes.options
    return {
        "DocumentLanguage": options.document_language or language_of(wishes.signing.language),
        "ExternalDocumentReference": _document_reference(wishes.signing, document),
        "PdfErrorHandling": options.pdf_error_handling,
        "TargetType": options.target_type,
    }


def _places(signing: Signing) -> list[tuple[Participant, int, Placement]]:
    return [(one, at, place) for one in signing.participants for at, place in enumerate(one.placements, start=1)]


def _label(participant: Participant, at: int) -> str:
    return f"p{participant.number}-{at}"


def _signing_field(wishes: Wishes, participant: Participant, at: int, place: Placement) -> SigningField:
    label, marker = _label(participant, at), place.text or place.field
    if marker is not None:
        return SigningField(Label=label, MarkerOrFieldId=marker)
    width, height = page_size_of(wishes.options.page_size or wishes.config.page_size)
    return SigningField(
        Label=label,
        PageNumber=place.page or 1,
        Left=_points((place.x or 0) * width / 100),
        Top=_points((place.y or 0) * height / 100),
        Width=_points(_FIELD_WIDTH if place.width is None else place.width * width / 100),
        Height=_points(_FIELD_HEIGHT if place.height is None else place.height * height / 100),
    )


def _points(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def locations_of(signing: Signing, located: Mapping[int, LocatedDocument]) -> dict[int, list[str]]:
    """The ids of each participant's places to sign.

    Raises LookupError when the provider has no location for a wished place. A location is known by the label that we
    gave, or by its marker: which of the two comes back as `Label` is not published (INFERRED, spec 2.4).
    """
    ids: dict[int, list[str]] = {one.number: [] for one in signing.participants}
    for participant, at, place in _places(signing):
        names = (_label(participant, at), place.text or place.field)
        there = located[place.document].Locations
        found = next((one.Id for name in names if name for one in there if one.Label == name), None)
        if found is None:
            raise LookupError(f"no location for placement {at} of participant {participant.number}")
        ids[participant.number].append(found)
    return ids


def to_wire_process(wishes: Wishes, locations: Mapping[int, Sequence[str]]) -> ProcessBody | ProcessBodyV31:
    """The participants in the form that the account is set to."""
    people = wishes.signing.participants
    if wishes.config.process == "v3":
        return ProcessBody(Stakeholders=tuple(_stakeholder(wishes, one, locations[one.number]) for one in people))
    return ProcessBodyV31(Stakeholders=tuple(_stakeholder_v31(wishes, one, locations[one.number]) for one in people))


def _stakeholder(wishes: Wishes, participant: Participant, locations: Sequence[str]) -> ProcessStakeholder:
    actor = ProcessActor.model_validate({**_actor(wishes, participant), "LocationIds": tuple(locations) or None})
    return ProcessStakeholder.model_validate({**_person(wishes.signing, participant), "Actors": (actor,)})


def _stakeholder_v31(wishes: Wishes, participant: Participant, locations: Sequence[str]) -> ProcessStakeholderV31:
    places = tuple(ActorLocation(Id=one) for one in locations)
    actor = ProcessActorV31.model_validate({**_actor(wishes, participant), "Locations": places or None})
    return ProcessStakeholderV31.model_validate({**_person(wishes.signing, participant), "Actors": (actor,)})


def to_wire_instant(wishes: Wishes, content: bytes, callback_url: str) -> InstantPackageBody:
    """One document, whose name becomes that of the package (spec 2.1), hence the title."""
    signing = wishes.signing
    people = tuple(_instant_stakeholder(wishes, one) for one in signing.participants)
    return InstantPackageBody.model_validate(
        {
            "Document": content,
            "DocumentName": plain_name(signing.title, keep_extension=True),
            "SigningTemplateCode": wishes.options.signing_template_code,
            "Stakeholders": people,
            **_package_options(wishes, callback_url),
            **_document_options(wishes, signing.documents[0]),
        }
    )


def _instant_stakeholder(wishes: Wishes, participant: Participant) -> InstantStakeholder:
    fields = tuple(_signing_field(wishes, participant, at, one) for at, one in enumerate(participant.placements, 1))
    actor = InstantActor.model_validate({**_actor(wishes, participant), "SigningFields": fields or None})
    return InstantStakeholder.model_validate({**_person(wishes.signing, participant), "Actors": (actor,)})


def _person(signing: Signing, participant: Participant) -> dict[str, object]:
    family_name = " ".join(part for part in (participant.family_name_prefix, participant.family_name) if part)
    return {
        "EmailAddress": participant.email,
        "FirstName": participant.given_name,
        "LastName": family_name,
        "Language": language_of(participant.language or signing.language),
        "ExternalStakeholderReference": reference_of(signing, participant),
    }


def _actor(wishes: Wishes, participant: Participant) -> dict[str, object]:
    """What all forms of an actor share. Only signers have ways to sign, and receivers have no turn (spec 2.14b)."""
    options, role = wishes.options, participant.role
    notifies = wishes.config.send_notifications if options.send_notifications is None else options.send_notifications
    common = {"Type": _TYPES[role], "SendNotifications": notifies}
    if role is Role.OBSERVER:
        return common
    acting = {**common, "OrderIndex": participant.order, "RedirectUrl": options.redirect_url}
    if role is Role.APPROVER:
        return acting
    return {
        **acting,
        "SigningTypes": tuple(
            SigningType(SigningType=one, SignaturePolicyId=options.signature_policy_id)
            for one in wishes.signing_types(participant)
        ),
        "PhoneNumber": "".join((participant.phone or "").split()) or None,
        "LegalNoticeCode": options.legal_notice_code,
        "LegalNoticeText": options.legal_notice_text,
    }


def needs_other_language(signing: Signing) -> bool:
    """Whether somebody is invited in a language other than the wished one."""
    wished = {one.language or signing.language for one in signing.participants} - {None}
    return any(one[:2].lower() not in set(Language) for one in wished if one)


def language_of(wished: str | None) -> Language:
    """English when nothing is wished, and for what the provider does not speak."""
    code = (wished or "en")[:2].lower()
    return Language(code) if code in set(Language) else Language.EN


def plain_name(name: str, *, keep_extension: bool = False) -> str:
    """A name without what the provider asks to avoid, and without extension (spec 5.4)."""
    stem = name if keep_extension else _EXTENSION.sub("", name)
    return _AVOIDED.sub("-", stem).strip()[:_LONGEST_NAME].strip() or "document"
