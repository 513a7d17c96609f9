"""The main job and everything that can happen to it, for PKIsigning."""

from __future__ import annotations

import asyncio

import pytest

from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.sandbox.pkisigning import CallbackKnobs
from shared.domain.errors import ConcurrentUpdate
from shared.storage.clients import StorageClients
from shared.storage.signings import TableSigningStore
from tests.scenarios.play import Play, person

pytestmark = pytest.mark.asyncio(loop_scope="session")

both_apis = pytest.mark.parametrize("account", [V2_ACCOUNT, V1_ACCOUNT])


@both_apis
async def test_happy_path(play: Play, account: str) -> None:
    signing = await play.start(account)
    assert signing["state"] == "started"
    await play.stack.sandbox.complete(signing["providerSigningId"])
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    await play.told(signing["id"], "started", "completed", "stored")
    assert play.invitations(signing) == 1
    assert stored["participants"][0]["progress"] == "signed"
    moves = [entry["facts"]["to"] for entry in await play.history(signing["id"]) if entry["kind"] == "moved"]
    assert moves == ["started", "completed", "stored"]


@both_apis
async def test_a_document_from_blob_storage(play: Play, account: str) -> None:
    blob = await play.put_into_inbox("contracts/lease.pdf")
    signing = await play.start(account, documents=[{"name": "lease.pdf", "blob": blob}])
    await play.stack.sandbox.complete(signing["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    missing = await play.post(play.order(account, documents=[{"name": "lease.pdf", "blob": "inbox/none.pdf"}]))
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (400, "documents[0].blob")


@both_apis
async def test_a_pdf_that_is_none_is_refused_before_anything_is_made(play: Play, account: str) -> None:
    await play.check_no_pdf_is_refused(play.order(account), lambda: len(play.stack.sandbox.state.requests))


@both_apis
async def test_reads_that_lag_behind_the_callback_are_asked_again(play: Play, account: str) -> None:
    signing = await play.start(account)
    play.stack.sandbox.fault("late_status", times=None, seconds=2)
    await play.stack.sandbox.complete(signing["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    await play.told(signing["id"], "started", "completed", "stored")


async def test_two_signers_in_order_with_an_approver_and_an_observer(play: Play) -> None:
    people = [
        person(1, order=2),
        person(2, order=3),
        person(1, role="approver", email="approver@example.org", order=1, placements=[]),
        person(2, role="observer", email="observer@example.org", order=4, placements=[]),
    ]
    signing = await play.start(participants=people)
    await play.stack.sandbox.complete(signing["providerSigningId"])
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    assert [one["progress"] for one in stored["participants"]] == ["signed", "signed", "approved", "received"]


@both_apis
async def test_decline(play: Play, account: str) -> None:
    signing = await play.start(account)
    await play.stack.sandbox.decline(signing["providerSigningId"], reason="The rent is too high")
    declined = await play.until(signing["id"], "declined")
    assert declined["reason"] == "The rent is too high"
    await play.told(signing["id"], "started", "declined")
    assert await play.blobs_of(signing["id"], "signed") == []
    assert "rent" not in str(await play.history(signing["id"]))


@both_apis
async def test_expiry(play: Play, account: str) -> None:
    signing = await play.start(account)
    play.stack.sandbox.expire(signing["providerSigningId"])
    await play.until(signing["id"], "expired")
    await play.told(signing["id"], "started", "expired")


async def test_a_signature_after_an_expired_invitation_still_counts(play: Play) -> None:
    signing = await play.start()
    play.stack.sandbox.expire(signing["providerSigningId"])
    await play.until(signing["id"], "expired")
    play.stack.sandbox.extend(signing["providerSigningId"])
    await play.stack.sandbox.complete(signing["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    await play.told(signing["id"], "started", "expired", "completed", "stored")


async def test_withdrawn_by_the_sender(play: Play) -> None:
    signing = await play.start()
    play.stack.sandbox.withdraw(signing["providerSigningId"])
    await play.until(signing["id"], "cancelled")


async def test_the_answer_to_the_start_call_is_lost_and_a_callback_proves_it(play: Play) -> None:
    """V1 has no other proof: the id of the request was in the lost answer."""
    play.stack.sandbox.fault("lost_answer", "Share_StartSignFlow")
    signing = await play.start(V1_ACCOUNT)
    assert signing["state"] == "requested"
    started = await play.until(signing["id"], "started")
    assert play.invitations(started) == 1
    await play.stack.sandbox.complete(started["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    assert play.invitations(started) == 1


async def test_the_callback_overtakes_the_start_call(play: Play) -> None:
    sandbox = play.stack.sandbox
    sandbox.fault("slow_answer", "Share_StartSignFlow", seconds=3)
    starting = asyncio.create_task(play.start(V1_ACCOUNT, title="Overtaken lease"))
    while not sandbox.state.named("Overtaken lease"):
        await asyncio.sleep(0.05)
    (request,) = sandbox.state.named("Overtaken lease")
    await sandbox.complete(request.id)
    signing = await starting
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    assert stored["providerSigningId"] == request.id
    assert play.invitations(stored) == 1
    await play.stack.receiver.wait_for(lambda: "stored" in play.stack.receiver.states(signing["id"]))
    # Whether `started` was seen at all depends on which callback was read back first.
    assert set(play.stack.receiver.states(signing["id"])) - {"started"} == {"completed", "stored"}


@both_apis
async def test_the_callback_is_lost_and_reconcile_finds_it(play: Play, account: str) -> None:
    play.stack.sandbox.set_knobs(CallbackKnobs(drop=True))
    signing = await play.start(account)
    await play.stack.sandbox.complete(signing["providerSigningId"])
    assert (await play.get(signing["id"]))["state"] == "started"
    await play.reconcile_while_started(signing["id"])
    await play.check_stored(await play.until(signing["id"], "stored"))
    moved = [entry["facts"] for entry in await play.history(signing["id"]) if entry["kind"] == "moved"]
    assert moved[1]["source"] == "reconcile"


@both_apis
async def test_callbacks_three_times_and_in_the_wrong_order(play: Play, account: str) -> None:
    signing = await play.start(account, participants=[person(1), person(2)])
    play.stack.sandbox.set_knobs(CallbackKnobs(copies=3, reorder=2))
    await play.stack.sandbox.complete(signing["providerSigningId"])
    play.stack.sandbox.callbacks.flush()
    stored = await play.until(signing["id"], "stored")
    await play.stack.sandbox.settle()
    await play.check_stored(stored)
    await play.told(signing["id"], "started", "completed", "stored")
    moves = [entry["facts"]["to"] for entry in await play.history(signing["id"]) if entry["kind"] == "moved"]
    assert moves == ["started", "completed", "stored"]


@pytest.mark.parametrize("fault", ["truncate", "corrupt", "late_seal"])
async def test_a_zip_that_is_not_whole_yet_is_fetched_again(play: Play, fault: str) -> None:
    signing = await play.start()
    play.stack.sandbox.fault(fault, "Requests_Download", times=2)
    await play.stack.sandbox.complete(signing["providerSigningId"])
    stored = await play.until(signing["id"], "stored")
    await play.check_stored(stored)
    retries = [entry for entry in await play.history(signing["id"]) if entry["kind"] == "download_retry"]
    assert len(retries) == 2


async def test_a_seal_that_never_comes_is_told_to_a_person_and_still_awaited(play: Play) -> None:
    signing = await play.start()
    play.stack.sandbox.fault("late_seal", "Requests_Download", times=5)
    await play.stack.sandbox.complete(signing["providerSigningId"])
    late = await play.until_it(signing["id"], lambda one: one.get("attention", {}).get("code") == "seal_late")
    assert late["state"] == "completed"
    assert await play.blobs_of(signing["id"], "signed") == []
    stored = await play.until(signing["id"], "stored")
    assert "attention" not in stored


@both_apis
@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_provider_in_trouble_is_asked_again(play: Play, account: str, status: int) -> None:
    operation = "Share_StartSignFlow" if account == V1_ACCOUNT else "Documents_Create"
    play.stack.sandbox.fault("status", operation, times=2, status=status, retry_after=1)
    signing = await play.start(account)
    assert signing["state"] == "requested"
    if account == V1_ACCOUNT and status != 429:
        # A 5xx may have come after the invitation, and V1 lets nobody look: a person has to decide.
        waiting = await play.until_it(signing["id"], lambda one: "attention" in one)
        assert waiting["attention"]["code"] == "start_uncertain"
        assert waiting["state"] == "requested"
        return
    started = await play.until(signing["id"], "started")
    assert play.invitations(started) == 1
    await play.stack.sandbox.complete(started["providerSigningId"])
    await play.check_stored(await play.until(signing["id"], "stored"))


async def test_an_uncertain_send_is_looked_up_and_not_repeated(play: Play) -> None:
    play.stack.sandbox.fault("lost_answer", "Requests_Send")
    signing = await play.start()
    assert signing["state"] == "requested"
    started = await play.until(signing["id"], "started")
    assert play.invitations(started) == 1
    sends = [
        one
        for one in play.stack.sandbox.calls
        if one.operation == "Requests_Send" and started["providerSigningId"] in one.path
    ]
    assert len(sends) == 1


async def test_a_send_that_never_arrived_is_sent_after_the_look_up(play: Play) -> None:
    play.stack.sandbox.fault("hang_up_before", "Requests_Send")
    signing = await play.start()
    started = await play.until(signing["id"], "started")
    assert play.invitations(started) == 1


@both_apis
async def test_credits_exhausted(play: Play, account: str) -> None:
    play.stack.sandbox.set_credits(0)
    answer = await play.post(play.order(account))
    assert answer.status_code == 402
    problem = answer.json()
    assert problem["code"] == "credits_exhausted"
    assert problem["retryable"] is False
    assert "credits" in problem["nextStep"]
    failed = await play.get(problem["signingId"])
    assert failed["state"] == "failed"
    assert failed["attention"]["code"] == "credits_exhausted"
    await play.told(failed["id"], "failed")
    # The draft went too: it would have held the credits of actors that were added before the refusal.
    assert "providerSigningId" not in failed or failed["providerSigningId"] not in play.stack.sandbox.state.requests


async def test_others_write_to_the_row_all_the_time(play: Play) -> None:
    """Storage conflicts: a second writer changes the row under every stage's hands."""
    clients = StorageClients.from_settings(connection_string=play.stack.azurite.connection_string)
    store = TableSigningStore(clients)
    answer = await play.post(play.order(), Prefer="respond-async")
    signing_id = answer.json()["id"]
    stop = asyncio.Event()
    conflicts = asyncio.create_task(_keep_touching(store, signing_id, stop))
    try:
        started = await play.until(signing_id, "started")
        await play.stack.sandbox.complete(started["providerSigningId"])
        stored = await play.until(signing_id, "stored")
    finally:
        stop.set()
        own_conflicts = await conflicts
        await clients.aclose()
    log = play.stack.log_text().splitlines()
    theirs = [line for line in log if '"event": "save_conflict"' in line and signing_id in line]
    assert own_conflicts + len(theirs) > 0
    await play.check_stored(stored)
    assert play.invitations(stored) == 1
    moves = [entry["facts"]["to"] for entry in await play.history(signing_id) if entry["kind"] == "moved"]
    assert moves == ["started", "completed", "stored"]


async def _keep_touching(store: TableSigningStore, signing_id: str, stop: asyncio.Event) -> int:
    """How often the app was faster."""
    touched = conflicts = 0
    while not stop.is_set():
        loaded = await store.load(signing_id)
        changed = loaded.signing.model_copy(update={"metadata": {"touched": str(touched)}})
        try:
            await store.save(loaded, changed, [])
            touched += 1
        except ConcurrentUpdate:
            conflicts += 1
        await asyncio.sleep(0.03)
    return conflicts
