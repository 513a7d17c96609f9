"""Interleavings that cost something once: each is played call by call."""

from __future__ import annotations

from functools import partial

from shared.domain.messages import Queue
from shared.domain.signing import State
from tests.chaos import invariants
from tests.chaos.clockwork import Envelope
from tests.chaos.provider import Case, Shape
from tests.chaos.scene import Process, Scene
from tests.chaos.workers import Worker

_DAY = 24 * 3600.0


async def _completed(late_seals: set[int]) -> tuple[Scene, Case]:
    """A signing that everybody has signed, with two messages to download it."""
    scene = Scene(Shape.DRAFTED)
    await scene.post(scene.healthy, "order-1", wait=False)
    await scene.run_visible()
    (case,) = scene.bureau.cases.values()
    scene.bureau.acted(case, "signed")
    case.late_seals = late_seals
    await scene.call_back(scene.healthy, scene.bureau.callbacks.pop())
    await scene.take(scene.healthy, scene.queue.visible()[0])
    scene.bureau.callbacks.clear()
    (download,) = _downloads(scene)
    scene.queue.duplicate(download)
    return scene, case


def _downloads(scene: Scene) -> list[Envelope]:
    return [envelope for envelope in scene.queue.visible() if envelope.queue == Queue.DOWNLOADS]


async def _two_downloads(scene: Scene) -> tuple[Worker, Worker]:
    async def take(envelope: Envelope, process: Process) -> None:
        await scene.take(process, envelope)

    first, second = (Worker(scene, "download", partial(take, envelope)) for envelope in _downloads(scene))
    await first.still()
    await second.still()
    return first, second


async def _ends_well(scene: Scene) -> None:
    scene.bureau.seal_all()
    await scene.settle(_DAY)
    await invariants.check(scene)
    (signing,) = await scene.all()
    assert signing.state is State.STORED


# The first worker has found a file unfit, and done nothing about it yet.
_FOUND_UNFIT = ("documents.delete", "signings.save download_retry")


async def test_a_worker_that_clears_unfit_files_away_takes_none_from_another() -> None:
    """The second file is sealed while the first worker makes room; the second worker relies on the first file."""
    scene, _ = await _completed({2})
    first, second = await _two_downloads(scene)
    await first.until(*_FOUND_UNFIT)
    await second.until("documents.describe")
    await second.until("provider.open_file")
    await first.finish()
    scene.bureau.seal_all()
    await second.finish()
    await _ends_well(scene)


async def test_files_that_are_stored_stay_whatever_a_slower_worker_found_unfit() -> None:
    scene, _ = await _completed({2})
    first, second = await _two_downloads(scene)
    await first.until(*_FOUND_UNFIT)
    await second.finish()
    scene.bureau.seal_all()
    await scene.settle(60)
    await first.finish()
    await _ends_well(scene)


async def test_a_worker_that_died_over_its_failure_leaves_what_the_next_one_can_clear_away() -> None:
    scene, _ = await _completed({2})
    first, _ = await _two_downloads(scene)
    await first.until("documents.delete")
    await first.kill()
    await _ends_well(scene)


async def test_a_manifest_never_outlives_the_files_it_lists() -> None:
    """The second worker has written its manifest when the first counts its failure and clears the files away."""
    scene, _ = await _completed({2})
    first, second = await _two_downloads(scene)
    await first.until(*_FOUND_UNFIT)
    await second.until("documents.describe")
    await second.until("provider.open_file")
    annex = scene.documents.made[1]
    await scene.documents.delete(annex.blob, annex.etag)
    scene.bureau.seal_all()
    await second.until("signings.save file_stored+moved")
    await first.finish()
    await second.finish()
    await _ends_well(scene)
