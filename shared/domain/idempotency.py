"""Under which key a start is remembered, so that a repeat of it finds the first one again. Pure.

In this order: what the caller names (`Idempotency-Key`), which action of which workflow run this is, the caller's own
reference with the very documents. An order with none of them is a new one each time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.commands import StartSigning

# The kinds of the lookup rows; housekeeping forgets them by these.
KIND = "idempotency-key"
RECEIPT_KIND = "order-receipt"


class KeySource(StrEnum):
    """Where a key comes from. The first means what it says; the other two are derived."""

    CALLER = "caller"
    PLATFORM = "platform"
    REFERENCE = "reference"


@dataclass(frozen=True)
class IdempotencyKey:
    """`text` is unique over all accounts and sources."""

    source: KeySource
    text: str


def key_of(command: StartSigning, fingerprint: str) -> IdempotencyKey | None:
    """The key of an order with this fingerprint, or None when nothing tells a repeat from a new one."""
    if command.idempotency_key is not None:
        return IdempotencyKey(KeySource.CALLER, f"{command.account}\n{command.idempotency_key}")
    if command.platform_action is not None:
        # With the whole order in it: should two actions ever carry the same ids, their orders stay two.
        return _derived(KeySource.PLATFORM, command.account, command.platform_action, fingerprint)
    if command.reference is not None:
        hashes = [document.sha256 for document in command.documents]
        return _derived(KeySource.REFERENCE, command.account, command.reference, *hashes)
    return None


def _derived(source: KeySource, *parts: str) -> IdempotencyKey:
    """A caller's key begins with the name of an account, which is never empty: no derived one can be the same."""
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return IdempotencyKey(source, f"\n{source.value}\n{digest}")
