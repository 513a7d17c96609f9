"""Two different works on one signing: the first frozen at each of its calls in turn, while the second is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest

from shared.domain.messages import Queue
from shared.domain.signing import State
from shared.flow import manage
from tests.chaos import invariants
from tests.chaos.provider import Shape
from tests.chaos.scene import Process, Scene, reseed
from tests.chaos.workers import Worker

Work = Callable[[Scene, Process], Awaitable[object]]
_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Pair:
    """`ends`: what may come of it."""

    name: str
    prepare: Callable[[Scene], Awaitable[object]]
    first: Work
    second: Work
    ends: frozenset[State]


async def _nothing(scene: Scene) -> None:
    return None


async def _taken_in(scene: Scene) -> None:
    await scene.post(scene.healthy, "order-1", wait=False)


async def _started(scene: Scene) -> None:
    await _taken_in(scene)
    await scene.run_visible()


async def _signed(scene: Scene) -> None:
    await _started(scene)
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "signed")
    await scene.call_back(scene.healthy, scene.bureau.callbacks.pop())


async def _signed_twice_heard(scene: Scene) -> None:
    await _signed(scene)
    scene.queue.duplicate(scene.queue.visible()[0])


async def _expired(scene: Scene) -> None:
    await _started(scene)
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "expired")
    await scene.call_back(scene.healthy, scene.bureau.callbacks.pop())
    await scene.run_visible()


async def _told_twice(scene: Scene) -> None:
    await _taken_in(scene)
    await scene.take(scene.healthy, scene.queue.visible()[0])
    scene.queue.duplicate(scene.queue.visible()[0])
    scene.receiver.statuses = [500]


async def _post(scene: Scene, process: Process) -> None:
    await scene.post(process, "order-1")


async def _oldest(scene: Scene, process: Process) -> None:
    await scene.take(process, scene.queue.visible()[0])


async def _cancel(scene: Scene, process: Process) -> None:
    for signing in await scene.all():
        await manage.cancel(process.app, signing.id, None)


async def _extend(scene: Scene, process: Process) -> None:
    await manage.extend(process.app, (await scene.all())[0].id, scene.clock.now)


async def _tick(scene: Scene, process: Process) -> None:
    scene.clock.forward(scene.policy.reconcile_max_seconds)
    await scene.tick(process)
    await scene.run_visible()


async def _heard(scene: Scene, process: Process) -> None:
    """Each callback that the provider has for us, received and applied."""
    while scene.bureau.callbacks:
        await scene.call_back(process, scene.bureau.callbacks.pop(0))
    for envelope in [one for one in scene.queue.visible() if one.queue == Queue.EVENTS]:
        await scene.take(process, envelope)


async def _signed_and_heard(scene: Scene, process: Process) -> None:
    for case in scene.bureau.cases.values():
        if case.status == "pending":
            scene.bureau.acted(case, "signed")
    await _heard(scene, process)


_STARTED, _STORED = frozenset({State.STARTED}), frozenset({State.STORED})

PAIRS = [
    Pair("post, and its repeat", _nothing, _post, _post, _STARTED),
    Pair("post, and a cancellation", _nothing, _post, _cancel, frozenset({State.STARTED, State.CANCELLED})),
    Pair("start, and a cancellation", _taken_in, _oldest, _cancel, frozenset({State.STARTED, State.CANCELLED})),
    Pair("cancellation, and the start", _taken_in, _cancel, _oldest, frozenset({State.STARTED, State.CANCELLED})),
    Pair("start, and its callback", _taken_in, _oldest, _heard, _STARTED),
    Pair("start, and everybody signs", _taken_in, _oldest, _signed_and_heard, _STARTED | _STORED),
    Pair("event, and the same event", _signed_twice_heard, _oldest, _oldest, _STORED),
    Pair("event, and a cancellation", _signed, _oldest, _cancel, _STORED),
    Pair("event, and reconcile", _signed, _oldest, _tick, _STORED),
    Pair("reconcile, and reconcile", _started, _tick, _tick, _STARTED),
    Pair(
        "extension, and a late signature",
        _expired,
        _extend,
        _signed_and_heard,
        frozenset({State.EXPIRED, State.STORED}),
    ),
    Pair("notification that fails, and its double", _told_twice, _oldest, _oldest, _STARTED),
]


@pytest.mark.parametrize("shape", [Shape.DRAFTED, Shape.BLIND])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_one_work_comes_in_between_another(pair: Pair, shape: Shape) -> None:
    point = 0
    while True:
        reseed()
        scene = Scene(shape)
        await pair.prepare(scene)
        first = Worker(scene, "first", partial(pair.first, scene))
        await first.still()
        await first.advance(point)
        was_over = first.is_over
        await _between(scene, first, pair)
        ended = {signing.state for signing in await scene.all()}
        assert ended <= pair.ends, f"at point {point}"
        if was_over:
            break
        point += 1
    assert point > 3


async def _between(scene: Scene, first: Worker, pair: Pair) -> None:
    second = Worker(scene, "second", partial(pair.second, scene))
    await second.finish()
    await first.finish()
    scene.bureau.callbacks.clear()
    await scene.settle(_DAY)
    await invariants.check(scene)
    assert (first.surprise, second.surprise, scene.errors) == (None, None, [])
