"""Workers that were overtaken: what a slow one learns late must not undo what a faster one has done."""

from __future__ import annotations

import pytest

from shared.domain.errors import CreditsExhausted, ProviderError, Rejected, Throttled, Unavailable
from shared.domain.messages import RunStart
from shared.domain.signing import State
from shared.flow import start
from shared.ports import Started, StartLog, StartOrder
from tests.fakes.provider import MemoryProvider
from tests.flow.world import World


class OvertakenProvider(MemoryProvider):
    """Its first worker freezes until another one has taken the lease over and invited; then it gets `late_answer`."""

    world: World
    late_answer: ProviderError
    invitation_answer: ProviderError | None = None
    is_overtaken = False

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        if self.is_overtaken:
            return await super().start(order, log)
        self.is_overtaken = True
        self.world.forward(self.world.app.policy.start_lease_seconds + 1)
        if self.invitation_answer is not None:
            self.lose_at["invite"] = self.invitation_answer
        await start.run(self.world.app, RunStart(signing_id=order.signing.id))
        raise self.late_answer


_LATE_ANSWERS = [
    Unavailable("503", sent=True),
    Throttled("slow down", retry_after_seconds=5),
    Rejected("no"),
    CreditsExhausted("none left"),
]


@pytest.mark.parametrize("late_answer", _LATE_ANSWERS, ids=lambda error: type(error).__name__)
async def test_a_late_answer_leaves_the_mark_of_another_worker_alone(late_answer: ProviderError) -> None:
    """Without the mark a third worker would invite again; failed, the signing would lie about an open invitation."""
    provider = OvertakenProvider()
    provider.late_answer, provider.invitation_answer = late_answer, Unavailable("cut off", sent=True)
    world = provider.world = World(provider=provider)
    signing = await world.taken_in()
    await start.run(world.app, RunStart(signing_id=signing.id))
    waiting = await world.now(signing)
    assert waiting.state is State.REQUESTED
    assert waiting.start.is_uncertain
    assert provider.managed == []
    world.forward(60)
    await start.run(world.app, RunStart(signing_id=signing.id))
    assert provider.invited == ["p-1"]


@pytest.mark.parametrize("late_answer", _LATE_ANSWERS, ids=lambda error: type(error).__name__)
async def test_a_late_answer_changes_nothing_about_a_started_signing(late_answer: ProviderError) -> None:
    provider = OvertakenProvider()
    provider.late_answer = late_answer
    world = provider.world = World(provider=provider)
    signing = await world.taken_in()
    await start.run(world.app, RunStart(signing_id=signing.id))
    started = await world.now(signing)
    assert started.state is State.STARTED
    assert started.attention is None
    assert provider.managed == []


async def test_documents_that_another_worker_has_finished_with_are_no_failure() -> None:
    """The slow worker comes to read what the other has used and removed."""

    class SlowReader(OvertakenProvider):
        async def start(self, order: StartOrder, log: StartLog) -> Started:
            try:
                return await super().start(order, log)
            except Unavailable:
                await order.read_document(order.signing.documents[0])
                raise

    provider = SlowReader()
    provider.late_answer = Unavailable("503", sent=True)
    world = provider.world = World(provider=provider)
    signing = await world.taken_in()
    await start.run(world.app, RunStart(signing_id=signing.id))
    assert (await world.now(signing)).state is State.STARTED
