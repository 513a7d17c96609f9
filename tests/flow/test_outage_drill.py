"""72 hours without a callback, on a clock that is turned: reconcile restores everything, within the account's budget.

The provider counts every call it gets and refuses more than 100 in any 60 seconds, as the real ones do.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from shared.domain.errors import ProviderNotFound, Throttled, Unavailable
from shared.domain.history import EntryKind
from shared.domain.messages import ProviderEvent, Queue
from shared.domain.policy import HOUR, MINUTE
from shared.domain.signing import Signing, State
from shared.domain.states import EventKind, Source
from shared.flow import intake, reconcile
from shared.ports import Deliverable, Download, ProviderStatus
from tests.domain.make import NOW
from tests.fakes.provider import PENDING, MemoryProvider
from tests.flow.archives import GOOD
from tests.flow.clockwork import Clockwork
from tests.flow.world import World

ACCOUNTS = ("east", "west")
SIGNINGS = 200
STARTING = 6 * HOUR
OUTAGE = 72 * HOUR
LIMIT, WINDOW = 100, timedelta(seconds=60)

# What becomes of a signing at the provider, and what it must be here in the end. GONE: deleted there by somebody.
GONE = "gone"
ENDS: dict[EventKind | str, State] = {
    EventKind.ALL_SIGNED: State.STORED,
    EventKind.DECLINED: State.DECLINED,
    EventKind.CANCELLED: State.CANCELLED,
    EventKind.EXPIRED: State.EXPIRED,
    GONE: State.FAILED,
}
WEIGHTS = (12, 2, 1, 2, 1)


@dataclass
class CountingProvider(MemoryProvider):
    """Knows what becomes of each signing and when. `calls` are the times of all calls, refused ones too."""

    now: Callable[[], datetime] = lambda: NOW
    fates: dict[str, tuple[datetime, EventKind | str]] = field(default_factory=dict)
    calls: list[datetime] = field(default_factory=list)
    refused: int = 0
    limit: int = LIMIT
    is_down: bool = False
    _recent: deque[datetime] = field(default_factory=deque)

    def call(self) -> None:
        now = self.now()
        self.calls.append(now)
        while self._recent and self._recent[0] <= now - WINDOW:
            self._recent.popleft()
        if self.is_down:
            raise Unavailable("down for maintenance", sent=False)
        if len(self._recent) >= self.limit:
            self.refused += 1
            raise Throttled("too many calls", retry_after_seconds=60)
        self._recent.append(now)

    def _step(self, name: str, done: list[str], value: str) -> str:
        self.call()
        return super()._step(name, done, value)

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        self.call()
        at, kind = self.fates.get(provider_signing_id, (self.now(), None))
        if kind is None or self.now() < at:
            return PENDING
        if not isinstance(kind, EventKind):
            raise ProviderNotFound("deleted")
        return ProviderStatus(kind.value, kind)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        self.call()
        self.downloads = [GOOD]
        async with super().fetch(signing, deliverable) as download:
            yield download


class Drill:
    def __init__(self, seed: int) -> None:
        self.world = World()
        self.random = random.Random(seed)
        self.clockwork = Clockwork(self.world)
        self.providers = {
            name: CountingProvider(account=name, name=name, now=lambda: self.world.clock) for name in ACCOUNTS
        }
        self.world.app = replace(self.world.app, providers=self.providers)
        self.ids: list[str] = []
        self.callbacks_arrive = True
        self.outage_ends = NOW + timedelta(seconds=STARTING + OUTAGE)
        self.clockwork.every(5 * MINUTE, self._tick)

    async def _tick(self) -> None:
        await reconcile.run(self.world.app, budget_seconds=240)

    def order(self, number: int, at: datetime) -> None:
        async def take_in() -> None:
            account = ACCOUNTS[number % len(ACCOUNTS)]
            command = self.world.command(account=account, reference=f"order-{number}")
            self.ids.append((await intake.run(self.world.app, command, lease_owner=None)).loaded.signing.id)

        self.clockwork.at(at, take_in)

    async def fate(self, signing_id: str, begin: datetime, end: datetime) -> None:
        """What becomes of it, some time between; with a callback then, should callbacks arrive."""
        signing = (await self.world.signings.load(signing_id)).signing
        assert signing.provider_signing_id is not None
        [kind] = self.random.choices(list(ENDS), WEIGHTS)
        at = begin + (end - begin) * self.random.random()
        self.providers[signing.account].fates[signing.provider_signing_id] = (at, kind)

        async def call_back() -> None:
            if self.callbacks_arrive and kind != GONE and self.world.clock == at:  # nobody calls back later
                event = ProviderEvent(
                    account=signing.account, source=Source.CALLBACK, provider_signing_id=signing.provider_signing_id
                )
                await self.world.app.queue.send(Queue.EVENTS, event)

        self.clockwork.at(at, call_back)

    async def settled_at(self, signing_id: str) -> tuple[datetime, datetime] | None:
        """When it ended at the provider and when that was settled here. None while it is open there."""
        signing = (await self.world.signings.load(signing_id)).signing
        fate = self.providers[signing.account].fates.get(signing.provider_signing_id or "")
        if fate is None or fate[0] > self.world.clock:
            assert signing.state is State.STARTED
            return None
        assert signing.state is ENDS[fate[1]], (signing.state, fate, signing.attention)
        assert all(one.is_settled for one in signing.announcements)
        history = await self.world.signings.history(signing_id)
        return fate[0], max(entry.at for entry in history if entry.kind is EntryKind.MOVED)

    def peak(self) -> int:
        """The most calls that any account got in any 60 seconds."""
        return max(most_in_a_window(provider.calls) for provider in self.providers.values())


def most_in_a_window(calls: Sequence[datetime]) -> int:
    most, first = 0, 0
    for last, at in enumerate(calls):
        while calls[first] <= at - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


async def started(seed: int) -> Drill:
    """All signings are started, one after the other, and callbacks stop to arrive."""
    drill = Drill(seed)
    for number in range(SIGNINGS):
        drill.order(number, NOW + timedelta(seconds=number * STARTING / SIGNINGS))
    await drill.clockwork.run_for(STARTING)
    assert len(drill.ids) == SIGNINGS
    drill.callbacks_arrive = False
    for signing_id in drill.ids:
        # A few live on, and hear of their end by callback again.
        end = drill.outage_ends + timedelta(seconds=6 * HOUR * (drill.random.random() < 0.1))
        await drill.fate(signing_id, drill.world.clock, end)
    return drill


async def restored(drill: Drill, name: str, bound: float) -> None:
    """Callbacks arrive again. What ended during the outage is settled within `bound` seconds, budget kept."""
    assert drill.world.clock == drill.outage_ends
    drill.callbacks_arrive = True
    await drill.clockwork.run_for(bound)
    settled = [one for one in [await drill.settled_at(signing_id) for signing_id in drill.ids] if one]
    lost = [(ended, at) for ended, at in settled if ended <= drill.outage_ends]
    late = max((at - drill.outage_ends).total_seconds() for _, at in lost)
    calls = sum(len(provider.calls) for provider in drill.providers.values())
    print(
        f"{name}: {len(lost)} of {len(drill.ids)} signings ended unheard; all settled {max(late, 0) / 60:.1f} min after"
        f" the outage, at most {drill.peak()} calls a minute per account, {calls} calls in all"
    )
    assert len(lost) > SIGNINGS * 0.8
    assert drill.peak() <= LIMIT
    assert sum(provider.refused for provider in drill.providers.values()) == 0
    assert drill.clockwork.poisoned == []
    invited = [(name, one) for name, provider in drill.providers.items() for one in provider.invited]
    assert len(invited) == len(set(invited)) == len(drill.ids)


@pytest.mark.parametrize("seed", [1])
async def test_callbacks_lost_while_everything_else_runs(seed: int) -> None:
    """Each end is found at the next look."""
    drill = await started(seed)
    await drill.clockwork.run_until(drill.outage_ends)
    policy = drill.world.app.policy
    await restored(drill, "callbacks lost", policy.reconcile_max_seconds + policy.reconcile_min_seconds)
    for signing_id in drill.ids:
        settled = await drill.settled_at(signing_id)
        if settled is not None:
            longest = policy.reconcile_max_seconds + policy.reconcile_min_seconds
            assert settled[1] - settled[0] <= timedelta(seconds=longest)


@pytest.mark.parametrize("seed", [2])
async def test_the_provider_is_down_as_well(seed: int) -> None:
    """Nothing can be asked for three days, and new orders come all the same."""
    drill = await started(seed)
    for provider in drill.providers.values():
        provider.is_down = True
    extra = 2
    for number in range(SIGNINGS, SIGNINGS + extra):
        drill.order(number, drill.world.clock + timedelta(seconds=(number - SIGNINGS) * HOUR))
    before = {name: len(provider.calls) for name, provider in drill.providers.items()}
    await drill.clockwork.run_until(drill.outage_ends)
    policy = drill.world.app.policy
    # What was waiting did not multiply: one attempt per order in each of the longest pauses, and one question a look.
    for name, provider in drill.providers.items():
        assert len(provider.calls) - before[name] < extra / 2 * OUTAGE / policy.throttle_max_seconds + 60 * SIGNINGS / 2
    assert len([one for one in drill.clockwork.waiting if one[0] is Queue.STARTS]) == extra
    assert sum(len(provider.invited) for provider in drill.providers.values()) == SIGNINGS
    for provider in drill.providers.values():
        provider.is_down = False
    await restored(drill, "provider down", policy.reconcile_max_seconds + policy.reconcile_min_seconds)


@pytest.mark.parametrize("seed", [3])
async def test_the_app_is_down_as_well(seed: int) -> None:
    """All that was lost is due at once when it comes back: the budget spreads it."""
    drill = await started(seed)
    drill.clockwork.stand_still(OUTAGE)
    await restored(drill, "app down", 15 * MINUTE)


async def test_a_provider_that_allows_less_than_its_contract_slows_only_its_own_account() -> None:
    drill = await started(5)
    drill.clockwork.stand_still(OUTAGE)
    east, west = (drill.providers[name] for name in ACCOUNTS)
    east.limit = 20
    drill.callbacks_arrive = True
    await drill.clockwork.run_for(40 * MINUTE)
    assert east.refused > 0
    assert west.refused == 0
    late = {name: timedelta() for name in ACCOUNTS}
    for signing_id in drill.ids:
        settled, signing = await drill.settled_at(signing_id), (await drill.world.signings.load(signing_id)).signing
        if settled is not None and settled[0] <= drill.outage_ends:
            late[signing.account] = max(late[signing.account], settled[1] - drill.outage_ends)
    print(f"20 calls a minute instead of {LIMIT}: {east.refused} refused, settled after", *map(str, late.values()))
    assert late["west"] < timedelta(minutes=5) < late["east"]


async def test_two_instances_with_a_timer_each_keep_the_budget_too() -> None:
    drill = await started(4)
    drill.clockwork.every(5 * MINUTE, drill._tick)
    drill.clockwork.stand_still(OUTAGE)
    await restored(drill, "app down, two timers", 20 * MINUTE)
