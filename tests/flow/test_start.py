"""Starting without inviting twice: what each way of failing leaves behind, and what the next worker does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.errors import (
    ConcurrentUpdate,
    CreditsExhausted,
    IdempotencyMismatch,
    InvalidRequest,
    LeaseLost,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
    UnsupportedFeature,
)
from shared.domain.history import HistoryEntry
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import AttentionCode, Signing, State
from shared.flow import intake, start
from shared.flow.start_log import LeasedStartLog
from shared.ports import Loaded, Started, StartProof
from shared.providers.oauth import InvalidGrant
from tests.domain.make import NOW
from tests.fakes.provider import PENDING, MemoryProvider
from tests.flow.world import PDF, World


async def run_start(world: World, signing: Signing) -> Signing:
    await start.run(world.app, RunStart(signing_id=signing.id))
    return await world.now(signing)


async def test_a_start_invites_once_and_cleans_up() -> None:
    world = World()
    signing = await world.taken_in()
    assert world.documents.blobs.keys() == {f"staging/{signing.id}/1"}
    started = await run_start(world, signing)
    assert (started.state, started.provider_signing_id) == (State.STARTED, "p-1")
    assert world.provider.invited == ["p-1"]
    assert world.provider.read_documents == [PDF]
    assert world.documents.blobs == {}
    assert [sent.queue for sent in world.queue.sent] == [Queue.NOTIFICATIONS]
    assert await world.signings.find("provider_signing_id", "memory\np-1") == signing.id


async def test_a_repeated_message_does_nothing_more() -> None:
    world = World()
    signing = await world.started()
    await run_start(world, signing)
    assert world.provider.invited == ["p-1"]
    assert world.queue.sent == []


async def test_a_crash_after_a_checkpoint_is_resumed_from_there() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.fail_at["invite"] = RuntimeError("the process was killed here")
    with pytest.raises(RuntimeError):
        await run_start(world, signing)
    stuck = await world.now(signing)
    assert stuck.start.is_uncertain
    world.provider.proof = StartProof(invited=False)
    world.forward(world.app.policy.invite_proof_after_seconds + world.app.policy.start_lease_seconds)
    await run_start(world, signing)
    assert (await world.now(signing)).start.inviting_at is None
    await world.work_off(Queue.STARTS)
    assert (await world.now(signing)).state is State.STARTED
    assert world.provider.created == ["p-1"]
    assert world.provider.invited == ["p-1"]


async def test_a_lost_answer_to_the_invitation_is_proven_not_repeated() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    waiting = await run_start(world, signing)
    assert waiting.state is State.REQUESTED
    assert waiting.start.is_uncertain
    (sent,) = world.queue.take()
    assert sent.delay_seconds == world.app.policy.invite_proof_after_seconds
    world.forward(sent.delay_seconds)
    world.provider.proof = StartProof(invited=True, started=Started("p-1", "Pending"))
    assert (await run_start(world, signing)).state is State.STARTED
    assert world.provider.invited == ["p-1"]


async def test_proof_is_not_looked_for_too_early() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await run_start(world, signing)
    world.queue.take()
    world.provider.proof = StartProof(invited=False)
    world.forward(world.app.policy.invite_proof_after_seconds / 2)
    waiting = await run_start(world, signing)
    assert waiting.start.is_uncertain
    assert world.queue.take()[0].delay_seconds == pytest.approx(world.app.policy.invite_proof_after_seconds / 2)


@pytest.mark.parametrize("proof", [StartProof(invited=None), ProviderNotFound("no such list")])
async def test_without_proof_a_person_is_told_and_nothing_is_sent(proof: StartProof | ProviderError) -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await run_start(world, signing)
    world.provider.proof = proof
    for _ in range(20):
        for sent in world.queue.take():
            world.forward(sent.delay_seconds)
            await run_start(world, signing)
    waiting = await world.now(signing)
    assert waiting.attention is not None
    assert waiting.attention.code is AttentionCode.START_UNCERTAIN
    assert waiting.state is State.REQUESTED
    assert world.provider.invited == ["p-1"]


async def test_a_provider_that_cannot_be_asked_is_no_reason_to_call_a_person_for_a_decision() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await run_start(world, signing)
    world.provider.proof = Unavailable("down", sent=True)
    while world.clock < NOW + timedelta(hours=3):
        (sent,) = world.queue.take()
        world.forward(sent.delay_seconds)
        waiting = await run_start(world, signing)
    assert waiting.attention is None
    world.provider.proof = StartProof(invited=None)
    world.forward(world.queue.take()[0].delay_seconds)
    asked = await run_start(world, signing)
    assert asked.attention is not None
    assert asked.attention.code is AttentionCode.START_UNCERTAIN
    assert world.provider.invited == ["p-1"]


async def test_a_callback_is_proof_too() -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.lose_at["invite"] = Unavailable("connection lost", sent=True)
    await run_start(world, signing)
    world.provider.statuses = [PENDING]
    await world.run(world.event(signing, provider_signing_id="p-1"))
    proven = await world.now(signing)
    assert proven.state is State.STARTED
    assert not proven.start.is_uncertain
    assert world.documents.blobs == {}


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (Throttled("slow down", retry_after_seconds=7), 7),
        (Unavailable("no route", sent=False), 15),
    ],
)
async def test_a_call_that_certainly_did_nothing_takes_its_mark_back(error: ProviderError, delay: float) -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.fail_at["invite"] = error
    waiting = await run_start(world, signing)
    assert not waiting.start.is_uncertain
    (sent,) = world.queue.take()
    assert sent.delay_seconds == delay
    world.forward(delay)
    assert (await run_start(world, signing)).state is State.STARTED
    assert world.provider.invited == ["p-1"]


async def test_trouble_before_the_invitation_is_simply_repeated() -> None:
    world = World()
    signing = await world.taken_in()
    for expected_pause in (15, 30, 60):
        world.provider.fail_at["create"] = Unavailable("502", sent=True)
        waiting = await run_start(world, signing)
        assert waiting.state is State.REQUESTED
        (sent,) = world.queue.take()
        assert sent.delay_seconds == expected_pause
    assert (await run_start(world, signing)).state is State.STARTED


@pytest.mark.parametrize(
    ("error", "attention"),
    [
        (Rejected("bad placeholder"), None),
        (CreditsExhausted("no credits"), AttentionCode.CREDITS_EXHAUSTED),
        (Unauthorised("consent again"), AttentionCode.PROVIDER_UNAUTHORISED),
        (InvalidGrant("consent again"), AttentionCode.PROVIDER_UNAUTHORISED),
    ],
)
@pytest.mark.parametrize("step", ["create", "invite"])
async def test_a_refusal_ends_the_signing_with_its_reason(
    step: str, error: ProviderError, attention: AttentionCode | None
) -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.fail_at[step] = error
    failed = await run_start(world, signing)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert failed.failure.code == error.code
    assert (failed.attention.code if failed.attention else None) is attention
    assert world.documents.blobs == {}
    assert [sent.queue for sent in world.queue.sent] == [Queue.NOTIFICATIONS]


@pytest.mark.parametrize(("step", "is_removed"), [("create", False), ("prepare", True), ("invite", False)])
async def test_a_refused_draft_is_removed_unless_people_may_know_of_it(step: str, *, is_removed: bool) -> None:
    world = World()
    signing = await world.taken_in()
    world.provider.fail_at[step] = CreditsExhausted("no credits")
    await run_start(world, signing)
    assert world.provider.managed == ([("delete", signing.id)] if is_removed else [])


async def test_a_running_worker_is_left_alone() -> None:
    world = World()
    taken = await intake.run(world.app, world.command(), lease_owner="somebody")
    world.queue.take()
    await run_start(world, taken.loaded.signing)
    assert world.provider.created == []
    (sent,) = world.queue.take()
    assert sent.delay_seconds == world.app.policy.start_lease_seconds


async def test_two_workers_at_once_invite_once() -> None:
    world = World()
    signing = await world.taken_in()
    message = RunStart(signing_id=signing.id)
    await asyncio.gather(*(start.run(world.app, message) for _ in range(8)))
    assert world.provider.invited == ["p-1"]
    assert (await world.now(signing)).state is State.STARTED


async def test_a_row_that_others_change_is_leased_all_the_same() -> None:
    """A lost race for the lease must not lose the message: nobody else may be at it."""
    world = World()
    signing = await world.taken_in()
    real_save, races = world.signings.save, 3

    async def save(loaded: Loaded, changed: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        nonlocal races
        if races:
            races -= 1
            raise ConcurrentUpdate("somebody else wrote")
        return await real_save(loaded, changed, entries)

    world.signings.save = save  # type: ignore[method-assign]
    assert (await run_start(world, signing)).state is State.STARTED
    races = 1_000
    other = await world.taken_in()
    with pytest.raises(ConcurrentUpdate):
        await run_start(world, other)


class SleepyProvider(MemoryProvider):
    """Its worker freezes before inviting, long enough to lose its lease."""

    world: World

    def _step(self, name: str, done: list[str], value: str) -> str:
        if name == "create":
            self.world.forward(self.world.app.policy.start_lease_seconds + 1)
        return super()._step(name, done, value)


async def test_a_worker_whose_lease_ran_out_stops_before_inviting() -> None:
    provider = SleepyProvider()
    world = World(provider=provider)
    provider.world = world
    signing = await world.taken_in()
    waiting = await run_start(world, signing)
    assert waiting.state is State.REQUESTED
    assert provider.invited == []

    assert world.queue.on(Queue.STARTS) == [RunStart(signing_id=signing.id)]


async def test_inline_start_uses_the_bytes_at_hand_and_answers_in_time() -> None:
    world = World()
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    world.documents.blobs.clear()
    started = await start.inline(world.app, taken.loaded, "http", {1: PDF})
    assert started.signing.state is State.STARTED


class SlowProvider(MemoryProvider):
    released: asyncio.Event

    async def start(self, order: object, log: object) -> Started:
        await self.released.wait()
        return await super().start(order, log)  # type: ignore[arg-type]


async def test_past_the_budget_the_answer_is_requested_and_the_work_goes_on() -> None:
    provider = SlowProvider()
    provider.released = asyncio.Event()
    world = World(provider=provider)
    world.with_policy(start_inline_seconds=0.01)
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    answered = await start.inline(world.app, taken.loaded, "http", {1: PDF})
    assert answered.signing.state is State.REQUESTED
    provider.released.set()
    for _ in range(200):
        await asyncio.sleep(0)
    assert (await world.now(taken.loaded.signing)).state is State.STARTED
    assert provider.invited == ["p-1"]


# ---------------------------------------------------------------------------------------------------- intake


async def test_intake_writes_nothing_for_a_wish_that_cannot_be_granted() -> None:
    world = World(provider=MemoryProvider(refuse_unknown_title=True))
    with pytest.raises(UnsupportedFeature):
        await intake.run(world.app, world.command(), lease_owner=None)
    assert world.documents.blobs == {}
    assert world.queue.sent == []
    assert await world.signings.due(NOW + timedelta(days=365), 10) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_documents": 0}, "documents"),
        ({"max_participants": 0}, "participants"),
        ({"max_document_bytes": 3}, "documents[0].content"),
    ],
)
async def test_intake_has_limits(changes: dict[str, int], field: str) -> None:
    world = World()
    world.with_policy(**changes)
    with pytest.raises(InvalidRequest) as refusal:
        await intake.run(world.app, world.command(), lease_owner=None)
    assert [item.field for item in refusal.value.fields] == [field]


async def test_an_unknown_account_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="memory") as refusal:
        await intake.run(World().app, World().command(account="other"), lease_owner=None)
    assert refusal.value.code == "unknown_account"


async def test_the_same_key_gives_the_same_signing() -> None:
    world = World()
    command = world.command(idempotency_key="order-1")
    results = await asyncio.gather(*(intake.run(world.app, command, lease_owner=None) for _ in range(8)))
    assert len({taken.loaded.signing.id for taken in results}) == 1
    assert sum(taken.is_new for taken in results) == 1
    assert len(world.queue.on(Queue.STARTS)) == 1


async def test_the_same_key_with_another_body_is_refused() -> None:
    world = World()
    await intake.run(world.app, world.command(idempotency_key="order-1"), lease_owner=None)
    with pytest.raises(IdempotencyMismatch):
        await intake.run(world.app, world.command(idempotency_key="order-1", title="Other"), lease_owner=None)


async def test_a_crash_after_the_claim_is_carried_on_by_the_repeat() -> None:
    world = World()
    command = world.command(idempotency_key="order-1")
    await world.signings.claim(
        "idempotency-key", "memory\norder-1", "claimed-id", {"fingerprint": command.fingerprint()}
    )
    taken = await intake.run(world.app, command, lease_owner=None)
    assert taken.is_new
    assert taken.loaded.signing.id == "claimed-id"
    assert taken.loaded.signing.documents[0].blob == "staging/claimed-id/1"


async def test_an_order_that_was_taken_is_not_refused_for_a_queue_that_is_down() -> None:
    """The caller's platform would order again, and without a key that is a second signing."""
    world = World()

    async def broken(*_: object, **__: object) -> None:
        raise OSError("storage is down")

    world.queue.send = broken  # type: ignore[method-assign]
    taken = await intake.run(world.app, world.command(), lease_owner=None)
    assert (await world.now(taken.loaded.signing)).state is State.REQUESTED
    assert await world.signings.due(world.clock + timedelta(hours=1), 10)


async def test_an_unexpected_failure_of_the_inline_start_leaves_the_signing_requested() -> None:
    world = World()
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    world.provider.fail_at["prepare"] = RuntimeError("storage hiccup")
    answered = await start.inline(world.app, taken.loaded, "http", {1: PDF})
    assert answered.signing.state is State.REQUESTED
    world.forward(world.app.policy.start_lease_seconds + 1)
    await world.work_off(Queue.STARTS)
    assert (await world.now(answered.signing)).state is State.STARTED
    assert world.provider.invited == ["p-1"]


async def test_the_lease_is_extended_between_calls_that_leave_no_checkpoint_and_only_when_needed() -> None:
    world = World()
    taken = await intake.run(world.app, world.command(), lease_owner="http")
    log = LeasedStartLog(world.app, taken.loaded, "http")
    before = taken.loaded.signing.start.lease_until
    await log.alive()
    assert log.loaded is taken.loaded
    world.forward(world.app.policy.start_lease_seconds / 2 + 1)
    await log.alive()
    after = log.loaded.signing.start.lease_until
    assert before is not None
    assert after is not None
    assert after > before
    world.forward(world.app.policy.start_lease_seconds + 1)
    with pytest.raises(LeaseLost):
        await log.alive()
