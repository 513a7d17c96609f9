"""Every way a provider can be in trouble, at every stage: a message for later or a state, never an exception, and
nothing that is lost, invited twice or given up because it lasted.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import count

import pytest
from aiohttp import web

from shared.domain.errors import BudgetSpent, Throttled
from shared.domain.history import EntryKind
from shared.domain.messages import DownloadDocuments, Message, ProviderEvent, Queue, RunStart
from shared.domain.signing import AttentionCode, Signing, State
from shared.domain.states import Source
from shared.flow import download, intake, reconcile, start
from shared.providers import http as provider_http
from tests.domain.make import NOW
from tests.fakes.provider import DONE, PENDING
from tests.fakes.storage import MemoryQueue
from tests.flow.called_provider import CalledProvider, called_world, hanging
from tests.flow.world import World

MAINTENANCE = "<html>Back soon</html>"


@dataclass(frozen=True)
class Fault:
    """What is done to the provider, and how long our work then waits. `sent`: the call may have been acted upon."""

    strike: Callable[[CalledProvider], None]
    delay: float
    sent: bool = False
    in_file: bool = True  # whether a download shows it as well


def _answering(
    path: str, status: int, text: str = "", headers: Mapping[str, str] | None = None
) -> Callable[[CalledProvider], None]:
    async def answer() -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)

    return lambda provider: provider.spoilt.update({path: answer})


def _out_of_reach(provider: CalledProvider) -> None:
    provider.client._base_url = "http://127.0.0.1:1"


def _hanging(provider: CalledProvider) -> None:
    provider.spoilt["*"] = hanging
    # The token is there already: it is the call itself that hangs.
    provider.auth._token, provider.auth._usable_until = "token", NOW + timedelta(days=1)
    provider.shorten_patience()


async def _token() -> web.StreamResponse:
    return web.json_response({"access_token": "token", "expires_in": 3600})


def _circuit_open(provider: CalledProvider) -> None:
    with provider.circuit.passage() as passage:
        passage.failed(Throttled("429", retry_after_seconds=40))


def _budget_spent(provider: CalledProvider) -> None:
    with suppress(BudgetSpent):
        while True:
            provider.budget.spend()


_DATE = format_datetime(NOW.replace(microsecond=0) + timedelta(seconds=90), usegmt=True)
FAULTS = {
    "429 for some seconds": Fault(_answering("*", 429, headers={"Retry-After": "7"}), 7),
    "429 until a date": Fault(_answering("*", 429, headers={"Retry-After": _DATE}), 90),
    "429 for an unknown time": Fault(_answering("*", 429), 30),
    "503": Fault(_answering("*", 503), 15),
    "429 of calls": Fault(lambda p: _but_token(p, 429, ""), 30),
    "500 of calls": Fault(lambda p: _but_token(p, 500, ""), 15, sent=True),
    "maintenance page with 503": Fault(lambda p: _but_token(p, 503, MAINTENANCE), 15, sent=True),
    "maintenance page with 200": Fault(lambda p: _but_token(p, 200, MAINTENANCE), 15, sent=True, in_file=False),
    "token endpoint down": Fault(_answering("/token", 502), 15),
    "token endpoint in maintenance": Fault(_answering("/token", 200, MAINTENANCE), 15),
    "token endpoint talks nonsense": Fault(
        _answering("/token", 200, '{"access_token": "token", "expires_in": 1e999}'), 15
    ),
    "token endpoint throttles": Fault(_answering("/token", 429, headers={"Retry-After": _DATE}), 90),
    "out of reach": Fault(_out_of_reach, 15),
    "no answer in time": Fault(_hanging, 15, sent=True),
    "circuit open": Fault(_circuit_open, 40),
    "own budget used up": Fault(_budget_spent, 60),
}
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


def _but_token(provider: CalledProvider, status: int, text: str) -> None:
    _answering("*", status, text)(provider)
    provider.spoilt["/token"] = _token


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, CalledProvider]]:
    async with called_world() as (world, provider):
        provider.shorten_patience = lambda: monkeypatch.setattr(provider_http, "TOTAL_SECONDS", 0.3)
        provider.statuses = [PENDING]
        yield world, provider


Scene = tuple[World, CalledProvider]


def waits(world: World, queue: Queue) -> float:
    """The delay of the one message that is left, on this queue."""
    (sent,) = world.queue.take()
    assert sent.queue is queue
    return sent.delay_seconds


# ----------------------------------------------------------------------------------------------- one stage each


@every_fault
async def test_a_start_waits(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    signing = await world.taken_in()
    fault.strike(provider)
    await start.run(world.app, RunStart(signing_id=signing.id))
    waiting = await world.now(signing)
    assert (waiting.state, waiting.attention, waiting.start.is_uncertain) == (State.REQUESTED, None, False)
    assert waits(world, Queue.STARTS) == fault.delay
    assert provider.created == []


@every_fault
async def test_an_invitation_waits_or_is_looked_for(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    signing = await world.taken_in()
    await _created(world, provider, signing)
    fault.strike(provider)
    await start.run(world.app, RunStart(signing_id=signing.id))
    waiting = await world.now(signing)
    assert (waiting.state, waiting.attention, waiting.start.is_uncertain) == (State.REQUESTED, None, fault.sent)
    assert waits(world, Queue.STARTS) == (world.app.policy.invite_proof_after_seconds if fault.sent else fault.delay)
    assert provider.invited == []


async def _created(world: World, provider: CalledProvider, signing: Signing) -> None:
    """A draft at the provider; its process ended before it came to the invitation. No token has been asked for yet."""
    loaded = await world.loaded(signing)
    progress = loaded.signing.start.model_copy(update={"facts": {"provider_signing_id": "p-1"}})
    draft = {"start": progress, "provider_signing_id": "p-1"}
    await world.signings.save(loaded, loaded.signing.model_copy(update=draft), [])
    provider.created.append("p-1")


@every_fault
async def test_proof_is_looked_for_until_the_provider_can_be_asked(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    signing = await _uncertain(world, provider)
    fault.strike(provider)
    await start.run(world.app, RunStart(signing_id=signing.id))
    waiting = await world.now(signing)
    assert (waiting.state, waiting.attention, waiting.start.is_uncertain) == (State.REQUESTED, None, True)
    assert waits(world, Queue.STARTS) == fault.delay
    assert provider.invited == []


async def _uncertain(world: World, provider: CalledProvider) -> Signing:
    """Whether people were invited is unknown, and has been for so long that a person would be told."""
    signing = await world.taken_in()
    loaded = await world.loaded(signing)
    since = world.clock - timedelta(seconds=world.app.policy.start_uncertain_after_seconds)
    marked = loaded.signing.start.model_copy(update={"inviting_at": since})
    await world.signings.save(loaded, loaded.signing.model_copy(update={"start": marked}), [])
    return signing


@every_fault
async def test_a_read_back_waits_and_uses_no_attempt_up(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    signing = await _started(world, provider)
    fault.strike(provider)
    await world.run(world.event(signing))
    (sent,) = world.queue.take()
    assert isinstance(sent.message, ProviderEvent)
    assert (sent.queue, sent.delay_seconds, sent.message.attempt) == (Queue.EVENTS, fault.delay, 1)
    assert (await world.now(signing)) == signing


@every_fault
async def test_the_question_of_reconcile_waits_a_few_times_or_is_left_to_its_next_look(
    scene: Scene, fault: Fault
) -> None:
    """One that came at a full moment gets another slot in the account's time; for one that is down there is none."""
    world, provider = scene
    signing = await _started(world, provider)
    fault.strike(provider)
    await world.run(world.event(signing, source=Source.RECONCILE))
    assert len(world.queue.sent) <= 1
    assert all(sent.delay_seconds >= fault.delay - 1 for sent in world.queue.sent)
    await world.work_off(Queue.EVENTS)
    assert world.queue.sent == []
    assert (await world.now(signing)) == signing


@every_fault
async def test_a_download_waits_and_is_no_late_seal(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    signing = await _started(world, provider, state=State.COMPLETED)
    fault.strike(provider)
    await download.run(world.app, DownloadDocuments(signing_id=signing.id))
    waiting = await world.now(signing)
    delay = waits(world, Queue.DOWNLOADS)
    assert (waiting.state, waiting.attention) == (State.COMPLETED, None)
    if fault.in_file:
        assert (waiting.download.attempts, delay) == (0, fault.delay)
    else:
        # A page that comes as a file is found out by looking at it.
        assert (waiting.download.attempts, waiting.download.last_reason) == (1, "not_an_archive")
    assert waiting.download.next_attempt_at == world.clock + timedelta(seconds=delay)


@every_fault
async def test_a_webhook_that_cannot_be_registered_holds_nothing_up(scene: Scene, fault: Fault) -> None:
    world, provider = scene
    provider.account_webhook_wanted = True
    fault.strike(provider)
    await reconcile.run(world.app, budget_seconds=10)
    assert provider.subscribed == []
    assert world.queue.sent == []


async def _started(world: World, provider: CalledProvider, state: State = State.STARTED) -> Signing:
    """A signing that got that far before anything went wrong; no token has been asked for yet."""
    signing = await world.taken_in()
    loaded = await world.loaded(signing)
    changes = {"state": state, "provider_signing_id": "p-1", "provider_status": "Pending"}
    return (await world.signings.save(loaded, loaded.signing.model_copy(update=changes), [])).signing


async def test_without_credits_a_start_fails_and_the_rest_is_asked_again(scene: Scene) -> None:
    world, provider = scene
    _but_token(provider, 402, "")
    signing = await world.taken_in()
    await start.run(world.app, RunStart(signing_id=signing.id))
    failed = await world.now(signing)
    assert failed.state is State.FAILED
    assert failed.attention is not None
    assert failed.attention.code is AttentionCode.CREDITS_EXHAUSTED
    world.queue.take()
    read = await _started(world, provider)
    await world.run(world.event(read))
    assert waits(world, Queue.EVENTS) == 15
    fetched = await _started(world, provider, state=State.COMPLETED)
    await download.run(world.app, DownloadDocuments(signing_id=fetched.id))
    assert waits(world, Queue.DOWNLOADS) == world.app.policy.download_pause(1)


# --------------------------------------------------------------------------------------------------- for days


class TimedQueue(MemoryQueue):
    """Gives messages back in the order in which they become visible."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now, self._order = now, count()
        self.waiting: list[tuple[datetime, int, Message]] = []
        self.most = 0

    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        await asyncio.sleep(0)
        visible_at = self._now() + timedelta(seconds=delay_seconds)
        heapq.heappush(self.waiting, (visible_at, next(self._order), message))
        self.most = max(self.most, len(self.waiting))


async def live(world: World, queue: TimedQueue, until: datetime) -> None:
    """Time passes: messages as they become visible, and reconcile every five minutes."""
    tick = world.clock
    while world.clock < until:
        if queue.waiting and queue.waiting[0][0] <= tick:
            visible_at, _, message = heapq.heappop(queue.waiting)
            world.clock = max(world.clock, visible_at)
            await world.run(message)
        else:
            world.clock = max(world.clock, tick)
            await reconcile.run(world.app, budget_seconds=10)
            tick += timedelta(minutes=5)


def calls_of(provider: CalledProvider) -> int:
    return sum(seen.raw_path != "/token" for seen in provider.server.seen)


async def test_three_days_of_outage_lose_nothing_and_pile_nothing_up(scene: Scene) -> None:
    world, provider = scene
    requested = await world.taken_in()
    called_back = await world.started()
    completed = await world.started()
    provider.statuses = [DONE]
    await world.run(world.event(completed))
    await world.work_off(Queue.NOTIFICATIONS)
    queue = TimedQueue(lambda: world.clock)
    world.app = replace(world.app, queue=queue)
    _but_token(provider, 503, MAINTENANCE)
    before = calls_of(provider)
    # As it was left: a start to be made, a callback to be read back, a download to be done.
    await queue.send(Queue.STARTS, RunStart(signing_id=requested.id))
    await queue.send(Queue.EVENTS, world.event(called_back, attempt=11))
    await queue.send(Queue.DOWNLOADS, DownloadDocuments(signing_id=completed.id))

    await live(world, queue, world.clock + timedelta(hours=72))
    for signing in (requested, called_back, completed):
        waiting = await world.now(signing)
        assert waiting.state in (State.REQUESTED, State.STARTED, State.COMPLETED)
        assert waiting.attention is not None
        assert waiting.attention.code is AttentionCode.PROVIDER_UNAVAILABLE
        assert len(await world.signings.history(signing.id)) < 15
    assert (await world.now(completed)).download.attempts == 0
    assert queue.most <= 8
    # A call every five minutes, whatever waits, and a few before the circuit opened.
    assert calls_of(provider) - before < 72 * 12 + 20

    provider.spoilt.clear()
    provider.statuses = [PENDING]
    await live(world, queue, world.clock + timedelta(minutes=20))
    assert (await world.now(requested)).state is State.STARTED
    assert (await world.now(called_back)).attention is None
    assert (await world.now(completed)).state is State.STORED
    assert sorted(provider.invited) == ["p-1", "p-2", "p-3"]
    assert await world.dead_letters.list(10) == []


async def test_an_outage_is_told_once_and_forgotten_when_it_is_over(scene: Scene) -> None:
    world, provider = scene
    signing = await _started(world, provider, state=State.COMPLETED)
    _but_token(provider, 500, "")
    for _ in range(30):
        await download.run(world.app, DownloadDocuments(signing_id=signing.id))
        world.forward(world.queue.take()[0].delay_seconds)
    assert (await world.now(signing)).download.outage is not None
    provider.spoilt.clear()
    _answering("/file", 409)(provider)
    world.forward(300)
    await download.run(world.app, DownloadDocuments(signing_id=signing.id))
    sealing = await world.now(signing)
    assert (sealing.download.outage, sealing.download.attempts, sealing.attention) == (None, 1, None)
    told = [entry for entry in await world.signings.history(signing.id) if entry.kind is EntryKind.DOWNLOAD_RETRY]
    assert [entry.facts["reason"] for entry in told] == ["provider_unavailable", "provider_not_ready"]


async def test_one_account_in_trouble_does_not_hold_another_back(scene: Scene) -> None:
    world, provider = scene
    async with called_world() as (_, other):
        other.account = "other"
        world.app = replace(world.app, providers={"memory": provider, "other": other})
        _answering("*", 429, headers={"Retry-After": "600"})(provider)
        slow = await world.taken_in()
        quick = await world.taken_in(account="other")
        for signing in (slow, quick):
            await start.run(world.app, RunStart(signing_id=signing.id))
    assert (await world.now(slow)).state is State.REQUESTED
    assert (await world.now(quick)).state is State.STARTED


async def test_a_start_over_http_answers_at_once_while_the_circuit_is_open(scene: Scene) -> None:
    world, provider = scene
    _circuit_open(provider)
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    answered = await start.inline(world.app, taken.loaded, "http", {})
    assert answered.signing.state is State.REQUESTED
    assert provider.server.seen == []
