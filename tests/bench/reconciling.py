"""A reconcile tick with 200 signings due: what lies behind them in the due index must not make it dearer."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from azure.data.tables import TransactionOperation

from local.azurite import Azurite
from local.players import V2_ACCOUNT
from shared.bootstrap import utc_now
from shared.domain.history import EntryKind, record
from shared.domain.ids import signing_id
from shared.domain.signing import Document, Participant, Signing, State
from shared.flow import reconcile
from shared.ports import App
from shared.storage.clients import DUE, StorageClients
from shared.storage.due import BUCKET_SECONDS, due_row
from tests.bench.in_process import InProcess, running_in_process
from tests.bench.table import Figure

_DUE = 200
_FEW, _MANY = 1_000, 100_000
_TICKS = 9
_REACH = 1.2


async def measure(few: Azurite, many: Azurite) -> tuple[list[Figure], list[str]]:
    """The figures, and the breakdown as a line. Two emulators, so that ticks on both can follow each other closely: a
    noisy moment then costs one pair and not the figure. One of them is left with 100,000 rows."""
    async with running_in_process(few) as first, running_in_process(many) as second:
        small, large = await _Side.prepared(first, _FEW), await _Side.prepared(second, _MANY)
        pairs = [(await small.tick(), await large.tick()) for _ in range(_TICKS)]
    return [_calls_figure(small.calls, large.calls), _time_figure(pairs)], [_line(large.calls)]


def _calls_figure(few: Counter[str], many: Counter[str]) -> Figure:
    ratio = many.total() / few.total()
    name = f"reconcile tick, {_DUE} due among {_MANY:,} open: storage calls"
    return Figure(name, f"{many.total() / _TICKS:.0f}", f"{few.total() / _TICKS:.0f}", "+- 2 %", abs(ratio - 1) <= 0.02)


def _time_figure(pairs: Sequence[tuple[float, float]]) -> Figure:
    ratio = statistics.median(many / few for few, many in pairs)
    few, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    name = f"reconcile tick, {_DUE} due among {_MANY:,} open: time"
    return Figure(name, f"{ratio:.2f} x ({many:.2f} s)", f"{few:.2f} s", f"<= {_REACH} x", ratio <= _REACH)


def _line(calls: Counter[str]) -> str:
    each = ", ".join(f"{key} {count / _TICKS:.0f}" for key, count in sorted(calls.items()))
    return f"reconcile tick, {_DUE} due: {each}"


@dataclass
class _Side:
    app: App
    clients: StorageClients
    ids: Sequence[str]
    calls: Counter[str] = field(default_factory=Counter)

    @classmethod
    async def prepared(cls, product: InProcess, others: int) -> _Side:
        # Slots so close together that the next looks of one tick lie as near to each other as those of another.
        policy = replace(product.deployment.app.policy, reconcile_calls_per_minute=10**6)
        app, clients = replace(product.deployment.app, policy=policy), product.deployment.clients
        side = cls(app, clients, await _create(app))
        await _open(clients, others)
        await side.tick()  # loads what the first tick of a process loads
        side.calls.clear()
        return side

    async def tick(self) -> float:
        """Seconds. The same signings have become due again."""
        last_bucket = utc_now().timestamp() // BUCKET_SECONDS * BUCKET_SECONDS - BUCKET_SECONDS
        begin = datetime.fromtimestamp(last_bucket, UTC)
        due = {one: begin + timedelta(seconds=number) for number, one in enumerate(self.ids)}
        await self.app.signings.mark_all_due(due)
        before, began = Counter(self.clients.calls), time.perf_counter()
        seen = await reconcile.run(self.app, budget_seconds=240)
        seconds = time.perf_counter() - began
        self.calls += self.clients.calls - before
        if seen != _DUE:
            raise RuntimeError(f"{seen} rows were due")
        return seconds


async def _create(app: App) -> list[str]:
    """The signings that are due in each tick; of the others there are rows in the due index only."""
    ids, at = [], utc_now() - timedelta(hours=10)
    for _ in range(_DUE):
        signing, entry = record(_started(at), EntryKind.REQUESTED, at, {})
        await app.signings.create(signing, [entry])
        ids.append(signing.id)
    return ids


def _started(at: datetime) -> Signing:
    own = signing_id(at, secrets.token_bytes(10))
    document = Document(
        number=1, name="lease.pdf", media_type="application/pdf", size=9, sha256="0" * 64, blob=f"staging/{own}/1"
    )
    return Signing(
        id=own,
        account=V2_ACCOUNT,
        provider="pkisigning",
        title="Lease 2026-17",
        state=State.STARTED,
        provider_signing_id=own,
        documents=(document,),
        participants=(Participant(number=1, given_name="Ada", family_name="Jansen", email="ada@example.org"),),
        created_at=at,
        updated_at=at,
    )


async def _open(clients: StorageClients, count: int) -> None:
    """Rows of signings whose time comes some day in the next month."""
    now, partitions = utc_now(), dict[str, list[dict[str, str]]]()
    for number in range(count):
        own = signing_id(now, secrets.token_bytes(10))
        row = due_row(own, now + timedelta(hours=1 + number % 720))
        partitions.setdefault(row["PartitionKey"], []).append(row)
    limit = asyncio.Semaphore(4)

    async def write(rows: list[dict[str, str]]) -> None:
        async with limit:
            await clients.transact(DUE, [(TransactionOperation.UPSERT, row) for row in rows])

    await asyncio.gather(
        *(write(rows[start : start + 100]) for rows in partitions.values() for start in range(0, len(rows), 100))
    )
