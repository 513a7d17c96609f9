"""PKIsigning's words and ours, both ways. Pure (spec pkisigning 6.1, traps in 1.7)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.domain.signing import Document, Participant, Placement, Progress, Role, Signing
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress, ProviderStatus
from shared.providers.operation import FileUpload
from shared.providers.pkisigning import DOCX, PDF, Config
from shared.providers.pkisigning.wire import (
    ActorModel,
    CreateDossierModel,
    DocumentSignerAction,
    DocumentStatus,
    DossierStatus,
    ExtendedSignerModel,
    Language,
    RequestModel,
    ShareDocument,
    ShareRecipient,
    ShareSigner,
    SignerModel,
    StartSignFlowModel,
)

# ------------------------------------------------------------------------------------------- wire -> domain

# Spec 4.4 and 6.1, the statuses of requests and documents together. ACCEPTED: went out and goes on; None: a draft.
STATUSES: Mapping[str, EventKind | None] = {
    DossierStatus.NEW: None,
    DossierStatus.PROCESSING: EventKind.ACCEPTED,
    DossierStatus.ACTIVE: EventKind.ACCEPTED,
    DossierStatus.PENDING_APPROVAL: EventKind.ACCEPTED,
    DossierStatus.PENDING_SIGNATURE: EventKind.ACCEPTED,
    DossierStatus.PENDING_DOWNLOAD: EventKind.ACCEPTED,
    DocumentStatus.PENDING_DETERMINATION: EventKind.ACCEPTED,
    DossierStatus.PENDING_SBR_NEXUS: EventKind.ACCEPTED,
    DossierStatus.PENDING_DIGIPOORT: EventKind.ACCEPTED,
    DossierStatus.FILING: EventKind.ACCEPTED,
    DossierStatus.COMPLETED: EventKind.ALL_SIGNED,
    DossierStatus.DECLINED: EventKind.DECLINED,
    DossierStatus.WITHDRAWN: EventKind.CANCELLED,
    DossierStatus.INVITATION_EXPIRED: EventKind.EXPIRED,
    DocumentStatus.ELAPSED: EventKind.EXPIRED,
    DossierStatus.EXPIRED: EventKind.EXPIRED,
    DossierStatus.ERROR: EventKind.FAILED,
}
if _unmapped := {*DossierStatus, *DocumentStatus} - STATUSES.keys():
    raise NotImplementedError(f"no meaning given to the PKIsigning statuses {sorted(_unmapped)}")

_ACTED = {Role.SIGNER: Progress.SIGNED, Role.APPROVER: Progress.APPROVED, Role.OBSERVER: Progress.RECEIVED}
_ACTIONS = {
    Role.SIGNER: DocumentSignerAction.SIGN,
    Role.APPROVER: DocumentSignerAction.APPROVE,
    Role.OBSERVER: DocumentSignerAction.DOWNLOAD,
}
_LANGUAGES = {"nl": Language.NL, "en": Language.EN}
_DEFAULT_DEADLINE = timedelta(days=7)  # the connector's own default (spec 1.6)
_SUFFIXES = {PDF: ".pdf", DOCX: ".docx"}
_PKIS_ID_NAMES = ("pkisid", "dossierid", "requestid", "id")


def status_of(request: RequestModel, signing: Signing | None = None) -> ProviderStatus:
    """The read-back in our words; with `signing` at hand also who has acted."""
    return ProviderStatus(
        provider_status=request.status,
        kind=STATUSES.get(request.status),
        known=request.status in STATUSES,
        reason=request.reasons or None,
        participants=progress_of(signing, request) if signing is not None else (),
    )


def was_sent(status: str) -> bool | None:
    """Whether a request with this status went out. None when it cannot be told: the platform also processes drafts, and
    a status that we do not know may mean anything."""
    if status == DossierStatus.PROCESSING or status not in STATUSES:
        return None
    return status != DossierStatus.NEW


def progress_of(signing: Signing, request: RequestModel) -> tuple[ParticipantProgress, ...]:
    """Participants who have done all they were asked to. Whose turn it is cannot be seen.

    Actors carry no number of ours: they are known by action and address, and where two participants share both, by the
    place of the signature. Those who cannot be told apart count as done when all of them are.
    """
    found = []
    keys = Counter(_key(_ACTIONS[one.role], one.email) for one in signing.participants)
    for participant in signing.participants:
        key = _key(_ACTIONS[participant.role], participant.email)
        actors = [actor for actor in request.actors or () if _key(actor.action, actor.email) == key]
        if keys[key] > 1 and participant.role is Role.SIGNER:
            places = {one.text or one.field for one in participant.placements}
            actors = [actor for actor in actors if (actor.placeholder or actor.fieldName) in places]
        if actors and all(actor.hasSigned for actor in actors):
            at = max((actor.signingDate for actor in actors if actor.signingDate), default=None)
            found.append(ParticipantProgress(participant.number, _ACTED[participant.role], at))
    return tuple(found)


def _key(action: str, email: str) -> tuple[str, str]:
    return action, email.casefold()


def pkis_id_from(answer: str) -> str | None:
    """The id in StartSignFlow's answer, whose form is not public (spec 2.2): bare text, a JSON string, or an object
    with one of the probable names."""
    try:
        content = json.loads(answer)
    except ValueError:
        content = answer.strip()
    if isinstance(content, dict):
        fields = {str(name).lower(): value for name, value in content.items()}
        candidates = [fields[name] for name in _PKIS_ID_NAMES if name in fields]
    else:
        candidates = [content]
    return next((found for one in candidates if (found := _guid(one))), None)


def _guid(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------- domain -> wire


class Options(BaseModel):
    """What one signing may choose beside the account's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    workgroup_id: UUID | None = None
    clearance_level: int | None = None


def to_wire_request(signing: Signing, config: Config) -> CreateDossierModel:
    options = Options.model_validate(dict(signing.options))
    return CreateDossierModel(
        name=signing.title,
        workgroupId=options.workgroup_id or config.workgroup_id,
        clearancelevel=config.clearance_level if options.clearance_level is None else options.clearance_level,
        owner=config.owner,
    )


def to_wire_file(document: Document, content: bytes) -> FileUpload:
    """The platform tells the kind of file by its name, so the name gets the right ending (spec 1.5, operation 7)."""
    return FileUpload(_file_name(document), document.media_type, content)


def to_wire_actors(signing: Signing, document: Document) -> list[SignerModel]:
    """The actors of one document, earliest deadline first: a signer for each place to sign, all others once."""
    return [actor for _, actor in _actors(signing, document)]


def _actors(signing: Signing, document: Document) -> list[tuple[Participant, SignerModel]]:
    deadlines = due_dates(signing)
    ordered = sorted(signing.participants, key=lambda one: (deadlines[one.number], one.number))
    return [
        (participant, _to_wire_actor(signing, participant, place, deadlines[participant.number]))
        for participant in ordered
        for place in places_on(document, participant)
    ]


def to_wire_changed(actor: ExtendedSignerModel, deadline: datetime) -> dict[str, object]:
    """The fields of an ActorModel: an existing actor as the platform has it, but for the deadline. Unvalidated, for
    the platform's own values may be newer than our lists."""
    return actor.model_dump(include=set(ActorModel.model_fields)) | {"deadline": deadline}


def missing_actors(wanted: Sequence[SignerModel], existing: Sequence[ExtendedSignerModel]) -> list[SignerModel]:
    """Those of `wanted` that still have to be created. Actors are created in order, so the first of equals exist."""
    there = Counter(_key(actor.action, actor.email) for actor in existing)
    missing = []
    for actor in wanted:
        key = _key(actor.action, actor.email)
        if there[key] > 0:
            there[key] -= 1
        else:
            missing.append(actor)
    return missing


def surplus_actors(wanted: Sequence[SignerModel], existing: Sequence[ExtendedSignerModel]) -> list[UUID]:
    """The ids of those that nobody wants: made by a call whose answer was lost and that took effect late."""
    free = Counter(_key(actor.action, actor.email) for actor in wanted)
    surplus = []
    for actor in existing:
        key = _key(actor.action, actor.email)
        if free[key] > 0:
            free[key] -= 1
        elif actor.id is not None:
            surplus.append(actor.id)
    return surplus


def due_dates(signing: Signing) -> dict[int, datetime]:
    """Each participant's deadline. PKIsigning has no order but that of deadlines (spec 1.7), so they rise by a minute
    from one order to the next; the last order gets the wished date itself, and nobody gets a later one."""
    ranks = {order: rank for rank, order in enumerate(sorted({one.order for one in signing.participants}))}
    default = signing.deadline or signing.created_at + _DEFAULT_DEADLINE
    return {
        one.number: (one.deadline or default) - timedelta(minutes=len(ranks) - 1 - ranks[one.order])
        for one in signing.participants
    }


def to_wire_start_sign_flow(
    signing: Signing, config: Config, contents: Mapping[int, bytes], callback_url: str
) -> StartSignFlowModel:
    """V1's one body for everything (spec 2.2). `contents` by document number."""
    request = to_wire_request(signing, config)
    return StartSignFlowModel(
        documents=tuple(_to_share_document(signing, one, contents[one.number]) for one in signing.documents),
        callbackUrl=callback_url,
        dossierName=request.name,
        signatureNote=signing.message,
        workgroupId=request.workgroupId,
        clearanceLevel=request.clearancelevel,
    )


def _to_share_document(signing: Signing, document: Document, content: bytes) -> ShareDocument:
    signers, recipients = [], []
    for participant, actor in _actors(signing, document):
        fields = {
            "ordinal": participant.order,
            "deadline": actor.deadline,
            "firstname": actor.firstname,
            "prefix": actor.prefix,
            "lastname": actor.lastname,
            "mobile": actor.mobile,
            "email": actor.email,
            "extendedIdentityVerification": actor.validateRealIdentity,
            "language": actor.language.lower(),
        }
        if actor.action is DocumentSignerAction.SIGN:
            places = {"placeholder": actor.placeholder, "signatureFieldName": actor.fieldName}
            signers.append(ShareSigner.model_validate(fields | places))
        else:
            recipients.append(ShareRecipient.model_validate(fields))
    return ShareDocument(
        contents=content,
        filename=_file_name(document),
        name=document.name,
        signers=tuple(signers),
        recipients=tuple(recipients),
    )


def _to_wire_actor(
    signing: Signing, participant: Participant, place: Placement | None, deadline: datetime
) -> SignerModel:
    return SignerModel(
        action=_ACTIONS[participant.role],
        firstname=participant.given_name,
        prefix=participant.family_name_prefix,
        lastname=participant.family_name,
        email=participant.email,
        mobile=participant.phone or "",
        deadline=deadline,
        language=language_of(participant.language or signing.language),
        validateRealIdentity=participant.strong_identity,
        fieldName=place.field if place else None,
        placeholder=place.text if place else None,
    )


def needs_other_language(signing: Signing) -> bool:
    """Whether somebody is invited in a language other than the wished one."""
    wished = {one.language or signing.language for one in signing.participants} - {None}
    return any(one[:2].lower() not in _LANGUAGES for one in wished if one)


def language_of(wished: str | None) -> Language:
    """The platform's default when nothing is wished, English for what it does not speak (spec 6.1)."""
    return Language.NL if wished is None else _LANGUAGES.get(wished[:2].lower(), Language.EN)


def places_on(document: Document, participant: Participant) -> list[Placement] | list[None]:
    """Where the participant acts on this document; [None] for those who need no place."""
    if participant.role is not Role.SIGNER:
        return [None]
    return [one for one in participant.placements if one.document == document.number]


def _file_name(document: Document) -> str:
    suffix = _SUFFIXES.get(document.media_type, "")
    return document.name if document.name.lower().endswith(suffix) else document.name + suffix
