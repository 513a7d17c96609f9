"""Checks Dokobit's postbacks and reads what they claim (spec dokobit 2).

Nothing in a postback proves where it comes from. What protects is the unguessable address it came to, which was checked
before anything here runs, the match of its token with the signing of that address, and the read-back: this body moves
nothing. Its `file` address in particular is never followed, for our token would go there too (spec 2.5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache

from shared import telemetry
from shared.domain.notices import StatusNotice
from shared.providers.dokobit import NAME
from shared.providers.dokobit.wire import Action
from shared.verification.raw import RawCallback, VerifiedCallback, verified
from shared.verification.reasons import Reason, refusal
from shared.verification.replay import ReplayMemory
from shared.verification.strict_json import parse_object

MAX_BODY_BYTES = 32 * 1024
_MAX_WORD = 200
# A failed delivery is repeated after 5 minutes, 1 hour and 24 hours (spec 2.4); the memory keeps twice its window.
_REPEATS_WITHIN_SECONDS = 13 * 3600
_OF_ONE_SIGNER = frozenset({Action.SIGNER_SIGNED, Action.SIGNER_DECLINED, Action.SIGNER_APPROVED})
_TELLS_WHO = ("signer", "signer_info", "signature_id")


class CallbackVerifier:
    """Checks the postbacks of one account. Keep one per process: it remembers which ones were queued."""

    def __init__(self) -> None:
        self._replays = ReplayMemory(window_seconds=_REPEATS_WITHIN_SECONDS)

    def verify(self, raw: RawCallback) -> VerifiedCallback:
        """Returns the postback as checked, or raises VerificationFailed. Checks shape only; see the module.

        1. It was POSTed, and the body is there and at most 32 KiB. Whatever its content type says: none is documented.
        2. The body is exactly one JSON object without duplicate names.
        3. `action` is a short word. One that is not documented is let through, and named in the log.
        4. `token`, where there is one, is a short word: it has to be that of the signing the address belongs to, which
           the flow compares (a postback without it is no error).
        """
        if raw.method.upper() != "POST" or not raw.body:  # 1
            raise refusal(Reason.BODY_MISSING)
        if len(raw.body) > MAX_BODY_BYTES:
            raise refusal(Reason.BODY_TOO_LARGE)
        fields = _fields(raw.body)  # 2
        action = _action(fields)  # 3
        token = _token(fields)  # 4
        if action not in _KNOWN:
            telemetry.warning("unknown_callback_action", provider=NAME, provider_status=action)
        verdicts = {"signature": "none", "token": "named" if token else "absent"}
        return verified(raw, headers={}, verdicts=verdicts, event_key=_event_key(raw, fields))

    def was_replayed(self, callback: VerifiedCallback) -> bool:
        """True for an exact repeat: answer it with success and do nothing."""
        return self._replays.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        """Call it once the event is safely queued, never before."""
        self._replays.remember(callback)


_KNOWN = frozenset(Action)
_ENDS = frozenset({Action.SIGNING_COMPLETED, Action.SIGNING_ARCHIVED, Action.SIGNER_DECLINED})


def events(callback: VerifiedCallback) -> list[StatusNotice]:
    """What a postback claims: that something happened to a signing, in the provider's word."""
    fields = _fields(callback.raw.body)
    action = _action(fields)
    return [StatusNotice(_token(fields), action, claims_end=action in _ENDS)]


@lru_cache(maxsize=16)
def _fields(body: bytes) -> Mapping[str, object]:
    """A body is read twice in a row, by `verify` and by `events`; a refusal is never remembered."""
    return parse_object(body)


def _action(fields: Mapping[str, object]) -> str:
    value = fields.get("action")
    if not _is_word(value):
        raise refusal(Reason.STATUS_MALFORMED)
    return str(value)


def _token(fields: Mapping[str, object]) -> str | None:
    value = fields.get("token")
    if value is None:
        return None
    if not _is_word(value):
        raise refusal(Reason.SIGNING_ID_MALFORMED)
    return str(value)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_WORD and value.isprintable() and value.strip() == value


def _event_key(raw: RawCallback, fields: Mapping[str, object]) -> str:
    """The digest of the content, however it is spelled. Content that would look the same for another signing, or for
    the next signer, does not identify a delivery, so the time goes in: a read-back too many does no harm, one too few
    would."""
    try:
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError:
        raise refusal(Reason.JSON_MALFORMED) from None
    is_of_one = fields.get("action") in _OF_ONE_SIGNER and not any(fields.get(name) for name in _TELLS_WHO)
    if fields.get("token") is None or is_of_one:
        canonical += raw.received_at.isoformat().encode()
    return hashlib.sha256(canonical).hexdigest()
