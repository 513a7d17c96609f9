"""What a provider's answer means: the promised shape on success, a verdict on failure. Pure: bytes in, value out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.domain.errors import (
    CreditsExhausted,
    Permanent,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.providers.operation import BYTES, TEXT, ListOf, Operation

_DEFAULT_RETRY_AFTER_SECONDS = 30.0
# Nobody waits longer than this without asking again, and what is larger may not even be a number to reckon with.
_LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0
_MAX_DETAIL = 500
_ARRAY = TypeAdapter(list[object])


class UnreadableAnswer(Unavailable):
    """An answer that is not what the operation promises: HTML, broken JSON, an undocumented 2xx or a redirect.

    It is an outage to us: proxies and maintenance pages speak like this, so the same call may succeed later. `sent` is
    True because the provider may well have acted before something garbled its answer; for the call that invites people
    this means looking for proof instead of calling again.

    With `is_outage` False it was the provider itself that spoke, only not as promised: the account is not down then.
    """

    code = "provider_answer_unreadable"
    next_step = "The work is repeated. If it lasts, check the account's API address and the provider's status page."

    def __init__(self, provider: str, operation: Operation, status: int, why: str, *, is_outage: bool = True) -> None:
        sentence = f"The answer of {provider} to {operation.id} (status {status}) cannot be used: {why}."
        super().__init__(sentence, sent=True, provider_status_code=status, is_outage=is_outage)


def read_answer(
    provider: str, operation: Operation, status: int, content: bytes
) -> BaseModel | list[BaseModel] | str | None:
    """A 2xx answer in the shape that `operation` promises for its status. Raises UnreadableAnswer."""
    if status not in operation.answers:
        raise UnreadableAnswer(provider, operation, status, "this status is not documented")
    form = operation.answers[status]
    if form is None:
        return None
    if form is BYTES:
        raise TypeError("a file is streamed, not read whole")
    if form is TEXT:
        return content.decode("utf-8", "replace")
    try:
        if isinstance(form, ListOf):
            return [form.item.model_validate(one) for one in _ARRAY.validate_json(content)]
        return form.model_validate_json(content)
    except ValidationError as error:
        # Only places and kinds of mistakes: the values in it may be personal.
        is_json = all(one["type"] != "json_invalid" for one in error.errors(include_url=False, include_input=False))
        why = _mistakes(error) if is_json else "it is not JSON"
        raise UnreadableAnswer(provider, operation, status, why, is_outage=not is_json) from None


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return ", ".join(f"{'.'.join(map(str, one['loc'])) or 'it'} is wrong ({one['type']})" for one in found[:5])


def failure(
    provider: str, operation: Operation, status: int, *, headers: Mapping[str, str], content: bytes, now: datetime
) -> ProviderError:
    """The verdict on a status other than 2xx. The only place where one is made."""
    if status == 429:
        return Throttled(
            f"{provider} accepts no more calls for now.",
            retry_after_seconds=retry_after(headers, now),
            provider_status_code=status,
        )
    if status == 408 or status >= 500:
        sentence = f"{provider} could not handle {operation.id} (status {status})."
        return Unavailable(sentence, sent=True, provider_status_code=status)
    if status < 400:
        return UnreadableAnswer(provider, operation, status, "redirects are not followed")
    problem = problem_in(content)
    words = said(problem)
    sentence = f"{provider} refused {operation.id} with status {status}" + (f": {words}" if words else ".")
    return _REFUSALS.get(status, Rejected)(
        sentence, provider_status_code=status, provider_request_id=_request_id(headers, problem)
    )


_REFUSALS: dict[int, type[Permanent]] = {
    401: Unauthorised,
    402: CreditsExhausted,
    403: Unauthorised,
    404: ProviderNotFound,
}


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds or an HTTP date (RFC 9110 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return _DEFAULT_RETRY_AFTER_SECONDS
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_SECONDS)


def problem_in(content: bytes) -> Mapping[str, object]:
    """The body as a problem (RFC 9457), whatever its declared type; empty when it is none."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def said(problem: Mapping[str, object]) -> str:
    """Title, detail, message and errors, the only parts of a provider's text that are passed on."""
    parts = [text for name in ("title", "detail", "message") if isinstance(text := problem.get(name), str)]
    errors = problem.get("errors")
    if isinstance(errors, dict):
        parts += [f"{name}: {_joined(texts)}" for name, texts in errors.items()]
    if isinstance(errors, list):
        parts += [text for text in errors if isinstance(text, str)]
        parts += _listed(problem, "errors", "field", "message")
    parts += _listed(problem, "violations", "propertyPath", "message")
    parts += _listed(problem, "invalidParams", "name", "reason")
    return "; ".join(part.strip() for part in parts if part.strip())[:_MAX_DETAIL]


def _listed(problem: Mapping[str, object], name: str, place: str, text: str) -> list[str]:
    """Faults as a list of objects, each with a place and a text (spec signicat 4)."""
    listed = problem.get(name)
    objects = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [f"{one.get(place)}: {one.get(text)}" for one in objects]


def _joined(texts: object) -> str:
    return " ".join(str(text) for text in texts) if isinstance(texts, list) else str(texts)


def _request_id(headers: Mapping[str, str], problem: Mapping[str, object]) -> str | None:
    for candidate in (headers.get("x-request-id"), headers.get("request-id"), problem.get("traceId")):
        if isinstance(candidate, str) and candidate:
            return candidate[:200]
    return None
