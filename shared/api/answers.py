"""What callers get: the signing as JSON, and failures as problem details (RFC 9457). Pure."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared import telemetry
from shared.domain.errors import (
    CircuitOpen,
    ConcurrentUpdate,
    CountersignError,
    CreditsExhausted,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Permanent,
    Retryable,
    Throttled,
    TooLarge,
    Unauthorised,
    UnsupportedFeature,
    WrongState,
)
from shared.domain.history import HistoryEntry, is_intact
from shared.domain.ids import is_signing_id
from shared.domain.signing import Announcement, Failure, Participant, Signing


@dataclass(frozen=True)
class Answer:
    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def encoded(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False, default=_json).encode()


@dataclass(frozen=True)
class FileAnswer:
    """A file as the whole body: Power Automate's "Create file" takes it directly (power guide 1.7)."""

    status: int
    body: bytes = field(repr=False)
    media_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.body


def _json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"not JSON: {type(value).__name__}")


# Logic Apps repeats 408, 429 and 5xx by itself, so a permanent failure must be none of them (power guide 1.8).
_STATUS: tuple[tuple[type[CountersignError], int], ...] = (
    (InvalidRequest, 400),
    (UnsupportedFeature, 422),
    (IdempotencyMismatch, 422),
    (NotFound, 404),
    (ConcurrentUpdate, 409),
    (WrongState, 409),
    (TooLarge, 413),
    (OutcomeUnknown, 409),
    (CircuitOpen, 503),
    (Throttled, 429),
    (Retryable, 503),
    (CreditsExhausted, 402),
    (Unauthorised, 424),
    (Permanent, 422),
)

# The same verdicts for a failure that was recorded on the signing.
_STATUS_OF_CODE = {
    "credits_exhausted": 402,
    "provider_unauthorised": 424,
    "consent_needed": 424,
}


async def answered(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `work` answers, or the problem that an expected failure is. Anything else escapes: the host says 500."""
    try:
        return await work()
    except CountersignError as error:
        telemetry.info("request_refused", code=error.code)
        return problem(error)


def known_form(signing_id: str) -> str:
    """The id, if it has the form of one. Raises NotFound."""
    if not is_signing_id(signing_id):
        raise NotFound("There is no signing with this id.")
    return signing_id


def problem(error: CountersignError, *, signing_id: str | None = None) -> Answer:
    """What went wrong, why, and what to do next."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    extra: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, InvalidRequest) and error.fields:
        extra["errors"] = [{"field": item.field, "message": item.message} for item in error.fields]
    if isinstance(error, UnsupportedFeature):
        extra |= {"field": error.field, "supportedBy": list(error.supported_by)}
    if isinstance(error, IdempotencyMismatch):
        signing_id = error.signing_id
    if isinstance(error, Throttled):
        headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
    failure = Failure(code=error.code, detail=error.detail, next_step=error.next_step)
    return _problem(status, failure, signing_id, extra, headers)


def failed_start(signing: Signing, failure: Failure) -> Answer:
    """The provider's refusal of a start, as a problem that names the signing."""
    status = _STATUS_OF_CODE.get(failure.code, 422)
    return _problem(status, failure, signing.id, {"state": signing.state}, {})


def _problem(
    status: int, failure: Failure, signing_id: str | None, extra: Mapping[str, Any], headers: Mapping[str, str]
) -> Answer:
    body = {
        "type": f"urn:countersign:problem:{failure.code}",
        "title": failure.code.replace("_", " ").capitalize(),
        "status": status,
        "code": failure.code,
        "detail": failure.detail,
        "nextStep": failure.next_step or None,
        "retryable": status in {408, 429, 503},
        "signingId": signing_id,
        **extra,
    }
    known = {name: value for name, value in body.items() if value is not None}
    return Answer(status, known, headers, "application/problem+json")


def signing_view(signing: Signing) -> dict[str, Any]:
    """The signing as callers see it. E-mail addresses and phone numbers stay inside: the caller has them already."""
    view = {
        "id": signing.id,
        "state": signing.state,
        "account": signing.account,
        "provider": signing.provider,
        "providerSigningId": signing.provider_signing_id,
        "providerStatus": signing.provider_status,
        "title": signing.title,
        "reference": signing.reference,
        "metadata": dict(signing.metadata),
        "deadline": signing.deadline,
        "reason": signing.reason,
        "failure": _failure(signing.failure),
        "attention": signing.attention.model_dump(mode="json") if signing.attention else None,
        "participants": [_participant(person) for person in signing.participants],
        "documents": [
            {"number": item.number, "name": item.name, "size": item.size, "sha256": item.sha256}
            for item in signing.documents
        ],
        "files": [
            {
                "name": item.name,
                "kind": item.kind,
                "mediaType": item.media_type,
                "size": item.size,
                "sha256": item.sha256,
                "blob": item.blob,
                "storedAt": item.stored_at,
            }
            for item in signing.download.files
        ],
        "notifications": [_announcement(item) for item in signing.announcements],
        "createdAt": signing.created_at,
        "updatedAt": signing.updated_at,
    }
    return {name: value for name, value in view.items() if value is not None}


def _failure(failure: Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {"code": failure.code, "detail": failure.detail, "nextStep": failure.next_step}


def _participant(person: Participant) -> dict[str, Any]:
    return {
        "number": person.number,
        "role": person.role,
        "name": " ".join(filter(None, (person.given_name, person.family_name_prefix, person.family_name))),
        "order": person.order,
        "progress": person.progress,
        "progressAt": person.progress_at,
    }


def _announcement(item: Announcement) -> dict[str, Any]:
    return {
        "state": item.state,
        "attempts": item.attempts,
        "deliveredAt": item.delivered_at,
        "givenUpReason": item.given_up_reason,
        "nextAttemptAt": None if item.is_settled else item.next_attempt_at,
    }


def history_view(signing_id: str, entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    """Every move, oldest first, and whether the chain of hashes holds."""
    return {
        "signingId": signing_id,
        "intact": is_intact(entries),
        "entries": [
            {"seq": item.seq, "at": item.at, "kind": item.kind, "facts": dict(item.facts), "hash": item.hash}
            for item in entries
        ],
    }
