"""Receives Connective's callbacks (spec connective 3): a knock on the door, of which nothing is believed.

Neither method nor body is published, and nothing in it is signed. What protects is the address, which only Connective
was told and which `flow/receive` has verified, and the read-back, which alone tells what happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from shared.domain.notices import StatusNotice
from shared.verification.raw import RawCallback, VerifiedCallback, verified
from shared.verification.reasons import Reason, refusal
from shared.verification.replay import ReplayMemory

MAX_BODY_BYTES = 32 * 1024
MAX_QUERY_CHARACTERS = 8 * 1024
# A receiver of ours that was slow to answer is called again soon, if at all (INFERRED).
_REMEMBERED_SECONDS = 300.0


class CallbackReceiver:
    """Receives the callbacks of one account. Keep one per process: it remembers what was queued."""

    def __init__(self) -> None:
        self._replays = ReplayMemory(window_seconds=_REMEMBERED_SECONDS)

    def verify(self, raw: RawCallback) -> VerifiedCallback:
        """Returns the callback as received, or raises VerificationFailed.

        1. The body is at most 32 KiB; it may be empty, and of any type.
        2. The query is at most 8 KiB.
        3. The delivery gets a key. Two callbacks with the same content are two events, because each completed action
           is announced and an empty body says nothing else; so the key covers the moment of arrival as well.
        """
        if len(raw.body) > MAX_BODY_BYTES:  # 1
            raise refusal(Reason.BODY_TOO_LARGE)
        if sum(len(name) + len(value) for name, value in raw.query.items()) > MAX_QUERY_CHARACTERS:  # 2
            raise refusal(Reason.BODY_TOO_LARGE)
        verdicts = {"signature": "none", "content": "ignored"}
        return verified(raw, headers={}, verdicts=verdicts, event_key=_event_key(raw))  # 3

    def was_replayed(self, callback: VerifiedCallback) -> bool:
        return self._replays.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        """Call it once the event is safely queued, never before."""
        self._replays.remember(callback)


def events(callback: VerifiedCallback) -> list[StatusNotice]:
    """That something may have happened to the signing whose address it came to.

    An id in the content, right or wrong, makes no difference (spec 3.1): only the stored one is read back.
    """
    return [StatusNotice(None, "")]


def _event_key(raw: RawCallback) -> str:
    digest = hashlib.sha256(b"connective\0")
    for part in (raw.method.encode(), raw.received_at.isoformat().encode(), _canonical(raw.query), raw.body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _canonical(query: Mapping[str, str]) -> bytes:
    return "\0".join(f"{name}\0{query[name]}" for name in sorted(query)).encode("utf-8", "surrogatepass")
