"""The rest of the port against the simulated environment: status, files, actions, health, logs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import fromstring

import pytest
from aiohttp import web

from local.sandbox.connective import ConnectiveSandbox, Options
from local.sandbox.faults import FaultKind
from shared.domain.errors import (
    NotReady,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
    UnsupportedFeature,
)
from shared.domain.signing import Progress, Signing
from shared.domain.states import EventKind
from shared.evidence.inspector import ArchiveInspector
from shared.ports import Deliverable
from shared.providers.connective import operations
from shared.providers.connective.provider import ConnectiveProvider
from tests.providers.connective.samples import (
    GONE,
    NOW,
    approver,
    document,
    id_of,
    observer,
    order,
    provider_at,
    signer,
    signing,
)
from tests.providers.connective.tour import client_of
from tests.providers.stand_ins import MemoryLog, ScriptedServer

PEOPLE = (signer(1), signer(2, order=2), observer(3, order=3))
OPTIONS = Options(rate_limit=10_000, visible_signatures=False)


@pytest.fixture
async def sandbox() -> AsyncIterator[ConnectiveSandbox]:
    async with ConnectiveSandbox.start(options=OPTIONS.model_copy()) as running:
        yield running


@pytest.fixture
async def provider(sandbox: ConnectiveSandbox) -> AsyncIterator[ConnectiveProvider]:
    async with provider_at(sandbox) as built:
        yield built


async def started(provider: ConnectiveProvider, of: Signing | None = None) -> Signing:
    wish = of or signing(*PEOPLE)
    result = await provider.start(order(wish), MemoryLog())
    return wish.model_copy(update={"provider_signing_id": result.provider_signing_id})


async def completed(sandbox: ConnectiveSandbox, provider: ConnectiveProvider, of: Signing | None = None) -> Signing:
    done = await started(provider, of)
    await sandbox.complete(id_of(done))
    return done


async def content_of(provider: ConnectiveProvider, of: Signing, deliverable: Deliverable) -> bytes:
    async with provider.fetch(of, deliverable) as download:
        assert download.media_type == deliverable.media_type
        content = b"".join([chunk async for chunk in download.chunks])
        assert download.length in (None, len(content))
        return content


# --------------------------------------------------------------------------------------------------- status


async def test_the_status_follows_the_environment(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    of = await started(provider)
    found = await provider.status(id_of(of), signing=of)
    assert found.kind is EventKind.ACCEPTED
    assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.INVITED)]
    await sandbox.sign(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert [one.progress for one in found.participants] == [Progress.SIGNED, Progress.INVITED]
    await sandbox.complete(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert found.kind is EventKind.ALL_SIGNED
    assert [one.progress for one in found.participants] == [Progress.SIGNED, Progress.SIGNED, Progress.RECEIVED]


async def test_each_end_is_told(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    ends = {
        EventKind.CANCELLED: sandbox.withdraw,
        EventKind.EXPIRED: sandbox.expire,
        EventKind.FAILED: sandbox.fail,
    }
    for kind, end in ends.items():
        of = await started(provider)
        end(id_of(of))
        assert (await provider.status(id_of(of))).kind is kind
    of = await started(provider)
    await sandbox.decline(id_of(of), "Not my lease")
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, found.reason) == (EventKind.DECLINED, "Not my lease")
    assert found.participants[0].progress is Progress.DECLINED


async def test_slips_of_the_examples_do_no_harm(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    sandbox.options.quirks = True
    of = await completed(sandbox, provider)
    found = await provider.status(id_of(of), signing=of)
    assert found.kind is EventKind.ALL_SIGNED
    assert [one.number for one in found.participants] == [1, 2]


async def test_a_reassigned_participant_keeps_the_number(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    of = await started(provider)
    sandbox.reassign(id_of(of), "someone.else@example.org")
    await sandbox.sign(id_of(of))
    assert (await provider.status(id_of(of), signing=of)).participants[0].progress is Progress.SIGNED


async def test_a_deadline_that_passes_expires_and_can_be_moved(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    of = await started(provider, signing(deadline=datetime.now(UTC) + timedelta(hours=1)))
    sandbox.advance(7200)
    assert (await provider.status(id_of(of))).kind is EventKind.EXPIRED
    await provider.extend(of, datetime.now(UTC) + timedelta(days=1))
    assert (await provider.status(id_of(of))).kind is EventKind.ACCEPTED


async def test_skipped_signers_complete_the_signing(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    of = await started(provider)
    await sandbox.sign(id_of(of))
    await client_of(provider).call(operations.SKIP_SIGNERS, PackageId=id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, found.reason) == (EventKind.ALL_SIGNED, "1 skipped")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (web.json_response({"PackageStatus": "Sleeping"}), None),
        (web.json_response({}), None),
    ],
)
async def test_an_unknown_status_keeps_its_text(
    sandbox: ConnectiveSandbox, answer: web.Response, kind: EventKind | None
) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, host=server.base_url) as provider:
        server.answers(answer)
        found = await provider.status(GONE, signing=signing())
    assert (found.kind, found.known, found.participants) == (kind, False, ())
    assert found.provider_status in {"Sleeping", "unknown"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>maintenance</html>", Unavailable),
        (200, b'{"Errors": [{"ErrorCode": "Package.NotFound:1", "Message": "gone"}]}', Unavailable),
        (200, b'{"PackageStatus": ["Pending"]}', Unavailable),
        (302, b"", Unavailable),
        (400, b"", Rejected),
        (401, b"", Unauthorised),
        (404, b"<html>", ProviderNotFound),
        (404, b'[{"ErrorCode": "Package.NotFound:1", "ErrorMessage": "gone"}]', ProviderNotFound),
        (409, b'{"ErrorCode": "Package.OldVersion", "Message": "too old"}', Rejected),
        (429, b"", Throttled),
        (500, b"<html>", Unavailable),
    ],
)
async def test_each_answer_has_its_outcome(
    sandbox: ConnectiveSandbox, status: int, body: bytes, kind: type[ProviderError]
) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, host=server.base_url) as provider:
        server.answers(lambda: web.Response(status=status, body=body, content_type="application/json"))
        with pytest.raises(kind):
            await provider.status(GONE)
        assert len(server.seen) == 1


@pytest.mark.parametrize("form", ["wrapped", "single", "array", "html", "empty"])
async def test_a_package_that_is_gone_is_not_found(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, form: str
) -> None:
    sandbox.options.error_form = form  # type: ignore[assignment]
    of = signing(provider_signing_id=GONE)
    for call in (
        provider.status(GONE),
        provider.deliverables(of),
        provider.cancel(of),
        provider.remind(of),
        provider.extend(of, NOW + timedelta(days=9)),
        provider.links(of),
        content_of(provider, of, Deliverable("a.pdf", "document", "application/pdf", {"document_id": GONE})),
    ):
        with pytest.raises(ProviderNotFound):
            await call


# ---------------------------------------------------------------------------------------------------- files


async def test_every_document_and_the_audit_proof_come_whole(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    both = (document(1, name="lease.pdf"), document(2, name="annex.pdf"))
    of = await completed(sandbox, provider, signing(signer(1, document=2), documents=both))
    files = await provider.deliverables(of)
    assert [(one.name, one.kind) for one in files] == [
        ("lease.pdf", "document"),
        ("annex.pdf", "document"),
        ("audit-proof.xml", "evidence"),
    ]
    contents = [await content_of(provider, of, one) for one in files]
    signatures = []
    for content in contents[:2]:
        inspector = ArchiveInspector()
        inspector.feed(memoryview(content))
        inspector.finish()
        signatures.append(inspector.members[0].signed)
    assert signatures == [False, True]
    proof = fromstring(contents[2])
    assert [one.get("packageId") for one in proof.iter("uploads")] == [id_of(of)]
    assert [one.text for one in proof.iter("type")] == ["Manual"]


async def test_without_audit_proofs_there_are_only_documents(sandbox: ConnectiveSandbox) -> None:
    async with provider_at(sandbox, audit_proof=False) as provider:
        of = await completed(sandbox, provider)
        assert [one.kind for one in await provider.deliverables(of)] == ["document"]
        assert not provider.capabilities.evidence


async def test_files_that_are_not_there_yet_are_waited_for(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    of = await started(provider)
    files = await provider.deliverables(of)
    for one in files:
        with pytest.raises(NotReady):
            await content_of(provider, of, one)
    await sandbox.complete(id_of(of))
    for one, operation in zip(files, ("DownloadDocumentFromPackage", "PackageAuditProof"), strict=True):
        sandbox.fault(FaultKind.LATE_SEAL, operation)
        sandbox.fault(FaultKind.STATUS, operation, status=404, skip=1)
        for _ in range(2):
            with pytest.raises(NotReady):
                await content_of(provider, of, one)
        assert await content_of(provider, of, one)


async def test_a_file_cut_short_is_an_outage(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    of = await completed(sandbox, provider)
    for one in await provider.deliverables(of):
        for at_byte in (2, 200):
            sandbox.fault(FaultKind.TRUNCATE, at_byte=at_byte)
            with pytest.raises(Unavailable):
                await content_of(provider, of, one)


@pytest.mark.parametrize(
    ("content", "media_type", "accepted"),
    [
        (b"%PDF-1.7 ...", "application/pdf", True),
        (b"", "application/pdf", False),
        (b"%P", "application/pdf", False),
        (b"<html>please wait</html>", "application/pdf", False),
        (b"\xef\xbb\xbf <?xml version='1.0'?><Content/>", "application/xml", True),
        (b"<Content/>", "application/xml", True),
        (b"", "application/xml", False),
        (b" <!DOCTYPE HTML><p>", "application/xml", False),
        (b"<HTML><p>", "application/xml", False),
        (b'{"Errors": []}', "application/xml", False),
    ],
)
async def test_what_is_not_the_file_is_not_ready(
    sandbox: ConnectiveSandbox, content: bytes, media_type: str, accepted: bool
) -> None:
    facts = {"document_id": GONE} if media_type == "application/pdf" else {}
    async with ScriptedServer.start() as server, provider_at(sandbox, host=server.base_url) as provider:
        server.answers(lambda: web.Response(body=content, content_type="application/octet-stream"))
        of, wanted = signing(provider_signing_id=GONE), Deliverable("x", "document", media_type, facts)
        if accepted:
            assert await content_of(provider, of, wanted) == content
            return
        with pytest.raises(NotReady):
            await content_of(provider, of, wanted)


async def test_json_in_place_of_a_file_is_an_outage(sandbox: ConnectiveSandbox) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, host=server.base_url) as provider:
        server.answers(lambda: web.json_response({"Errors": [{"ErrorCode": "Job.Busy", "Message": "later"}]}))
        with pytest.raises(Unavailable, match=r"Job\.Busy"):
            await content_of(
                provider, signing(provider_signing_id=GONE), Deliverable("x", "evidence", "application/xml")
            )


async def test_without_an_id_there_is_nothing_to_fetch_or_do(provider: ConnectiveProvider) -> None:
    of = signing()
    for call in (
        content_of(provider, of, Deliverable("x", "evidence", "application/xml")),
        provider.deliverables(of),
        provider.cancel(of),
        provider.links(of),
    ):
        with pytest.raises(ProviderNotFound):
            await call


# -------------------------------------------------------------------------------------------------- actions


async def test_cancel_ends_the_signing(provider: ConnectiveProvider) -> None:
    of = await started(provider)
    await provider.cancel(of, "changed our mind")
    assert (await provider.status(id_of(of))).kind is EventKind.CANCELLED
    with pytest.raises(Rejected):
        await provider.cancel(of)


async def test_a_reminder_goes_to_everybody_who_has_not_acted(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    of = await started(provider)
    await provider.remind(of)
    assert sandbox.state.reminders[id_of(of)] == 1
    sandbox.fault(FaultKind.STATUS, "SendPackageReminders", status=400)
    with pytest.raises(Rejected):
        await provider.remind(of)
    await sandbox.complete(id_of(of))
    with pytest.raises(Rejected):
        await provider.remind(of)


async def test_links_are_fetched_for_those_in_line(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    of = await started(provider, signing(approver(1), signer(2, order=2), signer(3, order=2)))
    (first,) = await provider.links(of)
    assert first.number == 1
    assert first.url.startswith(f"{sandbox.base_url}/signinit?token=")
    await sandbox.sign(id_of(of))
    assert [one.number for one in await provider.links(of)] == [2, 3]


async def test_extending_a_finished_signing_is_refused(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider
) -> None:
    of = await completed(sandbox, provider)
    with pytest.raises(Rejected):
        await provider.extend(of, NOW + timedelta(days=30))


async def test_deleting_is_for_packages_that_are_over(sandbox: ConnectiveSandbox, provider: ConnectiveProvider) -> None:
    of = await started(provider)
    with pytest.raises(Rejected):
        await provider.delete(of)
    await sandbox.complete(id_of(of))
    await provider.delete(of)
    await provider.delete(of)
    await provider.delete(signing())
    assert sandbox.state.packages == {}


async def test_what_is_not_among_the_actions_is_refused(provider: ConnectiveProvider) -> None:
    of = signing(provider_signing_id=GONE)
    for refused in (
        provider.remind(of, 1),
        provider.add_participant(of, signer(2)),
        provider.remove_participant(of, 1),
        provider.subscribe("https://app.example.org/cb"),
    ):
        with pytest.raises(UnsupportedFeature):
            await refused


# ------------------------------------------------------------------------------------------ health and logs


async def test_reachable_means_that_the_list_can_be_read(sandbox: ConnectiveSandbox) -> None:
    async with provider_at(sandbox) as provider:
        sandbox.fault(FaultKind.STATUS, "PackageList", status=503)
        assert not await provider.is_reachable()
        assert await provider.is_reachable()
    async with provider_at(sandbox, password="wrong") as provider:
        assert not await provider.is_reachable()


async def test_another_prefix_is_one_setting_away(sandbox: ConnectiveSandbox) -> None:
    options = OPTIONS.model_copy(update={"prefix": "/esig/webportalapi"})
    async with ConnectiveSandbox.start(options=options) as newer, provider_at(newer) as provider:
        assert id_of(await started(provider)) in newer.state.packages
    async with provider_at(sandbox, path_prefix="/esig/webportalapi") as provider:
        with pytest.raises(ProviderNotFound):
            await provider.status(GONE)


async def test_our_own_budget_of_calls_is_kept(sandbox: ConnectiveSandbox) -> None:
    async with provider_at(sandbox, calls_per_minute=2) as provider:
        with pytest.raises(Throttled):
            await started(provider)
        assert len(sandbox.calls) == 2


async def test_nothing_personal_or_secret_is_logged(
    sandbox: ConnectiveSandbox, provider: ConnectiveProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    of = await started(provider)
    links = await provider.links(of)
    await sandbox.complete(id_of(of))
    for one in await provider.deliverables(of):
        await content_of(provider, of, one)
    ours = [record for record in caplog.records if record.name == "countersign"]
    assert len(ours) >= 9
    everything = "\n".join(f"{one.getMessage()} {one.exc_text}" for one in caplog.records if "sandbox" not in one.name)
    secrets = {"Ada", "Jansen", "example.org", "+316", "Lease 2030", "signinit", sandbox.username, sandbox.password}
    secrets |= {one.url.rpartition("=")[2] for one in links}
    assert [one for one in secrets if one in everything] == []
