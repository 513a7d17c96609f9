"""The whole flow as a state machine: whatever happens in whatever order, it ends well once the faults end.

Several processes work at once, each one call at a time, so that hypothesis chooses the interleaving as well as the
faults. Time stands still unless a rule moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.domain.errors import ConcurrentUpdate
from shared.domain.signing import State
from shared.flow import manage
from tests.chaos import invariants
from tests.chaos.clockwork import Envelope
from tests.chaos.provider import CallbackSent, Case, Shape, Trouble
from tests.chaos.scene import Process, Scene, reseed
from tests.chaos.workers import StorageTrouble, Worker

T = TypeVar("T")

_DAY = 24 * 3600.0
# Beyond this no HTTP call is kept open, and no worker is believed to be about to invite (policy.invite_window_seconds).
_LONG = 60.0
_MAX_SIGNINGS = 3
_MAX_WORKERS = 4

_KEYS = ["a", "b", None]

_ENDS = st.sampled_from(["finish", "finish", "kill", "stay"])

numbers = st.integers(0, 7)


def _pick(many: list[T], number: int) -> T:
    return many[number % len(many)]


class Countersign(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        reseed()
        self.runner = asyncio.Runner()
        self.workers: list[Worker] = []
        self.posted = 0

    @initialize(shape=st.sampled_from(Shape), key=st.sampled_from(_KEYS), stage=st.integers(0, 3))
    def begin(self, shape: Shape, key: str | None, stage: int) -> None:
        """Something is there already, as most of what can happen needs: taken in, started, signed, or heard of."""
        self.scene = Scene(shape)
        self.do(self.scene.post(self.scene.healthy, key, wait=False))
        if stage > 0:
            self.do(self.scene.run_visible())
        if stage > 1:
            (case,) = self.scene.bureau.cases.values()
            self.scene.bureau.acted(case, "signed")
        if stage > 2:
            self.do(self.scene.call_back(self.scene.healthy, self.scene.bureau.callbacks.pop()))

    def do(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        done = self.runner.run(awaited())
        self._look_for_surprises()
        return done

    def _look_for_surprises(self) -> None:
        for worker in self.workers:
            if worker.surprise is not None:
                raise worker.surprise
        self.workers = [worker for worker in self.workers if not worker.is_over]
        for error in self.scene.errors:
            if not isinstance(error, StorageTrouble | ConcurrentUpdate):
                raise error

    # --------------------------------------------------------------------------------------------- work under way

    def hire(self, name: str, work: Callable[[Process], Awaitable[object]], **policy: Any) -> None:
        if len(self.workers) < _MAX_WORKERS:
            self.do(self._hired(name, work, **policy))

    async def _hired(self, name: str, work: Callable[[Process], Awaitable[object]], **policy: Any) -> Worker:
        worker = Worker(self.scene, name, work, **policy)
        self.workers.append(worker)
        await worker.still()
        return worker

    @precondition(lambda self: len(self.workers) < _MAX_WORKERS)
    @rule(key=st.sampled_from(_KEYS), wait=st.booleans(), slow=st.booleans())
    def post(self, key: str | None, wait: bool, slow: bool) -> None:
        """`slow` answers at once and goes on in the background."""
        if key is None and self.posted >= _MAX_SIGNINGS:
            return
        self.posted += key is None
        policy = {"start_inline_seconds": 0.0} if slow else {}
        self.hire("post", lambda process: self.scene.post(process, key, wait=wait), **policy)

    @precondition(lambda self: self._can_take())
    @rule(number=numbers, steps=st.integers(0, 30))
    def take(self, number: int, steps: int) -> None:
        envelope = _pick(self.scene.queue.visible(), number)
        self.hire(envelope.queue, partial(self._take, envelope))
        if self.workers:
            self.do(self.workers[-1].advance(steps))

    @precondition(lambda self: len(self.workers) + 2 <= _MAX_WORKERS and self._can_take())
    @rule(
        number=numbers,
        cuts=st.tuples(st.integers(0, 30), st.integers(0, 40)),
        pause=st.sampled_from([0.0, 130.0, 200.0]),
        trouble=st.sampled_from([None, *Trouble]),
        ends=st.tuples(_ENDS, _ENDS),
    )
    def race(
        self, number: int, cuts: tuple[int, int], pause: float, trouble: Trouble | None, ends: tuple[str, str]
    ) -> None:
        """The same message to two workers: the first freezes, the second overtakes it, and something goes wrong."""
        envelope = _pick(self.scene.queue.visible(), number)
        self.scene.queue.duplicate(envelope)
        pair = [self._sent_to_work(one) for one in (envelope, self.scene.queue.envelopes[-1])]
        self.do(pair[0].advance(cuts[0]))
        self.time_passes(pause)
        self.do(pair[1].advance(cuts[1]))
        self.scene.bureau.troubles += [trouble] if trouble is not None else []
        for worker, end in zip(pair, ends, strict=True):
            if end != "stay":
                self.do(worker.finish() if end == "finish" else worker.kill())

    def _sent_to_work(self, envelope: Envelope) -> Worker:
        return self.do(self._hired(envelope.queue, partial(self._take, envelope)))

    async def _take(self, envelope: Envelope, process: Process) -> None:
        await self.scene.take(process, envelope)

    def _can_take(self) -> bool:
        return len(self.workers) < _MAX_WORKERS and bool(self.scene.queue.visible())

    @precondition(lambda self: self.workers)
    @rule(number=numbers, steps=st.integers(1, 12))
    def advance(self, number: int, steps: int) -> None:
        self.do(_pick(self.workers, number).advance(steps))

    @precondition(lambda self: len(self.workers) > 1)
    @rule(order=st.lists(st.integers(0, _MAX_WORKERS - 1), min_size=4, max_size=40))
    def interleave(self, order: list[int]) -> None:
        self.do(self._in_order(order))

    async def _in_order(self, order: list[int]) -> None:
        for number in order:
            await _pick(self.workers, number).advance(1)

    @precondition(lambda self: self.workers)
    @rule(number=numbers)
    def finish(self, number: int) -> None:
        self.do(_pick(self.workers, number).finish())

    @precondition(lambda self: self.workers)
    @rule(number=numbers)
    def kill(self, number: int) -> None:
        self.do(_pick(self.workers, number).kill())

    @precondition(lambda self: self.workers)
    @rule(number=numbers)
    def break_storage(self, number: int) -> None:
        self.do(_pick(self.workers, number).break_storage())

    @precondition(lambda self: self.scene.queue.visible())
    @rule()
    def work_off(self) -> None:
        """A process that nothing happens to does what there is to do."""
        self.do(self.scene.run_visible())

    @rule(stepwise=st.booleans())
    def tick(self, stepwise: bool) -> None:
        if stepwise:
            self.hire("reconcile", self.scene.tick)
        else:
            self.do(self.scene.tick(self.scene.healthy))

    # --------------------------------------------------------------------------------------------- queues and time

    @precondition(lambda self: self._messages())
    @rule(number=numbers, lost=st.booleans())
    def duplicate_or_lose(self, number: int, lost: bool) -> None:
        """Reconcile can heal the loss of any message but a poison one."""
        envelope = _pick(self._messages(), number)
        if lost:
            self.scene.queue.done(envelope)
        else:
            self.scene.queue.duplicate(envelope)

    def _messages(self) -> list[Envelope]:
        return [envelope for envelope in self.scene.queue.envelopes if not envelope.is_poison]

    @rule(seconds=st.sampled_from([1.0, 30.0, 130.0, 200.0, 601.0, 1000.0, 4000.0, 30_000.0, 2 * _DAY]))
    def time_passes(self, seconds: float) -> None:
        self.do(self._no_time_for(seconds))
        self.scene.clock.forward(seconds)

    async def _no_time_for(self, seconds: float) -> None:
        """What the product relies on: the call that invites lasts a minute at most, a request less than four."""
        for worker in self.workers:
            while worker.is_about_to_invite:
                await worker.advance(1)
            if seconds > _LONG and worker.name == "post":
                await worker.finish()

    # --------------------------------------------------------------------------------------------- at the provider

    @precondition(lambda self: self._cases("pending"))
    @rule(number=numbers, end=st.sampled_from(["signed", "signed", "declined", "expired", "withdrawn"]), late=numbers)
    def people_act(self, number: int, end: str, late: int) -> None:
        """`late`: which of the files are not sealed yet, as bits."""
        case = _pick(self._cases("pending"), number)
        case.late_seals = {file for file in (1, 2) if end == "signed" and late & file}
        self.scene.bureau.acted(case, end)

    @precondition(lambda self: self._cases("expired"))
    @rule(number=numbers)
    def late_success(self, number: int) -> None:
        """Somebody signs after all, after the deadline."""
        case = _pick(self._cases("expired"), number)
        case.status = "pending"
        self.scene.bureau.acted(case, "signed")

    @precondition(lambda self: any(case.late_seals for case in self.scene.bureau.cases.values()))
    @rule()
    def seals_come(self) -> None:
        self.scene.bureau.seal_all()

    @precondition(lambda self: self._cases("pending"))
    @rule(number=numbers)
    def deleted_there(self, number: int) -> None:
        """By somebody who works at the provider directly, after the start is known to have succeeded."""
        case = _pick(self._cases("pending"), number)
        if self._is_known(case):
            self.scene.bureau.removed(case.id)

    @rule(trouble=st.sampled_from(Trouble), times=st.integers(1, 3))
    def trouble(self, trouble: Trouble, times: int) -> None:
        self.scene.bureau.troubles += [trouble] * times

    @precondition(lambda self: self.scene.bureau.troubles)
    @rule()
    def troubles_end(self) -> None:
        self.scene.bureau.troubles.clear()

    def _cases(self, status: str) -> list[Case]:
        return [case for case in self.scene.bureau.cases.values() if case.status == status]

    def _is_known(self, case: Case) -> bool:
        signings = {signing.id: signing for signing in self.do(self.scene.all())}
        return signings[case.reference].state is not State.REQUESTED

    # --------------------------------------------------------------------------------------------- callbacks, callers

    @precondition(lambda self: self.scene.bureau.callbacks)
    @rule(number=numbers, lasting=st.booleans(), lost=st.booleans())
    def callback(self, number: int, lasting: bool, lost: bool) -> None:
        """`lasting`: it will come once more."""
        sent = self.scene.bureau.callbacks
        chosen = _pick(sent, number)
        if not lasting:
            sent.remove(chosen)
        if lasting or not lost:
            self.hire("receive", lambda process: self.scene.call_back(process, chosen))
        self._forge(chosen)

    def _forge(self, genuine: CallbackSent) -> None:
        before = list(self.scene.queue.envelopes)
        forged = replace(genuine, url=genuine.url[:-4] + "AAAA")
        assert self.do(self.scene.call_back(self.scene.healthy, forged)) == 404
        assert self.scene.queue.envelopes == before

    @precondition(lambda self: len(self.workers) < _MAX_WORKERS)
    @rule(number=numbers, what=st.sampled_from(["cancel", "remind", "extend"]))
    def caller_asks(self, number: int, what: str) -> None:
        signing_id = _pick(self.do(self.scene.all()), number).id

        async def ask(process: Process) -> None:
            if what == "cancel":
                await manage.cancel(process.app, signing_id, None)
            elif what == "remind":
                await manage.remind(process.app, signing_id, None)
            else:
                await manage.extend(process.app, signing_id, self.scene.clock.now)

        self.hire(what, ask)

    @rule(status=st.sampled_from([0, 410, 500, 500]), times=st.sampled_from([1, 2, 9]))
    def receiver_fails(self, status: int, times: int) -> None:
        self.scene.receiver.statuses += [status] * times

    # --------------------------------------------------------------------------------------------- the end

    def teardown(self) -> None:
        try:
            if hasattr(self, "scene"):
                self.do(self._end_well())
        finally:
            self.runner.close()

    async def _end_well(self) -> None:
        for worker in self.workers:
            await worker.finish()
        self.scene.bureau.troubles.clear()
        self.scene.bureau.callbacks.clear()
        self.scene.bureau.seal_all()
        self.scene.receiver.statuses.clear()
        await self.scene.settle(3 * _DAY)
        await invariants.check(self.scene)
