"""Starting at the simulated platform: once and only once, whatever is lost or killed in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import pytest

from local.sandbox.faults import FaultKind
from shared.domain.errors import (
    LeaseLost,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from shared.ports import Started, StartOrder
from tests.providers.signicat.samples import observer, order, signer, started
from tests.providers.signicat.world import World
from tests.providers.stand_ins import MemoryLog

PEOPLE = (signer(1), signer(2, order=2), signer(3, order=2), observer(4, order=3))


@dataclass
class DyingLog(MemoryLog):
    """Loses the lease at its nth write, before or after the write took effect."""

    dies_at: int = 0
    after: bool = True
    written: int = 0

    async def checkpoint(self, **facts: str) -> None:
        self._die(self.after is False)
        await super().checkpoint(**facts)
        self._die(self.after)

    async def alive(self) -> None:
        return None

    async def inviting(self) -> None:
        self._die(self.after is False)
        await super().inviting()
        self._die(self.after)

    def _die(self, now: bool) -> None:
        if not now:
            return
        self.written += 1
        if self.written == self.dies_at:
            raise LeaseLost("another worker took over")


def calls(world: World) -> Counter[str]:
    return Counter(world.calls_made)


async def start_again(world: World, of: StartOrder, log: MemoryLog) -> Started:
    """What the flow does: looks for proof first when the invitation is uncertain."""
    if log.inviting_calls:
        proof = await world.provider.prove_start(of, log)
        assert proof.started is not None
        return proof.started
    return await world.provider.start(of, log)


async def test_two_documents_and_four_people_in_one_go(world: World) -> None:
    of, log = world.order(participants=PEOPLE, documents=2), MemoryLog()
    world.provider.check(of.signing)
    begun = await world.provider.start(of, log)
    assert calls(world) == {"getAccessToken": 1, "uploadSessionDocument": 2, "createSigningOrder": 1}
    assert set(log.facts) == {"document_1", "document_2"}
    assert log.inviting_calls == 1
    assert begun.provider_status == "CREATED"
    body = world.sandbox.order(begun.provider_signing_id).body
    assert body.clientReference == of.signing.id
    assert [one.dependsOnTasks for one in body.tasks] == [
        None,
        ["participant-1"],
        ["participant-1"],
        ["participant-2", "participant-3"],
    ]
    assert [[document.action for document in one.documents] for one in body.tasks] == [["SIGN"] * 2] * 3 + [
        ["VIEW"] * 2
    ]
    packages = body.packagingTasks or []
    assert [one.id for one in packages] == ["package-1", "package-2"]
    for number, package in enumerate(packages, start=1):
        assert {(one.taskId, *one.documentIds) for one in package.documents} == {
            (f"participant-{person}", f"document-{number}") for person in (1, 2, 3)
        }


async def test_the_people_are_invited_with_their_own_address(world: World) -> None:
    of = world.order(participants=(signer(1, language="nb"), signer(2, message="Dear Bob")), message="Hello all")
    begun = await world.provider.start(of, MemoryLog())
    sent = world.sandbox.order(begun.provider_signing_id)
    first, second = sent.mails
    assert (first.type, first.recipient, second.recipient) == ("EMAIL", "ada1@example.org", "ada2@example.org")
    assert first.text.startswith("Hello all\n\nEt dokument venter på deg: Lease 2030-17.")
    assert first.text.endswith(world.sandbox.signing_url(sent.id, "participant-1"))
    assert second.text.startswith("Dear Bob\n\nA document is waiting for you")


async def test_a_language_that_is_not_spoken_leaves_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.provider.start(world.order(language="nn"), MemoryLog())
    assert "language_fallback" not in caplog.text
    begun = await world.provider.start(world.order(language="de"), MemoryLog())
    assert "language_fallback" in caplog.text
    assert world.sandbox.order(begun.provider_signing_id).body.tasks[0].language == "en"


# ------------------------------------------------------------------------------------------------- resumption


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", [1, 2])
async def test_a_start_killed_at_any_checkpoint_carries_on(world: World, dies_at: int, after: bool) -> None:
    of, log = world.order(participants=PEOPLE, documents=2), DyingLog(dies_at=dies_at, after=after)
    with pytest.raises(LeaseLost):
        await world.provider.start(of, log)
    begun = await start_again(world, of, log)
    assert world.invitations(begun.provider_signing_id) == 1
    body = world.sandbox.order(begun.provider_signing_id).body
    assert [one.documentRef for one in body.tasks[0].documents] == [log.facts["document_1"], log.facts["document_2"]]
    wasted = 0 if after else 1
    assert calls(world)["uploadSessionDocument"] == 2 + wasted


async def test_a_start_killed_at_the_mark_waits_for_proof(world: World) -> None:
    """The mark says that the call may have been made: nothing can be looked up, so nothing is known."""
    of, log = world.order(), DyingLog(dies_at=2, after=True)
    with pytest.raises(LeaseLost):
        await world.provider.start(of, log)
    assert (await world.provider.prove_start(of, log)).invited is None
    assert calls(world)["createSigningOrder"] == 0


@pytest.mark.parametrize("operation", ["uploadSessionDocument", "createSigningOrder"])
@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.HANG_UP_BEFORE])
async def test_a_call_that_fails_before_it_acts(world: World, operation: str, kind: FaultKind) -> None:
    of, log = world.order(documents=2), MemoryLog()
    world.sandbox.fault(kind, operation, status=503)
    with pytest.raises(Unavailable) as caught:
        await world.provider.start(of, log)
    assert caught.value.sent
    assert world.sandbox.state.ever == []


async def test_an_upload_whose_answer_is_lost_is_made_again(world: World) -> None:
    of, log = world.order(documents=2), MemoryLog()
    world.lose_answer("uploadSessionDocument")
    with pytest.raises(Unavailable):
        await world.provider.start(of, log)
    begun = await start_again(world, of, log)
    assert world.invitations(begun.provider_signing_id) == 1
    assert len(world.sandbox.state.uploads) == 3


async def test_an_order_whose_answer_is_lost_is_proven_by_its_callback(world: World) -> None:
    """Orders cannot be looked up; the first notification brings the id, and that the order is ours is checked."""
    of, log = world.order(), MemoryLog()
    world.lose_answer("createSigningOrder")
    with pytest.raises(Unavailable) as caught:
        await world.provider.start(of, log)
    assert caught.value.sent
    assert (await world.provider.prove_start(of, log)).invited is None
    (made,) = world.sandbox.state.ever
    (raw,) = await world.callbacks(made.id)
    (notice,) = world.provider.notices(await world.provider.verify_callback(raw))
    assert (notice.provider_signing_id, notice.provider_status) == (made.id, "CREATED")
    known = order(started(of.signing, made.id), of.callback_url)
    proof = await world.provider.prove_start(known, log)
    assert (proof.invited, proof.started) == (True, Started(made.id, "CREATED"))
    assert await world.provider.start(known, log) == proof.started
    assert world.invitations(made.id) == 1


async def test_an_order_of_another_signing_proves_nothing(world: World) -> None:
    begun = await world.provider.start(world.order(), MemoryLog())
    other = world.order(id="0190163d-8694-739b-aea5-00000000ffff")
    claimed = order(started(other.signing, begun.provider_signing_id))
    with pytest.raises(ProviderNotFound):
        await world.provider.prove_start(claimed, MemoryLog())
    with pytest.raises(ProviderNotFound):
        await world.provider.start(claimed, MemoryLog())
    with pytest.raises(ProviderNotFound):
        await world.provider.status(begun.provider_signing_id, signing=claimed.signing)


async def test_an_upload_that_the_platform_forgot_is_made_again(world: World) -> None:
    of, log = world.order(documents=2), DyingLog(dies_at=2)
    with pytest.raises(LeaseLost):
        await world.provider.start(of, log)
    forgotten = log.facts["document_1"]
    del world.sandbox.state.uploads[forgotten]
    begun = await world.provider.start(of, log)
    assert log.facts["document_1"] != forgotten
    assert calls(world)["uploadSessionDocument"] == 3
    assert world.invitations(begun.provider_signing_id) == 1


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "error"), [(400, Rejected), (413, Rejected), (403, Unauthorised), (429, Throttled), (500, Unavailable)]
)
@pytest.mark.parametrize("operation", ["uploadSessionDocument", "createSigningOrder"])
async def test_each_refusal_has_its_verdict(
    world: World, operation: str, status: int, error: type[ProviderError]
) -> None:
    world.break_down(operation, status=status)
    with pytest.raises(error):
        await world.provider.start(world.order(), MemoryLog())


async def test_violations_are_passed_on(world: World) -> None:
    """The simulator wants to know every upload; what it objects to reaches the caller."""

    class Forgetful(MemoryLog):
        async def alive(self) -> None:
            return None

        async def inviting(self) -> None:
            world.sandbox.state.uploads.clear()

    with pytest.raises(Rejected) as caught:
        await world.provider.start(world.order(documents=2), Forgetful())
    assert "Constraint Violation; tasks[0].documents[0].documentRef: Unknown document" in caught.value.detail


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_success_code_will_do(world: World, status: Literal[200, 201, 202]) -> None:
    world.sandbox.options.created_status = status
    begun = await world.provider.start(world.order(), MemoryLog())
    assert world.invitations(begun.provider_signing_id) == 1


async def test_options_reach_the_order(world: World) -> None:
    options = {
        "signature_methods": "ftn-sign:AUTHENTICATION_BASED, handwritten",
        "configuration": "pades",
        "profile": "blue",
        "days_until_deletion": 3,
        "subject_attributes": {"1": {"national-id": "10109001290"}},
        "on_task_complete": "https://app.example.org/done",
    }
    of = world.order(options=options)
    world.provider.check(of.signing)
    begun = await world.provider.start(of, MemoryLog())
    body = world.sandbox.order(begun.provider_signing_id).body
    (task,) = body.tasks
    assert body.daysUntilDeletion == 3
    assert [(one.name, one.type, one.handwritten) for one in task.signatureMethods or ()] == [
        ("ftn-sign", "AUTHENTICATION_BASED", None),
        (None, None, True),
    ]
    assert (task.configuration, task.profile, task.onTaskComplete) == ("pades", "blue", "https://app.example.org/done")
    assert task.subject is not None
    assert [(one.name, one.value, one.methods) for one in task.subject.attributes or ()] == [
        ("national-id", "10109001290", ["ftn-sign"])
    ]
