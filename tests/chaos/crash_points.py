"""The crash-point table: every call that a stage makes, killed before it or after it took effect, and what follows.

`python -m tests.chaos.crash_points` writes the table anew; the test compares it line by line, so that a new call in any
stage has to be looked at before it counts as known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from shared.domain.errors import CountersignError
from shared.domain.messages import Queue
from shared.domain.signing import Signing, State
from shared.flow import manage
from tests.chaos import invariants
from tests.chaos.mortal import AFTER, BEFORE, Killed
from tests.chaos.provider import Shape
from tests.chaos.scene import Process, Scene, reseed

TABLE = Path(__file__).with_name("crash_points.txt")
_KEY = "order-1"
_DAY = 24 * 3600.0


@dataclass
class Counting:
    """A gate that numbers the calls, and kills at one of them."""

    kill_at: tuple[int, str] | None = None
    calls: list[str] = field(default_factory=list)

    async def __call__(self, number: int, call: str, moment: str) -> None:
        if moment == BEFORE:
            self.calls.append(call)
        if self.kill_at == (number, moment):
            raise Killed


@dataclass(frozen=True)
class Stage:
    """`prepare` brings a scene to where `act` is next; `goal` is the state that must come out. `again` is what whoever
    asked does when no answer came; None where the queue or the clock sees to that."""

    name: str
    shape: Shape
    prepare: Callable[[Scene], Awaitable[None]]
    act: Callable[[Scene, Process], Awaitable[object]]
    goal: State
    again: Callable[[Scene, Process], Awaitable[object]] | None = None
    # Callbacks that the provider sent get through, as in good times; otherwise all of them are lost.
    with_callbacks: bool = False


@dataclass(frozen=True)
class Row:
    stage: str
    call: str
    moment: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.stage:<32} {self.call:<40} {self.moment:<6}  {self.outcome}"


async def rows_of(stage: Stage) -> list[Row]:
    """The part of the table about this stage. Checks the invariants after each of the crashes."""
    found = []
    for number, call in enumerate(await _calls(stage), start=1):
        for moment in (BEFORE, AFTER):
            try:
                outcome = await _crash(stage, number, moment)
            except AssertionError as error:
                error.add_note(f"{stage.name}, killed {moment} call {number}, {call}")
                raise
            found.append(Row(stage.name, f"{number:>2} {call}", moment, outcome))
    return found


async def _calls(stage: Stage) -> list[str]:
    scene = await _prepared(stage)
    gate = Counting()
    await stage.act(scene, scene.process(gate))
    return gate.calls


async def _prepared(stage: Stage) -> Scene:
    reseed()
    scene = Scene(stage.shape)
    await stage.prepare(scene)
    return scene


async def _crash(stage: Stage, number: int, moment: str) -> str:
    scene = await _prepared(stage)
    process = scene.process(Counting((number, moment)))
    try:
        await stage.act(scene, process)
    except Killed:
        pass
    else:
        raise AssertionError(f"{stage.name} swallowed its own death at call {number}")
    refusal = await _asked_again(stage, scene)
    return refusal + await _outcome(stage, scene)


async def _asked_again(stage: Stage, scene: Scene) -> str:
    if stage.again is not None:
        try:
            await stage.again(scene, scene.healthy)
        except CountersignError as error:
            return f"the repeat is refused ({error.code}); "
    return ""


async def _outcome(stage: Stage, scene: Scene) -> str:
    """Who set it right, and what it cost beyond the usual."""
    healer = await _healer(stage, scene)
    await scene.settle(_DAY)
    await invariants.check(scene)
    (signing,) = await scene.all()
    return f"{_ending(stage, signing, healer)}; {_cost(scene, signing)}"


async def _healer(stage: Stage, scene: Scene) -> str:
    """Where the goal came from: nothing was missing, or the first of those who can bring it."""
    scene.bureau.seal_all()
    if await _reached(stage, scene):
        return "already"
    if stage.again is not None:
        await scene.run_visible()
        if await _reached(stage, scene):
            return "by the repeat"
    if stage.with_callbacks:
        await scene.deliver_callbacks()
        if await _reached(stage, scene):
            return "by callback"
    scene.bureau.callbacks.clear()
    # Longer than the host keeps a message invisible, shorter than reconcile needs.
    await scene.settle(899, reconciling=False)
    return "by a queued message" if await _reached(stage, scene) else "by reconcile"


def _ending(stage: Stage, signing: Signing, healer: str) -> str:
    if signing.state is stage.goal:
        return f"{signing.state} {healer}"
    if signing.attention is None:
        raise AssertionError(f"{stage.name} ends {signing.state}, and nobody is told")
    return f"{signing.state}, {signing.attention.code}"


async def _reached(stage: Stage, scene: Scene) -> bool:
    signings = await scene.all()
    return all(one.state is stage.goal and all(owed.is_settled for owed in one.announcements) for one in signings)


def _cost(scene: Scene, signing: Signing) -> str:
    cases = scene.bureau.about(signing.id)
    told = [event["id"] for event in scene.receiver.got]
    facts = {
        "invited": sum(case.invitations for case in cases),
        "drafts left": sum(case.status == "draft" for case in cases),
        "withdrawn": sum(case.status == "withdrawn" for case in cases),
        "file openings": sum(case.fetches for case in cases),
        "told twice": len(told) - len(set(told)),
        "staged for housekeeping": len(invariants.staged(scene, signing))
        if signing.state is not State.REQUESTED
        else 0,
    }
    return ", ".join(f"{name} {count}" for name, count in facts.items() if count or name == "invited")


# --------------------------------------------------------------------------------------------------- the stages


async def _nothing(scene: Scene) -> None:
    return None


async def _taken_in(scene: Scene) -> None:
    await scene.post(scene.healthy, _KEY, wait=False)


async def _started(scene: Scene) -> None:
    await _taken_in(scene)
    await scene.run_visible()
    scene.bureau.callbacks.clear()


async def _signed_and_called(scene: Scene) -> None:
    await _started(scene)
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "signed")
    await scene.call_back(scene.healthy, scene.bureau.callbacks.pop())


async def _signed_unheard(scene: Scene) -> None:
    await _started(scene)
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "signed")
    scene.clock.forward(scene.policy.reconcile_min_seconds)


async def _completed(scene: Scene) -> None:
    await _signed_and_called(scene)
    await scene.take(scene.healthy, scene.queue.visible()[0])


async def _late_seal(scene: Scene) -> None:
    """One file is there, the other is not sealed yet: the attempt brings nothing and is counted."""
    await _completed(scene)
    (case,) = scene.bureau.cases.values()
    case.late_seals.add(2)


async def _uncertain(scene: Scene) -> None:
    await _taken_in(scene)
    process = scene.process(_DieAt("provider.invite", "provider.create_and_invite"))
    try:
        await scene.take(process, scene.queue.visible()[0])
    except Killed:
        scene.bureau.callbacks.clear()
        scene.clock.forward(600)
    else:
        raise AssertionError("nobody was invited")


class _DieAt:
    def __init__(self, *calls: str) -> None:
        self._calls = calls

    async def __call__(self, number: int, call: str, moment: str) -> None:
        if call in self._calls and moment == AFTER:
            raise Killed


async def _receiver_gone(scene: Scene) -> None:
    await _taken_in(scene)
    scene.receiver.statuses = [410] * 2
    await scene.take(scene.healthy, scene.queue.visible()[0])
    scene.bureau.callbacks.clear()


async def _receiver_ill(scene: Scene) -> None:
    await _receiver_gone(scene)
    scene.receiver.statuses = [500]


async def _post(scene: Scene, process: Process) -> None:
    await scene.post(process, _KEY)


async def _post_queued(scene: Scene, process: Process) -> None:
    await scene.post(process, _KEY, wait=False)


def _take(queue: Queue) -> Callable[[Scene, Process], Awaitable[None]]:
    async def take(scene: Scene, process: Process) -> None:
        await scene.take(process, next(one for one in scene.queue.visible() if one.queue == queue.value))

    return take


async def _call_back(scene: Scene, process: Process) -> None:
    await scene.call_back(process, scene.bureau.callbacks[-1])


async def _tick(scene: Scene, process: Process) -> None:
    await scene.tick(process)


async def _cancel(scene: Scene, process: Process) -> None:
    (signing,) = await scene.all()
    if signing.state in {State.REQUESTED, State.STARTED}:
        await manage.cancel(process.app, signing.id, None)


async def _poisoned_start(scene: Scene) -> None:
    await _taken_in(scene)
    (envelope,) = scene.queue.visible()
    scene.queue.poisoned(envelope)


async def _take_any(scene: Scene, process: Process) -> None:
    await scene.take(process, scene.queue.visible()[0])


def _starts(shape: Shape) -> list[Stage]:
    take = _take(Queue.STARTS)
    return [
        Stage(f"post {shape}", shape, _nothing, _post, State.STARTED, again=_post),
        Stage(f"start {shape}", shape, _taken_in, take, State.STARTED),
        Stage(f"start {shape}, callbacks", shape, _taken_in, take, State.STARTED, with_callbacks=True),
        Stage(f"proof {shape}", shape, _uncertain, take, State.STARTED),
    ]


STAGES = [
    Stage("intake", Shape.DRAFTED, _nothing, _post_queued, State.STARTED, again=_post_queued),
    *(stage for shape in Shape for stage in _starts(shape)),
    Stage("receive", Shape.DRAFTED, _signed_unheard, _call_back, State.STORED, again=_call_back),
    Stage("apply", Shape.DRAFTED, _signed_and_called, _take(Queue.EVENTS), State.STORED),
    Stage("download", Shape.DRAFTED, _completed, _take(Queue.DOWNLOADS), State.STORED),
    Stage("download, not sealed yet", Shape.DRAFTED, _late_seal, _take(Queue.DOWNLOADS), State.STORED),
    Stage("notify", Shape.DRAFTED, _completed, _take(Queue.NOTIFICATIONS), State.STORED),
    Stage("notify, receiver fails", Shape.DRAFTED, _receiver_ill, _take(Queue.NOTIFICATIONS), State.STARTED),
    Stage("notify, receiver is gone", Shape.DRAFTED, _receiver_gone, _take(Queue.NOTIFICATIONS), State.STARTED),
    Stage("reconcile", Shape.DRAFTED, _signed_unheard, _tick, State.STORED),
    Stage("cancel unsent", Shape.DRAFTED, _taken_in, _cancel, State.CANCELLED, again=_cancel),
    Stage("cancel", Shape.DRAFTED, _started, _cancel, State.CANCELLED, again=_cancel),
    Stage("poison", Shape.DRAFTED, _poisoned_start, _take_any, State.STARTED),
]


async def table() -> str:
    """All of it, as it is committed."""
    rows = [row for stage in STAGES for row in await rows_of(stage)]
    return "".join(f"{row}\n" for row in rows)


def main() -> None:
    TABLE.write_text(asyncio.run(table()), encoding="utf-8")


if __name__ == "__main__":
    main()
