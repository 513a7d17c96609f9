"""Dokobit's words and ours, both ways. Pure (spec dokobit 3, 5.1, traps in 1.4)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.domain.signing import Document, Participant, Progress, Role, Signing, State
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress, ProviderStatus
from shared.providers.dokobit import PDF, Config
from shared.providers.dokobit.limits import (
    FLOW_FACT,
    PAGES,
    flow_of,
    is_hard_deadline,
    language_of,
    options_of,
    type_of,
)
from shared.providers.dokobit.wire import (
    Annotation,
    CreatedExternalSigner,
    CreatedInternalSigner,
    CreateExternalSigning,
    CreateInternalSigning,
    ExternalSigner,
    File,
    InternalSigner,
    LateExternalSigner,
    SignerRole,
    SignerState,
    SigningState,
    SigningStatus,
    StatusSigner,
)

# Spec 3.2. An archived signing was completed before. No value is evidenced for expired, deleted or a draft.
STATUSES: Mapping[str, EventKind | None] = {
    SigningState.PENDING: EventKind.ACCEPTED,
    SigningState.COMPLETED: EventKind.ALL_SIGNED,
    SigningState.DECLINED: EventKind.DECLINED,
    SigningState.ARCHIVED: EventKind.ALL_SIGNED,
    SigningState.FAILED: EventKind.FAILED,
}
if _unmapped := set(SigningState) - STATUSES.keys():
    raise NotImplementedError(f"no meaning given to the Dokobit statuses {sorted(_unmapped)}")

_ROLES = {Role.SIGNER: SignerRole.SIGNER, Role.OBSERVER: SignerRole.VIEWER}
_ACTED = {Role.SIGNER: Progress.SIGNED, Role.OBSERVER: Progress.RECEIVED}

_ANNOTATION_LANGUAGES = frozenset({"en", "lt", "lv", "et", "is"})

# --------------------------------------------------------------------------------------------- wire -> domain


def status_of(read: SigningStatus, now: datetime, config: Config, signing: Signing | None = None) -> ProviderStatus:
    """The read-back in our words; with `signing` at hand also who has acted."""
    word = read.status or "(none)"
    kind = STATUSES.get(word.strip().lower())
    known = word.strip().lower() in STATUSES
    if kind is EventKind.ACCEPTED and _has_run_out(read, now, config, signing):
        kind = EventKind.EXPIRED
    if signing is not None and _nobody_has_links(signing, config):
        kind = None
    return ProviderStatus(
        provider_status=word,
        kind=kind,
        known=known,
        participants=progress_of(signing, read) if signing is not None else (),
    )


def _has_run_out(read: SigningStatus, now: datetime, config: Config, signing: Signing | None) -> bool:
    """A passed hard deadline blocks signing, but no status says so (spec 3.2, 5.2). Their deadline goes before ours:
    it may have been moved since."""
    deadline = read.deadline or (signing.deadline if signing is not None else None)
    is_hard = config.hard_deadline if signing is None else is_hard_deadline(signing, config)
    return is_hard and deadline is not None and deadline <= now


def _nobody_has_links(signing: Signing, config: Config) -> bool:
    """An internal signing whose creation was not answered: nobody can ever sign it, so it counts as a draft."""
    is_starting = signing.state is State.REQUESTED and signing.start.facts.get(FLOW_FACT) != "internal"
    return is_starting and flow_of(signing, config) == "internal"


def progress_of(signing: Signing, read: SigningStatus) -> tuple[ParticipantProgress, ...]:
    found = []
    people = people_in(signing, read)
    for participant in signing.participants:
        state = _state(people.get(participant.number))
        if state == SignerState.SIGNED:
            found.append(ParticipantProgress(participant.number, _ACTED.get(participant.role, Progress.SIGNED)))
        elif state == SignerState.DECLINED:
            found.append(ParticipantProgress(participant.number, Progress.DECLINED))
    return tuple(found)


def _state(person: StatusSigner | None) -> str:
    return (person.status or "").strip().lower() if person is not None else ""


def has_acted(person: StatusSigner) -> bool:
    return _state(person) == SignerState.SIGNED


def people_in(signing: Signing, read: SigningStatus) -> dict[int, StatusSigner]:
    """Their entry for each of our participants, by number.

    The token from the create answer is the one dependable key. Whoever has none on record (added later, or the answer
    was lost) is known by e-mail address and name together, and only where that fits one person on both sides.
    """
    by_token = {one.token: one for one in read.signers or () if one.token}
    facts = signing.start.facts
    found = {
        one.number: by_token.pop(facts[_token_fact(one.number)])
        for one in signing.participants
        if facts.get(_token_fact(one.number)) in by_token
    }
    unknown = [one for one in signing.participants if one.number not in found]
    ours, theirs = Counter(map(_our_key, unknown)), Counter(map(_their_key, by_token.values()))
    for participant in unknown:
        key = _our_key(participant)
        if key[0] and ours[key] == theirs[key] == 1:
            found[participant.number] = next(one for one in by_token.values() if _their_key(one) == key)
    return found


def _our_key(participant: Participant) -> tuple[str, str, str]:
    return _key(participant.email, participant.given_name, _surname(participant))


def _their_key(person: StatusSigner) -> tuple[str, str, str]:
    return _key(person.email, person.first_name, person.last_name)


def _key(*texts: str | None) -> tuple[str, str, str]:
    first, second, third = ((text or "").strip().casefold() for text in texts)
    return first, second, third


def participant_facts(
    signing: Signing, created: Iterable[CreatedExternalSigner | CreatedInternalSigner]
) -> dict[str, str]:
    """Tokens, and links where there are any, by participant number: what a create answer tells once and never again."""
    numbers = {external_id(signing, one.number): one.number for one in signing.participants}
    facts = {}
    for one in created:
        number = numbers.get(one.external_id or "")
        if number is not None and one.token:
            facts[_token_fact(number)] = one.token
        if number is not None and isinstance(one, CreatedInternalSigner) and one.redirect_uri:
            facts[link_fact(number)] = one.redirect_uri
    return facts


def _token_fact(number: int) -> str:
    return f"participant_{number}"


def link_fact(number: int) -> str:
    return f"link_{number}"


# --------------------------------------------------------------------------------------------- domain -> wire


def to_wire_external(
    signing: Signing, config: Config, contents: Mapping[int, bytes], callback_url: str
) -> CreateExternalSigning:
    """`contents` by document number."""
    options = options_of(signing)
    return CreateExternalSigning(
        **_common(signing, config, contents, callback_url),
        deadline=signing.deadline,
        hard_deadline=is_hard_deadline(signing, config) if signing.deadline is not None else None,
        comment=signing.message or None,
        allow_document_saving=options.allow_document_saving,
        signers=tuple(_to_external_signer(signing, one) for one in signing.participants),
    )


def to_wire_internal(
    signing: Signing, config: Config, contents: Mapping[int, bytes], callback_url: str
) -> CreateInternalSigning:
    return CreateInternalSigning(
        **_common(signing, config, contents, callback_url),
        redirect_uri=options_of(signing).redirect_uri or config.redirect_uri or "",
        signers=tuple(
            InternalSigner(**_person(signing, one), language=language_of(one.language or signing.language))
            for one in signing.participants
        ),
    )


def to_wire_late(signing: Signing, participant: Participant) -> LateExternalSigner:
    """Somebody who joins an external signing: an order cannot be given any more (spec 1.3, operation 5)."""
    return LateExternalSigner(**_named_person(signing, participant))


def to_wire_file(document: Document, content: bytes, config: Config) -> File:
    name = document.name
    if document.media_type == PDF and not name.lower().endswith(".pdf"):
        name += ".pdf"
    return file_of(name, content, config)


def file_of(name: str, content: bytes, config: Config) -> File:
    digest = hashlib.sha256(content).hexdigest() if config.surface == "universal" else None
    return File(name=name, content=content, digest=digest)


def _common(signing: Signing, config: Config, contents: Mapping[int, bytes], callback_url: str) -> dict[str, Any]:
    options = options_of(signing)
    return {
        "type": type_of(signing),
        "name": signing.title,
        "postback_url": callback_url,
        "require_qualified_signatures": signing.qualified_only or None,
        "annotation_position": options.annotation_position,
        "annotation_personal_code": options.annotation_personal_code,
        "allow_video_identification": options.allow_video_identification,
        "flatten_pdf": options.flatten_pdf,
        "allowed_signing_methods": options.allowed_signing_methods,
        "files": [to_wire_file(one, contents[one.number], config) for one in signing.documents],
    }


def _to_external_signer(signing: Signing, participant: Participant) -> ExternalSigner:
    ordered = len({one.order for one in signing.participants}) > 1
    return ExternalSigner(**_named_person(signing, participant), sequence=participant.order if ordered else None)


def _named_person(signing: Signing, participant: Participant) -> dict[str, Any]:
    person = options_of(signing).person(participant)
    return _person(signing, participant) | {
        "name": participant.given_name or None,
        "surname": _surname(participant) or None,
        "email": participant.email.strip() or None,
        "company": person.company,
        "position": person.position,
        "notifications_language": language_of(participant.language or signing.language),
    }


def _person(signing: Signing, participant: Participant) -> dict[str, Any]:
    person = options_of(signing).person(participant)
    return {
        "external_id": external_id(signing, participant.number),
        "code": person.code,
        "country_code": person.country_code.upper() if person.country_code else None,
        "role": _ROLES[participant.role],
        "phone": (participant.phone or "").strip() or None,
        "custom_reason": person.custom_reason,
        "annotation": _annotation(signing, participant),
    }


def external_id(signing: Signing, number: int) -> str:
    return f"{signing.id}-{number}"


def _surname(participant: Participant) -> str:
    return " ".join(part for part in (participant.family_name_prefix, participant.family_name) if part)


def _annotation(signing: Signing, participant: Participant) -> Annotation | None:
    """Where the visible mark goes; how large it is, Dokobit decides."""
    if not participant.placements:
        return None
    place, language = participant.placements[0], language_of(participant.language or signing.language)
    width, height = PAGES[options_of(signing).page_size]
    return Annotation(
        page=str(place.page or 1),
        top=_points(place.y, height),
        left=_points(place.x, width),
        language=language if language in _ANNOTATION_LANGUAGES else None,
    )


def _points(percent: float | None, whole: float) -> str | None:
    """The smallest is 1, which is also their default."""
    return None if percent is None else str(max(1, round(percent * whole / 100)))


def first_waiting(signing: Signing, people: Mapping[int, StatusSigner]) -> Sequence[int]:
    """The numbers of those whose turn it is: signers of the lowest order who have not acted."""
    waiting = [
        one
        for one in signing.participants
        if one.role is Role.SIGNER and one.number in people and not has_acted(people[one.number])
    ]
    first = min((one.order for one in waiting), default=0)
    return [one.number for one in waiting if one.order == first]
