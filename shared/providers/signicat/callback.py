"""Reads Signicat's URL notifications (spec signicat 2.2 to 2.4).

They prove nothing: no signature, no secret, not even a status. The unguessable address that one came to (checked before
anything here) says which signing to look at, and only the read-back with our own credentials moves it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.notices import StatusNotice
from shared.verification.raw import RawCallback, VerifiedCallback, verified
from shared.verification.reasons import Reason, refusal
from shared.verification.replay import ReplayMemory

MAX_BODY_BYTES = 32 * 1024

# INFERRED (spec 2.2): neither names nor presence of these are public, so each spelling counts and none is required as
# long as our own word came back.
_ORDER_ID_NAMES = ("requestId", "orderId", "request_id")
_TASK_ID_NAMES = ("taskId", "task_id")
_PACKAGING_ID_NAMES = ("packagingTaskId", "packaging_task_id")
# Our own word in the address, see `mapping`.
_NOTICE_NAMES = ("notice",)

# What is over when our word ends like this: everybody has signed, or somebody has declined.
_ENDS = (".order.COMPLETED", ".REJECTED")

_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")
# How long an exact repeat is known here. Short: the calls carry no time, and one that came before the provider's own
# reads show the change must not silence a later one for long.
_REPEAT_WINDOW_SECONDS = 30.0


@dataclass(frozen=True)
class _Claim:
    order_id: str | None
    task_id: str | None
    packaging_task_id: str | None
    notice: str | None


class CallbackReader:
    """Callbacks of one account. Keep one per process: it remembers exact repeats."""

    def __init__(self) -> None:
        self._replays = ReplayMemory(window_seconds=_REPEAT_WINDOW_SECONDS)

    async def verify(self, raw: RawCallback) -> VerifiedCallback:
        """Returns the callback as one that may be acted upon by looking, or raises VerificationFailed.

        1. It is a GET or a POST.
        2. Its body, which is ignored, is at most 32 KiB.
        3. The ids and the word of ours in its query, where they are there, are plain and short.
        4. Spellings of one id agree.
        5. It names the order, or has our own word: else it is nothing of ours.
        """
        if raw.method.upper() not in ("GET", "POST"):  # 1
            raise refusal(Reason.FIELD_MALFORMED)
        if len(raw.body) > MAX_BODY_BYTES:  # 2
            raise refusal(Reason.BODY_TOO_LARGE)
        claim = _read_claim(raw.query)  # 3, 4, 5
        named = {
            "order_id": claim.order_id,
            "task_id": claim.task_id,
            "packaging_task_id": claim.packaging_task_id,
            "notice": claim.notice,
        }
        known = {name: value for name, value in named.items() if value is not None}
        return verified(raw, headers={}, verdicts={"signature": "none", **known}, event_key=_event_key(raw, known))

    def was_replayed(self, callback: VerifiedCallback) -> bool:
        """True for an exact repeat: answer it with success and do nothing."""
        return self._replays.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        """Call it once the event is safely queued, never before."""
        self._replays.remember(callback)


def _event_key(raw: RawCallback, known: Mapping[str, str]) -> str:
    """The same for an exact repeat. Without our word two calls cannot be told to be one, so each is a new one."""
    content = dict(known) if "notice" in known else {**known, "received_at": raw.received_at.isoformat()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def events(callback: VerifiedCallback) -> list[StatusNotice]:
    """What a callback claims: only that there is something to look at. The status is the trigger that our own word
    names, for the record."""
    claim = _read_claim(callback.raw.query)
    trigger = (claim.notice or "").rpartition(".")[2]
    return [StatusNotice(claim.order_id, trigger, claims_end=(claim.notice or "").endswith(_ENDS))]


def _read_claim(query: Mapping[str, str]) -> _Claim:
    claim = _Claim(
        _one_of(query, _ORDER_ID_NAMES, Reason.SIGNING_ID_MALFORMED),
        _one_of(query, _TASK_ID_NAMES, Reason.FIELD_MALFORMED),
        _one_of(query, _PACKAGING_ID_NAMES, Reason.FIELD_MALFORMED),
        _one_of(query, _NOTICE_NAMES, Reason.FIELD_MALFORMED),
    )
    if claim.order_id is None and claim.notice is None:  # 5
        raise refusal(Reason.SIGNING_ID_MALFORMED)
    return claim


def _one_of(query: Mapping[str, str], names: tuple[str, ...], reason: Reason) -> str | None:
    given = {query[name] for name in names if name in query}
    if not given:
        return None
    value = given.pop()
    if given or _ID.fullmatch(value) is None:  # 3, 4
        raise refusal(reason)
    return value
