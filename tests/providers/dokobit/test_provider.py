"""The rest of the port against the simulated Dokobit: status, files, actions, health, logs."""

from __future__ import annotations

import io
import logging
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from local.sandbox.dokobit import DokobitSandbox
from local.sandbox.faults import FaultKind
from shared.domain.capabilities import Action
from shared.domain.errors import (
    InvalidRequest,
    NotReady,
    ProviderNotFound,
    Rejected,
    Unavailable,
    UnsupportedFeature,
)
from shared.domain.signing import DownloadProgress, Progress, ResultFormat, Role, Signing
from shared.domain.states import EventKind
from shared.ports import Deliverable, ParticipantProgress
from shared.providers.answers import UnreadableAnswer
from shared.providers.dokobit import operations
from shared.providers.dokobit.provider import DokobitProvider
from tests.providers.dokobit.samples import (
    NOW,
    after_start,
    document,
    internal,
    observer,
    order,
    provider_at,
    signer,
    signing,
)
from tests.providers.stand_ins import MemoryLog, ScriptedServer

TWO = (signer(1), signer(2))
DOWNLOAD = operations.DOWNLOAD_EXTERNAL.id


async def started(provider: DokobitProvider, of: Signing) -> Signing:
    log = MemoryLog()
    result = await provider.start(order(of), log)
    return after_start(of, result, **{name: text for name, text in log.facts.items() if name != "provider_signing_id"})


def id_of(of: Signing) -> str:
    assert of.provider_signing_id is not None
    return of.provider_signing_id


async def completed(sandbox: DokobitSandbox, provider: DokobitProvider, of: Signing | None = None) -> Signing:
    made = await started(provider, of or signing())
    await sandbox.complete(id_of(made))
    return made


async def fetch(provider: DokobitProvider, of: Signing, deliverable: Deliverable) -> tuple[bytes, str]:
    async with provider.fetch(of, deliverable) as download:
        return b"".join([chunk async for chunk in download.chunks]), download.media_type


# --------------------------------------------------------------------------------------------------- status


@pytest.mark.parametrize("wish", [signing(*TWO), internal(*TWO)], ids=["external", "internal"])
async def test_the_status_follows_the_people(sandbox: DokobitSandbox, provider: DokobitProvider, wish: Signing) -> None:
    of = await started(provider, wish)
    assert (await provider.status(id_of(of), signing=of)).kind is EventKind.ACCEPTED
    await sandbox.sign(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, found.participants) == (EventKind.ACCEPTED, (ParticipantProgress(1, Progress.SIGNED),))
    await sandbox.complete(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert (found.provider_status, found.kind, len(found.participants)) == ("completed", EventKind.ALL_SIGNED, 2)
    assert (await provider.status(id_of(of))).kind is EventKind.ALL_SIGNED


async def test_whoever_declined_may_still_sign(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await started(provider, signing())
    await sandbox.decline(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, found.participants) == (EventKind.DECLINED, (ParticipantProgress(1, Progress.DECLINED),))
    await sandbox.complete(id_of(of))
    assert (await provider.status(id_of(of), signing=of)).kind is EventKind.ALL_SIGNED


async def test_only_a_hard_deadline_ends_a_signing(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    later = NOW + timedelta(days=3)
    hard = await started(provider, signing(deadline=later))
    soft = await started(provider, signing(deadline=later, options={"hard_deadline": False}))
    for of in (hard, soft):
        sandbox.expire(id_of(of))
    found = await provider.status(id_of(hard), signing=hard)
    assert (found.kind, found.provider_status) == (EventKind.EXPIRED, "pending")
    assert (await provider.status(id_of(soft), signing=soft)).kind is EventKind.ACCEPTED
    await provider.extend(hard, later)
    assert (await provider.status(id_of(hard), signing=hard)).kind is EventKind.ACCEPTED


async def test_a_read_back_with_little_in_it_is_enough(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await completed(sandbox, provider, signing(*TWO))
    sandbox.options.omit_optional = True
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, len(found.participants)) == (EventKind.ALL_SIGNED, 2)


async def test_unknown_words_are_kept_and_harmless(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await started(provider, signing())
    sandbox.options.unknown_signer_status = True
    assert (await provider.status(id_of(of), signing=of)).participants == ()
    sandbox.state.signings[id_of(of)].state = "pondering"  # type: ignore[assignment]
    found = await provider.status(id_of(of), signing=of)
    assert (found.provider_status, found.kind, found.known) == ("pondering", None, False)


@pytest.mark.parametrize("code", [404, 400])
async def test_an_unknown_token_is_not_found_in_either_spelling(
    sandbox: DokobitSandbox, provider: DokobitProvider, code: int
) -> None:
    sandbox.options.unknown_token = code  # type: ignore[assignment]
    of = await completed(sandbox, provider)
    sandbox.withdraw(id_of(of))
    with pytest.raises(ProviderNotFound):
        await provider.status(id_of(of), signing=of)
    with pytest.raises(ProviderNotFound):
        await provider.status(id_of(of))
    with pytest.raises(ProviderNotFound):
        await provider.deliverables(of)
    await provider.delete(of)


async def test_a_status_that_lags_behind_is_believed_when_it_comes(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    of = await completed(sandbox, provider)
    sandbox.fault(FaultKind.LATE_STATUS, operations.STATUS_EXTERNAL.id)
    assert (await provider.status(id_of(of), signing=of)).kind is EventKind.ACCEPTED
    assert (await provider.status(id_of(of), signing=of)).kind is EventKind.ALL_SIGNED


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>maintenance</html>", content_type="text/html"),
        lambda: web.Response(text='{"status": "pen', content_type="application/json"),
        lambda: web.json_response({"status": ["pending"]}),
        lambda: web.Response(status=302, headers={"Location": "https://elsewhere.example.org/"}),
    ],
)
async def test_what_is_no_status_is_an_outage(sandbox: DokobitSandbox, answer: object) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(answer)  # type: ignore[arg-type]
        with pytest.raises(UnreadableAnswer):
            await provider.status("t", signing=signing())


async def test_an_error_that_comes_as_success_is_no_state(sandbox: DokobitSandbox) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.json_response({"status": "error", "message": "Internal"}))
        with pytest.raises(Rejected, match="Internal"):
            await provider.status("t", signing=signing())
        server.answers(lambda: web.json_response({"status": "error", "signers": []}))
        found = await provider.status("t", signing=signing())
        assert (found.provider_status, found.known) == ("error", False)
        server.answers(lambda: web.json_response({}))
        assert (await provider.status("t", signing=signing())).known is False


# ---------------------------------------------------------------------------------------------------- files


async def test_a_pdf_comes_with_its_four_reports(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    sandbox.options.validation_polls = 3
    of = await completed(sandbox, provider)
    listed = await provider.deliverables(of)
    assert [(one.name, one.kind) for one in listed] == [
        ("signed.pdf", "document"),
        ("validation-report.pdf", "evidence"),
        ("validation-report.xml", "evidence"),
        ("validation-detailed-report.pdf", "evidence"),
        ("validation-diagnostic-data.xml", "evidence"),
    ]
    contents = {one.name: await fetch(provider, of, one) for one in listed}
    assert contents["signed.pdf"][0] == sandbox.state.signings[id_of(of)].files[0].content
    assert b"totalPassed" in contents["validation-report.xml"][0]
    assert {one.media_type for one in listed} == {kind for _, kind in contents.values()}
    (validation,) = sandbox.state.validations.values()
    assert validation.content == contents["signed.pdf"][0]


@pytest.mark.parametrize(
    ("wish", "name", "reports"),
    [
        (ResultFormat.ASIC_E, "signed.asice", 4),
        (ResultFormat.BDOC, "signed.bdoc", 4),
        (ResultFormat.EDOC, "signed.edoc", 4),
        (ResultFormat.ADOC, "signed.adoc", 0),
    ],
)
async def test_containers_come_as_containers(
    sandbox: DokobitSandbox, provider: DokobitProvider, wish: ResultFormat, name: str, reports: int
) -> None:
    of = await completed(sandbox, provider, signing(documents=(document(1), document(2)), format=wish))
    first, *evidence = await provider.deliverables(of)
    content, media_type = await fetch(provider, of, first)
    assert (first.name, media_type, len(evidence)) == (name, "application/vnd.etsi.asic-e+zip", reports)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist()[0] == "mimetype"
        assert {"lease-1.pdf", "lease-2.pdf", "META-INF/signatures0.xml"} < set(archive.namelist())


async def test_a_file_is_validated_once_however_often_it_is_asked_for(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    of = await completed(sandbox, provider)
    first, again = await provider.deliverables(of), await provider.deliverables(of)
    assert first == again
    assert len(sandbox.state.validations) == 1
    sandbox.state.validations.clear()
    with pytest.raises(NotReady):
        await fetch(provider, of, first[1])
    assert len(await provider.deliverables(of)) == 5
    assert len(sandbox.state.validations) == 1


@pytest.mark.parametrize("status", [200, 400])
async def test_a_validation_that_takes_too_long_is_waited_for_and_then_left_for_later(
    sandbox: DokobitSandbox, status: int
) -> None:
    sandbox.options.validation_polls, sandbox.options.validation_wait_status = 12, status  # type: ignore[assignment]
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with provider_at(sandbox, pause=pause) as patient:
        of = await completed(sandbox, patient)
        report = (await patient.deliverables(of))[1]
        with pytest.raises(NotReady):
            await fetch(patient, of, report)
        assert pauses == [2.0] * 10
        assert (await fetch(patient, of, report))[0].startswith(b"%PDF")


@pytest.mark.parametrize("why", ["refused", "switched off", "too large", "tried often", "broken off"])
async def test_a_signed_document_is_delivered_without_evidence_too(sandbox: DokobitSandbox, why: str) -> None:
    settings: dict[str, dict[str, Any]] = {
        "switched off": {"validation_reports": False},
        "too large": {"validation_max_bytes": 100},
    }
    async with provider_at(sandbox, **settings.get(why, {})) as provider:
        of = await completed(sandbox, provider)
        sandbox.options.validation_allowed = why != "refused"
        if why == "tried often":
            of = of.model_copy(update={"download": DownloadProgress(attempts=8)})
        if why == "broken off":
            sandbox.fault(FaultKind.STATUS, operations.VALIDATE.id, status=503)
            with pytest.raises(Unavailable):
                await provider.deliverables(of)
            return
        (only,) = await provider.deliverables(of)
        assert (await fetch(provider, of, only))[0].startswith(b"%PDF")


@pytest.mark.parametrize("seal", ["conflict", "unsigned"])
async def test_a_file_that_is_not_sealed_yet_is_waited_for(
    sandbox: DokobitSandbox, provider: DokobitProvider, seal: str
) -> None:
    of = await completed(sandbox, provider)
    sandbox.fault(FaultKind.LATE_SEAL, DOWNLOAD, seal=seal)
    with pytest.raises(NotReady):
        await provider.deliverables(of)
    assert sandbox.state.validations == {}
    assert len(await provider.deliverables(of)) == 5


async def test_json_in_place_of_a_file_is_an_error(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await completed(sandbox, provider)
    document_of, *_ = await provider.deliverables(of)
    sandbox.options.error_in_success = True
    with pytest.raises(NotReady):
        await fetch(provider, of, document_of)


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>please wait</html>", b"PK\x03\x04 no PDF"])
async def test_what_is_no_document_is_not_ready(sandbox: DokobitSandbox, content: bytes) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.Response(body=content, content_type="application/pdf"))
        with pytest.raises(NotReady):
            await fetch(
                provider, signing(provider_signing_id="t"), Deliverable("signed.pdf", "document", "application/pdf")
            )


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html></html>", b"<HTML>", b"%PDF-1.7", b"sorry"])
async def test_what_is_no_xml_report_is_not_ready(sandbox: DokobitSandbox, content: bytes) -> None:
    facts = {"operation": operations.XML_REPORT.id, "validation": "v", "digest": "d"}
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.Response(body=content, content_type="application/xml"))
        with pytest.raises(NotReady):
            await fetch(provider, signing(), Deliverable("report.xml", "evidence", "application/xml", facts))


async def test_a_file_cut_short_is_an_outage(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await completed(sandbox, provider)
    document_of, *_ = await provider.deliverables(of)
    for at_byte in (2, 1000):
        sandbox.fault(FaultKind.TRUNCATE, DOWNLOAD, at_byte=at_byte)
        with pytest.raises(Unavailable):
            await fetch(provider, of, document_of)


async def test_no_address_from_a_body_is_ever_called(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    """Downloads are the operations of the table, on the configured host."""
    of = await completed(sandbox, provider)
    for one in await provider.deliverables(of):
        await fetch(provider, of, one)
    assert {one.path.rpartition("/")[0] for one in sandbox.calls if one.operation == DOWNLOAD} == {
        f"/api/connector/signing-external/{of.provider_signing_id}"
    }


# -------------------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize("make", [signing, internal], ids=["external", "internal"])
async def test_cancel_takes_people_out_before_it_deletes(
    sandbox: DokobitSandbox, provider: DokobitProvider, make: object
) -> None:
    of = await started(provider, make(signer(1), signer(2), observer(3)))  # type: ignore[operator]
    await sandbox.sign(id_of(of))
    await provider.cancel(of, "changed our mind")
    (gone,) = sandbox.state.deleted
    assert [one.state for one in gone.people] == ["signed"]
    found = await provider.status(id_of(of), signing=of)
    assert (found.kind, found.provider_status) == (EventKind.CANCELLED, "deleted")


async def test_what_is_signed_by_all_is_not_cancelled(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await completed(sandbox, provider)
    with pytest.raises(Rejected):
        await provider.cancel(of)
    assert id_of(of) in sandbox.state.signings


async def test_reminders_go_to_those_whose_turn_it_is_or_to_one(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    of = await started(provider, signing(signer(1), signer(2), signer(3, order=2), observer(4)))
    tokens = [of.start.facts[f"participant_{number}"] for number in (1, 2, 3, 4)]

    def reminded() -> list[str]:
        return [one.person for one in sandbox.state.mails if one.kind == "reminder"]

    await provider.remind(of)
    assert reminded() == tokens[:2]
    await provider.remind(of, 2)
    assert reminded() == [*tokens[:2], tokens[1]]
    await sandbox.complete(id_of(of))
    with pytest.raises(Rejected):
        await provider.remind(of)
    with pytest.raises(Rejected):
        await provider.remind(of, 9)


async def test_people_come_and_go(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await started(provider, signing())
    late = signer(2, given_name="Jonas", email="jonas@example.org")
    await provider.add_participant(of, late)
    made = sandbox.state.signings[id_of(of)]
    assert sandbox.invitations_sent(made.token, made.people[1].token) == 1
    together = of.model_copy(update={"participants": (*of.participants, late)})
    # Their token is on record nowhere, so they are found by name and address.
    await provider.remind(together, 2)
    await provider.remove_participant(together, 2)
    assert [one.body.external_id for one in made.people] == [f"{of.id}-1"]
    with pytest.raises(UnsupportedFeature):
        await provider.add_participant(of, signer(2, role=Role.APPROVER))
    with pytest.raises(InvalidRequest):
        await provider.add_participant(of, signer(2, email=""))
    assert len(made.people) == 1


async def test_two_who_look_alike_are_never_mistaken_for_each_other(
    sandbox: DokobitSandbox, provider: DokobitProvider
) -> None:
    twins = (signer(1, family_name="J", email="o@example.org"), signer(2, family_name="J", email="o@example.org"))
    of = await started(provider, signing(*twins))
    forgotten = signing(*twins, provider_signing_id=of.provider_signing_id)
    with pytest.raises(Rejected):
        await provider.remove_participant(forgotten, 1)
    await sandbox.sign(id_of(of))
    assert (await provider.status(id_of(of), signing=forgotten)).participants == ()
    assert len((await provider.status(id_of(of), signing=of)).participants) == 1


async def test_a_new_deadline_is_read_back(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await started(provider, signing(deadline=NOW + timedelta(days=1)))
    later = NOW + timedelta(days=9, microseconds=5)
    await provider.extend(of, later)
    made = sandbox.state.signings[id_of(of)]
    assert (made.deadline, made.hard_deadline) == (later.replace(microsecond=0), True)


async def test_a_new_deadline_that_does_not_stick_is_refused(sandbox: DokobitSandbox) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.json_response({"status": "ok", "deadline": "2029-01-01T00:00:00Z"}))
        with pytest.raises(Rejected):
            await provider.extend(signing(provider_signing_id="t"), NOW + timedelta(days=9))


async def test_links_are_for_those_who_still_have_to_sign(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await started(provider, internal(signer(1), signer(2), observer(3)))
    assert [one.number for one in await provider.links(of)] == [1, 2]
    await sandbox.sign(id_of(of))
    (link,) = await provider.links(of)
    assert link.number == 2
    assert link.url.endswith(of.start.facts["participant_2"])
    assert link.url not in repr(link)


@pytest.mark.parametrize("make", [signing, internal], ids=["external", "internal"])
async def test_deleting_twice_is_deleting_once(
    sandbox: DokobitSandbox, provider: DokobitProvider, make: object
) -> None:
    of = await completed(sandbox, provider, make())  # type: ignore[operator]
    await provider.delete(of)
    await provider.delete(of)
    await provider.delete(signing())
    assert sandbox.state.signings == {}


async def test_a_refused_deletion_stays_refused(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    of = await completed(sandbox, provider)
    sandbox.fault(FaultKind.STATUS, operations.DELETE_EXTERNAL.id, status=400)
    with pytest.raises(Rejected):
        await provider.delete(of)


async def test_each_flow_refuses_what_only_the_other_has(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    outside, inside = await started(provider, signing()), await started(provider, internal())
    before = len(sandbox.calls)
    for refused in (
        provider.links(outside),
        provider.remind(inside),
        provider.extend(inside, NOW),
        provider.add_participant(inside, signer(2)),
        provider.subscribe("https://app.example.org/x"),
    ):
        with pytest.raises(UnsupportedFeature):
            await refused
    assert len(sandbox.calls) == before
    with pytest.raises(ProviderNotFound):
        await provider.cancel(signing())


async def test_an_account_of_one_flow_says_so(sandbox: DokobitSandbox) -> None:
    async with provider_at(sandbox, flow="external") as outside, provider_at(sandbox, flow="internal") as inside:
        assert outside.capabilities.actions == set(Action) - {Action.LINKS}
        assert inside.capabilities.actions == {
            Action.CANCEL,
            Action.REMOVE_PARTICIPANT,
            Action.LINKS,
            Action.DELETE,
        }
        assert (outside.capabilities.deadline, inside.capabilities.deadline) == (True, False)
        assert "flow" not in outside.capabilities.options | inside.capabilities.options


# ------------------------------------------------------------------------------------------ health and logs


async def test_reachable_means_that_the_token_is_accepted(sandbox: DokobitSandbox, provider: DokobitProvider) -> None:
    assert await provider.is_reachable()
    sandbox.options.unknown_token = 400
    assert await provider.is_reachable()
    for fault in (503, 429):
        sandbox.fault(FaultKind.STATUS, operations.STATUS_EXTERNAL.id, status=fault)
        assert not await provider.is_reachable()
    for code in (401, 403):
        sandbox.options.unauthorised = code
        async with provider_at(sandbox, access_token="wrong") as stranger:
            assert not await stranger.is_reachable()


@pytest.mark.parametrize("surface", ["connector", "universal"])
async def test_nothing_personal_or_secret_is_logged(
    sandbox: DokobitSandbox, caplog: pytest.LogCaptureFixture, surface: str
) -> None:
    caplog.set_level(logging.DEBUG)
    options = {"participants": {1: {"code": "39901019999", "country_code": "LT"}}}
    async with provider_at(sandbox, surface=surface) as provider:
        of = await completed(sandbox, provider, signing(options=options))
        for one in await provider.deliverables(of):
            await fetch(provider, of, one)
        inside = await started(provider, internal())
        links = [one.url for one in await provider.links(inside)]
        sandbox.fault(FaultKind.LOST_ANSWER)
        with pytest.raises(Unavailable):
            await provider.status(id_of(of))
    assert "provider_call" in caplog.text
    everything = "\n".join(f"{one.getMessage()} {one.exc_text}" for one in caplog.records if "sandbox" not in one.name)
    secrets = {sandbox.access_token, "access_token", "X-Access-Token", "39901019999", "Ona", "Jonaite", "example.org"}
    secrets |= {"Lease 2030", *links, id_of(of), *of.start.facts.values()}
    assert [one for one in secrets if one in everything] == []
