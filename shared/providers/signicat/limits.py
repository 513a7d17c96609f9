"""What an account at Signicat cannot do, found before any call. Pure (spec signicat 1.4, 4)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from shared.domain.errors import FieldError, InvalidRequest
from shared.domain.signing import Role, Signing
from shared.providers.checks import SupportedBy, check_capabilities, nobody
from shared.providers.signicat import Config, capabilities_of
from shared.providers.signicat.mapping import Options


def check(signing: Signing, config: Config, supported_by: SupportedBy = nobody) -> None:
    """Raises UnsupportedFeature or InvalidRequest for what this account cannot do, naming the field."""
    check_capabilities(signing, capabilities_of(config), supported_by)
    problems = [
        *_option_problems(signing),
        *_document_problems(signing, config),
        *_person_problems(signing, config),
        *_deadline_problems(signing),
    ]
    if problems:
        raise InvalidRequest("The signing does not fit Signicat.", fields=problems)


def _option_problems(signing: Signing) -> Iterator[FieldError]:
    try:
        options = Options.model_validate(dict(signing.options))
    except ValidationError as error:
        for one in error.errors(include_input=False):
            yield FieldError(".".join(map(str, ("options", *one["loc"]))), one["msg"])
        return
    signers = {one.number for one in signing.participants if one.role is Role.SIGNER}
    for number in options.subject_attributes:
        if number not in signers:
            yield FieldError(f"options.subject_attributes.{number}", "there is no signer with this number")


def _document_problems(signing: Signing, config: Config) -> Iterator[FieldError]:
    for index, document in enumerate(signing.documents):
        if document.size > config.max_document_bytes:
            yield FieldError(f"documents[{index}]", f"larger than the {config.max_document_bytes} bytes allowed")


def _person_problems(signing: Signing, config: Config) -> Iterator[FieldError]:
    if not any(one.role is Role.SIGNER for one in signing.participants):
        yield FieldError("participants", "somebody has to sign")
    for index, one in enumerate(signing.participants):
        if config.invitations == "email" and not one.email.strip():
            yield FieldError(f"participants[{index}].email", "required")


def _deadline_problems(signing: Signing) -> Iterator[FieldError]:
    if signing.deadline is not None and signing.deadline <= signing.created_at:
        yield FieldError("deadline", "must be in the future")
    for index, one in enumerate(signing.participants):
        if one.deadline is not None and one.deadline <= signing.created_at:
            yield FieldError(f"participants[{index}].deadline", "must be in the future")
