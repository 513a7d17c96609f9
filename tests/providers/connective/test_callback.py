"""Callbacks of every shape are a knock on the door and nothing more (spec connective 3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.sandbox.connective import CallbackKnobs
from shared.domain.errors import VerificationFailed
from shared.domain.notices import StatusNotice
from shared.domain.states import EventKind
from shared.providers.connective.callback import CallbackReceiver, events
from shared.verification.raw import RawCallback
from tests.providers.connective.samples import GONE, signer
from tests.providers.connective.world import running_world
from tests.providers.stand_ins import MemoryLog

AT = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
KNOCK = [StatusNotice(None, "")]


def raw(body: bytes = b"", *, query: Mapping[str, str] | None = None, **changes: Any) -> RawCallback:
    values: dict[str, Any] = {"method": "POST", "headers": {}, "body": body, "received_at": AT, "query": query or {}}
    return RawCallback(**(values | changes))


@pytest.mark.parametrize(
    "callback",
    [
        raw(),
        raw(method="GET", query={"PackageId": GONE}),
        raw(b'{"PackageId": "' + GONE.encode() + b'"}', headers={"content-type": "application/json"}),
        raw(b"PackageId=" + GONE.encode()),
        raw(b"{not json"),
        raw(b"[1, 2]"),
        raw(b'{"PackageId": 7, "PackageId": 8}'),
        raw(b"\xff\xfe\x00"),
        raw(b"<html>\xe9</html>", headers={"content-type": "text/html"}),
        raw(query={"a": "\ud800"}),
        raw(b"x" * 32 * 1024),
    ],
)
def test_whatever_it_says_it_says_the_same(callback: RawCallback) -> None:
    verified = CallbackReceiver().verify(callback)
    assert events(verified) == KNOCK
    assert verified.verdicts == {"signature": "none", "content": "ignored"}


@pytest.mark.parametrize("callback", [raw(b"x" * (32 * 1024 + 1)), raw(query={"a": "x" * 8192})])
def test_what_is_too_large_is_refused(callback: RawCallback) -> None:
    with pytest.raises(VerificationFailed) as caught:
        CallbackReceiver().verify(callback)
    assert (caught.value.reason, caught.value.status) == ("body_too_large", 413)


def test_the_same_content_at_another_moment_is_another_event() -> None:
    """An empty body at each completed action: the second one must not pass for a repeat of the first."""
    receiver = CallbackReceiver()
    first = receiver.verify(raw())
    receiver.remember(first)
    assert receiver.was_replayed(receiver.verify(raw()))
    later = receiver.verify(raw(received_at=AT + timedelta(microseconds=1)))
    assert not receiver.was_replayed(later)


def test_each_part_makes_another_event() -> None:
    callbacks = [raw(), raw(b"a"), raw(query={"a": ""}), raw(query={"a": "b"}), raw(method="GET")]
    assert len({CallbackReceiver().verify(one).event_key for one in callbacks}) == len(callbacks)


@pytest.mark.parametrize("form", ["empty", "json", "form", "get"])
@pytest.mark.parametrize("wrong_id", [False, True])
async def test_real_callbacks_lead_to_the_read_back(form: str, wrong_id: bool) -> None:
    async with running_world() as world:
        world.sandbox.set_knobs(CallbackKnobs.model_validate({"form": form, "wrong_id": wrong_id, "copies": 2}))
        order = world.order()
        started = await world.provider.start(order, MemoryLog())
        await world.complete(started.provider_signing_id)
        arrived = await world.callbacks(started.provider_signing_id)
        assert len(arrived) == 2
        for one in arrived:
            callback = await world.provider.verify_callback(one)
            assert world.provider.notices(callback) == KNOCK
            assert not world.provider.seen_before(callback)
            world.provider.remember(callback)
            assert world.provider.seen_before(callback)
        found = await world.provider.status(started.provider_signing_id, signing=order.signing)
        assert found.kind is EventKind.ALL_SIGNED


async def test_every_step_and_every_end_is_announced() -> None:
    async with running_world() as world:
        both = world.order(participants=(signer(1), signer(2, order=2)))
        started = await world.provider.start(both, MemoryLog())
        await world.sign_next(started.provider_signing_id)
        await world.decline(started.provider_signing_id, "no")
        announced = [one.status for one in world.sandbox.callbacks_sent]
        assert announced == ["Pending", "Rejected"]
        other = await world.provider.start(world.order(), MemoryLog())
        await world.withdraw(other.provider_signing_id)
        assert len(await world.callbacks(other.provider_signing_id)) == 1
