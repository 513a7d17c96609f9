"""Callbacks that prove nothing: what passes as a hint, what is refused, and what counts as the same again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sandbox.signicat import CallbackKnobs
from shared.domain.errors import VerificationFailed
from shared.domain.states import EventKind
from shared.providers.signicat import Config
from shared.providers.signicat.callback import MAX_BODY_BYTES, CallbackReader, events
from shared.providers.signicat.mapping import to_wire_order
from shared.verification.raw import RawCallback, VerifiedCallback
from tests.providers.signicat.samples import CALLBACK_URL, NOW, id_of, signer, signing, started
from tests.providers.signicat.world import World
from tests.providers.stand_ins import MemoryLog

ORDER_ID = "05022019298twl5n4wo4soavolfwnxev9rxfghqapyk8junju1wxqamkeq"
NOTICE = "0190163d-8694-739b-aea5-966c26f8ad90.participant-1.COMPLETED"


CONFIG = Config.model_validate(
    {"client_id": "c", "client_secret": "s", "signature_methods": "nbid-sign:SIGNED_STATEMENT"}
)


def raw(query: Mapping[str, str], method: str = "GET", body: bytes = b"", *, later: float = 0) -> RawCallback:
    return RawCallback(method, {}, body, NOW + timedelta(seconds=later), query)


async def verify(callback: RawCallback) -> VerifiedCallback:
    return await CallbackReader().verify(callback)


@pytest.mark.parametrize(
    ("query", "order_id"),
    [
        ({"requestId": ORDER_ID, "taskId": "participant-1", "notice": NOTICE}, ORDER_ID),
        ({"orderId": ORDER_ID}, ORDER_ID),
        ({"request_id": ORDER_ID, "task_id": "x"}, ORDER_ID),
        ({"requestId": ORDER_ID, "orderId": ORDER_ID}, ORDER_ID),
        ({"requestId": ORDER_ID, "packagingTaskId": "package-1", "something": "else\n"}, ORDER_ID),
        ({"notice": NOTICE}, None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "get"])
async def test_every_spelling_is_a_hint(query: dict[str, str], order_id: str | None, method: str) -> None:
    callback = await verify(raw(query, method, b"whatever"))
    (notice,) = events(callback)
    assert notice.provider_signing_id == order_id
    assert notice.provider_status == ("COMPLETED" if "notice" in query else "")
    assert callback.verdicts["signature"] == "none"
    assert callback.verdicts.get("order_id") == order_id
    assert callback.headers == {}


@pytest.mark.parametrize(
    ("about", "is_end"),
    [
        ("order.COMPLETED", True),
        ("participant-1.REJECTED", True),
        ("participant-1.COMPLETED", False),
        ("participant-1.CREATED", False),
        ("package-1.COMPLETED", False),
    ],
)
async def test_our_own_word_says_whether_it_is_over(about: str, is_end: bool) -> None:
    """As it stands in the addresses that go out with an order."""
    address = next(url for url in _callback_addresses() if url.endswith(f".{about}"))
    query = dict(parse_qsl(urlsplit(address).query))
    (notice,) = events(await verify(raw(query)))
    assert notice.claims_end is is_end


def _callback_addresses() -> list[str]:
    body = to_wire_order(signing(), CONFIG, {1: "a" * 58}, CALLBACK_URL)
    of_tasks = [one for task in body.tasks for one in task.notifications or ()]
    of_packages = [one for package in body.packagingTasks or () for one in package.notifications or ()]
    return [one.recipient for one in (*(body.notifications or ()), *of_tasks, *of_packages)]


@pytest.mark.parametrize(
    ("callback", "reason", "status"),
    [
        (raw({"requestId": ORDER_ID}, "DELETE"), "field_malformed", 400),
        (raw({}, body=b" " * (MAX_BODY_BYTES + 1)), "body_too_large", 413),
        (raw({}), "signing_id_malformed", 400),
        (raw({"taskId": "participant-1"}), "signing_id_malformed", 400),
        (raw({"requestId": ""}), "signing_id_malformed", 400),
        (raw({"requestId": "x" * 201}), "signing_id_malformed", 400),
        (raw({"requestId": "../orders"}), "signing_id_malformed", 400),
        (raw({"requestId": "a b"}), "signing_id_malformed", 400),
        (raw({"requestId": ORDER_ID, "orderId": "another"}), "signing_id_malformed", 400),
        (raw({"requestId": ORDER_ID, "taskId": "<script>"}), "field_malformed", 400),
        (raw({"requestId": ORDER_ID, "packagingTaskId": "\u2603"}), "field_malformed", 400),
        (raw({"notice": "x\ny"}), "field_malformed", 400),
    ],
)
async def test_what_is_malformed_is_refused(callback: RawCallback, reason: str, status: int) -> None:
    with pytest.raises(VerificationFailed) as caught:
        await verify(callback)
    assert (caught.value.reason, caught.value.status) == (reason, status)


@given(query=st.dictionaries(st.sampled_from(["requestId", "orderId", "taskId", "notice", "x"]), st.text(max_size=20)))
async def test_any_query_is_read_or_refused(query: dict[str, str]) -> None:
    assert await outcome(raw(query)) in {None, 400, query.get("requestId"), query.get("orderId")}


async def outcome(callback: RawCallback) -> str | int | None:
    """The order that it names, or the status of its refusal."""
    try:
        (notice,) = events(await verify(callback))
    except VerificationFailed as failure:
        return failure.status
    return notice.provider_signing_id


# ----------------------------------------------------------------------------------------------- repetitions

FULL = {"requestId": ORDER_ID, "taskId": "participant-1", "notice": NOTICE}


async def test_a_repeat_is_known_once_it_was_kept() -> None:
    reader = CallbackReader()
    first = await reader.verify(raw(FULL))
    assert not reader.was_replayed(first)
    reader.remember(first)
    assert reader.was_replayed(await reader.verify(raw(FULL, "POST", b"x")))
    assert not reader.was_replayed(await reader.verify(raw(FULL, later=300)))


@pytest.mark.parametrize(
    "other",
    [
        FULL | {"notice": NOTICE.replace("COMPLETED", "REJECTED")},
        FULL | {"notice": NOTICE.replace("0190163d", "0190163e")},
        FULL | {"taskId": "participant-2"},
        FULL | {"requestId": "another"},
        {"notice": NOTICE},
    ],
)
async def test_what_differs_is_another_event(other: Mapping[str, str]) -> None:
    keys = {(await verify(raw(query))).event_key for query in (FULL, other)}
    assert len(keys) == 2


async def test_without_our_word_no_two_calls_are_the_same() -> None:
    """A task's STARTED and COMPLETED would look alike."""
    query = {"requestId": ORDER_ID, "taskId": "participant-1"}
    assert (await verify(raw(query))).event_key != (await verify(raw(query, later=1))).event_key


# ------------------------------------------------------------------------------------------ of the simulator


async def test_each_thing_that_happens_is_told_once(world: World) -> None:
    of = world.order(participants=(signer(1), signer(2, order=2)))
    begun = await world.provider.start(of, MemoryLog())
    await world.complete(begun.provider_signing_id)
    callbacks = [await world.provider.verify_callback(one) for one in await world.callbacks(begun.provider_signing_id)]
    told = sorted(one.verdicts["notice"].removeprefix(f"{of.signing.id}.") for one in callbacks)
    assert told == [
        "order.COMPLETED",
        "package-1.COMPLETED",
        "participant-1.COMPLETED",
        "participant-1.CREATED",
        "participant-2.COMPLETED",
    ]
    assert len({one.event_key for one in callbacks}) == len(callbacks)
    assert {one.provider_signing_id for callback in callbacks for one in world.provider.notices(callback)} == {
        begun.provider_signing_id
    }


@pytest.mark.parametrize("end", ["decline", "expire"])
async def test_ends_are_told_too(world: World, end: str) -> None:
    begun = await world.provider.start(world.order(), MemoryLog())
    if end == "decline":
        await world.decline(begun.provider_signing_id, "No")
    else:
        await world.expire(begun.provider_signing_id)
    last = (await world.callbacks(begun.provider_signing_id))[-1]
    (notice,) = world.provider.notices(await world.provider.verify_callback(last))
    assert notice.provider_status == ("REJECTED" if end == "decline" else "EXPIRED")


@pytest.mark.parametrize("knobs", [CallbackKnobs(method="POST"), CallbackKnobs(bare=True), CallbackKnobs(copies=2)])
async def test_other_ways_of_calling_are_understood(world: World, knobs: CallbackKnobs) -> None:
    world.sandbox.set_knobs(knobs)
    of = world.order()
    begun = await world.provider.start(of, MemoryLog())
    callbacks = [await world.provider.verify_callback(one) for one in await world.callbacks(begun.provider_signing_id)]
    assert len(callbacks) == knobs.copies
    assert len({one.event_key for one in callbacks}) == 1
    (notice,) = world.provider.notices(callbacks[0])
    assert notice.provider_signing_id == (None if knobs.bare else begun.provider_signing_id)
    found = started(of.signing, begun.provider_signing_id)
    assert (await world.provider.status(id_of(found), signing=found)).kind is EventKind.ACCEPTED


async def test_the_port_remembers_for_the_account(world: World) -> None:
    begun = await world.provider.start(world.order(), MemoryLog())
    (first,) = await world.callbacks(begun.provider_signing_id)
    callback = await world.provider.verify_callback(first)
    assert not world.provider.seen_before(callback)
    world.provider.remember(callback)
    assert world.provider.seen_before(await world.provider.verify_callback(first))
    assert world.forged(first) is None
