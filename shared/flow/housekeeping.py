"""By the clock: what nobody needs any more goes. Nothing here moves a signing.

Each sweep walks over what is old enough, asks whether it is still needed, and removes it by the very version that was
seen. A sweep that runs out of time, or stumbles, has lost nothing: the next run finds the same things again. (Due rows
of signings that are over need no sweep: reconcile drops them when it comes to them.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from shared import telemetry
from shared.domain.errors import NotFound
from shared.domain.idempotency import KIND, RECEIPT_KIND
from shared.domain.ids import is_signing_id
from shared.domain.signing import Signing, State
from shared.ports import App, OldClaim, WrittenBlob

_AT_A_TIME = 16
_LETTERS_AT_A_TIME = 100

T = TypeVar("T")


async def run(app: App, *, budget_seconds: float) -> dict[str, int]:
    """How many things each sweep has removed. One that fails does not keep the others from running."""
    ends, removed = app.now() + timedelta(seconds=budget_seconds), dict[str, int]()
    for name, sweep in _SWEEPS.items():
        try:
            removed[name] = await sweep(app, ends)
        except Exception as error:
            telemetry.error("housekeeping_failed", operation=name, reason=type(error).__name__)
            continue
        telemetry.info("housekeeping", operation=name, count=removed[name])
    return removed


async def _staged_documents(app: App, ends: datetime) -> int:
    """A start removes what it staged; these were left by requests and starts that died."""

    async def remove(blob: WrittenBlob) -> bool:
        if await _is_waited_for(app, blob.blob):
            return False
        await app.documents.delete(blob.blob, blob.etag)
        return True

    before = app.now() - timedelta(seconds=app.policy.staging_seconds)
    return await _sweep(app, app.documents.staged_before(before), remove, ends)


async def _is_waited_for(app: App, blob: str) -> bool:
    """`staging/{signing id}/…` belongs to a signing; anything else there goes by its age alone."""
    owner = blob.split("/")[1]
    signing = await _signing(app, owner) if is_signing_id(owner) else None
    return signing is not None and signing.state is State.REQUESTED


async def _idempotency_keys(app: App, ends: datetime) -> int:
    """Past the window a key is kept as long as its signing goes on. The other lookups stay with their signings."""

    async def forget(claim: OldClaim) -> bool:
        signing = await _signing(app, claim.signing_id)
        if signing is not None and not signing.is_over:
            return False
        await app.signings.forget_claim(claim)
        return True

    before = app.now() - timedelta(seconds=app.policy.idempotency_window_seconds)
    keys, receipts = (app.signings.claims_before(kind, before) for kind in (KIND, RECEIPT_KIND))
    return await _sweep(app, keys, forget, ends) + await _sweep(app, receipts, forget, ends)


async def _settled_letters(app: App, ends: datetime) -> int:
    """Dead letters that a person has dealt with. Open ones stay, however old."""
    before, removed = app.now() - timedelta(seconds=app.policy.letter_retention_seconds), 0
    while app.now() < ends:
        found = await app.dead_letters.remove_settled(before, _LETTERS_AT_A_TIME)
        removed += found
        if found < _LETTERS_AT_A_TIME:
            break
    return removed


_SWEEPS: dict[str, Callable[[App, datetime], Awaitable[int]]] = {
    "staged_documents": _staged_documents,
    "idempotency_keys": _idempotency_keys,
    "settled_letters": _settled_letters,
}


async def _sweep(app: App, items: AsyncIterator[T], remove: Callable[[T], Awaitable[bool]], ends: datetime) -> int:
    removed, batch = 0, list[T]()
    async for item in items:
        batch.append(item)
        if len(batch) == _AT_A_TIME:
            removed += await _remove_all(batch, remove)
            batch.clear()
            if app.now() >= ends:
                break
    return removed + await _remove_all(batch, remove)


async def _remove_all(batch: list[T], remove: Callable[[T], Awaitable[bool]]) -> int:
    async def one(item: T) -> bool:
        try:
            return await remove(item)
        except Exception as error:
            # The others go on; this one is found again by the next run.
            telemetry.error("housekeeping_failed", reason=type(error).__name__)
            return False

    return sum(await asyncio.gather(*map(one, batch)))


async def _signing(app: App, signing_id: str) -> Signing | None:
    try:
        return (await app.signings.load(signing_id)).signing
    except NotFound:
        return None
