"""Starting at the simulated environment: once and only once, whatever is lost or killed in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from local.sandbox.connective import ConnectiveSandbox, Options
from local.sandbox.faults import FaultKind
from shared.domain.errors import LeaseLost, ProviderNotFound, Rejected, Throttled, Unauthorised, Unavailable
from shared.domain.signing import Placement, Signing
from shared.ports import Started
from shared.providers.connective.provider import ConnectiveProvider
from tests.providers.connective.samples import (
    NOW,
    SIGNING_ID,
    approver,
    document,
    observer,
    order,
    provider_at,
    signer,
    signing,
)
from tests.providers.stand_ins import MemoryLog, ScriptedServer

BIG = signing(
    approver(1),
    signer(2, order=2, placements=(Placement(text="_signer1_"), Placement(document=2, text="_signer1_"))),
    signer(3, order=3, placements=(Placement(document=2, x=10, y=70),)),
    observer(4, order=4),
    documents=(document(1), document(2)),
)
SMALL = signing()
INSTANT = signing(options={"instant": True})


@pytest.fixture
async def sandbox() -> AsyncIterator[ConnectiveSandbox]:
    async with ConnectiveSandbox.start(options=Options(rate_limit=10_000)) as running:
        yield running


@pytest.fixture
async def provider(sandbox: ConnectiveSandbox) -> AsyncIterator[ConnectiveProvider]:
    async with provider_at(sandbox) as built:
        yield built


def operations_called(sandbox: ConnectiveSandbox) -> Counter[str]:
    return Counter(call.operation for call in sandbox.calls)


def assert_invited_once(sandbox: ConnectiveSandbox, started: Started, documents: int, people: int) -> None:
    package = sandbox.state.packages[started.provider_signing_id]
    assert (len(package.documents), len(package.stakeholders)) == (documents, people)
    assert dict(sandbox.state.openings) == {package.id: 1}
    assert package.reference == SIGNING_ID


async def start_again(provider: ConnectiveProvider, log: MemoryLog, of: Signing) -> Started:
    """What the flow does: looks for proof first when the invitation is uncertain."""
    if log.inviting_calls:
        proof = await provider.prove_start(order(of), log)
        assert proof.invited is not None
        if proof.started is not None:
            return proof.started
    return await provider.start(order(of), log)


async def test_two_documents_and_four_people_in_one_go(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    log = MemoryLog()
    provider.check(BIG)
    started = await provider.start(order(BIG), log)
    assert_invited_once(sandbox, started, documents=2, people=4)
    assert started.provider_status == "Pending"
    assert log.facts.keys() == {"create_tried", "provider_signing_id", "document_1", "document_2"}
    assert log.inviting_calls == 1
    package = sandbox.state.packages[started.provider_signing_id]
    assert [(one.kind, one.status.value) for one in package.actors] == [
        ("Approver", "Available"),
        ("Signer", "Waiting"),
        ("Signer", "Waiting"),
        ("Receiver", "Waiting"),
    ]
    assert package.locations[-1].box == (1, 59.5, 589.4, 170, 60)
    await sandbox.complete(package.id)
    assert package.status.value == "Finished"


async def test_v3_describes_people_without_approvers(sandbox: ConnectiveSandbox) -> None:
    async with provider_at(sandbox, process="v3") as provider:
        started = await provider.start(order(signing(signer(1), observer(2))), MemoryLog())
    assert_invited_once(sandbox, started, documents=1, people=2)
    assert operations_called(sandbox)["SetProcessInformation"] == 1


# Create, 2 uploads, locations, process, send.
@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.HANG_UP_BEFORE, FaultKind.STATUS_AFTER])
@pytest.mark.parametrize("call", range(6))
async def test_a_start_cut_off_at_any_call_carries_on(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, call: int, kind: FaultKind
) -> None:
    sandbox.fault(kind, skip=call)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(BIG), log)
    assert sandbox.faults.log
    started = await start_again(provider, log, BIG)
    assert_invited_once(sandbox, started, documents=2, people=4)
    assert len(sandbox.state.packages) == 1
    # The invitation was repeated only where the first try provably did nothing.
    sends = operations_called(sandbox)["SetPackageStatus"]
    assert sends == (2 if kind is FaultKind.HANG_UP_BEFORE and call == 5 else 1)


class DyingLog(MemoryLog):
    """Dies at its nth write: before it took effect, or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = at, after

    async def checkpoint(self, **facts: str) -> None:
        if not self.after:
            self._count()
        await super().checkpoint(**facts)
        if self.after:
            self._count()

    async def alive(self) -> None:
        return None

    async def inviting(self) -> None:
        await super().inviting()
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            raise LeaseLost("killed")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 6))
async def test_a_start_killed_at_any_checkpoint_carries_on(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, at: int, after: bool
) -> None:
    log = DyingLog(at, after=after)
    with pytest.raises(LeaseLost):
        await provider.start(order(BIG), log)
    started = await start_again(provider, log, BIG)
    assert_invited_once(sandbox, started, documents=2, people=4)
    assert len(sandbox.state.packages) == 1


async def test_an_upload_that_takes_effect_late_is_taken_out_again(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    sandbox.fault(FaultKind.STATUS, "SetProcessInformationV31", status=503)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(SMALL), log)
    (package,) = sandbox.state.packages.values()
    (one,) = package.documents
    late = type(one)(**{**vars(one), "id": "5a088654-b5d0-4223-a6fa-a930ef2e383e", "locations": []})
    package.documents.append(late)
    started = await provider.start(order(SMALL), log)
    assert_invited_once(sandbox, started, documents=1, people=1)
    assert package.documents == [one]


async def test_a_package_that_was_sent_is_never_sent_again(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    log = MemoryLog()
    first = await provider.start(order(BIG), log)
    second = await provider.start(order(BIG), log)
    assert second == first
    assert log.inviting_calls == 1
    assert_invited_once(sandbox, first, documents=2, people=4)


@pytest.mark.parametrize("status", [400, 409])
async def test_a_refused_send_is_read_back(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, status: int
) -> None:
    sandbox.fault(FaultKind.STATUS_AFTER, "SetPackageStatus", status=status)
    started = await provider.start(order(SMALL), MemoryLog())
    assert started.provider_status == "Pending"
    assert_invited_once(sandbox, started, documents=1, people=1)


async def test_a_send_refused_without_effect_stays_refused(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    sandbox.fault(FaultKind.STATUS, "SetPackageStatus", status=409)
    log = MemoryLog()
    with pytest.raises(Rejected):
        await provider.start(order(SMALL), log)
    assert (await provider.prove_start(order(SMALL), log)).invited is False
    assert sandbox.invitations_total == 0


async def test_proof_is_found_by_our_own_id_on_a_later_page(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    others = [signing(id=f"0190163d-8694-739b-aea5-{number:012}") for number in range(3)]
    for one in others:
        await provider.start(order(one), MemoryLog())
    started = await provider.start(order(SMALL), MemoryLog())
    sandbox.fault(FaultKind.CORRUPT, "PackageList", at_byte=0)
    with pytest.raises(Unavailable):
        await provider.prove_start(order(SMALL), MemoryLog())
    proof = await provider.prove_start(order(SMALL), MemoryLog())
    assert proof.started == started
    missing = await provider.prove_start(order(signing(id="0190163d-0000-739b-aea5-000000000000")), MemoryLog())
    assert missing.invited is False


async def test_the_list_is_read_to_its_end_and_no_further() -> None:
    """Pages without the signing, then a token that repeats: a list that runs in a circle ends."""
    async with (
        ScriptedServer.start() as server,
        ConnectiveSandbox.start() as sandbox,
        provider_at(sandbox, host=server.base_url) as provider,
    ):
        other = {"Id": "1", "PackageStatus": "DRAFT", "ExternalPackageReference": None}
        pages = [{"ContinuationToken": token, "Items": [other]} for token in ("a", "b", "a")]
        server.answers(*[web.json_response(one) for one in pages])
        assert (await provider.prove_start(order(SMALL), MemoryLog())).invited is None
        assert [one.raw_path.count("ContinuationToken") for one in server.seen] == [0, 1, 1]
        tokens = iter(range(10_000))
        server.answers(lambda: web.json_response({"ContinuationToken": str(next(tokens)), "Items": [other]}))
        assert (await provider.prove_start(order(SMALL), MemoryLog())).invited is None


@pytest.mark.parametrize(
    ("page", "invited"),
    [
        ({"Total": 1}, False),
        ({"Total": 2}, None),
        ({}, None),
        ({"Total": 1, "ContinuationToken": "more"}, None),
    ],
)
async def test_absence_is_proof_only_in_a_list_that_is_whole(page: dict[str, object], invited: bool | None) -> None:
    """People would be invited again on the strength of it."""
    async with (
        ScriptedServer.start() as server,
        ConnectiveSandbox.start() as sandbox,
        provider_at(sandbox, host=server.base_url) as provider,
    ):
        other = {"Id": "1", "PackageStatus": "DRAFT", "ExternalPackageReference": None}
        empty = {"Items": [], "ContinuationToken": "more", "Total": page.get("Total")}
        server.answers(web.json_response(page | {"Items": [other]}), web.json_response(empty))
        assert (await provider.prove_start(order(SMALL), MemoryLog())).invited is invited


async def test_a_search_that_is_refused_costs_only_an_empty_draft(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fault(FaultKind.LOST_ANSWER, "CreatePackage")
    sandbox.fault(FaultKind.STATUS, "PackageList", status=400)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(SMALL), log)
    started = await provider.start(order(SMALL), log)
    assert_invited_once(sandbox, started, documents=1, people=1)
    assert len(sandbox.state.packages) == 2
    assert "draft_search_refused" in caplog.text


async def test_a_marker_that_is_not_in_the_document_is_refused(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    nowhere = signing(signer(1, placements=(Placement(text="_nobody_"),)))
    with pytest.raises(Rejected, match=r"Document\.MarkerNotFound"):
        await provider.start(order(nowhere), MemoryLog())
    assert sandbox.invitations_total == 0


@pytest.mark.parametrize("form", ["label", "marker"])
async def test_places_are_known_by_label_or_marker(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, form: str
) -> None:
    sandbox.options.label_form = form  # type: ignore[assignment]
    started = await provider.start(order(signing(signer(1), signer(2))), MemoryLog())
    (of,) = sandbox.state.packages[started.provider_signing_id].documents
    people = sandbox.state.packages[started.provider_signing_id].stakeholders
    assert [one.actors[0].location_ids for one in people] == [[one.id] for one in of.locations]


async def test_places_that_the_provider_does_not_name_stop_the_start(sandbox: ConnectiveSandbox) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, host=server.base_url) as provider:
        reference = f"{SIGNING_ID}-d1"
        located = {"DocumentId": "d", "ExternalDocumentReference": reference, "Locations": [{"Id": "l", "Label": "?"}]}
        for documents in ([located], []):
            server.answers(
                web.json_response({"PackageId": "p"}, status=201),
                web.json_response({"DocumentId": "d"}),
                web.json_response({"Documents": documents}),
            )
            with pytest.raises(Rejected):
                await provider.start(order(SMALL), MemoryLog())


async def test_wishes_reach_the_package(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    wish = signing(
        signer(1, language="fr", strong_identity=True),
        title="Lease: 2030/17",
        deadline=NOW + timedelta(days=3),
        options={"send_notifications": False, "correlation_id": "c-1", "document_group_code": "00007"},
    )
    provider.check(wish)
    started = await provider.start(order(wish), MemoryLog())
    package = sandbox.state.packages[started.provider_signing_id]
    assert (package.name, package.expiry) == ("Lease- 2030-17", NOW + timedelta(days=3))
    assert (package.correlation_id, package.group_code) == ("c-1", "00007")
    assert package.actors[0].signing_types == ["BeId"]
    assert sandbox.state.mails == []
    assert package.initiator == "sender@example.org"


async def test_a_language_that_is_not_spoken_leaves_a_warning(
    provider: ConnectiveProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await provider.start(order(signing(language="nl")), MemoryLog())
    assert "language_fallback" not in caplog.text
    await provider.start(order(signing(language="pl", id="0190163d-0000-739b-aea5-000000000000")), MemoryLog())
    assert "language_fallback" in caplog.text


async def test_wrong_credentials_stop_at_the_first_call(sandbox: ConnectiveSandbox) -> None:
    async with provider_at(sandbox, password="wrong") as provider:
        with pytest.raises(Unauthorised):
            await provider.start(order(SMALL), MemoryLog())
    assert operations_called(sandbox) == {"CreatePackage": 1}


async def test_a_throttled_start_says_when_to_come_back(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    sandbox.fault(FaultKind.STATUS, "SetPackageStatus", status=429, retry_after=7)
    log = MemoryLog()
    with pytest.raises(Throttled) as caught:
        await provider.start(order(SMALL), log)
    assert caught.value.retry_after_seconds == 7
    started = await provider.start(order(SMALL), log)
    assert_invited_once(sandbox, started, documents=1, people=1)


async def test_a_draft_that_somebody_deleted_is_gone(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    sandbox.fault(FaultKind.STATUS, "SetProcessInformationV31", status=503)
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(SMALL), log)
    sandbox.state.packages.clear()
    with pytest.raises(ProviderNotFound):
        await provider.start(order(SMALL), log)


# -------------------------------------------------------------------------------------------------- instant


@pytest.mark.parametrize("form", ["full", "short"])
async def test_an_instant_package_is_one_call(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, form: str
) -> None:
    sandbox.options.instant_answer = form  # type: ignore[assignment]
    log = MemoryLog()
    provider.check(INSTANT)
    started = await provider.start(order(INSTANT), log)
    assert_invited_once(sandbox, started, documents=1, people=1)
    assert operations_called(sandbox) == {"CreateInstantPackage": 1}
    assert (log.inviting_calls, log.facts) == (1, {})
    assert started.provider_status == ("Pending" if form == "full" else None)
    again = await provider.start(order(INSTANT), MemoryLog({"provider_signing_id": started.provider_signing_id}))
    assert again == Started(started.provider_signing_id)


async def test_an_uncertain_instant_start_is_proven_by_the_list(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    sandbox.fault(FaultKind.LOST_ANSWER, "CreateInstantPackage")
    log = MemoryLog()
    with pytest.raises(Unavailable) as caught:
        await provider.start(order(INSTANT), log)
    assert caught.value.sent
    started = await start_again(provider, log, INSTANT)
    assert_invited_once(sandbox, started, documents=1, people=1)
    assert started.provider_status == "Pending"


async def test_an_instant_start_that_never_arrived_is_repeated(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    await provider.start(order(signing(id="0190163d-8694-739b-aea5-000000000000")), MemoryLog())
    invited = sandbox.invitations_total
    sandbox.fault(FaultKind.HANG_UP_BEFORE, "CreateInstantPackage")
    log = MemoryLog()
    with pytest.raises(Unavailable):
        await provider.start(order(INSTANT), log)
    started = await start_again(provider, log, INSTANT)
    assert sandbox.invitations_sent(started.provider_signing_id) == 1
    assert sandbox.invitations_total == invited + 1


async def test_a_list_that_shows_nothing_at_all_proves_nothing(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    sandbox.fault(FaultKind.HANG_UP_BEFORE, "CreateInstantPackage")
    with pytest.raises(Unavailable):
        await provider.start(order(INSTANT), MemoryLog())
    assert (await provider.prove_start(order(INSTANT), MemoryLog())).invited is None


async def test_a_found_draft_is_no_invitation(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    sandbox.fault(FaultKind.LOST_ANSWER, "CreatePackage")
    with pytest.raises(Unavailable):
        await provider.start(order(SMALL), MemoryLog())
    assert (await provider.prove_start(order(SMALL), MemoryLog())).invited is False
