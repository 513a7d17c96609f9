"""What an account at PKIsigning cannot do, found before any call. Pure (spec pkisigning 1.7, 2.2, 6.1)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from shared.domain.errors import FieldError, InvalidRequest
from shared.domain.signing import Role, Signing
from shared.providers.checks import SupportedBy, check_capabilities, nobody
from shared.providers.pkisigning import Config, capabilities_of
from shared.providers.pkisigning.mapping import Options, due_dates, places_on


def check(signing: Signing, config: Config, supported_by: SupportedBy = nobody) -> None:
    """Raises UnsupportedFeature or InvalidRequest for what this account cannot do, naming the field."""
    check_capabilities(signing, capabilities_of(config), supported_by)
    problems = [
        *_option_problems(signing),
        *_person_problems(signing),
        *_place_problems(signing),
        *_order_problems(signing),
    ]
    if problems:
        raise InvalidRequest("The signing does not fit PKIsigning.", fields=problems)


def _option_problems(signing: Signing) -> Iterator[FieldError]:
    try:
        Options.model_validate(dict(signing.options))
    except ValidationError as error:
        for one in error.errors(include_input=False):
            yield FieldError(f"options.{one['loc'][0]}", one["msg"])


def _person_problems(signing: Signing) -> Iterator[FieldError]:
    for index, one in enumerate(signing.participants):
        for name in ("given_name", "family_name", "email"):
            if not getattr(one, name).strip():
                yield FieldError(f"participants[{index}].{name}", "required")


def _place_problems(signing: Signing) -> Iterator[FieldError]:
    """Signers need a place, a place is for one signature, and every document needs somebody (spec 1.7, 2.2)."""
    taken: set[tuple[int, str | None, str | None]] = set()
    for index, participant in enumerate(signing.participants):
        if participant.role is Role.SIGNER and not participant.placements:
            yield FieldError(f"participants[{index}].placements", "a signer needs the text or field to sign at")
        for at, place in enumerate(participant.placements):
            spot = (place.document, place.text, place.field)
            if spot in taken:
                yield FieldError(f"participants[{index}].placements[{at}]", "taken by another signature")
            taken.add(spot)
    for index, document in enumerate(signing.documents):
        if not any(places_on(document, one) for one in signing.participants):
            yield FieldError(f"documents[{index}]", "nobody signs, approves or receives it")


def _order_problems(signing: Signing) -> Iterator[FieldError]:
    """Deadlines make the order here, so wished deadlines must agree with the wished order."""
    deadlines = due_dates(signing)
    for index, one in enumerate(signing.participants):
        path = f"participants[{index}].deadline"
        for other in signing.participants:
            if other.order < one.order and deadlines[other.number] >= deadlines[one.number]:
                yield FieldError(path, f"must be later than that of participant {other.number}, who comes before")
            differs = deadlines[other.number] != deadlines[one.number]
            if other.number < one.number and other.order == one.order and differs:
                yield FieldError(path, f"must be that of participant {other.number}, who has the same order")
