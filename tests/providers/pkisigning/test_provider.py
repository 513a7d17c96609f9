"""The rest of the port against the simulated platform: status, files, webhook, callbacks, health, logs."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from aiohttp import web

from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning import Options, PkisigningSandbox
from shared.domain.capabilities import Action
from shared.domain.errors import (
    NotReady,
    OutcomeUnknown,
    Permanent,
    ProviderNotFound,
    Rejected,
    Unavailable,
    UnsupportedFeature,
)
from shared.domain.signing import Progress, Signing
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress
from shared.providers.pkisigning.provider import PkisigningProvider
from shared.verification.raw import RawCallback
from tests.providers.pkisigning.samples import NOW, observer, order, provider_at, signer, signing
from tests.providers.stand_ins import MemoryLog, ScriptedServer

PEOPLE = (signer(1), observer(2, order=2))


@pytest.fixture
async def sandbox() -> AsyncIterator[PkisigningSandbox]:
    async with PkisigningSandbox.start(options=Options(visible_signatures=False)) as running:
        yield running


@pytest.fixture
async def provider(sandbox: PkisigningSandbox) -> AsyncIterator[PkisigningProvider]:
    async with provider_at(sandbox) as built:
        yield built


async def started(provider: PkisigningProvider) -> Signing:
    result = await provider.start(order(signing(*PEOPLE)), MemoryLog())
    return signing(*PEOPLE, provider_signing_id=result.provider_signing_id)


def id_of(of: Signing) -> str:
    assert of.provider_signing_id is not None
    return of.provider_signing_id


async def fetched(provider: PkisigningProvider, of: Signing) -> tuple[bytes, str, int | None]:
    (deliverable,) = await provider.deliverables(of)
    async with provider.fetch(of, deliverable) as download:
        return b"".join([chunk async for chunk in download.chunks]), download.media_type, download.length


# --------------------------------------------------------------------------------------------------- status


async def test_the_status_follows_the_platform(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await started(provider)
    assert (await provider.status(id_of(of))).kind is EventKind.ACCEPTED
    await sandbox.sign(id_of(of))
    found = await provider.status(id_of(of), signing=of)
    assert (found.provider_status, found.kind) == ("PendingDownload", EventKind.ACCEPTED)
    (progress,) = found.participants
    assert progress == ParticipantProgress(1, Progress.SIGNED, progress.at)
    await sandbox.complete(id_of(of))
    assert (await provider.status(id_of(of))).kind is EventKind.ALL_SIGNED


async def test_a_refusal_comes_with_its_reason(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await started(provider)
    await sandbox.decline(id_of(of), reason="Not my lease")
    found = await provider.status(id_of(of))
    assert found.kind is EventKind.DECLINED
    assert "Not my lease" in (found.reason or "")


async def test_a_request_that_is_gone_is_not_found(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await started(provider)
    sandbox.state.requests.clear()
    with pytest.raises(ProviderNotFound):
        await provider.status(id_of(of))
    with pytest.raises(ProviderNotFound):
        await fetched(provider, of)


async def test_a_refused_access_key_does_not_hide_the_status(provider: PkisigningProvider) -> None:
    of = await started(provider)
    assert (await provider.status(id_of(of), "an-old-key")).provider_status == "PendingSignature"


# ---------------------------------------------------------------------------------------------------- files


async def completed(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> Signing:
    of = await started(provider)
    await sandbox.complete(id_of(of))
    return of


async def test_the_archive_comes_whole(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    content, media_type, length = await fetched(provider, await completed(sandbox, provider))
    assert (media_type, length) == ("application/zip", len(content))
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


async def test_a_bare_pdf_is_told_by_its_first_bytes(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    sandbox.options.bare_pdf = True
    content, media_type, _ = await fetched(provider, await completed(sandbox, provider))
    assert media_type == "application/pdf"
    assert content.startswith(b"%PDF")


async def test_a_file_that_is_not_there_yet_is_waited_for(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    with pytest.raises(NotReady):
        await fetched(provider, await started(provider))
    of = await completed(sandbox, provider)
    for status in (409, 404):
        sandbox.fault(FaultKind.STATUS, "Requests_Download", status=status)
        with pytest.raises(NotReady):
            await fetched(provider, of)
    assert (await fetched(provider, of))[0].startswith(b"PK")


async def test_a_file_cut_short_is_an_outage(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await completed(sandbox, provider)
    for at_byte in (2, 1000):
        sandbox.fault(FaultKind.TRUNCATE, "Requests_Download", at_byte=at_byte)
        with pytest.raises(Unavailable):
            await fetched(provider, of)


@pytest.mark.parametrize("content", [b"", b"P", b"<html>please wait</html>"])
async def test_what_is_no_document_is_not_ready(sandbox: PkisigningSandbox, content: bytes) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        server.answers(lambda: web.Response(body=content, content_type="application/zip"))
        with pytest.raises(NotReady):
            await fetched(provider, signing(provider_signing_id="6f0d1c1e-0000-4000-8000-000000000001"))


async def test_without_an_id_there_is_nothing_to_fetch(provider: PkisigningProvider) -> None:
    with pytest.raises(ProviderNotFound):
        await fetched(provider, signing())


# -------------------------------------------------------------------------------------------------- actions


async def test_cancel_ends_the_signing(provider: PkisigningProvider) -> None:
    of = await started(provider)
    await provider.cancel(of, "changed our mind")
    assert (await provider.status(id_of(of))).kind is EventKind.CANCELLED
    with pytest.raises(Rejected):
        await provider.cancel(of)


async def test_a_reminder_goes_to_the_one_in_line(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await started(provider)
    await provider.remind(of)
    assert [one.kind for one in sandbox.state.invitations] == ["Invite", "Reminder"]


async def test_extending_keeps_the_order_and_those_who_acted(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    people = (signer(1), signer(2, order=2), observer(3, order=3))
    result = await provider.start(order(signing(*people)), MemoryLog())
    of = signing(*people, provider_signing_id=result.provider_signing_id)
    before = {one.body.email: one.body.deadline for one in sandbox.state.requests[id_of(of)].actors}
    await sandbox.sign(id_of(of))
    later = NOW + timedelta(days=30)
    await provider.extend(of, later)
    after = {one.body.email: one.body.deadline for one in sandbox.state.requests[id_of(of)].actors}
    assert after == {
        "ada1@example.org": before["ada1@example.org"],
        "ada2@example.org": later - timedelta(minutes=1),
        "ada3@example.org": later,
    }
    await sandbox.complete(id_of(of))
    with pytest.raises(Rejected):
        await provider.extend(of, later)


async def test_deleting_twice_is_deleting_once(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await completed(sandbox, provider)
    await provider.delete(of)
    await provider.delete(of)
    await provider.delete(signing())
    assert id_of(of) not in sandbox.state.requests


async def test_what_is_not_among_the_actions_is_refused(provider: PkisigningProvider) -> None:
    of = signing(provider_signing_id="6f0d1c1e-0000-4000-8000-000000000001")
    for refused in (
        provider.remind(of, 1),
        provider.add_participant(of, signer(2)),
        provider.remove_participant(of, 1),
        provider.links(of),
    ):
        with pytest.raises(UnsupportedFeature):
            await refused
    assert provider.capabilities.actions == {Action.CANCEL, Action.REMIND, Action.EXTEND, Action.DELETE}
    with pytest.raises(ProviderNotFound):
        await provider.cancel(signing())


# ------------------------------------------------------------------------------------- webhook and callbacks


async def test_the_organisation_is_found_and_subscribed(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    webhook_id = await provider.subscribe("http://127.0.0.1:9/api/callbacks/x")
    assert webhook_id in str(sandbox.state.webhooks)


async def test_several_organisations_ask_for_a_choice(sandbox: PkisigningSandbox) -> None:
    async with ScriptedServer.start() as server, provider_at(sandbox, api_url=server.base_url) as provider:
        one = {"id": "0c1e1c1e-0000-4000-8000-000000000001"}
        server.answers(lambda: web.json_response([one, one]))
        with pytest.raises(Permanent) as caught:
            await provider.subscribe("https://app.example.org/cb")
    assert caught.value.code == "organisation_unclear"
    assert "organisation_id" in caught.value.next_step


async def test_a_callback_of_the_platform_is_verified_and_read(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    async with ScriptedServer.start() as server:
        await provider.subscribe(f"{server.base_url}/api/callbacks/x")
        of = await completed(sandbox, provider)
        await sandbox.settle()
        last = server.seen[-1]
    headers = {name.lower(): value for name, value in last.headers.items()}
    raw = RawCallback(last.method, headers, last.body, datetime.now(UTC))
    callback = await provider.verify_callback(raw)
    (notice,) = provider.notices(callback)
    assert (notice.provider_signing_id, notice.provider_status) == (of.provider_signing_id, "Completed")
    assert not provider.seen_before(callback)
    provider.remember(callback)
    assert provider.seen_before(callback)
    found = await provider.status(id_of(of), notice.access_key)
    assert found.kind is EventKind.ALL_SIGNED


# ------------------------------------------------------------------------------------------ health and logs


async def test_reachable_means_that_a_token_can_be_had(sandbox: PkisigningSandbox) -> None:
    async with provider_at(sandbox) as provider:
        sandbox.fault(FaultKind.STATUS, "Connect_Token", status=503)
        assert not await provider.is_reachable()
        assert await provider.is_reachable()


async def test_client_credentials_work_too(sandbox: PkisigningSandbox) -> None:
    async with provider_at(sandbox, grant="client_credentials", refresh_token=None) as provider:
        assert (await started(provider)).provider_signing_id in sandbox.state.requests


async def test_expired_tokens_are_renewed_on_the_way(sandbox: PkisigningSandbox, provider: PkisigningProvider) -> None:
    of = await started(provider)
    sandbox.identity.expire_tokens()
    assert (await provider.status(id_of(of))).known


async def test_nothing_personal_or_secret_is_logged(
    sandbox: PkisigningSandbox, provider: PkisigningProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    of = await completed(sandbox, provider)
    await provider.status(id_of(of), "an-access-key")
    await fetched(provider, of)
    ours = [record for record in caplog.records if record.name == "countersign"]
    assert len(ours) >= 8
    everything = "\n".join(f"{one.getMessage()} {one.exc_text}" for one in caplog.records if "sandbox" not in one.name)
    secrets = {"an-access-key", "callbackAuthenticationKey", "Ada", "Jansen", "example.org", "+316", "Lease 2030"}
    secrets |= {sandbox.client_secret, sandbox.refresh_token, *sandbox.identity.access_tokens}
    assert [one for one in secrets if one in everything] == []


# ----------------------------------------------------------------------------------------------- operations


async def test_a_raw_call_without_an_answer_is_not_offered_for_repetition(
    sandbox: PkisigningSandbox, provider: PkisigningProvider
) -> None:
    """Callers' platforms repeat what looks temporary by themselves: here that would be a second request."""
    sandbox.fault(FaultKind.LOST_ANSWER, "Requests_Create")
    with pytest.raises(OutcomeUnknown):
        async with provider.operate("Requests_Create", {"body": {"name": "By hand", "clearancelevel": 1}}):
            pytest.fail("no answer came")
    sandbox.fault(FaultKind.LOST_ANSWER, "Requests_Get")
    (made,) = sandbox.state.requests
    with pytest.raises(Unavailable):
        async with provider.operate("Requests_Get", {"requestId": made}):
            pytest.fail("no answer came")
