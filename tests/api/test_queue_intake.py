"""Orders from a queue, on in-memory ports: what is taken in, set aside, and answered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.api import queue_intake
from shared.domain.errors import WrongState
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import Signing, State
from shared.ports import DeadLetter
from tests.fakes.storage import INBOX_URL
from tests.flow.world import PDF, World

REPLIES = "signing-replies"


def order(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "account": "memory",
        "title": "Lease",
        "documents": [{"name": "lease.pdf", "content": base64.b64encode(PDF).decode()}],
        "participants": [
            {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org", "placements": [{"text": "_s1_"}]}
        ],
    }
    return content | changes


def in_blob(address: str, **changes: Any) -> dict[str, Any]:
    return order(documents=[{"name": "lease.pdf", "blob": address} | changes])


async def arrive(world: World, content: object, message_id: str = "m-1") -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    await queue_intake.run(world.app, message_id, raw)


async def signings(world: World) -> list[Signing]:
    """Those whose start is queued, each once."""
    ids = {message.signing_id: None for message in world.queue.on(Queue.STARTS) if isinstance(message, RunStart)}
    return [(await world.signings.load(one)).signing for one in ids]


async def letters(world: World) -> dict[str, DeadLetter]:
    return {letter.id: letter for letter in await world.dead_letters.list(1000)}


def replies(world: World, queue: str = REPLIES) -> list[dict[str, Any]]:
    return [json.loads(text) for text in world.replies.sent[queue]]


async def test_an_order_becomes_a_signing_whose_start_is_queued() -> None:
    world = World()
    await arrive(world, order())
    (sent,) = world.queue.sent
    assert sent.delay_seconds == 0
    (signing,) = await signings(world)
    assert signing.state == "requested"
    assert await letters(world) == {}
    await world.work_off(Queue.STARTS)
    assert (await world.now(signing)).state == "started"
    assert world.provider.read_documents == [PDF]


async def test_a_message_that_comes_again_makes_no_second_signing() -> None:
    world = World()
    message = [order(), order(title="Other"), order(idempotencyKey="own")]
    for _ in range(3):
        await arrive(world, message)
    assert [one.title for one in await signings(world)] == ["Lease", "Other", "Lease"]


async def test_the_same_order_in_another_message_is_another_signing() -> None:
    world = World()
    await arrive(world, order(), "m-1")
    await arrive(world, order(), "m-2")
    assert len(await signings(world)) == 2


async def test_an_event_that_was_sent_twice_is_one_order() -> None:
    world = World()
    event = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "order", "data": order()}
    await arrive(world, event, "m-1")
    await arrive(world, [event], "m-2")
    await arrive(world, event | {"id": "e-2"}, "m-3")
    first, second = await signings(world)
    assert first.idempotency_key is not None
    assert first.idempotency_key.startswith("cloud-event:")
    assert second.idempotency_key != first.idempotency_key


async def test_an_order_with_a_reference_is_recognised_by_what_it_says() -> None:
    """Without a key of its own it gets none of the message, which would hide the one that is derived from it."""
    world = World()
    await arrive(world, order(reference="lease-1"))
    await arrive(world, order(reference=None), "m-2")
    with_reference, without = await signings(world)
    assert not (with_reference.idempotency_key or "").startswith("queue:")
    assert without.idempotency_key == "queue:m-2:0"


async def test_a_key_in_the_order_wins_over_the_envelope() -> None:
    world = World()
    for event_id in ("e-1", "e-2"):
        data = order(idempotencyKey="own")
        await arrive(world, {"specversion": "1.0", "id": event_id, "source": "/erp", "type": "t", "data": data})
    (signing,) = await signings(world)
    assert signing.idempotency_key == "own"


async def test_what_was_cut_off_half_way_is_done_once_when_it_comes_again() -> None:
    world = World()
    staged = world.documents.stage

    async def down(blob: str, content: bytes, media_type: str) -> None:
        raise ConnectionError("storage is down")

    setattr(world.documents, "stage", down)  # noqa: B010 (a method of the instance, for a while)
    with pytest.raises(ConnectionError):
        await arrive(world, [order(), order(title="Other")])
    setattr(world.documents, "stage", staged)  # noqa: B010
    assert await letters(world) == {}
    await arrive(world, [order(), order(title="Other")])
    assert [one.title for one in await signings(world)] == ["Lease", "Other"]


async def test_a_wrong_item_is_set_aside_and_the_others_go_on() -> None:
    world = World()
    raw = json.dumps([order(title=""), 7, order(), order(account="nobody")]).encode()
    await arrive(world, raw)
    assert len(await signings(world)) == 1
    found = await letters(world)
    assert {letter_id: letter.reason for letter_id, letter in found.items()} == {
        "signing-requests-m-1-0": "invalid_request",
        "signing-requests-m-1-1": "unreadable_not_an_object",
        "signing-requests-m-1-3": "unknown_account",
    }
    assert {(letter.queue, letter.body.encode(), letter.encoding) for letter in found.values()} == {
        ("signing-requests", raw, "text")
    }
    await arrive(world, raw)
    assert (await letters(world)).keys() == found.keys()
    assert len(await signings(world)) == 1


async def test_a_letter_names_the_fields_and_nothing_that_was_in_them() -> None:
    world = World()
    person = order()["participants"][0] | {"email": "ada at example.org", "ada@example.org": 1}
    await arrive(world, order(participants=[person], deadlin="x", metadata={"Jansen, A.": 7}))
    (letter,) = (await letters(world)).values()
    assert "participants[0].email: not an e-mail address" in letter.detail
    assert "deadlin: " in letter.detail
    assert "metadata.?" in letter.detail
    assert "[0].ada" not in letter.detail
    assert "Jansen" not in letter.detail


async def test_bytes_that_are_no_text_are_kept_as_they_were() -> None:
    world = World()
    await arrive(world, b"\xff\xfe\x00\xd8")
    (letter,) = (await letters(world)).values()
    assert (letter.reason, letter.encoding) == ("unreadable_encoding", "base64")
    assert base64.b64decode(letter.body) == b"\xff\xfe\x00\xd8"


async def test_an_unsupported_wish_and_another_body_under_the_same_key_are_set_aside() -> None:
    world = World()
    await arrive(world, order(idempotencyKey="k"), "m-1")
    await arrive(world, order(idempotencyKey="k", title="Other"), "m-2")
    world.provider.refuse_unknown_title = True
    await arrive(world, order(), "m-3")
    assert {letter.reason for letter in (await letters(world)).values()} == {
        "idempotency_mismatch",
        "unsupported_feature",
    }


async def test_a_letter_is_run_again_under_its_own_name() -> None:
    world = World()
    await arrive(world, [order(replyTo="erp-1"), in_blob("inbox/late.pdf") | {"replyTo": REPLIES}])
    await world.documents.stage("inbox/late.pdf", PDF, "application/pdf")
    world.replies.allowed, world.replies.sent["erp-1"] = ("erp-*", REPLIES), []
    first = await letters(world)
    assert first.keys() == {"signing-requests-m-1-0-reply", "signing-requests-m-1-1"}
    for _ in range(2):
        for letter in first.values():
            await queue_intake.again(world.app, letter)
    late, replied = replies(world)[1], replies(world, "erp-1")[0]
    assert [one.id for one in await signings(world)] == [replied["signing"]["id"], late["signing"]["id"]]


async def test_the_letter_of_a_poisoned_message_is_run_as_a_whole() -> None:
    world = World()
    raw = json.dumps([order(idempotencyKey="a"), order(idempotencyKey="b")])
    await arrive(world, raw.encode())
    poison_id = "signing-requests-0b5a7c1e-3f0a-4b57-9a53-123456789012"
    letter = DeadLetter(poison_id, world.app.now(), "signing-requests", "processing_failed", "", raw)
    await queue_intake.again(world.app, letter)
    assert len(await signings(world)) == 2
    assert f"{poison_id}-0" not in await letters(world)
    bytes_letter = replace(letter, body=base64.b64encode(b"\xff").decode(), encoding="base64")
    await queue_intake.again(world.app, bytes_letter)
    unreadable = (await letters(world))[f"{poison_id}-0"]
    assert (unreadable.reason, base64.b64decode(unreadable.body)) == ("unreadable_encoding", b"\xff")


async def test_an_order_that_is_refused_again_says_so_and_its_letter_is_kept() -> None:
    world = World()
    await arrive(world, in_blob("inbox/late.pdf"))
    (letter,) = (await letters(world)).values()
    with pytest.raises(WrongState) as refused:
        await queue_intake.again(world.app, letter)
    assert refused.value.code == "not_replayable"
    await world.documents.stage("inbox/late.pdf", PDF, "application/pdf")
    await queue_intake.again(world.app, letter)
    assert len(await signings(world)) == 1


async def test_a_message_without_an_id_is_not_guessed_at() -> None:
    world = World()
    with pytest.raises(ValueError, match="id"):
        await arrive(world, order(), "")
    assert world.queue.sent == []


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_FIELDS = ["account", "title", "reference", "metadata", "options", "deadline", "notify", "replyTo", "correlationId"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(_FIELDS), _values, max_size=3), st.dictionaries(st.text(max_size=9), _values))
def test_no_order_whatever_is_in_it_can_poison_the_queue(changes: dict[str, Any], person: dict[str, Any]) -> None:
    async def check() -> None:
        world = World()
        people = [order()["participants"][0] | person]
        await arrive(world, order(**changes, participants=people))
        assert len(await signings(world)) + len([one for one in await letters(world) if not one.endswith("reply")]) == 1

    asyncio.run(check())


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
async def test_a_moment_beyond_the_calendar_is_named(moment: str) -> None:
    world = World()
    await arrive(world, order(deadline=moment))
    (letter,) = (await letters(world)).values()
    assert letter.detail.startswith("deadline: ")


# ---------------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize(
    "address", ["inbox/a b.pdf", f"{INBOX_URL}/a%20b.pdf", "https://Memory.Blob.example/inbox/a%20b.pdf"]
)
async def test_a_document_is_taken_from_the_inbox(address: str) -> None:
    world = World()
    await world.documents.stage("inbox/a b.pdf", PDF, "application/pdf")
    digest = hashlib.sha256(PDF).hexdigest()
    await arrive(world, in_blob(address, sha256=digest.upper()))
    (signing,) = await signings(world)
    assert signing.documents[0].sha256 == digest


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/inbox/a.pdf",
        "http://memory.blob.example/inbox/a.pdf",
        "https://memory.blob.example:8443/inbox/a.pdf",
        "https://memory.blob.example@elsewhere.example/inbox/a.pdf",
        "https://memory.blob.example/signed/a.pdf",
        "https://memory.blob.example/inboxes/a.pdf",
        f"{INBOX_URL}/../signed/a.pdf",
        f"{INBOX_URL}/%2e%2e/signed/a.pdf",
        f"{INBOX_URL}/a.pdf?sig=secret",
        f"{INBOX_URL}/",
        "https://[/inbox/a.pdf",
        "inbox/../signed/a.pdf",
        "inbox/./a.pdf",
        "inbox/",
        "signed/a.pdf",
        "ftp://memory.blob.example/inbox/a.pdf",
    ],
)
async def test_nothing_is_fetched_from_anywhere_else(address: str) -> None:
    world = World()
    for blob in ("inbox/a.pdf", "signed/a.pdf"):
        await world.documents.stage(blob, PDF, "application/pdf")
    await arrive(world, in_blob(address))
    (letter,) = (await letters(world)).values()
    assert letter.reason == "invalid_request"
    assert letter.detail.startswith("documents[0].blob: ")
    assert "secret" not in letter.detail
    assert await signings(world) == []


async def test_a_missing_blob_is_the_fault_of_its_order_only() -> None:
    world = World()
    await arrive(world, [in_blob("inbox/none.pdf"), order()])
    (letter,) = (await letters(world)).values()
    assert (letter.reason, letter.detail) == ("invalid_request", "documents[0].blob: there is no such blob")
    assert len(await signings(world)) == 1


async def test_another_file_than_was_meant_is_refused() -> None:
    world = World()
    await world.documents.stage("inbox/a.pdf", PDF + b"changed", "application/pdf")
    await arrive(world, in_blob("inbox/a.pdf", sha256=hashlib.sha256(PDF).hexdigest()))
    (letter,) = (await letters(world)).values()
    assert letter.detail == "documents[0].sha256: is not the hash of this file"
    assert await signings(world) == []


# ------------------------------------------------------------------------------------------------ replies


async def test_an_answer_is_put_on_the_queue_that_was_named() -> None:
    world = World()
    asked = {"replyTo": REPLIES, "correlationId": "c-7"}
    await arrive(world, [order(reference="lease-1", **asked), order(title="", **asked), order()])
    accepted, refused = replies(world)
    signing = accepted.pop("signing")
    assert accepted == {"v": 1, "correlationId": "c-7", "index": 0, "outcome": "accepted", "problem": None}
    assert (signing["state"], signing["reference"]) == ("requested", "lease-1")
    assert (refused["outcome"], refused["index"], refused["signing"]) == ("refused", 1, None)
    assert (refused["problem"]["status"], refused["problem"]["errors"][0]["field"]) == (400, "title")


async def test_a_repeat_is_answered_with_the_same_signing() -> None:
    world = World()
    for _ in range(2):
        await arrive(world, order(replyTo=REPLIES))
    first, second = replies(world)
    assert first["signing"]["id"] == second["signing"]["id"]


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        ("signing-replies-of-others", "reply_refused"),
        ("signing-starts", "reply_refused"),
        ("signing-requests-poison", "reply_refused"),
        ("azure-webjobs-blobtrigger-x", "reply_refused"),
        ("../signing-starts", "reply_refused"),
        ("", "reply_refused"),
        ("erp-missing", "reply_queue_missing"),
    ],
)
@pytest.mark.parametrize("title", ["Lease", ""])
async def test_an_answer_that_cannot_be_given_stops_nothing(queue: str, reason: str, title: str) -> None:
    world = World()
    world.replies.allowed = ("erp-*",)
    if queue == "signing-starts":
        world.replies.allowed = ("*",)
    await arrive(world, order(title=title, replyTo=queue))
    taken_in = await signings(world)
    letter = (await letters(world))["signing-requests-m-1-0-reply"]
    assert letter.reason == reason
    assert letter.signing_id == (taken_in[0].id if title else None)
    assert ("signing-requests-m-1-0" in await letters(world)) is (title == "")


async def test_a_wrong_correlation_id_is_told_to_the_queue_that_was_named() -> None:
    world = World()
    await arrive(world, order(replyTo=REPLIES, correlationId=7))
    (refused,) = replies(world)
    assert refused["problem"]["errors"][0]["field"] == "correlationId"
    await arrive(world, order(replyTo=["x"]), "m-2")
    assert (await letters(world))["signing-requests-m-2-0"].detail.startswith("replyTo: ")
    assert await signings(world) == []


async def test_an_answer_too_large_for_a_message_keeps_what_matters() -> None:
    world = World()
    world.with_policy(max_participants=500)
    person = order()["participants"][0] | {"familyName": "\uffff" * 200}
    await arrive(world, order(participants=[person] * 55, replyTo=REPLIES))
    await arrive(world, order(participants=[{}] * 700, replyTo=REPLIES), "m-2")
    accepted, refused = replies(world)
    assert accepted["signing"]["state"] == "requested"
    assert "participants" not in accepted["signing"]
    assert refused["problem"]["code"] == "invalid_request"
    assert "errors" not in refused["problem"]
    assert (await letters(world))["signing-requests-m-2-0"].detail.count(";") == 19


def _plain(blob: dict[str, Any]) -> object:
    return blob


def _in_event(blob: dict[str, Any]) -> object:
    return {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "order", "data": blob}


@pytest.mark.parametrize(
    ("changes", "envelope", "second_message"),
    [
        ({"idempotencyKey": "own"}, _plain, "m-2"),
        ({"reference": "lease-1"}, _plain, "m-2"),
        ({}, _in_event, "m-2"),
        ({}, _plain, "m-1"),
    ],
)
async def test_a_copy_that_comes_when_the_inbox_is_cleared_gets_the_first_answer(
    changes: dict[str, Any], envelope: Any, second_message: str
) -> None:
    world = World()
    await world.documents.stage("inbox/a.pdf", PDF, "application/pdf")
    message = envelope(in_blob("inbox/a.pdf") | {"replyTo": REPLIES} | changes)
    await arrive(world, message)
    await world.documents.delete_staged(["inbox/a.pdf"])
    await arrive(world, message, second_message)
    first, second = replies(world)
    assert (first["outcome"], second["outcome"]) == ("accepted", "accepted")
    assert first["signing"]["id"] == second["signing"]["id"]
    assert len(await signings(world)) == 1
    assert await letters(world) == {}


async def test_a_copy_without_its_document_is_told_of_the_new_try_that_took_the_place_of_a_failed_start() -> None:
    world = World()
    await world.documents.stage("inbox/a.pdf", PDF, "application/pdf")
    message = in_blob("inbox/a.pdf") | {"reference": "lease-1", "replyTo": REPLIES}
    await arrive(world, message)
    (failed,) = await signings(world)
    loaded = await world.loaded(failed)
    await world.signings.save(loaded, failed.model_copy(update={"state": State.FAILED}), [])
    await arrive(world, message, "m-2")
    await world.documents.delete_staged(["inbox/a.pdf"])
    await arrive(world, message, "m-3")
    first, second, third = (reply["signing"]["id"] for reply in replies(world))
    assert (first, third) == (failed.id, second)
    assert second != first


async def test_a_copy_that_could_be_of_either_of_two_orders_is_not_answered_with_one_of_them() -> None:
    """The same words twice, with another file at the same address the second time."""
    world = World()
    for number, content in enumerate((PDF, PDF + b"annex", PDF + b"second annex")):
        await world.documents.stage("inbox/a.pdf", content, "application/pdf")
        await arrive(world, in_blob("inbox/a.pdf") | {"reference": "lease-1"}, f"m-{number}")
    await world.documents.delete_staged(["inbox/a.pdf"])
    await arrive(world, in_blob("inbox/a.pdf") | {"reference": "lease-1"}, "m-3")
    assert len(await signings(world)) == 3
    assert [letter.detail for letter in (await letters(world)).values()] == ["documents[0].blob: there is no such blob"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),  # nothing tells that the second is not a new order
        ({"reference": "lease-1"}, {"reference": "lease-1", "title": "Other"}),
        ({"idempotencyKey": "one"}, {"idempotencyKey": "two"}),
    ],
)
async def test_another_order_whose_document_is_gone_is_refused(before: dict[str, Any], after: dict[str, Any]) -> None:
    world = World()
    await world.documents.stage("inbox/a.pdf", PDF, "application/pdf")
    await arrive(world, in_blob("inbox/a.pdf") | before)
    await world.documents.delete_staged(["inbox/a.pdf"])
    await arrive(world, in_blob("inbox/a.pdf") | after, "m-2")
    (letter,) = (await letters(world)).values()
    assert letter.detail == "documents[0].blob: there is no such blob"
    assert len(await signings(world)) == 1


async def test_an_order_that_died_before_its_signing_was_written_is_refused_when_its_document_is_gone() -> None:
    world = World()
    await world.documents.stage("inbox/a.pdf", PDF, "application/pdf")
    mark_due = world.signings.mark_due

    async def down(signing_id: str, due_at: object) -> None:
        raise ConnectionError("storage is down")

    setattr(world.signings, "mark_due", down)  # noqa: B010 (a method of the instance, for a while)
    with pytest.raises(ConnectionError):
        await arrive(
            world,
            in_blob(
                "inbox/a.pdf",
            )
            | {"idempotencyKey": "own"},
        )
    setattr(world.signings, "mark_due", mark_due)  # noqa: B010
    await world.documents.delete_staged(["inbox/a.pdf"])
    await arrive(world, in_blob("inbox/a.pdf") | {"idempotencyKey": "own"}, "m-2")
    assert [letter.reason for letter in (await letters(world)).values()] == ["invalid_request"]
    await world.documents.stage("inbox/a.pdf", PDF, "application/pdf")
    await arrive(world, in_blob("inbox/a.pdf") | {"idempotencyKey": "own"}, "m-3")
    assert len(await signings(world)) == 1
