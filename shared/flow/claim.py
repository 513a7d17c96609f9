"""Which signing an order belongs to: a new one, or the one that the same order has made before.

A key is claimed before anything else is written, so of any number of equal orders exactly one makes the signing. A key
that was derived from the reference changes hands when its signing has ended without documents: then the same order is
somebody's new try.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared import telemetry
from shared.domain.commands import StartSigning
from shared.domain.errors import ConcurrentUpdate, IdempotencyMismatch, NotFound
from shared.domain.idempotency import KIND, IdempotencyKey, KeySource, key_of
from shared.domain.signing import Signing, State
from shared.ports import App, Loaded

_ENDED_WITHOUT_DOCUMENTS = frozenset({State.DECLINED, State.CANCELLED, State.EXPIRED, State.FAILED})

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
    facts = {"fingerprint": fingerprint}
    holder = await app.signings.claim(KIND, key.text, new_id, facts)
    for _ in range(_MAX_TRIES):
        if holder is None:
            return Claim(new_id)
        signing_id = holder["signing_id"]
        earlier = await _signing(app, signing_id)
        if earlier is None or not _is_free(key, earlier.signing):
            _require_same_order(key, fingerprint, holder.get("fingerprint"), signing_id)
            telemetry.info("start_repeated", account=command.account, signing_id=signing_id, source=key.source)
            return Claim(signing_id, earlier)
        holder = await app.signings.reclaim(KIND, key.text, signing_id, new_id, facts)
    raise ConcurrentUpdate("the idempotency key changed hands each time it was looked at")


async def repeated(app: App, command: StartSigning) -> Loaded | None:
    """The signing that this very order has made before, or None. Claims nothing."""
    fingerprint = command.fingerprint()
    key = key_of(command, fingerprint)
    holder = await app.signings.claimed(KIND, key.text) if key is not None else None
    if key is None or holder is None or holder.get("fingerprint") != fingerprint:
        return None
    earlier = await _signing(app, holder["signing_id"])
    if earlier is None or _is_free(key, earlier.signing):
        return None
    telemetry.info("start_repeated", account=command.account, signing_id=earlier.signing.id, source=key.source)
    return earlier


async def _signing(app: App, signing_id: str) -> Loaded | None:
    try:
        return await app.signings.load(signing_id)
    except NotFound:
        return None


def _is_free(key: IdempotencyKey, earlier: Signing) -> bool:
    return key.source is KeySource.REFERENCE and earlier.state in _ENDED_WITHOUT_DOCUMENTS


def _require_same_order(
    key: IdempotencyKey, fingerprint: str, earlier_fingerprint: str | None, signing_id: str
) -> None:
    if earlier_fingerprint == fingerprint:
        return
    if key.source is not KeySource.REFERENCE:
        raise IdempotencyMismatch(
            "This idempotency key was used before, with another request body.", signing_id=signing_id
        )
    raise IdempotencyMismatch(
        "There is a signing with this reference and these documents, started with another request body.",
        signing_id=signing_id,
        next_step="To start a second signing all the same, send an Idempotency-Key of its own. To replace the first "
        "one, cancel it and send this again.",
    )
