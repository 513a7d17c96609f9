"""Which signing an order belongs to: a new one, or the one that the same order has made before.

A key is claimed before anything else is written, so of any number of equal orders exactly one makes the signing.

A key that was derived from the reference changes hands when its signing has ended without documents, for then another
order is somebody's new try. The same order is one only if the first invited nobody: else it may be a copy that comes
late, and nobody is invited twice for the asking of a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared import telemetry
from shared.domain.commands import StartSigning
from shared.domain.errors import ConcurrentUpdate, IdempotencyMismatch, NotFound
from shared.domain.idempotency import KIND, RECEIPT_KIND, IdempotencyKey, KeySource, key_of
from shared.domain.signing import Signing, State
from shared.ports import App, Loaded

_ENDED_WITHOUT_DOCUMENTS = frozenset({State.DECLINED, State.CANCELLED, State.EXPIRED, State.FAILED})

_FINGERPRINT, _EARLIER, _KEY = "fingerprint", "earlier", "key"
_AMBIGUOUS = ""
_REMEMBERED_ORDERS = 100

# A key that changes hands so often while it is looked at means a bug or a storm.
_MAX_TRIES = 8


@dataclass(frozen=True)
class Claim:
    """The id that the signing of this order has to have, and the signing itself when it is there already.

    An id without a signing may be somebody else's: of a request that died before its row was written, or that is just
    about to write it. Either way the row is create-only.
    """

    signing_id: str
    earlier: Loaded | None = None


async def claim(app: App, command: StartSigning, new_id: str) -> Claim:
    """Raises IdempotencyMismatch when the key belongs to another order, ConcurrentUpdate when it keeps changing."""
    fingerprint = command.fingerprint()
    key = key_of(command, fingerprint)
    if key is None:
        return Claim(new_id)
    claimed = await _claim(app, command, key, fingerprint, new_id)
    if command.receipt is not None and claimed.earlier is None:
        await _leave_receipt(app, command.receipt, key, fingerprint, claimed.signing_id)
    return claimed


async def _leave_receipt(app: App, receipt: str, key: IdempotencyKey, fingerprint: str, signing_id: str) -> None:
    facts = {_KEY: key.text, _FINGERPRINT: fingerprint}
    other = await app.signings.claim(RECEIPT_KIND, receipt, signing_id, facts)
    if other is not None and other.get(_FINGERPRINT) != fingerprint:
        # The same words about other files, put where the first ones were: a copy without them could be of either.
        facts[_FINGERPRINT] = _AMBIGUOUS
        await app.signings.reclaim(RECEIPT_KIND, receipt, other["signing_id"], signing_id, facts)


async def _claim(app: App, command: StartSigning, key: IdempotencyKey, fingerprint: str, new_id: str) -> Claim:
    holder = await app.signings.claim(KIND, key.text, new_id, {_FINGERPRINT: fingerprint})
    for _ in range(_MAX_TRIES):
        if holder is None:
            return Claim(new_id)
        signing_id = holder["signing_id"]
        earlier = await _signing(app, signing_id)
        if earlier is None or not _is_free(key, fingerprint, holder, earlier.signing):
            _require_same_order(key, fingerprint, holder, signing_id)
            telemetry.info("start_repeated", account=command.account, signing_id=signing_id, source=key.source)
            return Claim(signing_id, earlier)
        facts = {_FINGERPRINT: fingerprint, _EARLIER: " ".join(_inviting_orders(holder, earlier.signing))}
        holder = await app.signings.reclaim(KIND, key.text, signing_id, new_id, facts)
    raise ConcurrentUpdate("the idempotency key changed hands each time it was looked at")


async def repeated(app: App, command: StartSigning) -> Loaded | None:
    """The signing that this very order has made before, or None. Claims nothing."""
    fingerprint = command.fingerprint()
    key = key_of(command, fingerprint)
    holder = await app.signings.claimed(KIND, key.text) if key is not None else None
    if key is None or holder is None or holder.get(_FINGERPRINT) != fingerprint:
        return None
    earlier = await _signing(app, holder["signing_id"])
    if earlier is None or _is_free(key, fingerprint, holder, earlier.signing):
        return None
    telemetry.info("start_repeated", account=command.account, signing_id=earlier.signing.id, source=key.source)
    return earlier


async def repeated_by_receipt(app: App, receipt: str) -> Loaded | None:
    """The signing that the order with this receipt has now, though its documents cannot be read again. None when it has
    none, another order has taken its place, or the receipt fits more than one.

    The receipt tells the key; whose the key is, only its own row tells.
    """
    written = await app.signings.claimed(RECEIPT_KIND, receipt)
    holder = await app.signings.claimed(KIND, written[_KEY]) if written is not None else None
    if written is None or holder is None or holder.get(_FINGERPRINT) != written[_FINGERPRINT]:
        return None
    earlier = await _signing(app, holder["signing_id"])
    if earlier is not None:
        signing = earlier.signing
        telemetry.info("start_repeated", account=signing.account, signing_id=signing.id, source="receipt")
    return earlier


async def _signing(app: App, signing_id: str) -> Loaded | None:
    try:
        return await app.signings.load(signing_id)
    except NotFound:
        return None


def _is_free(key: IdempotencyKey, fingerprint: str, holder: Mapping[str, str], earlier: Signing) -> bool:
    if key.source is not KeySource.REFERENCE or earlier.state not in _ENDED_WITHOUT_DOCUMENTS:
        return False
    return fingerprint not in _inviting_orders(holder, earlier)


def _inviting_orders(holder: Mapping[str, str], earlier: Signing) -> list[str]:
    """The fingerprints of the orders under this key so far for which somebody may have been invited, oldest first."""
    found = holder.get(_EARLIER, "").split()
    if earlier.start.may_have_invited:
        found.append(holder.get(_FINGERPRINT, ""))
    return found[-_REMEMBERED_ORDERS:]


def _require_same_order(key: IdempotencyKey, fingerprint: str, holder: Mapping[str, str], signing_id: str) -> None:
    if holder.get(_FINGERPRINT) == fingerprint:
        return
    if key.source is not KeySource.REFERENCE:
        raise IdempotencyMismatch(
            "This idempotency key was used before, with another request body.", signing_id=signing_id
        )
    if fingerprint in holder.get(_EARLIER, "").split():
        raise IdempotencyMismatch(
            "This very order came before; another one with its reference and documents has taken its place since.",
            signing_id=signing_id,
            next_step="To ask people once more, send an Idempotency-Key of its own.",
        )
    raise IdempotencyMismatch(
        "There is a signing with this reference and these documents, started with another request body.",
        signing_id=signing_id,
        next_step="To start a second signing all the same, send an Idempotency-Key of its own. To replace the first "
        "one, cancel it and send this again.",
    )
