"""Signicat in the flow itself: from the caller's order to stored documents, callbacks by way of the receive stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from local.sandbox.signicat import CallbackKnobs
from shared.domain.commands import NewDocument
from shared.domain.errors import UnsupportedFeature
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import Participant, Placement, Role, Signing, State
from shared.flow import receive, start
from tests.flow.world import World as FlowWorld
from tests.providers.signicat.samples import PDF_BYTES, utc_now
from tests.providers.signicat.world import World, as_raw, running_world

PEOPLE = (
    Participant(number=1, given_name="Ada", family_name="Jansen", email="ada@example.org"),
    Participant(number=2, role=Role.OBSERVER, given_name="Bob", family_name="V", email="bob@example.org", order=2),
)
ORDER = {
    "account": "main",
    "participants": PEOPLE,
    "documents": (NewDocument(name="lease.pdf", media_type="application/pdf", content=PDF_BYTES),),
}


@dataclass
class Play:
    """The flow on in-memory stores, a real provider, and the hands to bring over what the simulator calls."""

    flow: FlowWorld
    world: World
    brought: int = 0

    async def bring_callbacks(self) -> list[int]:
        """Everything that arrived since the last time, through the receive stage. The answers."""
        await self.world.sandbox.settle()
        arrived = self.world.receiver.seen[self.brought :]
        self.brought += len(arrived)
        answers = []
        for one in arrived:
            provider, account, token = urlsplit(one.raw_path).path.removeprefix("/api/callbacks/").split("/", 2)
            answers.append(await receive.run(self.flow.app, provider, account, token, as_raw(one)))
        return answers

    async def now(self, signing: Signing) -> Signing:
        return await self.flow.now(signing)


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    async with playing() as running:
        yield running


@asynccontextmanager
async def playing() -> AsyncIterator[Play]:
    async with running_world() as world:
        flow = FlowWorld()
        flow.clock = utc_now()
        flow.app = replace(flow.app, providers={"main": world.provider})
        # The app's public address is nobody's: calls go to the receiver instead.
        world.sandbox.options.callback_base = world.receiver.base_url
        yield Play(flow, world)


async def test_from_order_to_stored_documents(play: Play) -> None:
    signing = await play.flow.started(**ORDER)
    assert (signing.state, play.world.invitations(signing.provider_signing_id or "")) == (State.STARTED, 1)
    await play.world.complete(signing.provider_signing_id or "")
    assert set(await play.bring_callbacks()) == {200}
    await play.flow.work_off(Queue.EVENTS)
    assert (await play.now(signing)).state is State.COMPLETED
    await play.flow.work_off()
    stored = await play.now(signing)
    assert (stored.state, stored.attention) == (State.STORED, None)
    assert [(one.name, one.kind) for one in stored.download.files] == [
        ("lease.pdf", "document"),
        ("participant-1-document-1.sdo", "evidence"),
        ("participant-1-events.json", "evidence"),
        ("participant-2-events.json", "evidence"),
        ("manifest.json", "manifest"),
    ]


async def test_a_lost_answer_is_healed_by_the_first_callback(play: Play) -> None:
    signing = await play.flow.taken_in(**ORDER)
    play.world.lose_answer("createSigningOrder")
    await start.run(play.flow.app, RunStart(signing_id=signing.id))
    uncertain = await play.now(signing)
    assert (uncertain.state, uncertain.start.is_uncertain) == (State.REQUESTED, True)
    play.flow.queue.take()
    assert await play.bring_callbacks() == [200]
    await play.flow.work_off()
    healed = await play.now(signing)
    assert (healed.state, healed.start.is_uncertain) == (State.STARTED, False)
    assert play.world.invitations(healed.provider_signing_id or "") == 1


@pytest.mark.parametrize(
    "knobs", [CallbackKnobs(bare=True), CallbackKnobs(method="POST"), CallbackKnobs(copies=3), CallbackKnobs(reorder=6)]
)
async def test_callbacks_of_every_kind_lead_to_the_same_end(play: Play, knobs: CallbackKnobs) -> None:
    play.world.sandbox.set_knobs(knobs)
    signing = await play.flow.started(**ORDER)
    await play.world.complete(signing.provider_signing_id or "")
    await play.world.sandbox.settle()
    play.world.sandbox.desk.flush()
    assert set(await play.bring_callbacks()) == {200}
    await play.flow.work_off()
    assert (await play.now(signing)).state is State.STORED


async def test_a_callback_cannot_bring_in_another_order(play: Play) -> None:
    """An order id in a callback to this signing's address that was made for another one changes nothing."""
    first = await play.flow.started(**ORDER)
    await play.world.complete(first.provider_signing_id or "")
    second = await play.flow.taken_in(**ORDER)
    event = play.flow.event(second, provider_signing_id=first.provider_signing_id)
    await play.flow.run(event)
    untouched = await play.now(second)
    assert (untouched.state, untouched.provider_signing_id) == (State.REQUESTED, None)


async def test_a_refusal_is_told_before_any_call(play: Play) -> None:
    placed = PEOPLE[0].model_copy(update={"placements": (Placement(text="_s1_"),)})
    with pytest.raises(UnsupportedFeature, match="place a signature by text"):
        await play.flow.taken_in(**(ORDER | {"participants": (placed,)}))
    assert play.world.calls_made == []


async def test_a_refused_order_fails_the_signing_with_the_words_of_the_provider(play: Play) -> None:
    signing = await play.flow.taken_in(**ORDER)
    play.world.break_down("createSigningOrder", status=400)
    await start.run(play.flow.app, RunStart(signing_id=signing.id))
    failed = await play.now(signing)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "provider_rejected"
