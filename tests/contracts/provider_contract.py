"""What every provider must do, run against each with its own simulator: subclass, and supply the `world` fixture."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from shared.domain.capabilities import Action, PlacementKind
from shared.domain.errors import (
    ArchiveNotReady,
    CreditsExhausted,
    InvalidRequest,
    NotFound,
    Permanent,
    ProviderNotFound,
    Retryable,
    Throttled,
    UnsupportedFeature,
    VerificationFailed,
)
from shared.domain.signing import Placement, Progress, ResultFormat, Role, Signing
from shared.domain.states import EventKind
from shared.evidence.archive import Member
from shared.evidence.expected import check_expected
from shared.evidence.inspector import ArchiveInspector
from shared.flow.download import expected_documents
from shared.ports import ProviderStatus, Started, StartOrder
from shared.verification.raw import RawCallback
from tests.contracts.provider_world import ProviderWorld

# Where an account can run out of them at the provider.
HAVE_CREDITS = {"pkisigning"}
ENDS = {
    "declined": EventKind.DECLINED,
    "expired": EventKind.EXPIRED,
    "cancelled": EventKind.CANCELLED,
    "failed": EventKind.FAILED,
}


@dataclass
class Log:
    """The start's memory, without a store behind it."""

    facts: dict[str, str] = field(default_factory=dict)
    marks: int = 0

    async def checkpoint(self, **facts: str) -> None:
        self.facts.update(facts)

    async def alive(self) -> None:
        return None

    async def inviting(self) -> None:
        self.marks += 1


async def started(world: ProviderWorld, **changes: object) -> tuple[StartOrder, Started]:
    order = world.order(**changes)
    return order, await world.provider.start(order, Log())


def known(order: StartOrder, start: Started) -> Signing:
    """The signing as the flow knows it once it is started."""
    return order.signing.model_copy(update={"provider_signing_id": start.provider_signing_id})


async def status(world: ProviderWorld, order: StartOrder, start: Started) -> ProviderStatus:
    return await world.provider.status(start.provider_signing_id, signing=known(order, start))


async def fetched(world: ProviderWorld, signing: Signing) -> list[Member]:
    """Everything that is delivered, inspected as the download stage does. Raises ArchiveNotReady or ProviderError."""
    members: list[Member] = []
    for deliverable in await world.provider.deliverables(signing):
        inspector = None if deliverable.kind == "evidence" else ArchiveInspector()
        size = 0
        async with world.provider.fetch(signing, deliverable) as download:
            async for chunk in download.chunks:
                size += len(chunk)
                if inspector is not None:
                    inspector.feed(memoryview(chunk))
        assert size > 0
        if inspector is not None:
            inspector.finish()
            members += inspector.members
    return members


@asynccontextmanager
async def unanswered_start(world: ProviderWorld, order: StartOrder, log: Log) -> AsyncIterator[str]:
    """A start whose last call has invited people, and does not return while the block lasts: the provider's id."""
    world.hold_answer(world.inviting_operation)
    starting = asyncio.create_task(world.provider.start(order, log))
    try:
        async with asyncio.timeout(60):
            while (newest := world.newest()) is None or world.invitations(newest) == 0:
                assert not starting.done()
                await asyncio.sleep(0.01)
        yield newest
        assert not starting.done()
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting


class ProviderContract:
    # False where a callback only says that something has happened to the signing of its address.
    callbacks_tell = True

    # ------------------------------------------------------------------------------------------------ start

    async def test_a_start_invites_once(self, world: ProviderWorld) -> None:
        log, order = Log(), world.order()
        start = await world.provider.start(order, log)
        assert start.provider_signing_id
        assert log.marks == 1
        assert world.invitations(start.provider_signing_id) == 1
        found = await status(world, order, start)
        assert (found.kind, found.known) == (EventKind.ACCEPTED, True)

    async def test_several_documents(self, world: ProviderWorld) -> None:
        if not world.provider.capabilities.several_documents:
            with pytest.raises(UnsupportedFeature):
                world.provider.check(world.order(documents=2).signing)
            return
        order, start = await started(world, documents=2)
        await world.complete(start.provider_signing_id)
        members = await fetched(world, known(order, start))
        assert len(check_expected(members, expected_documents(order.signing))) == 2

    async def test_a_throttled_invitation_was_not_made_and_is_made_later(self, world: ProviderWorld) -> None:
        log, order = Log(), world.order()
        world.throttle(world.inviting_operation, retry_after=7)
        with pytest.raises(Throttled) as refusal:
            await world.provider.start(order, log)
        assert refusal.value.retry_after_seconds == pytest.approx(7, abs=1)
        start = await world.provider.start(order, log)
        assert world.invitations(start.provider_signing_id) == 1

    async def test_trouble_at_the_invitation_is_retryable(self, world: ProviderWorld) -> None:
        world.break_down(world.inviting_operation, status=503)
        with pytest.raises(Retryable):
            await world.provider.start(world.order(), Log())

    async def test_a_lost_answer_to_the_invitation_is_never_disproved(self, world: ProviderWorld) -> None:
        """The proof may be unknown, but it must not be that nobody was invited."""
        log, order = Log(), world.order()
        world.lose_answer(world.inviting_operation)
        with pytest.raises(Retryable):
            await world.provider.start(order, log)
        proof = await world.provider.prove_start(order, log)
        assert proof.invited is not False
        if proof.invited:
            assert proof.started is not None
            assert world.invitations(proof.started.provider_signing_id) == 1

    async def test_an_id_that_a_callback_told_is_proof_and_nothing_is_sent_again(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        told = replace(order, signing=known(order, start))
        proof = await world.provider.prove_start(told, Log())
        assert (proof.invited, proof.started and proof.started.provider_signing_id) == (True, start.provider_signing_id)
        again = await world.provider.start(told, Log())
        assert again.provider_signing_id == start.provider_signing_id
        assert world.invitations(start.provider_signing_id) == 1

    async def test_an_id_that_an_operator_names_can_be_read(self, world: ProviderWorld) -> None:
        """The signing itself knows nothing of it yet."""
        order, start = await started(world)
        found = await world.provider.status(start.provider_signing_id, signing=order.signing)
        assert (found.kind, found.known) == (EventKind.ACCEPTED, True)

    async def test_credits(self, world: ProviderWorld) -> None:
        has_credits = world.exhaust_credits()
        assert has_credits == (world.provider.name in HAVE_CREDITS)
        if not has_credits:
            return
        with pytest.raises(CreditsExhausted):
            await world.provider.start(world.order(), Log())

    # ------------------------------------------------------------------------------------- status and ends

    async def test_completed_is_all_signed_and_says_who(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        await world.complete(start.provider_signing_id)
        found = await status(world, order, start)
        assert found.kind is EventKind.ALL_SIGNED
        assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.SIGNED)]

    @pytest.mark.parametrize("end", sorted(ENDS))
    async def test_each_end(self, world: ProviderWorld, end: str) -> None:
        order, start = await started(world)
        theirs = start.provider_signing_id
        if end == "declined":
            await world.decline(theirs, "The rent is too high")
        else:
            await {"expired": world.expire, "cancelled": world.withdraw, "failed": world.fail}[end](theirs)
        found = await status(world, order, start)
        assert found.kind is (ENDS[end] if end in world.ends else EventKind.ACCEPTED)

    async def test_an_unknown_id_is_not_found(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        unknown = start.provider_signing_id[:-4] + ("0000" if start.provider_signing_id[-4:] != "0000" else "1111")
        with pytest.raises(Permanent):
            await world.provider.status(unknown, signing=order.signing)

    # --------------------------------------------------------------------------------------------- documents

    async def test_what_is_delivered_is_whole_expected_and_signed(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        await world.complete(start.provider_signing_id)
        members = await fetched(world, known(order, start))
        assert check_expected(members, expected_documents(order.signing))

    async def test_evidence_is_fetched_where_the_provider_has_it(self, world: ProviderWorld) -> None:
        """As files of their own, or inside the archive, beside the documents."""
        order, start = await started(world)
        await world.complete(start.provider_signing_id)
        signing = known(order, start)
        kinds = [one.kind for one in await world.provider.deliverables(signing)]
        members = await fetched(world, signing)
        is_inside = kinds == ["archive"] and len(members) > len(order.signing.documents)
        assert ("evidence" in kinds or is_inside) == world.provider.capabilities.evidence

    async def test_names_of_deliverables_are_plain_and_differ(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        await world.complete(start.provider_signing_id)
        names = [one.name for one in await world.provider.deliverables(known(order, start))]
        assert len(set(names)) == len(names) > 0
        assert not any(set(name) & set("/\\\0") for name in names)

    async def test_a_late_seal_is_not_taken_for_the_documents(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        world.late_seal(times=1)
        await world.complete(start.provider_signing_id)
        with pytest.raises((Retryable, ArchiveNotReady)):
            await self._fetched_and_checked(world, order, start)
        await self._fetched_and_checked(world, order, start)

    async def _fetched_and_checked(self, world: ProviderWorld, order: StartOrder, start: Started) -> None:
        members = await fetched(world, known(order, start))
        assert check_expected(members, expected_documents(order.signing))

    # --------------------------------------------------------------------------------------------- callbacks

    async def _completed_callbacks(self, world: ProviderWorld) -> tuple[Started, Sequence[RawCallback]]:
        _, start = await started(world)
        await world.complete(start.provider_signing_id)
        arrived = await world.callbacks(start.provider_signing_id)
        assert arrived
        return start, arrived

    async def test_a_callback_names_its_signing(self, world: ProviderWorld) -> None:
        start, arrived = await self._completed_callbacks(world)
        for raw in arrived:
            verified = await world.provider.verify_callback(raw)
            assert {one.provider_signing_id for one in world.provider.notices(verified)} == {start.provider_signing_id}

    async def test_an_early_callback_can_be_acted_upon_before_the_start_call_returns(
        self, world: ProviderWorld
    ) -> None:
        """By the id that it tells, or else by what the start has found out so far."""
        log, order = Log(), world.order()
        async with unanswered_start(world, order, log) as theirs:
            await world.complete(theirs)
            arrived = await world.callbacks(theirs)
            assert arrived
            for raw in arrived:
                (notice,) = world.provider.notices(await world.provider.verify_callback(raw))
                told = notice.provider_signing_id
                assert told == (theirs if self.callbacks_tell else None)
                informed = replace(order, signing=order.signing.model_copy(update={"provider_signing_id": told}))
                proof = await world.provider.prove_start(informed, log)
                assert (proof.invited, proof.started and proof.started.provider_signing_id) == (True, theirs)
                found = await world.provider.status(theirs, notice.access_key, signing=order.signing)
                assert found.kind is EventKind.ALL_SIGNED
        assert world.invitations(theirs) == 1

    async def test_a_late_read_shows_the_state_before_and_only_the_callback_says_that_it_is_over(
        self, world: ProviderWorld
    ) -> None:
        """Which is what makes the flow ask again."""
        order, start = await started(world)
        before = await world.callbacks(start.provider_signing_id)
        world.late_status(times=1)
        await world.complete(start.provider_signing_id)
        arrived = (await world.callbacks(start.provider_signing_id))[len(before) :]
        notices = [one for raw in arrived for one in world.provider.notices(await world.provider.verify_callback(raw))]
        assert any(one.claims_end for one in notices) == self.callbacks_tell
        assert (await status(world, order, start)).kind is EventKind.ACCEPTED
        assert (await status(world, order, start)).kind is EventKind.ALL_SIGNED

    async def test_no_callback_claims_an_end_while_somebody_has_yet_to_sign(self, world: ProviderWorld) -> None:
        _, start = await started(world)
        for raw in await world.callbacks(start.provider_signing_id):
            notices = world.provider.notices(await world.provider.verify_callback(raw))
            assert [one.claims_end for one in notices] == [False] * len(notices)

    async def test_a_repeated_callback_is_recognised_once_it_is_remembered(self, world: ProviderWorld) -> None:
        _, arrived = await self._completed_callbacks(world)
        first = await world.provider.verify_callback(arrived[-1])
        again = await world.provider.verify_callback(arrived[-1])
        assert first.event_key == again.event_key
        assert not world.provider.seen_before(again)
        world.provider.remember(first)
        assert world.provider.seen_before(again)

    async def test_a_forged_callback_is_refused(self, world: ProviderWorld) -> None:
        _, arrived = await self._completed_callbacks(world)
        forged = world.forged(arrived[-1])
        assert (forged is None) == (not world.provider.capabilities.signed_callbacks)
        if forged is not None:
            with pytest.raises(VerificationFailed):
                await world.provider.verify_callback(forged)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"<html></html>", b'{"a":' * 500])
    async def test_nonsense_is_refused_and_never_crashes(self, world: ProviderWorld, body: bytes) -> None:
        _, arrived = await self._completed_callbacks(world)
        genuine = arrived[-1]
        raw = RawCallback(genuine.method, genuine.headers, body, genuine.received_at, {})
        with pytest.raises(VerificationFailed) as refusal:
            world.provider.notices(await world.provider.verify_callback(raw))
        assert refusal.value.status in {400, 401}

    # ------------------------------------------------------------------------------------------ capabilities

    @pytest.mark.parametrize("wish", ["message", "role", "placement", "format", "qualified", "option", "media_type"])
    async def test_a_wish_that_cannot_be_granted_is_refused_before_any_call(
        self, world: ProviderWorld, wish: str
    ) -> None:
        signing = self._wishing(world, wish)
        if signing is None:
            return
        before = len(world.calls_made)
        with pytest.raises(UnsupportedFeature) as refusal:
            world.provider.check(signing)
        assert refusal.value.field
        assert len(world.calls_made) == before

    def _wishing(self, world: ProviderWorld, wish: str) -> Signing | None:
        """A signing with a wish that this provider lacks; None when it lacks none of that kind."""
        can, signing = world.provider.capabilities, world.order().signing
        person, document = signing.participants[0], signing.documents[0]
        if wish == "message":
            return None if can.message else signing.model_copy(update={"message": "please"})
        if wish == "qualified":
            return None if can.qualified_only else signing.model_copy(update={"qualified_only": True})
        if wish == "option":
            return signing.model_copy(update={"options": {"no_such_option": 1}})
        if wish == "media_type":
            odd = document.model_copy(update={"media_type": "video/mp4"})
            return signing.model_copy(update={"documents": (odd,)})
        if wish == "format":
            lacking = sorted(set(ResultFormat) - can.formats)
            return signing.model_copy(update={"format": lacking[0]}) if lacking else None
        if wish == "role":
            lacking_roles = sorted(set(Role) - can.roles)
            changed = person.model_copy(update={"role": lacking_roles[0], "placements": ()}) if lacking_roles else None
        else:
            lacking_places = sorted(set(PlacementKind) - can.placements)
            place = {
                PlacementKind.TEXT: Placement(text="_x_"),
                PlacementKind.FIELD: Placement(field="Sig1"),
                PlacementKind.COORDINATES: Placement(page=1, x=1, y=1, width=10, height=5),
            }
            changed = person.model_copy(update={"placements": (place[lacking_places[0]],)}) if lacking_places else None
        return signing.model_copy(update={"participants": (changed,)}) if changed else None

    async def test_a_missing_phone_is_named(self, world: ProviderWorld) -> None:
        signing = world.order().signing
        without = signing.participants[0].model_copy(update={"phone": None})
        signing = signing.model_copy(update={"participants": (without,)})
        if not world.provider.capabilities.phone_required:
            world.provider.check(signing)
            return
        with pytest.raises(InvalidRequest) as refusal:
            world.provider.check(signing)
        assert [one.field for one in refusal.value.fields] == ["participants[0].phone"]

    # ------------------------------------------------------------------------------------------------ manage

    def _can(self, world: ProviderWorld, action: Action) -> bool:
        return action in world.provider.capabilities.actions

    async def test_cancel(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        if not self._can(world, Action.CANCEL):
            with pytest.raises(UnsupportedFeature):
                await world.provider.cancel(known(order, start))
            return
        await world.provider.cancel(known(order, start), "typing error")
        found = await status(world, order, start)
        assert found.kind is EventKind.CANCELLED

    async def test_remind(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        before = len(world.calls_made)
        if not self._can(world, Action.REMIND):
            with pytest.raises(UnsupportedFeature):
                await world.provider.remind(known(order, start))
            assert len(world.calls_made) == before
            return
        await world.provider.remind(known(order, start))
        assert len(world.calls_made) > before
        assert (await status(world, order, start)).kind is EventKind.ACCEPTED

    async def test_links(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        if not self._can(world, Action.LINKS):
            with pytest.raises(UnsupportedFeature):
                await world.provider.links(known(order, start))
            return
        (link,) = await world.provider.links(known(order, start))
        assert link.number == 1
        assert link.url.startswith("http")
        assert link.url not in repr(link)

    async def test_delete_is_for_good_and_may_be_repeated(self, world: ProviderWorld) -> None:
        order, start = await started(world)
        if not self._can(world, Action.DELETE):
            with pytest.raises(UnsupportedFeature):
                await world.provider.delete(known(order, start))
            return
        await world.complete(start.provider_signing_id)
        await world.provider.delete(known(order, start))
        with pytest.raises(ProviderNotFound):
            await status(world, order, start)
        await world.provider.delete(known(order, start))

    # -------------------------------------------------------------------------------------------- operations

    async def test_an_unknown_operation_is_named_and_not_called(self, world: ProviderWorld) -> None:
        before = len(world.calls_made)
        with pytest.raises(NotFound, match="No_Such"):
            async with world.provider.operate("No_Such", {}):
                pytest.fail("there is no such operation")
        assert len(world.calls_made) == before

    async def test_is_reachable(self, world: ProviderWorld) -> None:
        assert await world.provider.is_reachable()
