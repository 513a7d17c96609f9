"""Stage 3: an inbound callback becomes one queue message, or a bare refusal.

The checklist, in order. Each failure ends the work with a status and no word to the sender; its reason is a counter and
a log field. Nothing is enqueued unless every step has passed.
 1. the address carries a genuine mac for this provider and account, and both exist  -> else 404
 2. the body was not lost to chunked encoding, where the provider's callbacks have one -> else 411
 3. the body is at most 32 KiB                                                       -> else 413
 4. the provider's own proof holds (its `verify_callback`)                           -> else 400 or 401
 5. the verified body can be read                                                    -> else 400
 6. an exact repeat of a callback that is safely queued already                      -> 200, nothing done
 7. one message on `signing-events`, awaited                                         -> else 503, so that it is repeated
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from shared import telemetry
from shared.domain.errors import VerificationFailed
from shared.domain.ids import is_signing_id
from shared.domain.messages import CarriedCallback, ProviderEvent, Queue
from shared.domain.notices import StatusNotice
from shared.domain.states import Source
from shared.ports import App, SigningProvider
from shared.verification.address import ACCOUNT_SUBJECT
from shared.verification.raw import RawCallback, VerifiedCallback

MAX_BODY_BYTES = 32 * 1024


async def run(app: App, provider_name: str, account: str, token: str, raw: RawCallback) -> int:
    """The HTTP status to answer with; the body of the answer is always empty."""
    # 1. address
    subject = app.addresses.subject_of(provider_name, account, token)
    provider = app.providers.get(account)
    if subject is None or provider is None or provider.name != provider_name:
        return _refuse(404, "wrong_address")
    if subject != ACCOUNT_SUBJECT and not is_signing_id(subject):
        return _refuse(404, "wrong_address")
    # 2. and 3. body
    if provider.capabilities.reads_callback_body and not raw.body and _was_chunked(raw.headers):
        return _refuse(411, "body_lost_to_chunked_encoding", account)
    if len(raw.body) > MAX_BODY_BYTES:
        return _refuse(413, "body_too_large", account)
    # 4. and 5. proof and content
    try:
        verified = await provider.verify_callback(raw)
        notices = provider.notices(verified)
    except VerificationFailed as failure:
        return _refuse(failure.status, failure.reason, account)
    # 6. repeat
    if provider.seen_before(verified):
        telemetry.info("callback_repeated", account=account, event_key=verified.event_key)
        return 200
    # 7. queue
    return await _enqueue(app, provider, subject, verified, notices)


def _refuse(status: int, reason: str, account: str | None = None) -> int:
    # For a wrong address not even the account is logged: it is the sender's text (design 7).
    telemetry.warning("callback_refused", status=status, reason=reason, account=account)
    return status


def _was_chunked(headers: Mapping[str, str]) -> bool:
    return "chunked" in headers.get("transfer-encoding", "").lower()


async def _enqueue(
    app: App, provider: SigningProvider, subject: str, verified: VerifiedCallback, notices: list[StatusNotice]
) -> int:
    try:
        for notice in notices:
            await app.queue.send(Queue.EVENTS, _message(provider, subject, verified, notice))
    except Exception as error:
        telemetry.error("callback_not_queued", account=provider.account, reason=type(error).__name__)
        return 503
    provider.remember(verified)
    telemetry.info("callback_queued", account=provider.account, event_key=verified.event_key, count=len(notices))
    return 200


def _message(
    provider: SigningProvider, subject: str, verified: VerifiedCallback, notice: StatusNotice
) -> ProviderEvent:
    carried = CarriedCallback(
        received_at=verified.raw.received_at,
        headers=verified.headers,
        body_base64=base64.b64encode(verified.raw.body).decode(),
        verdicts=verified.verdicts,
        event_key=verified.event_key,
    )
    return ProviderEvent(
        account=provider.account,
        source=Source.CALLBACK,
        signing_id=None if subject == ACCOUNT_SUBJECT else subject,
        provider_signing_id=notice.provider_signing_id,
        claims_end=notice.claims_end,
        access_key=notice.access_key,
        callback=carried,
        traceparent=telemetry.current_trace(),
    )
