"""The checklist of an inbound callback: each step's refusal, and that nothing is enqueued before the last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared import telemetry
from shared.domain.errors import VerificationFailed
from shared.domain.messages import Message, ProviderEvent, Queue
from shared.domain.notices import StatusNotice
from shared.flow import receive
from shared.verification.raw import RawCallback, VerifiedCallback
from tests.domain.make import NOW, SIGNING_ID
from tests.fakes.provider import CAPABILITIES, MemoryProvider
from tests.flow.world import World


def raw(body: bytes = b"Done", **headers: str) -> RawCallback:
    return RawCallback("POST", {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW)


def token(world: World, subject: str = SIGNING_ID) -> str:
    return world.app.addresses.for_signing("memory", "memory", subject).split("/memory/memory/")[1]


async def knock(world: World, callback: RawCallback, at: str | None = None) -> int:
    return await receive.run(world.app, "memory", "memory", token(world) if at is None else at, callback)


async def test_a_good_callback_becomes_one_message() -> None:
    world = World()
    assert await knock(world, raw()) == 200
    (sent,) = world.queue.sent
    assert sent.queue is Queue.EVENTS
    assert isinstance(sent.message, ProviderEvent)
    assert sent.message.signing_id == SIGNING_ID
    assert sent.message.callback is not None
    assert sent.message.callback.body == b"Done"


async def test_an_account_address_leaves_the_signing_to_be_found() -> None:
    world = World()
    assert await knock(world, raw(), token(world, "account")) == 200
    (sent,) = world.queue.sent
    assert isinstance(sent.message, ProviderEvent)
    assert (sent.message.signing_id, sent.message.provider_signing_id) == (None, "p-1")


@pytest.mark.parametrize("at", ["", "x", f"{SIGNING_ID}/", f"{SIGNING_ID}/wrong", "account/wrong", "/", "a/b/c"])
async def test_a_wrong_address_is_404(at: str) -> None:
    world = World()
    assert await knock(world, raw(), at) == 404
    assert world.queue.sent == []


@pytest.mark.parametrize(("provider", "account"), [("memory", "other"), ("other", "memory")])
async def test_a_genuine_mac_for_another_account_or_provider_is_404(provider: str, account: str) -> None:
    world = World()
    assert await receive.run(world.app, provider, account, token(world), raw()) == 404
    made_for_it = world.app.addresses.for_signing(provider, account, SIGNING_ID).split(f"/{account}/")[1]
    assert await receive.run(world.app, provider, account, made_for_it, raw()) == 404
    assert world.queue.sent == []


async def test_a_genuine_mac_over_something_that_is_no_signing_id_is_404() -> None:
    world = World()
    assert await knock(world, raw(), token(world, "nonsense")) == 404


async def test_a_body_lost_to_chunked_encoding_is_411() -> None:
    world = World()
    assert await knock(world, raw(b"", transfer_encoding="chunked")) == 411
    assert world.queue.sent == []


async def test_a_knock_needs_no_body_where_nobody_reads_it() -> None:
    """Whoever counts a refusal as an answer would not knock again (spec connective 3.1)."""
    world = World(provider=MemoryProvider(capabilities=replace(CAPABILITIES, reads_callback_body=False)))
    assert await knock(world, raw(b"", transfer_encoding="chunked")) == 200
    assert len(world.queue.sent) == 1


class EndingProvider(MemoryProvider):
    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return [StatusNotice("p-1", "Done", claims_end=True)]


async def test_that_a_callback_claims_the_end_travels_along() -> None:
    world = World(provider=EndingProvider())
    assert await knock(world, raw()) == 200
    (sent,) = world.queue.sent
    assert isinstance(sent.message, ProviderEvent)
    assert sent.message.claims_end


@pytest.mark.parametrize(("size", "status"), [(32 * 1024, 200), (32 * 1024 + 1, 413)])
async def test_the_size_limit(size: int, status: int) -> None:
    world = World()
    assert await knock(world, raw(b"x" * size)) == status
    assert len(world.queue.sent) == (status == 200)


class RefusingProvider(MemoryProvider):
    refusal = VerificationFailed("signature_wrong")

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        raise self.refusal


@pytest.mark.parametrize(
    "refusal", [VerificationFailed("signature_wrong"), VerificationFailed("json_malformed", status=400)]
)
async def test_an_unverifiable_callback_is_refused_and_its_reason_counted(refusal: VerificationFailed) -> None:
    provider = RefusingProvider()
    provider.refusal = refusal
    world = World(provider=provider)
    before = telemetry.counters[f"callback_refused:{refusal.reason}"]
    assert await knock(world, raw()) == refusal.status
    assert telemetry.counters[f"callback_refused:{refusal.reason}"] == before + 1
    assert world.queue.sent == []


async def test_a_repeat_is_answered_200_and_not_queued_again() -> None:
    world = World()
    assert await knock(world, raw()) == 200
    assert await knock(world, raw()) == 200
    assert len(world.queue.sent) == 1


async def test_storage_trouble_is_503_and_the_repeat_is_not_swallowed() -> None:
    world = World()
    real_send = world.queue.send

    async def broken(queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        raise OSError("storage is down")

    world.queue.send = broken  # type: ignore[method-assign]
    assert await knock(world, raw()) == 503
    world.queue.send = real_send  # type: ignore[method-assign]
    assert await knock(world, raw()) == 200
    assert len(world.queue.sent) == 1
