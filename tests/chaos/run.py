"""One run: storm, calm, and the look at what is there then."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.stack import Stack, running_stack
from shared.domain.messages import Queue
from shared.storage.clients import StorageClients
from tests.chaos.callers import Cast, Stopwatch
from tests.chaos.checks import Inspection
from tests.chaos.journal import Journal
from tests.chaos.nursery import Nursery, NurseryHost
from tests.chaos.operators import Operator
from tests.chaos.plan import ACCOUNTS, PROVIDERS, Part, Plan
from tests.chaos.services import Service
from tests.chaos.storms import Storm, calm_callbacks, reconcile

INSTANCES = 3
# However slow the machine: then the run says which points were not reached.
STORM_SECONDS = 300.0
SETTLE_SECONDS = 120.0
_PAUSE_SECONDS = 1.0
_MOST_UNCERTAIN = 0.25

# The product's times, shrunk so that what takes minutes takes seconds. Their order is kept: an invitation is looked up
# later than the call that sends it can possibly arrive.
_SETTINGS = {
    # The clock's work is done when the storm wants it.
    "ReconcileSchedule": "0 0 0 1 1 *",
    "HousekeepingSchedule": "0 0 0 1 1 *",
    "Flow__StartInlineSeconds": "20",
    "Flow__StartRetrySeconds": "8",
    "Flow__StartLeaseSeconds": "6",
    "Flow__InviteWindowSeconds": "3",
    "Flow__InviteProofAfterSeconds": "7",
    "Flow__StartUncertainAfterSeconds": "12",
    "Flow__OutageRetrySeconds": "1",
    "Flow__ThrottleMaxSeconds": "2",
    "Flow__ReconcileMinSeconds": "10",
    "Flow__ReconcileMaxSeconds": "12",
    "Flow__ReconcileCallsPerMinute": "100000",
    "Flow__ProviderGoneAfterSeconds": "30",
    "Flow__FollowUpGraceSeconds": "4",
    "Flow__DownloadRetryFirstSeconds": "1",
    "Flow__DownloadRetryLastSeconds": "2",
    "Flow__NotifyRetrySeconds": ",".join(["1"] * 30),
    "Flow__StagingSeconds": "1",
    **{f"Accounts__{account}__CallsPerMinute": "100000" for account in ACCOUNTS},
    # A refresh token that is exchanged but not saved when the process dies is lost for good; that is another story.
    **{f"Accounts__{account}__Grant": "client_credentials" for account in (V2_ACCOUNT, V1_ACCOUNT)},
    **{f"Accounts__{account}__RefreshToken": "" for account in (V2_ACCOUNT, V1_ACCOUNT)},
}


@dataclass
class Report:
    problems: list[str] = field(default_factory=list)
    # Points that no process passed while it was asked to die or fail there.
    missed: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    log: str = field(default="", repr=False)

    def lines(self) -> list[str]:
        took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        figures = ", ".join(f"{count} {name}" for name, count in sorted(self.figures.items()))
        found = [took, figures, *self.problems]
        return found + [f"never reached: {one}" for one in self.missed]


async def run(plan: Plan, say: Callable[[str], None] = lambda _: None) -> Report:
    """Raises nothing for what it finds: that is in the report."""
    with tempfile.TemporaryDirectory(prefix="countersign-chaos-") as folder:
        async with _stack(plan, Path(folder)) as stack, stack.client() as client, _storage(stack) as clients:
            cast = Cast(stack, client, Service(stack))
            inspection = Inspection(stack, cast, clients, Journal(Path(folder) / "journal"))
            return await _Run(plan, stack, Storm(stack, plan, Path(folder)), cast, inspection, say).run()


@asynccontextmanager
async def _stack(plan: Plan, folder: Path) -> AsyncIterator[Stack]:
    (folder / "missions").mkdir()
    settings = {**_SETTINGS, "CHAOS_DIR": str(folder), "CHAOS_SEED": str(plan.seed)}
    with Nursery.running() as nursery:
        async with running_stack(
            providers=PROVIDERS,
            overrides=settings,
            invisibility_seconds=6,
            max_polling_seconds=0.5,
            instances=INSTANCES,
            process=partial(NurseryHost, nursery=nursery, preload="tests.chaos.saboteur"),
        ) as stack:
            for sandbox in stack.sandboxes.values():
                _hurry(sandbox, plan.seed)
            yield stack


def _hurry(sandbox: Any, seed: int) -> None:
    sandbox.faults.reseed(seed)
    wishes = {
        "rate_limit": 1_000_000,
        "credits": 1_000_000,
        "visible_signatures": False,
        "audit_trail": False,
        "packaging_seconds": 0.2,
    }
    for name in wishes.keys() & type(sandbox.options).model_fields.keys():
        setattr(sandbox.options, name, wishes[name])
    if "credits" in type(sandbox.options).model_fields:
        sandbox.set_credits(1_000_000)


@asynccontextmanager
async def _storage(stack: Stack) -> AsyncIterator[StorageClients]:
    clients = StorageClients.from_settings(connection_string=stack.azurite.connection_string)
    try:
        yield clients
    finally:
        await clients.aclose()


@dataclass
class _Run:
    plan: Plan
    stack: Stack
    storm: Storm
    cast: Cast
    inspection: Inspection
    say: Callable[[str], None]
    report: Report = field(default_factory=Report)
    clock: Stopwatch = field(default_factory=Stopwatch)

    async def run(self) -> Report:
        players = [asyncio.create_task(self.cast.play(part, lambda: self.storm.progress)) for part in self.plan.parts]
        try:
            revivals = (self.storm.revive(host) for host in self.stack.hosts)
            async with _together(self.cast.service.collect(), *revivals):
                await self._storm()
                self._phase("storm")
                await self._until_decided()
                self.cast.calmed.set()
                played = await asyncio.gather(*players, return_exceptions=True)
                self.report.problems += [repr(one) for one in played if one is not None]
                await self._until_settled()
                self._phase("calm")
                await self._operate()
                self._phase("operator")
        finally:
            for player in players:
                player.cancel()
        await self._inspect()
        self._phase("checks")
        self.report.log = self.stack.log_text()
        return self.report

    def _phase(self, name: str) -> None:
        self.report.seconds[name] = self.clock.seconds
        self.say(f"{name}: {self.clock.seconds:.0f} s")
        self.clock = Stopwatch()

    async def _storm(self) -> None:
        tasks: list[Coroutine[Any, Any, None]] = [self.storm.blow(gust) for gust in self.plan.gusts]
        tasks += [self.storm.meddle(queue) for queue in Queue]
        tasks.append(self.storm.tick())
        async with _together(*tasks):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STORM_SECONDS):
                    await self.storm.send_missions()
                    self.report.figures["missions"] = self.storm.sent
        await self._calm()

    async def _calm(self) -> None:
        waiting = self.storm.open_missions()
        self.report.missed = [*waiting, *self.plan.missions[self.storm.sent :]]
        for name in waiting:
            (self.storm.missions / name).unlink(missing_ok=True)
        for sandbox in self.stack.sandboxes.values():
            sandbox.faults.clear()
            calm_callbacks(sandbox)

    async def _until_decided(self) -> None:
        """Every order was taken in, and it is known of each signing whether somebody was invited."""

        async def undecided(parts: Sequence[Part]) -> list[Part]:
            decided = [part for part in self._taken_in(parts) if await self.inspection.is_decided(part)]
            return [part for part in parts if part not in decided]

        await self._reconciling(self.plan.parts, undecided)

    def _taken_in(self, parts: Sequence[Part]) -> list[Part]:
        """Without those whose callers never learnt an id: that is a problem of its own, told by the caller."""
        return [part for part in parts if part.number in self.cast.signing_ids]

    async def _until_settled(self) -> None:
        for sandbox in self.stack.sandboxes.values():
            await sandbox.settle()
        await self._reconciling(self._taken_in(self.plan.parts), self.inspection.unsettled)
        watch = Stopwatch()
        while await self.inspection.queue_problems() and watch.seconds < SETTLE_SECONDS:
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _operate(self) -> None:
        """What no machine can decide, a person does. Then nothing is left open."""
        uncertain = [part for part in self.plan.parts if part.number in self.inspection.uncertain]
        self.report.figures["starts left uncertain"] = len(uncertain)
        if len(uncertain) > len(self.plan.parts) * _MOST_UNCERTAIN:
            self.report.problems.append("so many starts were left uncertain that the run shows nothing")
        operator = Operator(self.cast, self.cast.client)
        await operator.replay_letters()
        await operator.replay_signings(self._taken_in(self.plan.parts))
        await asyncio.gather(*map(operator.decide, uncertain))
        self.inspection.is_decided_by_operator = True
        await self._until_settled()
        self.report.figures.update(operator.done)
        self.report.problems += operator.refusals + await operator.open_letters()

    async def _reconciling(
        self, parts: Sequence[Part], left: Callable[[Sequence[Part]], Coroutine[Any, Any, list[Part]]]
    ) -> None:
        watch = Stopwatch()
        while watch.seconds < SETTLE_SECONDS:
            await reconcile(self.stack.hosts[0])
            parts = await left(parts)
            if not parts:
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _inspect(self) -> None:
        taken_in = self._taken_in(self.plan.parts)
        for part in taken_in:
            self.report.problems += await self.inspection.of_signing(part)
        self.report.problems += await self.inspection.of_everything(taken_in)
        self.report.problems += await self._staged(taken_in)
        await self._count(taken_in)

    async def _staged(self, parts: Sequence[Part]) -> list[str]:
        """What a killed start left in staging goes by housekeeping."""
        left = await self.inspection.staged(parts)
        self.report.figures["staged blobs left to housekeeping"] = len(left)
        await self.stack.hosts[0].run_function("housekeeping")
        return [f"{one} was not cleared away" for one in await self.inspection.staged(parts)]

    async def _count(self, parts: Sequence[Part]) -> None:
        figures = self.report.figures
        figures.update(self.storm.done)
        figures["signings"] = len(parts)
        figures.update([f"end {(await self.inspection.signing(part)).state}" for part in parts])
        by_queue = sum(part.manner == "queue" for part in parts)
        figures["orders by queue"] = by_queue
        figures["repeated orders by queue"] = self.cast.service.sent - by_queue
        figures["repeated start calls"] = len(self.cast.answers) - (len(parts) - by_queue)
        for kind in ("kill", "fault", "storm"):
            figures[f"{kind}s in processes"] = len(self.inspection.journal.read(kind))
        figures["poisoned messages"] = self.stack.log_text().count("message_poisoned function=")
        figures["notifications"] = len(self.stack.receiver.deliveries)
        figures["provider faults"] = sum(len(one.faults.log) for one in self.stack.sandboxes.values())


@asynccontextmanager
async def _together(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs them beside the block and ends them with it. Raises what one of them raised."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one
