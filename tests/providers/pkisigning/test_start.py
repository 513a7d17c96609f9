"""Starting at the simulated platform: once and only once, whatever is lost or killed in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning import Options, PkisigningSandbox
from shared.domain.errors import CreditsExhausted, LeaseLost, NotReady, ProviderError, Rejected, Unavailable
from shared.domain.signing import Placement, Role, Signing
from shared.ports import Started
from shared.providers.pkisigning import DOCX
from shared.providers.pkisigning.provider import PkisigningProvider
from tests.providers.pkisigning.samples import document, observer, order, provider_at, signer, signing
from tests.providers.stand_ins import MemoryLog

BIG = signing(
    signer(1, placements=(Placement(document=1, text="_signer1_"), Placement(document=2, text="_signer1_"))),
    signer(2, order=2, placements=(Placement(document=1, text="_signer2_"),)),
    observer(3, order=3),
    signer(4, role=Role.APPROVER, placements=()),
    documents=(document(1), document(2, DOCX)),
)
# Per document: signers 1 and 2 on the first, signer 1 on the second; the observer and the approver on both.
BIG_ACTORS = 7


@pytest.fixture
async def sandbox() -> AsyncIterator[PkisigningSandbox]:
    async with PkisigningSandbox.start(options=Options(docx_polls=1, credits=10_000, rate_limit=10_000)) as running:
        yield running


@pytest.fixture
async def provider(sandbox: PkisigningSandbox) -> AsyncIterator[PkisigningProvider]:
    async with provider_at(sandbox) as built:
        yield built


def operations_called(sandbox: PkisigningSandbox) -> Counter[str]:
    return Counter(call.operation for call in sandbox.calls)


def assert_invited_once(sandbox: PkisigningSandbox, started: Started, documents: int, actors: int) -> None:
    request = sandbox.state.requests[started.provider_signing_id]
    assert len(request.documents) == documents
    assert len(request.actors) == actors
    assert sum(bool(one.actors) for one in sandbox.state.requests.values()) == 1
    sent = [call for call in sandbox.calls if call.operation == "Requests_Send"]
    assert len(sent) == 1
    assert {one.request_id for one in sandbox.state.invitations} == {started.provider_signing_id}


async def start_again(provider: PkisigningProvider, log: MemoryLog, of: Signing) -> Started:
    """What the flow does: looks for proof first when the invitation is uncertain."""
    if log.inviting_calls:
        proof = await provider.prove_start(order(of), log)
        assert proof.invited is not None
        if proof.started is not None:
            return proof.started
    return await provider.start(order(of), log)


async def test_two_documents_and_four_people_in_one_go(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    log = MemoryLog()
    provider.check(BIG)
    started = await provider.start(order(BIG), log)
    assert_invited_once(sandbox, started, documents=2, actors=BIG_ACTORS)
    assert log.facts.keys() == {"provider_signing_id", "document_1", "document_2"}
    assert log.inviting_calls == 1
    assert operations_called(sandbox)["Actors_Create"] == BIG_ACTORS
    turns = sorted(sandbox.state.requests[started.provider_signing_id].actors, key=lambda one: one.turn)
    assert [one.body.email for one in turns][-2:] == ["ada3@example.org", "ada3@example.org"]


# Token, create, 2 uploads, 2 polls of the DOCX, 7 actors, send.
@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.HANG_UP_BEFORE, FaultKind.STATUS_AFTER])
@pytest.mark.parametrize("call", range(1, 14))
async def test_a_start_cut_off_at_any_call_carries_on(
    sandbox: PkisigningSandbox, provider: PkisigningProvider, call: int, kind: FaultKind
) -> None:
    sandbox.fault(kind, skip=call)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(BIG), log)
    assert sandbox.faults.log
    started = await start_again(provider, log, BIG)
    request = sandbox.state.requests[started.provider_signing_id]
    assert (len(request.documents), len(request.actors)) == (2, BIG_ACTORS)
    assert len({(one.document_id, one.action, one.body.email) for one in request.actors}) == BIG_ACTORS
    assert {one.request_id for one in sandbox.state.invitations} == {started.provider_signing_id}
    # The invitation was repeated only where the first try provably did nothing.
    sends = operations_called(sandbox)["Requests_Send"]
    assert sends == (2 if kind is FaultKind.HANG_UP_BEFORE and call == 13 else 1)


class DyingLog(MemoryLog):
    """Dies at its nth write: before it took effect, or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = at, after

    async def checkpoint(self, **facts: str) -> None:
        if self.left and not self.after:
            self._count()
        await super().checkpoint(**facts)
        if self.left and self.after:
            self._count()

    async def alive(self) -> None:
        return None

    async def inviting(self) -> None:
        await super().inviting()
        if self.left:
            self._count()

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            raise LeaseLost("killed")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_start_killed_at_any_checkpoint_carries_on(
    sandbox: PkisigningSandbox, provider: PkisigningProvider, at: int, after: bool
) -> None:
    log = DyingLog(at, after=after)
    with pytest.raises(LeaseLost):
        await provider.start(order(BIG), log)
    started = await start_again(provider, log, BIG)
    assert_invited_once(sandbox, started, documents=2, actors=BIG_ACTORS)


async def test_an_actor_that_nobody_wants_is_removed_before_the_invitation(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    log = DyingLog(3, after=False)
    with pytest.raises(LeaseLost):
        await provider.start(order(signing(signer(1), observer(2, order=2))), log)
    started = await provider.start(order(signing(signer(1))), log)
    assert_invited_once(sandbox, started, documents=1, actors=1)


async def test_a_language_that_is_not_spoken_leaves_a_warning(
    provider: PkisigningProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await provider.start(order(signing(language="nl")), MemoryLog())
    assert "language_fallback" not in caplog.text
    await provider.start(order(signing(language="de")), MemoryLog())
    assert "language_fallback" in caplog.text


async def test_a_request_that_was_sent_is_never_sent_again(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    log = MemoryLog()
    first = await provider.start(order(BIG), log)
    second = await provider.start(order(BIG), log)
    assert second.provider_signing_id == first.provider_signing_id
    assert second.provider_status in {"PendingSignature", "PendingApproval"}
    assert log.inviting_calls == 1
    assert_invited_once(sandbox, first, documents=2, actors=BIG_ACTORS)


@pytest.mark.parametrize("status", [400, 409])
async def test_a_refused_send_is_read_back(
    sandbox: PkisigningSandbox, provider: PkisigningProvider, status: int
) -> None:
    sandbox.fault(FaultKind.STATUS_AFTER, "Requests_Send", status=status)
    started = await provider.start(order(signing()), MemoryLog())
    assert started.provider_status == "PendingSignature"
    assert_invited_once(sandbox, started, documents=1, actors=1)


async def test_a_send_refused_without_effect_stays_refused(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    sandbox.fault(FaultKind.STATUS, "Requests_Send", status=409)
    log = MemoryLog()
    with pytest.raises(Rejected):
        await provider.start(order(signing()), log)
    assert (await provider.prove_start(order(signing()), log)).invited is False
    assert sandbox.invitations_total == 0


async def test_without_credits_nobody_is_invited(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    sandbox.set_credits(0)
    log = MemoryLog()
    with pytest.raises(CreditsExhausted):
        await provider.start(order(signing()), log)
    assert sandbox.invitations_total == 0
    sandbox.set_credits(10)
    started = await provider.start(order(signing()), log)
    assert_invited_once(sandbox, started, documents=1, actors=1)


async def test_a_document_that_stays_unprocessed_is_waited_for_and_then_retried(sandbox: PkisigningSandbox) -> None:
    sandbox.options.docx_polls = 8
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    wish = signing(documents=(document(1, DOCX),))
    log = MemoryLog()
    async with provider_at(sandbox, pause=pause) as patient:
        with pytest.raises(NotReady):
            await patient.start(order(wish), log)
        assert pauses == [1, 2, 4, 8, 16, 30]
        started = await patient.start(order(wish), log)
    assert_invited_once(sandbox, started, documents=1, actors=1)


async def test_a_draft_that_nobody_was_invited_to_is_no_proof(provider: PkisigningProvider) -> None:
    assert (await provider.prove_start(order(signing()), MemoryLog())).invited is False


async def test_people_who_share_an_address_are_all_invited(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    both = signing(signer(1, email="Office@example.org"), signer(2, email="office@example.org"))
    sandbox.fault(FaultKind.LOST_ANSWER, "Actors_Create")
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(both), log)
    started = await provider.start(order(both), log)
    places = [
        one.placement.placeholder
        for one in sandbox.state.requests[started.provider_signing_id].actors
        if one.placement is not None
    ]
    assert places == ["_signer1_", "_signer2_"]


@pytest.mark.parametrize("form", ["pkisId", "dossierId", "requestId", "id", "string"])
async def test_v1_starts_in_one_call(sandbox: PkisigningSandbox, form: str) -> None:
    sandbox.options.start_answer = form  # type: ignore[assignment]
    log = MemoryLog()
    wish = signing(signer(1), observer(2, order=2), message="Please sign soon.")
    async with provider_at(sandbox, api="v1") as provider:
        provider.check(wish)
        started = await provider.start(order(wish), log)
        again = await provider.start(order(wish), MemoryLog({"provider_signing_id": started.provider_signing_id}))
        status = await provider.status(started.provider_signing_id)
    assert log.inviting_calls == 1
    assert again == Started(started.provider_signing_id)
    assert status.provider_status == "PendingSignature"
    request = sandbox.state.requests[started.provider_signing_id]
    assert (request.signer_note, request.callback_url) == ("Please sign soon.", order(wish).callback_url)
    assert operations_called(sandbox)["Share_StartSignFlow"] == 1


async def test_an_uncertain_v1_start_is_not_repeated(sandbox: PkisigningSandbox) -> None:
    sandbox.fault(FaultKind.LOST_ANSWER, "Share_StartSignFlow")
    log = MemoryLog()
    async with provider_at(sandbox, api="v1") as provider:
        with pytest.raises(Unavailable) as caught:
            await provider.start(order(signing()), log)
        assert caught.value.sent
        assert (await provider.prove_start(order(signing()), log)).invited is None
        (request_id,) = sandbox.state.requests
        log.facts["provider_signing_id"] = request_id  # a callback told it
        proof = await provider.prove_start(order(signing()), log)
    assert proof.invited
    assert proof.started is not None
    assert proof.started.provider_signing_id == request_id


async def test_an_unreadable_v1_answer_counts_as_uncertain(sandbox: PkisigningSandbox) -> None:
    sandbox.fault(FaultKind.CORRUPT, "Share_StartSignFlow", at_byte=14)
    async with provider_at(sandbox, api="v1") as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.start(order(signing()), MemoryLog())
    assert caught.value.code == "provider_answer_unreadable"
    assert isinstance(caught.value, Unavailable)
    assert caught.value.sent
