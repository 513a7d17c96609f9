"""Small JSON bodies: unknown fields are refused, an empty body is an empty object."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.api.start_request import field_errors
from shared.domain.errors import InvalidRequest


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


B = TypeVar("B", bound=BaseModel)


def read_body(kind: type[B], body: bytes) -> B:
    """Raises InvalidRequest, with all problems at once."""
    try:
        content = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON.", code="invalid_json") from None
    return checked(kind, content)


def checked(kind: type[B], content: object) -> B:
    """`content` as `kind`. Raises InvalidRequest."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest("The request does not fit.", fields=field_errors(error)) from None
