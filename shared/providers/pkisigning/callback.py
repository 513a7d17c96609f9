"""Verifies PKIsigning callbacks and reads what they claim (spec pkisigning 3.1 to 3.4).

A verified callback is a hint that really came from PKIsigning. It is confirmed by a read-back before anything moves.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import httpx

from shared.domain.notices import StatusNotice
from shared.domain.states import EventKind
from shared.providers.pkisigning.mapping import STATUSES
from shared.verification.chain import ChainValidator
from shared.verification.container import Sender, read_sender
from shared.verification.detached import check_signature, decode_signature
from shared.verification.domains import matching_suffix
from shared.verification.freshness import check_window, parse_timestamp
from shared.verification.memory import SingleFlight, TimedMemory
from shared.verification.policy import VerificationPolicy
from shared.verification.raw import RawCallback, VerifiedCallback, verified
from shared.verification.reasons import Reason, refusal
from shared.verification.replay import ReplayMemory
from shared.verification.revocation import Finding, RevocationChecker, Status
from shared.verification.strict_json import by_lower_name, parse_object

__all__ = ["MAX_BODY_BYTES", "CallbackVerifier", "VerificationPolicy", "events"]

TIMESTAMP = "x-pkisigning-timestamp"
CERTIFICATES = "x-pkisigning-publickey"
SIGNATURE = "x-pkisigning-signature"
_SIGNATURE_HEADERS = (TIMESTAMP, CERTIFICATES, SIGNATURE)

MAX_BODY_BYTES = 32 * 1024
_MAX_HEADER_CHARACTERS = 48 * 1024
_REMEMBERED_SENDERS = 64
# Long enough that a dead responder does not slow every callback, short enough that its return is soon noticed.
_UNKNOWN_REVOCATION_KEPT = timedelta(seconds=30)

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True)
class _Claim:
    """The body's fields, shapes checked."""

    signing_id: str
    status: str
    reason: str | None
    access_key: str | None


class CallbackVerifier:
    """Verifies the callbacks of one account. Keep one per process: it remembers what is slow to find out.

    `http` fetches CRLs and OCSP responses only; it needs no credentials and gets none sent.
    """

    def __init__(self, policy: VerificationPolicy, http: httpx.AsyncClient) -> None:
        self._policy = policy
        self._chains = ChainValidator(policy)
        self._revocation = RevocationChecker(
            http,
            self._chains,
            refresh_seconds=policy.verdict_cap_seconds,
            timeout_seconds=policy.revocation_timeout_seconds,
        )
        self._senders: TimedMemory[Sender] = TimedMemory(_REMEMBERED_SENDERS)
        self._verdicts: TimedMemory[Finding] = TimedMemory(_REMEMBERED_SENDERS)
        self._judgements: SingleFlight[Finding] = SingleFlight()
        self._replays = ReplayMemory(window_seconds=policy.window_seconds + policy.future_tolerance_seconds)

    async def verify(self, raw: RawCallback) -> VerifiedCallback:
        """Returns the callback as verified, or raises VerificationFailed. `raw.received_at` counts as now.

         1. The body is there and at most 32 KiB.
         2. Each of the three headers is there once, with a value of sane size. (None of them at all: accepted as
            unsigned under `unsafe_accept_unsigned`, going on at 11; the verdict says so.)
         3. The timestamp parses completely and lies inside the window.
         4. The signature and the certificate container decode.
         5. Exactly one certificate in the container issued none of the others: the leaf.
         6. Its key is RSA and long enough.
         7. It names a trusted domain or a name below one.
         8. The signature holds over body + timestamp, bytes as received: PKCS#1 v1.5, SHA-256, nothing else.
         9. The leaf chains to a configured anchor, everything within its dates. No network, no AIA.
        10. Nothing in the chain is revoked. The first network use, and only to addresses a trusted CA wrote down.
        11. The body is exactly one JSON object without duplicate names.
        12. It carries a GUID and a status, and the optional fields have their types.

        9 and 10 may be remembered for a set of certificates; all else is done each time.
        """
        _check_body(raw.body)  # 1
        headers = _signature_headers(raw.headers, may_be_unsigned=self._policy.unsafe_accept_unsigned)  # 2
        if headers is None:
            return _unsigned(raw)
        self._check_timestamp(headers[TIMESTAMP], raw.received_at)  # 3
        signature = decode_signature(headers[SIGNATURE])  # 4
        sender = await self._sender(headers[CERTIFICATES], raw.received_at)  # 4, 5, 6
        suffix = matching_suffix(sender.names, self._policy.domain_suffixes)  # 7
        if suffix is None:
            raise refusal(Reason.DOMAIN_MISMATCH)
        check_signature(sender.key, signature, raw.body + headers[TIMESTAMP].encode("utf-8"))  # 8
        finding = await self._trust(sender, raw.received_at)  # 9, 10
        self._senders.put(headers[CERTIFICATES], sender)
        _read_claim(raw.body)  # 11, 12
        verdicts = {
            "timestamp": "fresh",
            "domain": suffix,
            "signature": "valid",
            "chain": "trusted",
            "revocation": finding.status.value,
            "certificates": sender.fingerprint.hex(),
        }
        return verified(raw, headers=headers, verdicts=verdicts, event_key=hashlib.sha256(signature).hexdigest())

    def was_replayed(self, callback: VerifiedCallback) -> bool:
        """True for an exact repeat: answer it with success and do nothing."""
        return self._replays.was_replayed(callback)

    def remember(self, callback: VerifiedCallback) -> None:
        """Call it once the event is safely queued, never before."""
        self._replays.remember(callback)

    def _check_timestamp(self, text: str, now: datetime) -> None:
        check_window(
            parse_timestamp(text),
            now,
            window_seconds=self._policy.window_seconds,
            future_tolerance_seconds=self._policy.future_tolerance_seconds,
        )

    async def _sender(self, text: str, now: datetime) -> Sender:
        """Remembered for trusted senders only, so that nobody else can push them out."""
        known = self._senders.get(text, now)
        if known is not None:
            return known
        return await asyncio.to_thread(read_sender, text, minimum_rsa_bits=self._policy.minimum_rsa_bits)

    async def _trust(self, sender: Sender, now: datetime) -> Finding:
        known = self._verdicts.get(sender.fingerprint, now)
        if known is not None:
            return known
        return await self._judgements.run(sender.fingerprint, lambda: self._judge(sender, now))

    async def _judge(self, sender: Sender, now: datetime) -> Finding:
        chain = await self._chains.validate(sender, now)  # 9
        finding = await self._revocation.check(chain, now)  # 10
        if finding.status is Status.REVOKED:
            raise refusal(Reason.CERTIFICATE_REVOKED)
        if finding.status is Status.UNKNOWN and self._policy.revocation != "soft":
            raise refusal(Reason.REVOCATION_UNKNOWN)
        kept = finding.until if finding.status is Status.GOOD else now + _UNKNOWN_REVOCATION_KEPT
        cap = now + timedelta(seconds=self._policy.verdict_cap_seconds)
        self._verdicts.put(sender.fingerprint, finding, until=min(kept, chain.not_after, cap))
        return finding


def events(callback: VerifiedCallback) -> list[StatusNotice]:
    """What a verified callback claims. Statuses are passed on in the provider's words, unknown ones too."""
    claim = _read_claim(callback.raw.body)
    is_end = STATUSES.get(claim.status) not in (None, EventKind.ACCEPTED)
    return [StatusNotice(claim.signing_id, claim.status, claim.reason, claim.access_key, claims_end=is_end)]


def _check_body(body: bytes) -> None:
    if len(body) > MAX_BODY_BYTES:
        raise refusal(Reason.BODY_TOO_LARGE)
    if not body:
        raise refusal(Reason.BODY_MISSING)


def _signature_headers(headers: Mapping[str, str], *, may_be_unsigned: bool) -> dict[str, str] | None:
    """The three headers, or None when there is none of them and that may be."""
    present = {name: headers[name] for name in _SIGNATURE_HEADERS if name in headers}
    if not present and may_be_unsigned:
        return None
    if len(present) < len(_SIGNATURE_HEADERS):
        raise refusal(Reason.HEADER_MISSING)
    if not all(value.strip() for value in present.values()):
        raise refusal(Reason.HEADER_EMPTY)
    if any(len(value) > _MAX_HEADER_CHARACTERS for value in present.values()):
        raise refusal(Reason.HEADER_TOO_LARGE)
    # The host joins repeated headers with a comma (host guide B2); the timestamp, which may own one, is seen to in 3.
    if "," in present[CERTIFICATES] or "," in present[SIGNATURE]:
        raise refusal(Reason.HEADER_REPEATED)
    return present


def _unsigned(raw: RawCallback) -> VerifiedCallback:
    """Nothing is proven but the shape; the address it came to and the read-back have to carry the rest."""
    _read_claim(raw.body)  # 11, 12
    key = hashlib.sha256(b"unsigned\0" + raw.body).hexdigest()
    return verified(raw, headers={}, verdicts={"signature": "unsigned"}, event_key=key)


@lru_cache(maxsize=16)
def _read_claim(body: bytes) -> _Claim:
    """Names in any case: V1 writes camelCase, V2 PascalCase (spec pkisigning 3.2). Unknown ones are ignored.

    A body is read twice in a row, by `verify` and by `events`; a refusal is never remembered.
    """
    fields = by_lower_name(parse_object(body))  # 11
    signing_id, status = fields.get("pkisid"), fields.get("dossierstatus")  # 12
    if not isinstance(signing_id, str) or _GUID.fullmatch(signing_id) is None:
        raise refusal(Reason.SIGNING_ID_MALFORMED)
    if not isinstance(status, str) or not status.strip() or not _is_text(status):
        raise refusal(Reason.STATUS_MALFORMED)
    return _Claim(signing_id.lower(), status, _optional(fields, "reason"), _optional(fields, "authenticationkey"))


def _optional(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _is_text(value):
        raise refusal(Reason.FIELD_MALFORMED)
    return value


def _is_text(value: str) -> bool:
    """JSON escapes can spell half a surrogate pair, which no store of ours could write down."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
