"""How many storage calls one signing costs, start to stored, without faults."""

from __future__ import annotations

import secrets
from collections import Counter

from local.azurite import Azurite
from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.sandbox.pdf import sample_contract
from shared.domain.history import EntryKind
from shared.storage.clients import DUE, LOOKUPS, PACE
from tests.bench.in_process import InProcess, running_in_process
from tests.bench.table import Figure

_REACH = 30
_EXTRA_REACH = 10
# Each of these is one save of its own: the start's memory, and the marker before the call that invites.
_MEMORY = frozenset({EntryKind.CHECKPOINT, EntryKind.INVITING})


async def measure(azurite: Azurite) -> tuple[list[Figure], list[str]]:
    """The figures, and the breakdown as lines."""
    figures, lines = [], []
    # V1 first: once the other account has registered the organisation's webhook, that tells of these signings as well.
    for account in (V1_ACCOUNT, V2_ACCOUNT):
        async with running_in_process(azurite) as product:
            await _one(product, account)  # the first signing of a process also registers webhooks and reads tokens
            calls, memory = await _one(product, account)
        total = sum(calls.values())
        name = f"storage calls for one signing, {account}"
        figures.append(Figure(name, str(total), "-", f"<= {_REACH}", total <= _REACH))
        figures.append(_extra_figure(account, calls, memory))
        lines.append(f"{name}: " + ", ".join(f"{key} {count}" for key, count in sorted(calls.items())))
    return figures, lines


def _extra_figure(account: str, calls: Counter[str], memory: int) -> Figure:
    """What it costs to be exactly-once: claims and look-ups of keys, the start's memory, the due index, the pace."""
    by_table = {
        table: sum(count for key, count in calls.items() if key.split()[-1] == table) for table in (LOOKUPS, DUE, PACE)
    }
    extra = memory + sum(by_table.values())
    parts = ", ".join(f"{table} {count}" for table, count in [("checkpoints", memory), *by_table.items()] if count)
    name = f"extra storage calls for exactly-once, {account}"
    return Figure(name, f"{extra} ({parts})", "-", f"<= {_EXTRA_REACH}", extra <= _EXTRA_REACH)


async def _one(product: InProcess, account: str) -> tuple[Counter[str], int]:
    """The calls, and how many of them were saves of the start's memory."""
    before = Counter(product.deployment.clients.calls)
    content = sample_contract("Lease 2026-17", ["Ada Jansen"])
    signing = await product.start(content, account, **{"idempotency-key": secrets.token_hex(8)})
    await product.settle()
    await product.sandbox.complete(signing["providerSigningId"])
    await product.settle()
    stored = (await product.deployment.app.signings.load(signing["id"])).signing
    # The look above is the measurement's own, and stands for the one that the delayed message on `signing-starts` will
    # cost when it comes in the end: nobody waits for that here.
    counted = product.deployment.clients.calls - before
    if stored.state.value != "stored" or not all(one.is_settled for one in stored.announcements):
        raise RuntimeError(f"the signing is {stored.state.value}")
    history = await product.deployment.app.signings.history(signing["id"])
    return +counted, sum(entry.kind in _MEMORY for entry in history)
