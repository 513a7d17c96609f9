"""What every provider checks before its first call: the wishes in a signing against `Capabilities`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from shared.domain.capabilities import Capabilities, PlacementKind
from shared.domain.errors import FieldError, InvalidRequest, UnsupportedFeature
from shared.domain.signing import Participant, Placement, Role, Signing

SupportedBy = Callable[[str], Sequence[str]]
"""Which other accounts could grant the wish named by a field path. The composition root knows; see `build()`."""


def nobody(_field: str) -> Sequence[str]:
    return ()


class Wish(NamedTuple):
    """One thing that a provider cannot do, and where the caller asked for it."""

    field: str
    sentence: str


def check_capabilities(signing: Signing, can: Capabilities, supported_by: SupportedBy = nobody) -> None:
    """Raises UnsupportedFeature for the first wish that `can` excludes, or InvalidRequest for what is missing."""
    for wish in _excluded(signing, can):
        raise UnsupportedFeature(wish.sentence, field=wish.field, supported_by=supported_by(wish.field))
    problems = list(_missing(signing, can))
    if problems:
        raise InvalidRequest("The signing is not complete for this provider.", fields=problems)


def kind_of(placement: Placement) -> PlacementKind | None:
    """None when it says nothing, or more than one thing."""
    coordinates = (placement.page, placement.x, placement.y, placement.width, placement.height)
    given = {
        PlacementKind.TEXT: placement.text is not None,
        PlacementKind.FIELD: placement.field is not None,
        PlacementKind.COORDINATES: any(one is not None for one in coordinates),
    }
    kinds = [kind for kind, present in given.items() if present]
    return kinds[0] if len(kinds) == 1 else None


def _excluded(signing: Signing, can: Capabilities) -> Iterator[Wish]:
    yield from _excluded_of_all(signing, can)
    for index, document in enumerate(signing.documents):
        if document.media_type not in can.media_types:
            yield Wish(f"documents[{index}].media_type", f"This provider does not take {document.media_type}.")
    for index, participant in enumerate(signing.participants):
        yield from _excluded_of(f"participants[{index}]", participant, can)


def _excluded_of_all(signing: Signing, can: Capabilities) -> Iterator[Wish]:
    if len(signing.documents) > 1 and not can.several_documents:
        yield Wish("documents", "This provider takes one document per signing.")
    if signing.deadline is not None and not can.deadline:
        yield Wish("deadline", "This provider has no deadlines.")
    if signing.message is not None and not can.message:
        yield Wish("message", "This provider cannot pass a message to all participants.")
    if signing.format is not None and signing.format not in can.formats:
        yield Wish("format", f"This provider does not deliver {signing.format}.")
    if signing.qualified_only and not can.qualified_only:
        yield Wish("qualified_only", "This provider cannot insist on qualified signatures.")
    if len({one.order for one in signing.participants}) > 1 and not can.ordered:
        yield Wish("participants[0].order", "This provider invites everybody at once.")
    for name in sorted(signing.options.keys() - can.options):
        yield Wish(f"options.{name}", f"This provider has no option {name}.")


def _excluded_of(path: str, participant: Participant, can: Capabilities) -> Iterator[Wish]:
    if participant.role not in can.roles:
        yield Wish(f"{path}.role", f"This provider has no role {participant.role}.")
    if participant.deadline is not None and not can.deadline:
        yield Wish(f"{path}.deadline", "This provider has no deadlines.")
    if participant.message is not None and not can.participant_message:
        yield Wish(f"{path}.message", "This provider cannot pass a message to one participant.")
    if participant.strong_identity and not can.strong_identity:
        yield Wish(f"{path}.strong_identity", "This provider has no stronger identity check.")
    for index, placement in enumerate(participant.placements):
        kind = kind_of(placement)
        if kind is not None and kind not in can.placements:
            yield Wish(f"{path}.placements[{index}]", f"This provider cannot place a signature by {kind}.")


def _missing(signing: Signing, can: Capabilities) -> Iterator[FieldError]:
    shortest, longest = can.title_length
    if not shortest <= len(signing.title) <= longest:
        yield FieldError("title", f"must have {shortest} to {longest} characters")
    numbers = {one.number for one in signing.documents}
    for index, participant in enumerate(signing.participants):
        path = f"participants[{index}]"
        if can.phone_required and not (participant.phone or "").strip():
            yield FieldError(f"{path}.phone", "required by this provider")
        if participant.placements and participant.role is not Role.SIGNER:
            yield FieldError(f"{path}.placements", "only signers have placements")
        for at, placement in enumerate(participant.placements):
            if kind_of(placement) is None:
                yield FieldError(f"{path}.placements[{at}]", "give exactly one of text, field or coordinates")
            if placement.document not in numbers:
                yield FieldError(f"{path}.placements[{at}].document", "there is no document with this number")
