"""The rest of the port against the simulated platform: status, files, actions, health, logs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from io import BytesIO
from typing import Literal

import pytest
from aiohttp import web
from pyhanko.pdf_utils.reader import PdfFileReader

from local.sandbox.faults import FaultKind
from local.sandbox.signicat import SignicatSandbox
from shared.domain.capabilities import Action
from shared.domain.errors import (
    NotFound,
    NotReady,
    Permanent,
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
from shared.ports import Deliverable, OperationFile, StartOrder
from shared.providers.answers import UnreadableAnswer
from shared.providers.signicat.provider import SignicatProvider
from tests.providers.signicat.samples import (
    NOW,
    PDF_BYTES,
    QUICK,
    document,
    id_of,
    observer,
    provider_at,
    signer,
    signing,
    started,
)
from tests.providers.signicat.world import World, running_world
from tests.providers.stand_ins import MemoryLog, ScriptedServer

PEOPLE = (signer(1), observer(2, order=2))
PACKAGE = Deliverable("lease.pdf", "document", "application/pdf", {"package": "package-1"})


async def begun(world: World, **changes: object) -> Signing:
    of = world.order(**({"participants": PEOPLE} | changes))
    result = await world.provider.start(of, MemoryLog())
    return started(of.signing, result.provider_signing_id)


async def completed(world: World, **changes: object) -> Signing:
    of = await begun(world, **changes)
    await world.complete(id_of(of))
    return of


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[ScriptedServer, SignicatProvider]]:
    """A provider whose tokens are real and whose answers are made up."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(SignicatSandbox.start())
        server = await stack.enter_async_context(ScriptedServer.start())
        yield server, await stack.enter_async_context(provider_at(sandbox, api_url=server.base_url))


async def package_of(world: World, of: Signing) -> Deliverable:
    return next(one for one in await world.provider.deliverables(of) if one.kind == "document")


async def fetched(provider: SignicatProvider, of: Signing, deliverable: Deliverable) -> bytes:
    async with provider.fetch(of, deliverable) as download:
        return b"".join([chunk async for chunk in download.chunks])


# --------------------------------------------------------------------------------------------------- status


async def test_the_status_follows_the_platform(world: World) -> None:
    of = await begun(world)
    assert (await world.provider.status(id_of(of))).kind is EventKind.ACCEPTED
    await world.sign_next(id_of(of))
    found = await world.provider.status(id_of(of), signing=of)
    assert (found.provider_status, found.kind) == ("CREATED", EventKind.ACCEPTED)
    assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.SIGNED)]
    await world.complete(id_of(of))
    found = await world.provider.status(id_of(of), signing=of)
    assert (found.provider_status, found.kind) == ("COMPLETED", EventKind.ALL_SIGNED)
    assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.SIGNED), (2, Progress.RECEIVED)]


async def test_signed_by_all_is_not_completed_before_it_is_packaged(world: World) -> None:
    world.sandbox.options.packaging_seconds = 0.2
    of = await begun(world, participants=(signer(1),))
    await world.sign_next(id_of(of))
    found = await world.provider.status(id_of(of))
    assert (found.provider_status, found.kind) == ("PACKAGING_CREATED", EventKind.ACCEPTED)
    with pytest.raises(NotReady):
        await fetched(world.provider, of, await package_of(world, of))
    await world.sandbox.settle()
    assert (await world.provider.status(id_of(of))).kind is EventKind.ALL_SIGNED


async def test_packaging_that_fails_fails_the_signing(world: World) -> None:
    world.sandbox.options.packaging_fails = True
    found = await world.provider.status(id_of(await completed(world)))
    assert (found.provider_status, found.kind) == ("PACKAGING_FAILED", EventKind.FAILED)


@pytest.mark.parametrize(
    ("end", "kind", "word"),
    [
        ("expire", EventKind.EXPIRED, "EXPIRED"),
        ("withdraw", EventKind.CANCELLED, "DELETED"),
        ("fail", EventKind.FAILED, "FAILED"),
    ],
)
async def test_each_end_is_told(world: World, end: str, kind: EventKind, word: str) -> None:
    of = await begun(world)
    await getattr(world, end)(id_of(of))
    found = await world.provider.status(id_of(of))
    assert (found.kind, found.provider_status) == (kind, word)


async def test_a_refusal_comes_with_its_reason(world: World) -> None:
    of = await begun(world)
    await world.decline(id_of(of), "Not my lease")
    found = await world.provider.status(id_of(of), signing=of)
    assert (found.kind, found.reason) == (EventKind.DECLINED, "Not my lease")
    assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.DECLINED)]


async def test_an_unknown_status_is_kept_as_text(world: World) -> None:
    of = await begun(world)
    world.sandbox.options.status_override = "ON_HOLD"
    found = await world.provider.status(id_of(of))
    assert (found.provider_status, found.kind, found.known) == ("ON_HOLD", None, False)


async def test_time_runs_out_day_by_day(world: World) -> None:
    of = await begun(world, deadline=NOW + timedelta(days=3))
    world.sandbox.advance(timedelta(days=2))
    assert (await world.provider.status(id_of(of))).kind is EventKind.ACCEPTED
    world.sandbox.advance(timedelta(days=1, minutes=1))
    assert (await world.provider.status(id_of(of))).kind is EventKind.EXPIRED


async def test_a_task_that_was_handed_over_is_followed(world: World) -> None:
    of = await begun(world, participants=(signer(1), signer(2, order=2)))
    world.sandbox.forward(id_of(of))
    found = await world.provider.status(id_of(of), signing=of)
    assert (found.kind, found.participants) == (EventKind.ACCEPTED, ())
    assert world.calls_made.count("getTaskForwards") == 1
    world.break_down("getTaskForwards", status=404)
    assert (await world.provider.status(id_of(of))).kind is EventKind.CANCELLED  # nobody says who stands for whom
    await world.sandbox.sign(id_of(of), "forwarded-3")
    found = await world.provider.status(id_of(of), signing=of)
    assert [(one.number, one.progress) for one in found.participants] == [(1, Progress.SIGNED)]


@pytest.mark.parametrize("operation", ["getTaskStatus", "getPackagingTaskStatus"])
async def test_a_part_that_is_missing_is_asked_for_again(world: World, operation: str) -> None:
    of = await completed(world)
    world.break_down(operation, status=404)
    with pytest.raises(NotReady):
        await world.provider.status(id_of(of))
    assert (await world.provider.status(id_of(of))).kind is EventKind.ALL_SIGNED


async def test_our_packages_count_even_if_the_order_does_not_list_them(world: World) -> None:
    world.sandbox.options.packaging_fails = True
    of = await completed(world)
    body = world.sandbox.order(id_of(of)).body
    world.sandbox.order(id_of(of)).body = body.model_copy(update={"packagingTasks": None})
    assert (await world.provider.status(id_of(of), signing=of)).kind is EventKind.FAILED


async def test_an_order_that_is_gone_is_not_found(world: World) -> None:
    of = await completed(world)
    package = await package_of(world, of)
    world.sandbox.state.orders.clear()
    with pytest.raises(ProviderNotFound):
        await world.provider.status(id_of(of))
    with pytest.raises(ProviderNotFound):
        await fetched(world.provider, of, package)


# ---------------------------------------------------------------------------------------------------- files


async def test_every_document_comes_signed_by_every_signer(world: World) -> None:
    people = (signer(1, order=2), signer(2, order=1), observer(3, order=3))
    of = await completed(world, participants=people, documents=2)
    deliverables = await world.provider.deliverables(of)
    assert [(one.name, one.kind, one.media_type) for one in deliverables] == [
        ("lease-1.pdf", "document", "application/pdf"),
        ("lease-2.pdf", "document", "application/pdf"),
        ("participant-1-document-1.sdo", "evidence", "application/x-ltv-sdo"),
        ("participant-1-document-2.sdo", "evidence", "application/x-ltv-sdo"),
        ("participant-1-events.json", "evidence", "application/json"),
        ("participant-2-document-1.sdo", "evidence", "application/x-ltv-sdo"),
        ("participant-2-document-2.sdo", "evidence", "application/x-ltv-sdo"),
        ("participant-2-events.json", "evidence", "application/json"),
        ("participant-3-events.json", "evidence", "application/json"),
    ]
    for deliverable in deliverables[:2]:
        content = await fetched(world.provider, of, deliverable)
        assert content.startswith(PDF_BYTES)
        signatures = PdfFileReader(BytesIO(content)).embedded_regular_signatures
        assert [one.field_name for one in signatures] == ["Signature-participant-2", "Signature-participant-1"]
        inspector = ArchiveInspector()
        inspector.feed(memoryview(content))
        inspector.finish()
        assert inspector.members[0].signed


async def test_evidence_is_kept_byte_for_byte(world: World) -> None:
    of = await completed(world)
    found = {one.name: await fetched(world.provider, of, one) for one in await world.provider.deliverables(of)}
    task = world.sandbox.order(id_of(of)).tasks[0]
    assert found["participant-1-document-1.sdo"] == task.statements["document-1"]
    assert b"task-completed" in found["participant-1-events.json"]


async def test_evidence_that_is_not_there_is_not_asked_for(world: World) -> None:
    of = await completed(world, participants=(signer(1), signer(2)))
    world.sandbox.order(id_of(of)).tasks[0].statements.clear()
    names = [one.name for one in await world.provider.deliverables(of)]
    assert "participant-1-document-1.sdo" not in names
    assert "participant-2-document-1.sdo" in names


@pytest.mark.parametrize("seal", ["conflict", "unsigned", "incomplete"])
async def test_a_late_seal(world: World, seal: str) -> None:
    """A file that is not there is waited for; one that is there but wrong is for the inspection to refuse."""
    of = await completed(world)
    package = await package_of(world, of)
    world.sandbox.fault(FaultKind.LATE_SEAL, "getPackagingTaskResult", seal=seal)
    if seal == "conflict":
        with pytest.raises(NotReady):
            await fetched(world.provider, of, package)
    else:
        assert b"/ByteRange" not in await fetched(world.provider, of, package)
    assert b"/ByteRange" in await fetched(world.provider, of, package)


async def test_a_file_cut_short_is_an_outage(world: World) -> None:
    of = await completed(world)
    package = await package_of(world, of)
    for at_byte in (2, 1000):
        world.sandbox.fault(FaultKind.TRUNCATE, "getPackagingTaskResult", at_byte=at_byte)
        with pytest.raises(Unavailable):
            await fetched(world.provider, of, package)


@pytest.mark.parametrize("content", [b"", b"P", b"<html>please wait</html>", b'{"status": 500}'])
@pytest.mark.parametrize("kind", ["document", "statement", "events"])
async def test_what_is_no_file_is_not_ready(content: bytes, kind: str) -> None:
    facts = {"document": {"package": "p"}, "statement": {"task": "t", "result": "d"}, "events": {"task": "t"}}[kind]
    types = {"document": "application/pdf", "statement": "application/x-ltv-sdo", "events": "application/json"}
    media_type = types[kind]
    deliverable = Deliverable("x", "document" if kind == "document" else "evidence", media_type, facts)
    is_right = kind == "statement" and content == b"P"
    async with scripted() as (server, provider):
        server.answers(lambda: web.Response(body=content, content_type=media_type))
        of = signing(provider_signing_id="o")
        if is_right:  # of evidence we know no more than that it is no web page
            assert await fetched(provider, of, deliverable) == content
            return
        with pytest.raises(NotReady):
            await fetched(provider, of, deliverable)


async def test_a_file_that_does_not_end_is_given_up(world: World) -> None:
    of = await completed(world)
    packaging = world.sandbox.order(id_of(of)).packaging[0]
    packaging.result = (packaging.result or b"") + b" " * (3 * len(PDF_BYTES) + 5 * 1024**2)
    with pytest.raises(Permanent) as caught:
        await fetched(world.provider, of, await package_of(world, of))
    assert caught.value.code == "result_too_large"


async def test_without_an_id_there_is_nothing_to_fetch(world: World) -> None:
    with pytest.raises(ProviderNotFound):
        await world.provider.deliverables(signing())


# ------------------------------------------------------------------------------------------------ redirects


@pytest.mark.parametrize("delivery", ["same_host", "archive", "foreign_host"])
async def test_results_are_fetched_from_where_they_lie(
    world: World, delivery: Literal["same_host", "archive", "foreign_host"]
) -> None:
    of = await completed(world)
    packaging = world.sandbox.order(id_of(of)).packaging[0]
    packaging.archive_id = "archived"
    world.sandbox.state.archive["archived"] = packaging.result or b""
    world.sandbox.options.delivery = delivery
    assert await fetched(world.provider, of, await package_of(world, of)) == packaging.result
    foreign = world.sandbox.foreign_authorizations
    assert foreign == ([None] if delivery == "foreign_host" else [])


async def test_a_host_is_shown_the_token_only_when_the_account_says_so() -> None:
    async with running_world() as world:
        foreign = world.sandbox.counter.foreign.base_url
        async with provider_at(world.sandbox, trusted_hosts=foreign) as trusting:
            of = await completed(world)
            world.sandbox.options.delivery = "foreign_host"
            await fetched(trusting, of, await package_of(world, of))
    (shown,) = world.sandbox.foreign_authorizations
    assert (shown or "").startswith("Bearer ")


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/file",
        "file:///etc/passwd",
        "http://example.org/file",
        "https://user:word@example.org/file",
        "https:///file",
        "//[broken/file",
    ],
)
async def test_addresses_that_nobody_should_call_are_not_called(location: str) -> None:
    async with scripted() as (server, provider):
        server.answers(lambda: web.Response(status=303, headers={"Location": location}))
        with pytest.raises(UnreadableAnswer):
            await fetched(provider, signing(provider_signing_id="o"), PACKAGE)
        assert len(server.seen) == 1


async def test_redirects_in_a_circle_come_to_an_end() -> None:
    async with scripted() as (server, provider):
        server.answers(lambda: web.Response(status=302, headers={"Location": "/round"}))
        with pytest.raises(UnreadableAnswer):
            await fetched(provider, signing(provider_signing_id="o"), PACKAGE)
        assert len(server.seen) == 6


# -------------------------------------------------------------------------------------------------- actions


async def test_cancel_deletes_the_order_and_may_be_repeated(world: World) -> None:
    of = await begun(world)
    await world.provider.cancel(of, "changed our mind")
    assert world.sandbox.state.orders == {}
    assert (await world.provider.status(id_of(of))).kind is EventKind.CANCELLED
    await world.provider.cancel(of)
    assert (await world.provider.status(id_of(of))).kind is EventKind.CANCELLED


async def test_a_cancellation_whose_answer_was_lost_is_recognised(world: World) -> None:
    of = await begun(world)
    world.lose_answer("deleteSigningOrder")
    with pytest.raises(Unavailable):
        await world.provider.cancel(of)
    await world.provider.cancel(of)
    assert (await world.provider.status(id_of(of))).kind is EventKind.CANCELLED


@pytest.mark.parametrize("end", ["complete", "expire", "withdraw", "fail"])
async def test_what_is_over_cannot_be_cancelled(world: World, end: str) -> None:
    of = await begun(world)
    await getattr(world, end)(id_of(of))
    with pytest.raises(Rejected):
        await world.provider.cancel(of)
    assert id_of(of) in world.sandbox.state.orders


async def test_what_all_have_signed_is_not_destroyed_while_it_is_packaged(world: World) -> None:
    world.sandbox.options.packaging_seconds = 0.1
    of = await begun(world, participants=(signer(1),))
    await world.sign_next(id_of(of))
    with pytest.raises(Rejected):
        await world.provider.cancel(of)
    assert id_of(of) in world.sandbox.state.orders


async def test_another_signing_cannot_be_cancelled_by_its_id(world: World) -> None:
    of = await begun(world)
    with pytest.raises(ProviderNotFound):
        await world.provider.cancel(started(signing(), id_of(of)))
    assert id_of(of) in world.sandbox.state.orders


async def test_deleting_twice_is_deleting_once(world: World) -> None:
    of = await completed(world)
    await world.provider.delete(of)
    await world.provider.delete(of)
    await world.provider.delete(signing())
    assert world.sandbox.state.orders == {}
    assert world.sandbox.state.uploads == {}


async def test_links_are_for_those_who_still_have_to_act(world: World) -> None:
    of = await begun(world)
    links = await world.provider.links(of)
    assert [(one.number, one.url) for one in links] == [
        (1, world.sandbox.signing_url(id_of(of), "participant-1")),
        (2, world.sandbox.signing_url(id_of(of), "participant-2")),
    ]
    assert "key=" not in repr(links)
    await world.sign_next(id_of(of))
    assert [one.number for one in await world.provider.links(of)] == [2]


async def test_what_is_not_among_the_actions_is_refused(world: World) -> None:
    of = signing(provider_signing_id="x")
    for refused in (
        world.provider.remind(of),
        world.provider.add_participant(of, signer(2)),
        world.provider.remove_participant(of, 1),
        world.provider.extend(of, NOW),
        world.provider.subscribe("https://app.example.org"),
    ):
        with pytest.raises(UnsupportedFeature):
            await refused
    assert world.provider.capabilities.actions == {Action.CANCEL, Action.LINKS, Action.DELETE}
    for missing in (world.provider.cancel(signing()), world.provider.links(signing())):
        with pytest.raises(ProviderNotFound):
            await missing


# ---------------------------------------------------------------------------------------- answers and health


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>Maintenance</html>", content_type="text/html"),
        lambda: web.json_response({"status": 500, "title": "Oops", "detail": "An error in a 200"}),
        lambda: web.json_response({"id": "o"}),
        lambda: web.json_response([]),
        lambda: web.Response(status=204),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html"),
    ],
)
async def test_answers_that_make_no_sense_are_outages(answer: object) -> None:
    assert callable(answer)
    async with scripted() as (server, provider):
        server.answers(answer)
        with pytest.raises(Unavailable):
            await provider.status("o")
        assert len(server.seen) == 1


async def test_throttling_says_how_long(world: World) -> None:
    of = await begun(world)
    world.throttle("getSigningOrder", retry_after=7)
    with pytest.raises(Throttled) as caught:
        await world.provider.status(id_of(of))
    assert caught.value.retry_after_seconds == 7


async def test_reachable_means_that_a_token_can_be_had(world: World) -> None:
    world.sandbox.fault(FaultKind.STATUS, "getAccessToken", status=503)
    assert not await world.provider.is_reachable()
    assert await world.provider.is_reachable()


@pytest.mark.parametrize("client_auth", ["basic", "form"])
async def test_the_client_proves_itself_either_way(client_auth: str) -> None:
    async with running_world(client_auth=client_auth) as world:
        assert (await begun(world)).provider_signing_id in world.sandbox.state.orders


@pytest.mark.parametrize("client_auth", ["basic", "form"])
async def test_wrong_credentials_are_told_as_such(client_auth: str) -> None:
    async with running_world(client_auth=client_auth, client_secret="wrong") as world:
        with pytest.raises(Unauthorised, match="invalid_client"):
            await world.provider.status("x")


async def test_a_missing_permission_is_told_as_such(world: World) -> None:
    world.sandbox.options.permission = False
    with pytest.raises(Unauthorised, match="lacks the permission"):
        await world.provider.status("x")


async def test_expired_tokens_are_renewed_on_the_way(world: World) -> None:
    of = await begun(world)
    world.sandbox.tokens.expire()
    assert (await world.provider.status(id_of(of))).known
    assert world.calls_made.count("getAccessToken") == 2


async def test_an_upload_survives_a_renewal(world: World) -> None:
    """The raw body goes out anew after the first refusal."""
    await world.provider.is_reachable()
    world.sandbox.tokens.expire()
    await begun(world)
    assert set(world.sandbox.state.uploads.values()) == {PDF_BYTES}


async def test_nothing_personal_or_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    of = await completed(world, options={"subject_attributes": {"1": {"national-id": "10109001290"}}})
    await world.provider.status(id_of(of), signing=of)
    for deliverable in await world.provider.deliverables(of):
        await fetched(world.provider, of, deliverable)
    key = world.sandbox.order(id_of(of)).tasks[0].key
    ours = [record for record in caplog.records if record.name == "countersign"]
    assert len(ours) >= 10
    everything = "\n".join(one.getMessage() for one in caplog.records if "sandbox" not in one.name)
    secrets = {"Ada", "Jansen", "example.org", "Lease 2030", "10109001290", key, world.sandbox.client_secret}
    secrets |= set(world.sandbox.tokens.issued)
    assert [one for one in secrets if one in everything] == []


async def test_documents_need_not_be_small_to_pass() -> None:
    """A raw upload goes out in pieces, with its length."""
    async with SignicatSandbox.start(options=QUICK) as sandbox, provider_at(sandbox) as provider:
        big = PDF_BYTES + b"%" * 3_000_000
        of = signing(documents=(document(1, size=len(big)),))

        async def read(_: object) -> bytes:
            return big

        await provider.start(StartOrder(of, "http://127.0.0.1:9/cb", read), MemoryLog())
        assert list(sandbox.state.uploads.values()) == [big]


async def test_operations_can_be_run_by_name(world: World) -> None:
    file = OperationFile("lease.pdf", "application/pdf", PDF_BYTES)
    async with world.provider.operate("uploadSessionDocument", {"file": file}) as answer:
        uploaded = answer.content["documentId"]
    async with world.provider.operate("getDocument", {"documentId": uploaded}) as answer:
        assert answer.download is not None
        assert b"".join([chunk async for chunk in answer.download.chunks]) == PDF_BYTES
    of = await begun(world)
    async with world.provider.operate("getTaskEvents", {"orderId": id_of(of), "taskId": "participant-1"}) as answer:
        assert [one["eventType"] for one in answer.content] == ["task-created", "notification-sent"]
    with pytest.raises(NotFound):
        async with world.provider.operate("getAccessToken", {}):
            pytest.fail("a token was handed out")
