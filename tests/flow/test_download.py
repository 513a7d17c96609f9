"""Documents end up whole, hashed, checked and written once, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from shared.domain.errors import NotReady, ProviderError, ProviderNotFound, Throttled, Unauthorised, Unavailable
from shared.domain.messages import DownloadDocuments, Queue
from shared.domain.signing import AttentionCode, Signing, State
from shared.flow import download
from tests.flow.archives import EMPTY, GOOD, SIGNED_PDF, TRUNCATED, UNSIGNED
from tests.flow.world import World


async def fetch(world: World, signing: Signing) -> Signing:
    await download.run(world.app, DownloadDocuments(signing_id=signing.id))
    return await world.now(signing)


def signed_blobs(world: World) -> dict[str, bytes]:
    return {name: blob.content for name, blob in world.documents.blobs.items() if name.startswith("signed/")}


async def test_an_archive_and_its_manifest_are_stored() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [GOOD]
    stored = await fetch(world, signing)
    assert stored.state is State.STORED
    folder = f"signed/memory/2026/11/{signing.id}"
    blobs = signed_blobs(world)
    assert blobs.keys() == {f"{folder}/signed.zip", f"{folder}/manifest.json"}
    assert blobs[f"{folder}/signed.zip"] == GOOD
    manifest = json.loads(blobs[f"{folder}/manifest.json"])
    (listed,) = manifest["files"]
    assert listed["sha256"] == hashlib.sha256(GOOD).hexdigest()
    assert {member["name"] for member in listed["members"]} == {"lease.pdf", "audittrail.pdf"}
    assert [file.kind for file in stored.download.files] == ["archive", "manifest"]
    assert [sent.queue for sent in world.queue.sent] == [Queue.NOTIFICATIONS]


async def test_a_bare_pdf_is_stored_as_one() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [SIGNED_PDF]
    stored = await fetch(world, signing)
    assert [file.name for file in stored.download.files] == ["signed.pdf", "manifest.json"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (TRUNCATED, "truncated"),
        (UNSIGNED, "signature_missing"),
        (EMPTY, "documents_missing"),
        (b"<html>please log in</html>", "not_an_archive"),
        (NotReady("sealing"), "provider_not_ready"),
        (Unavailable("cut", sent=True, is_outage=False), "provider_unavailable"),
        (Unauthorised("401"), "provider_unauthorised"),
        (ProviderNotFound("404"), "provider_not_found"),
    ],
)
async def test_what_is_not_whole_is_not_visible_and_fetched_again(answer: bytes | ProviderError, reason: str) -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [answer, GOOD]
    waiting = await fetch(world, signing)
    assert waiting.state is State.COMPLETED
    assert (waiting.download.attempts, waiting.download.last_reason) == (1, reason)
    assert signed_blobs(world) == {}
    (sent,) = world.queue.take()
    assert (sent.queue, sent.delay_seconds) == (Queue.DOWNLOADS, world.app.policy.download_pause(1))
    assert (await fetch(world, signing)).state is State.STORED


async def test_throttling_is_waited_out_and_not_counted() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [Throttled("slow", retry_after_seconds=42), GOOD]
    assert (await fetch(world, signing)).download.attempts == 0
    assert world.queue.take()[0].delay_seconds == 42


async def test_pauses_grow_a_person_is_told_and_attempts_go_on() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [NotReady("sealing")]
    pauses = []
    for _ in range(world.app.policy.download_attention_after):
        waiting = await fetch(world, signing)
        pauses.append(world.queue.take()[0].delay_seconds)
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] <= world.app.policy.download_retry_last_seconds
    assert waiting.attention is not None
    assert waiting.attention.code is AttentionCode.SEAL_LATE
    world.provider.downloads = [GOOD]
    stored = await fetch(world, signing)
    assert stored.state is State.STORED
    assert stored.attention is None


async def test_two_workers_store_one_archive_and_tell_once() -> None:
    world = World()
    signing = await world.completed()
    world.provider.downloads = [GOOD]
    await asyncio.gather(*(fetch(world, signing) for _ in range(4)))
    assert len(signed_blobs(world)) == 2
    assert len(world.queue.on(Queue.NOTIFICATIONS)) == 1


async def test_a_crash_after_the_archive_was_written_is_carried_on() -> None:
    """The provider makes another archive for every call: the first one that was stored is the one that counts."""
    world = World()
    signing = await world.completed()
    blob = f"{download.folder(signing)}/signed.zip"
    world.documents._put(blob, GOOD, "application/zip", {})
    world.provider.downloads = [GOOD + b""]
    stored = await fetch(world, signing)
    assert stored.state is State.STORED
    assert stored.download.files[0].sha256 == hashlib.sha256(GOOD).hexdigest()


@pytest.mark.parametrize("state", ["started", "stored"])
async def test_a_message_out_of_place_does_nothing(state: str) -> None:
    world = World()
    signing = await (world.started() if state == "started" else world.completed())
    world.provider.downloads = [GOOD]
    if state == "stored":
        await fetch(world, signing)
        world.queue.take()
    before = dict(world.documents.blobs)
    await fetch(world, signing)
    assert world.documents.blobs == before
    assert world.queue.sent == []
