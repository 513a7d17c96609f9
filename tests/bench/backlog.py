"""A backlog of verified callbacks, worked off by one process and by two, and what a worker's memory does meanwhile.

The floor and the product are the same code here: what is measured is that a second process helps, and that a long day
leaves nothing behind in memory.

The simulator, the emulator and the bench itself take half as much of the cores as a worker does, so on two cores even
perfect workers could not be 1.5 times as fast as one. That is why the workers are measured a second time with half a
core each: then what is around them has a core of its own, as a provider and a storage account have, and whatever one
worker makes the other wait for still shows.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.azurite import Azurite
from local.host.process import HostProcess
from local.players import V2_ACCOUNT
from local.sandbox.pkisigning.state import SignRequest
from local.sandbox.pkisigning.wire import Status
from local.stack import ROOT
from shared.bootstrap import Deployment, utc_now
from shared.domain.history import EntryKind, record
from shared.domain.ids import signing_id
from shared.domain.messages import CarriedCallback, ProviderEvent, Queue
from shared.domain.signing import Signing, StartProgress, State
from shared.domain.states import Source
from shared.flow import apply
from tests.bench.in_process import running_in_process
from tests.bench.table import Figure
from tests.domain.make import signing as made_signing

_SIGNINGS, _CALLBACKS = 1000, 5
_SPEED_UP = 1.5
# Two for the workers, one for the emulator, one for the simulator and the bench.
_CORES_FOR_ALL = 4
_TURN_SECONDS = 0.02
_FIRST, _REST = 1000, 9000
_FLAT = 0.10
# The emulator looks through the whole queue for every message that it gives or deletes: with thousands there it is all
# that is measured. So the backlog comes in waves, each put there before its first message becomes visible.
_WAVE = 500
_PUTTING_SECONDS = 6.0
_HEADERS = {"x-pkisigning-timestamp": "2026-11-22T12:00:00Z", "x-pkisigning-signature": "A" * 344}


@dataclass(frozen=True)
class Backlog:
    """Signings that are started here and declined at the simulator, hence one move each and no download."""

    deployment: Deployment
    settings: Mapping[str, str]
    signings: Sequence[Signing]

    def callbacks(self, count: int) -> list[ProviderEvent]:
        """`count` for each signing, all different, no two of one signing next to each other."""
        return [_callback(one) for _ in range(count) for one in self.signings]


async def measure(azurite: Azurite) -> list[Figure]:
    return [
        await _speed_up_figure(azurite, half_a_core=True),
        await _speed_up_figure(azurite, half_a_core=False),
        await _calls_figure(azurite),
        await _memory_figure(azurite),
    ]


async def _speed_up_figure(azurite: Azurite, *, half_a_core: bool) -> Figure:
    rates = []
    for processes in (1, 2):
        async with _backlog(azurite) as backlog:
            rates.append(await _drain_rate(backlog, processes, backlog.callbacks(_CALLBACKS), half_a_core))
    speed_up = rates[1] / rates[0]
    has_reach = half_a_core or (os.cpu_count() or 1) >= _CORES_FOR_ALL
    return Figure(
        f"{_SIGNINGS * _CALLBACKS} callbacks by 2 processes" + (", half a core each" if half_a_core else ""),
        f"{speed_up:.2f} x ({rates[1]:.0f}/s)",
        f"{rates[0]:.0f}/s",
        f">= {_SPEED_UP:.2f} x" if has_reach else f"printed below {_CORES_FOR_ALL} cores",
        speed_up >= _SPEED_UP if has_reach else None,
    )


@asynccontextmanager
async def _backlog(azurite: Azurite) -> AsyncIterator[Backlog]:
    async with running_in_process(azurite) as product:
        signings = [_started() for _ in range(_SIGNINGS)]
        for one in signings:
            request = SignRequest(one.provider_signing_id or "", one.title, 1, None, None, True, status=Status.DECLINED)
            product.sandbox.state.requests[request.id] = request
        limit = asyncio.Semaphore(32)

        async def write(one: Signing) -> None:
            async with limit:
                recorded, entry = record(one, EntryKind.REQUESTED, one.created_at, {"account": one.account})
                await product.deployment.app.signings.create(recorded, [entry])

        await asyncio.gather(*(write(one) for one in signings))
        # The timer is for other benches; the webhook's registration is not part of a backlog.
        settings = {**product.settings, "ReconcileSchedule": "0 0 0 1 1 *", "HousekeepingSchedule": "0 0 0 1 1 *"}
        yield Backlog(product.deployment, settings, signings)


def _started() -> Signing:
    now = utc_now()
    return made_signing(
        State.STARTED,
        id=signing_id(now, secrets.token_bytes(10)),
        account=V2_ACCOUNT,
        notify=None,
        provider_signing_id=_uuid(),
        start=StartProgress(inviting_at=now, invited_at=now),
        created_at=now,
        updated_at=now,
    )


def _uuid() -> str:
    text = secrets.token_hex(16)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _callback(one: Signing) -> ProviderEvent:
    body = json.dumps({"pkisId": one.provider_signing_id, "dossierStatus": "Declined"}).encode()
    carried = CarriedCallback(
        received_at=utc_now(),
        headers=_HEADERS,
        body_base64=base64.b64encode(body).decode(),
        verdicts={"signature": "verified"},
        event_key=secrets.token_hex(32),
    )
    return ProviderEvent(
        account=one.account,
        source=Source.CALLBACK,
        signing_id=one.id,
        provider_signing_id=one.provider_signing_id,
        callback=carried,
    )


async def _drain_rate(backlog: Backlog, processes: int, callbacks: Sequence[ProviderEvent], half_a_core: bool) -> float:
    """Messages a second, each wave from its first message that is done to its last: how fast an idle process notices
    that there is something to do is the host's affair (maxPollingInterval)."""
    done, seconds = 0, 0.0
    async with AsyncExitStack() as running:
        hosts = [await running.enter_async_context(_host(backlog)) for _ in range(processes)]
        if half_a_core:
            running.enter_context(_taking_turns([host.pid for host in hosts]))
        for start in range(0, len(callbacks), _WAVE):
            visible_at = time.time() + _PUTTING_SECONDS
            await _put(backlog, callbacks[start : start + _WAVE], visible_at)
            await asyncio.sleep(max(visible_at - time.time(), 0))
            left = whole = await _left(backlog)
            while left == whole:
                await asyncio.sleep(0.02)
                left = await _left(backlog)
            began = time.perf_counter()
            await _empty(backlog)
            done, seconds = done + left, seconds + time.perf_counter() - began
    return done / seconds


@contextmanager
def _taking_turns(pids: Sequence[int]) -> Iterator[None]:
    """Each process runs every other turn: one of them has half a core, two have one core between them."""
    over = threading.Event()

    def turns() -> None:
        turn = 0
        while not over.wait(_TURN_SECONDS):
            turn += 1
            for number, pid in enumerate(pids):
                os.kill(pid, signal.SIGCONT if (turn + number) % 2 else signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    keeper = threading.Thread(target=turns)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _host(backlog: Backlog) -> HostProcess:
    # Each process looks at ten more queues that stay empty. Looking often would be most of what two of them do.
    return HostProcess(ROOT, backlog.settings, max_polling_seconds=0.5)


async def _put(backlog: Backlog, callbacks: Sequence[ProviderEvent], visible_at: float) -> None:
    limit = asyncio.Semaphore(32)

    async def put(message: ProviderEvent) -> None:
        async with limit:
            delay = max(visible_at - time.time(), 0)
            await backlog.deployment.app.queue.send(Queue.EVENTS, message, delay_seconds=delay)

    await asyncio.gather(*(put(message) for message in callbacks))


async def _empty(backlog: Backlog) -> None:
    while await _left(backlog):
        await asyncio.sleep(0.05)


async def _left(backlog: Backlog) -> int:
    properties = await backlog.deployment.clients.queue(Queue.EVENTS).get_queue_properties()
    return properties.approximate_message_count or 0


async def _calls_figure(azurite: Azurite) -> Figure:
    """Storage calls of the work itself; receiving and deleting the message are the host's."""
    async with _backlog(azurite) as backlog:
        app, calls = backlog.deployment.app, backlog.deployment.clients.calls
        callbacks = [_callback(one) for _ in range(_CALLBACKS) for one in backlog.signings[:50]]
        before = Counter(calls)
        for message in callbacks:
            await apply.run(app, message, redelivered=False)
        made = sum((calls - before).values())
    return Figure("storage calls per callback of a backlog", f"{made / len(callbacks):.2f}", "-", "printed", None)


async def _memory_figure(azurite: Azurite) -> Figure:
    async with _backlog(azurite) as backlog, _host(backlog) as host:
        await _worked_off(backlog, _FIRST)
        early = _resident_mib(host.pid)
        await _worked_off(backlog, _REST)
        late = _resident_mib(host.pid)
    return Figure(
        f"memory of a worker after {_FIRST + _REST} messages",
        f"{late / early:.2f} x ({late:.0f} MiB)",
        f"{early:.0f} MiB after {_FIRST}",
        f"0.90 to {1 + _FLAT:.2f} x",
        abs(late / early - 1) <= _FLAT,
    )


async def _worked_off(backlog: Backlog, count: int) -> None:
    for _ in range(count // _SIGNINGS):
        wave = backlog.callbacks(1)
        for start in range(0, len(wave), _WAVE):
            await _put(backlog, wave[start : start + _WAVE], 0)
            await _empty(backlog)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
