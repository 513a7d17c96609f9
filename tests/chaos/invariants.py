"""What has to hold after everything has settled, whatever happened before."""

from __future__ import annotations

import json
from collections import defaultdict

from shared.domain.history import EntryKind, is_intact
from shared.domain.signing import AttentionCode, Signing, State
from tests.chaos.provider import Case, Shape
from tests.chaos.scene import Scene

# What a signing must be when its case at the provider ended so.
_ENDS = {
    "signed": {State.STORED},
    "declined": {State.DECLINED},
    "withdrawn": {State.CANCELLED},
    # A deadline that was moved after it had passed leaves the signing expired until somebody acts.
    "pending": {State.STARTED, State.EXPIRED},
    "expired": {State.EXPIRED},
    # Gone: what it was before, or that it is gone.
    "deleted": {State.FAILED, State.CANCELLED, State.EXPIRED, State.DECLINED, State.STORED, State.COMPLETED},
}


async def check(scene: Scene) -> None:
    """All of it, for each signing there is."""
    _check_queues(scene)
    await _check_poison(scene)
    for signing in await scene.all():
        cases = scene.bureau.about(signing.id)
        assert sum(case.invitations for case in cases) <= 1, f"{signing.id} was sent out twice"
        _check_state(scene, signing, cases)
        await _check_history(scene, signing)
        await _check_told(scene, signing)
        _check_files(scene, signing)
        _check_staged(scene, signing)
        await _check_due(scene, signing)
    _check_ids(scene)


def _check_queues(scene: Scene) -> None:
    assert not scene.queue.envelopes, f"left in the queues: {scene.queue.envelopes}"


async def _check_poison(scene: Scene) -> None:
    known = {letter.id for letter in await scene.dead_letters.list(10_000)}
    for signing in await scene.all():
        history = await scene.signings.history(signing.id)
        poisoned = {entry.facts["dead_letter"] for entry in history if entry.kind is EntryKind.POISONED}
        assert poisoned <= known, "poison without a dead letter"


def _check_state(scene: Scene, signing: Signing, cases: list[Case]) -> None:
    invited = [case for case in cases if case.invitations]
    attention = signing.attention.code if signing.attention else None
    if signing.state is State.REQUESTED:
        assert scene.shape is Shape.BLIND, "a start that can be looked up is settled in the end"
        assert signing.start.is_uncertain, "a start that is certain goes on"
        told = {AttentionCode.START_UNCERTAIN, AttentionCode.POISON}
        assert attention in told, "nobody was told of an uncertain start"
    elif invited:
        (case,) = invited
        allowed = _ENDS[case.status]
        assert signing.state in allowed, f"{case.status} at the provider, {signing.state} here"
    else:
        assert signing.state in {State.FAILED, State.CANCELLED}, f"never sent out, and {signing.state}"


async def _check_history(scene: Scene, signing: Signing) -> None:
    history = await scene.signings.history(signing.id)
    assert is_intact(history)
    assert (history[-1].seq, history[-1].hash) == (signing.history_seq, signing.history_hash)


async def _check_told(scene: Scene, signing: Signing) -> None:
    history = await scene.signings.history(signing.id)
    moves = {entry.seq: entry.facts["to"] for entry in history if entry.kind is EntryKind.MOVED}
    assert {owed.seq: owed.state.value for owed in signing.announcements} == moves, "each move is announced once"
    told = {event["data"]["sequence"] for event in scene.receiver.got if event["subject"] == signing.id}
    letters = {letter.id for letter in await scene.dead_letters.list(10_000)}
    for owed in signing.announcements:
        assert owed.is_settled, f"{owed.state} was never told"
        kept = f"notification-{signing.id}-{owed.seq}" in letters
        assert owed.seq in told or kept, f"{owed.state} is called told, and was not"
    assert told <= moves.keys(), "told of something that did not happen"


def _check_ids(scene: Scene) -> None:
    contents = defaultdict(set)
    for event in scene.receiver.got:
        told = event["data"]
        contents[event["id"]].add((event["time"], told["state"], told["sequence"]))
    twofold = [event_id for event_id, seen in contents.items() if len(seen) > 1]
    assert not twofold, f"one id, several events: {twofold}"


def _check_files(scene: Scene, signing: Signing) -> None:
    for file in signing.download.files:
        (created,) = scene.documents.lasting(file.blob)
        there = scene.documents.blobs[file.blob].written
        assert (created.etag, created.sha256, created.size) == (there.etag, file.sha256, file.size)
    if signing.state is State.STORED:
        _check_manifest(scene, signing)


def _check_manifest(scene: Scene, signing: Signing) -> None:
    (listed,) = [file for file in signing.download.files if file.kind == "manifest"]
    manifest = json.loads(scene.documents.blobs[listed.blob].content)
    hashes = {file["blob"]: file["sha256"] for file in manifest["files"]}
    assert hashes == {file.blob: file.sha256 for file in signing.download.files if file is not listed}
    for file in signing.download.files:
        if file.kind == "document":
            assert b"/Type /Sig" in scene.documents.blobs[file.blob].content, "stored unsigned"


def staged(scene: Scene, signing: Signing) -> list[str]:
    """What is left of this signing under `staging/`."""
    return [document.blob for document in signing.documents if document.blob in scene.documents.blobs]


def _check_staged(scene: Scene, signing: Signing) -> None:
    if signing.state is State.REQUESTED:
        assert len(staged(scene, signing)) == len(signing.documents), "a start without its documents cannot go on"


async def _check_due(scene: Scene, signing: Signing) -> None:
    rows = await scene.signings.due(scene.clock.now.replace(year=scene.clock.now.year + 9), 10_000)
    if not signing.is_over:
        assert signing.id in {row.signing_id for row in rows}, "reconcile will never look at it again"
