"""A slow worker, overtaken: frozen at each of its calls in turn while another one carries on.

Starts: the first worker freezes for longer than its lease lasts, or until an invitation may be looked up. The second
takes the same message, and is let through or killed around its invitation. Then the first wakes up: with an answer, or
with a failure of the call that it was about to make.

Downloads: both workers freeze at each of their calls in turn, around the moment in which a late seal comes.

Whatever comes of it, the invariants hold after everything has settled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.domain.messages import Queue
from tests.chaos import invariants
from tests.chaos.clockwork import Envelope
from tests.chaos.mortal import BEFORE
from tests.chaos.provider import Shape, Trouble
from tests.chaos.scene import Process, Scene, reseed
from tests.chaos.workers import Worker

_AFTER_THE_LEASE, _AFTER_THE_PROOF = 130.0, 200.0
_TROUBLES = (Trouble.REFUSED, Trouble.BROKEN, Trouble.UNREACHABLE)
# Where the second worker dies, or None for a long life. What lies between these points is in the crash-point table.
_DEATHS = (None, "signings.save inviting", "provider.invite", "provider.create_and_invite", "signings.save moved")
_HOURS = 8 * 3600.0


@pytest.mark.parametrize("pause", [_AFTER_THE_LEASE, _AFTER_THE_PROOF])
@pytest.mark.parametrize("shape", Shape)
async def test_nobody_is_invited_twice_or_forgotten(shape: Shape, pause: float) -> None:
    points = 0
    async for scene, first, is_provider_call in _frozen_everywhere(shape):
        await _overtake_and_wake(scene, first, pause, None, None)
        for death in _DEATHS:
            for trouble in _TROUBLES if is_provider_call else (None,):
                again = await _frozen_at(shape, points)
                await _overtake_and_wake(*again, pause, death, trouble)
        points += 1
    assert points > 10


async def _frozen_everywhere(shape: Shape) -> AsyncIterator[tuple[Scene, Worker, bool]]:
    """The scene as often as the first worker has points to freeze at, and whether it is about to call the provider."""
    point = 0
    while True:
        scene, first = await _frozen_at(shape, point)
        if first.is_over:
            return
        waiting = first.steps.waiting[0]
        yield scene, first, waiting.call.startswith("provider.") and waiting.moment == BEFORE
        point += 1


async def _frozen_at(shape: Shape, point: int) -> tuple[Scene, Worker]:
    reseed()
    scene = Scene(shape)
    await scene.post(scene.healthy, "order-1", wait=False)
    (envelope,) = scene.queue.visible()
    scene.queue.duplicate(envelope)
    first = await _at_work(scene, envelope)
    await first.advance(point)
    return scene, first


async def _at_work(scene: Scene, envelope: Envelope) -> Worker:
    async def take(process: Process) -> None:
        await scene.take(process, envelope)

    worker = Worker(scene, "start", take)
    await worker.still()
    return worker


async def _overtake_and_wake(
    scene: Scene, first: Worker, pause: float, death: str | None, trouble: Trouble | None
) -> None:
    if not first.is_about_to_invite:  # that call is made within a minute, or not at all
        scene.clock.forward(pause)
    second = await _at_work(scene, scene.queue.visible()[0])
    await _let_live(second, death)
    scene.bureau.troubles += [trouble] if trouble is not None else []
    await first.finish()
    await _ends_well(scene, first, second)


async def _ends_well(scene: Scene, first: Worker, second: Worker) -> None:
    scene.bureau.troubles.clear()
    scene.bureau.callbacks.clear()
    await scene.settle(_HOURS)
    await invariants.check(scene)
    assert (first.surprise, second.surprise, scene.errors) == (None, None, [])


async def _let_live(worker: Worker, death: str | None) -> None:
    """To the end, or to just after that call."""
    while not worker.is_over:
        waiting = worker.steps.waiting[0]
        if waiting.call == death and waiting.moment != BEFORE:
            await worker.kill()
            return
        await worker.advance(1)


@pytest.mark.parametrize("sealed_first", [True, False])
async def test_no_file_is_lost_to_another_worker(*, sealed_first: bool) -> None:
    """`sealed_first`: the seal comes before the first worker wakes up, or only after it is done."""
    first_point = 0
    while True:
        second_point = 0
        while True:
            first_was_over, second_was_over = await _two_downloads(first_point, second_point, sealed_first=sealed_first)
            if second_was_over or first_was_over:
                break
            # Odd and even points by turns: half the pairs, and every point of each worker.
            second_point += 2 if second_point or first_point % 2 == 0 else 1
        if first_was_over:
            return
        first_point += 1


async def _two_downloads(first_point: int, second_point: int, *, sealed_first: bool) -> tuple[bool, bool]:
    reseed()
    scene = await _signed_with_a_late_seal()
    (envelope, *_) = [one for one in scene.queue.visible() if one.queue == Queue.DOWNLOADS]
    scene.queue.duplicate(envelope)
    first = await _at_work(scene, envelope)
    second = await _at_work(scene, scene.queue.envelopes[-1])
    await first.advance(first_point)
    await second.advance(second_point)
    were_over = first.is_over, second.is_over
    if sealed_first:
        scene.bureau.seal_all()
    await first.finish()
    scene.bureau.seal_all()
    await second.finish()
    await _ends_well(scene, first, second)
    return were_over


async def _signed_with_a_late_seal() -> Scene:
    scene = Scene(Shape.DRAFTED)
    await scene.post(scene.healthy, "order-1", wait=False)
    await scene.run_visible()
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "signed")
    case.late_seals = {2}
    await scene.call_back(scene.healthy, scene.bureau.callbacks.pop())
    await scene.take(scene.healthy, scene.queue.visible()[0])
    return scene
