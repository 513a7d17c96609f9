"""Stage 5: the finished documents travel from the provider into blob storage: whole, hashed, checked, written once.

Completed at the provider does not mean sealed: what comes may be missing, incomplete or unsigned for a while. Then the
attempt is counted and repeated with growing pauses; at the limit a person is told, and the attempts go on. A provider
that takes no calls is waited for and counts as no attempt.

Nothing becomes visible that was not whole: the stream is checked while it is written and committed only after that, and
the committed file is opened once more from where it lies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.errors import AlreadyExists, ArchiveNotReady, NotFound, Permanent, Retryable
from shared.domain.history import EntryKind, HistoryEntry, record
from shared.domain.messages import DownloadDocuments, Queue
from shared.domain.signing import AttentionCode, Role, Signing, State, StoredFile, UnfitFile
from shared.domain.states import Event, EventKind, Source
from shared.evidence import manifest
from shared.evidence.archive import Member
from shared.evidence.expected import ExpectedDocument, Match, check_expected
from shared.evidence.inspector import ArchiveInspector
from shared.evidence.manifest import FileRecord, build_manifest, lists_exactly
from shared.evidence.reading import confirm_stored, read_archive
from shared.flow import outage
from shared.flow.amend import Change, amend, flagged, moved
from shared.flow.follow_up import send_after
from shared.flow.unfit import Unfit, clear_away, is_outdated, named
from shared.ports import App, Deliverable, Loaded, SigningProvider, WrittenBlob

_PDF = "application/pdf"
EVIDENCE = "evidence"
_VANISHED = "blob_vanished"
# The names under which the manifest lists what was checked.
_CHECKS = ("complete", "crc", "limits", "directory", "expected_documents", "signatures_present")


async def run(app: App, message: DownloadDocuments) -> None:
    """Stores what the provider has of a completed signing. Repetition is harmless."""
    loaded = await app.signings.load(message.signing_id)
    signing = loaded.signing
    if signing.state is not State.COMPLETED:
        telemetry.info("download_not_needed", signing_id=signing.id, state=signing.state)
        return
    try:
        async with asyncio.timeout(app.policy.download_seconds):
            await clear_away(app, signing.download.unfit)
            records = await _fetch_all(app, signing)
            files = [*(record.stored for record in records), await _write_manifest(app, signing, records)]
    except ArchiveNotReady as error:
        await _retry_later(app, loaded, error.reason, error.files if isinstance(error, Unfit) else ())
    except NotFound:
        # Another worker has just cleared a file away that this one was reading.
        await _retry_later(app, loaded, _VANISHED)
    except Retryable as error:
        await (_wait_out(app, loaded, error) if error.is_outage else _retry_later(app, loaded, error.code))
    except Permanent as error:
        # Even a refusal: credentials get repaired, and a signed document is never given up.
        await _retry_later(app, loaded, error.code)
    except TimeoutError:
        await _retry_later(app, loaded, "too_slow")
    else:
        await _stored(app, loaded, files)


@dataclass(frozen=True)
class _Fetched:
    """One deliverable as it lies in blob storage. `members` is empty for evidence, which is kept as it came."""

    stored: StoredFile
    etag: str
    members: Sequence[Member]


async def _fetch_all(app: App, signing: Signing) -> list[FileRecord]:
    provider = app.provider(signing.account)
    fetched = [
        await _fetch(app, provider, signing, deliverable) for deliverable in await provider.deliverables(signing)
    ]
    members = [member for one in fetched for member in one.members]
    try:
        matches = check_expected(members, expected_documents(signing))
    except ArchiveNotReady as error:
        # Evidence too: what was fetched beside documents that were not ready yet may tell of a signing half done.
        raise Unfit(error, [UnfitFile(blob=one.stored.blob, etag=one.etag) for one in fetched]) from None
    return [_record(one, matches) for one in fetched]


def _record(fetched: _Fetched, matches: Sequence[Match]) -> FileRecord:
    own = [match for match in matches if match.member in fetched.members]
    return FileRecord(fetched.stored, fetched.members, own, _CHECKS if fetched.members else ())


async def _fetch(app: App, provider: SigningProvider, signing: Signing, deliverable: Deliverable) -> _Fetched:
    inspector = None if deliverable.kind == EVIDENCE else ArchiveInspector()
    async with provider.fetch(signing, deliverable) as download:
        name, media_type = _file_name(deliverable, download.media_type), download.media_type
        blob = f"{folder(signing)}/{name}"
        try:
            written = await app.documents.write_once(
                blob, download.chunks, media_type=media_type, tags=_tags(signing), inspector=inspector
            )
        except AlreadyExists:
            # An earlier attempt got as far as this, and its file was checked before it became visible.
            inspector, written = None, await _existing(app, blob)
    stored = _stored_file(written, name, deliverable.kind, media_type)
    if deliverable.kind == EVIDENCE:
        return _Fetched(stored, written.etag, ())
    try:
        members = await _read_back(app, written, inspector)
    except ArchiveNotReady as error:
        raise Unfit(error, [UnfitFile(blob=blob, etag=written.etag)]) from None
    return _Fetched(stored, written.etag, _named(members, name, media_type))


def _named(members: Sequence[Member], name: str, media_type: str) -> Sequence[Member]:
    """A bare PDF has no name of its own, so it goes by the one it was delivered under."""
    return [replace(member, name=name) for member in members] if media_type == _PDF else members


async def _read_back(app: App, written: WrittenBlob, inspector: ArchiveInspector | None) -> Sequence[Member]:
    """Opens what was stored from where it lies. Its directory must list what went by; what could not be followed while
    it went by, or was stored by an earlier attempt, is read through."""
    stored = app.documents.open_random(written)
    return await (read_archive(stored, verify_all=True) if inspector is None else confirm_stored(inspector, stored))


async def _existing(app: App, blob: str) -> WrittenBlob:
    written = await app.documents.describe(blob)
    if written is None:
        raise ArchiveNotReady(_VANISHED, "another worker is storing the same file")
    return written


async def _write_manifest(app: App, signing: Signing, records: Sequence[FileRecord]) -> StoredFile:
    blob = f"{folder(signing)}/{manifest.NAME}"
    content = build_manifest(signing, records, app.now())

    async def once() -> AsyncIterator[bytes]:
        yield content

    try:
        written = await app.documents.write_once(
            blob, once(), media_type=manifest.MEDIA_TYPE, tags=_tags(signing), inspector=None
        )
    except AlreadyExists:
        written = await _existing_manifest(app, blob, records)
    return _stored_file(written, manifest.NAME, "manifest", manifest.MEDIA_TYPE)


async def _existing_manifest(app: App, blob: str, records: Sequence[FileRecord]) -> WrittenBlob:
    """An earlier attempt's, unless that spoke of files which have been replaced since."""
    written = await _existing(app, blob)
    content = await app.documents.open_random(written).read(0, written.size)
    if not lists_exactly(content, [record.stored for record in records]):
        error = ArchiveNotReady("manifest_outdated", "the manifest of an earlier attempt lists other files")
        raise Unfit(error, [UnfitFile(blob=blob, etag=written.etag)])
    return written


def folder(signing: Signing) -> str:
    """Where the files of one signing lie: sortable by time, one folder each (design 8)."""
    at = signing.created_at
    return f"signed/{signing.account}/{at:%Y}/{at:%m}/{signing.id}"


def _file_name(deliverable: Deliverable, media_type: str) -> str:
    """What was announced as an archive may come as a bare PDF (spec pkisigning, operation 5)."""
    is_other = media_type == _PDF and not deliverable.name.lower().endswith(".pdf")
    return f"{deliverable.name.rpartition('.')[0]}.pdf" if is_other else deliverable.name


def _stored_file(written: WrittenBlob, name: str, kind: str, media_type: str) -> StoredFile:
    return StoredFile(
        blob=written.blob,
        name=name,
        kind=kind,
        media_type=media_type,
        size=written.size,
        sha256=written.sha256,
        stored_at=written.written_at,
    )


def _tags(signing: Signing) -> dict[str, str]:
    tags = {"signing": signing.id, "account": signing.account, "state": State.STORED.value}
    return tags | ({"reference": signing.reference} if signing.reference else {})


def expected_documents(signing: Signing) -> list[ExpectedDocument]:
    """What an archive has to hold. A document that only has to be approved or received carries no signature; a signer
    without placements signs every document."""
    signers = [person for person in signing.participants if person.role is Role.SIGNER]
    signed = {placement.document for person in signers for placement in person.placements}
    if any(not person.placements for person in signers):
        signed = {document.number for document in signing.documents}
    return [
        ExpectedDocument(
            document.name, document.media_type, must_be_signed=document.number in signed, size=document.size
        )
        for document in signing.documents
    ]


async def _stored(app: App, loaded: Loaded, files: Sequence[StoredFile]) -> None:
    event = Event(EventKind.DOCUMENTS_STORED, app.now(), Source.DOWNLOAD)

    def store(signing: Signing) -> Change | None:
        if signing.state is not State.COMPLETED or is_outdated(signing.download, loaded.signing.download):
            return None
        recorded, entries = signing, list[HistoryEntry]()
        for file in files:
            facts = {"blob": file.blob, "sha256": file.sha256, "size": str(file.size)}
            recorded, entry = record(recorded, EntryKind.FILE_STORED, event.at, facts)
            entries.append(entry)
        done = {"files": tuple(files), "next_attempt_at": None, "outage": None, "unfit": ()}
        progress = signing.download.model_copy(update=done)
        change = moved(recorded, event, {"download": progress})
        return None if change is None else (change[0], [*entries, *change[1]])

    await send_after(app, await amend(app, loaded, store))


async def _retry_later(app: App, loaded: Loaded, reason: str, unfit: Sequence[UnfitFile] = ()) -> None:
    now = app.now()

    def count(signing: Signing) -> Change | None:
        if signing.state is not State.COMPLETED:
            return None
        attempts = signing.download.attempts + 1
        progress = signing.download.model_copy(
            update={
                "attempts": attempts,
                "last_reason": reason,
                "next_attempt_at": now + timedelta(seconds=app.policy.download_pause(attempts)),
                "outage": None,
                **named(signing.download, loaded.signing.download, unfit),
            }
        )
        attention = None if outage.is_flagged(signing) else signing.attention
        changed, entry = record(
            signing.model_copy(update={"download": progress, "attention": attention}),
            EntryKind.DOWNLOAD_RETRY,
            now,
            {"attempt": str(attempts), "reason": reason},
        )
        raised = _late(changed, now) if attempts >= app.policy.download_attention_after else None
        return (changed, [entry]) if raised is None else (raised[0], [entry, *raised[1]])

    saved = await amend(app, loaded, count)
    if not saved.entries:
        telemetry.info("download_not_needed", signing_id=saved.signing.id, state=saved.signing.state)
        return
    attempts = saved.signing.download.attempts
    pause = app.policy.download_pause(attempts)
    telemetry.warning(
        "download_postponed", signing_id=saved.signing.id, reason=reason, attempt=attempts, delay_seconds=pause
    )
    await _again(app, saved.signing, pause)
    await clear_away(app, unfit)


def _late(signing: Signing, now: datetime) -> Change | None:
    progress = signing.download
    detail = f"{progress.attempts} attempts brought no whole, signed documents; the last one: {progress.last_reason}."
    return flagged(signing, AttentionCode.SEAL_LATE, detail, now)


async def _wait_out(app: App, loaded: Loaded, error: Retryable) -> None:
    """Only the first failure of an outage goes into the history: days of them would bury everything else. The time of
    the next attempt is written each time, so that reconcile does not take the waiting message for lost."""
    now = app.now()
    lasting = outage.prolonged(loaded.signing.download.outage, error, now)
    pause = outage.pause_after(lasting, error, app.policy)

    def wait(signing: Signing) -> Change | None:
        if signing.state is not State.COMPLETED:
            return None
        progress = signing.download.model_copy(
            update={
                "last_reason": error.code,
                "next_attempt_at": now + timedelta(seconds=pause),
                "outage": lasting,
            }
        )
        changed, entries = signing.model_copy(update={"download": progress}), list[HistoryEntry]()
        if lasting.count == 1:
            facts = {"attempt": str(progress.attempts), "reason": error.code}
            changed, entry = record(changed, EntryKind.DOWNLOAD_RETRY, now, facts)
            entries.append(entry)
        raised = outage.flagged_if_long(changed, lasting, now, app.policy)
        return (changed, entries) if raised is None else (raised[0], [*entries, *raised[1]])

    saved = await amend(app, loaded, wait)
    telemetry.warning("download_waits", signing_id=saved.signing.id, code=error.code, delay_seconds=pause)
    await _again(app, saved.signing, pause)


async def _again(app: App, signing: Signing, delay_seconds: float) -> None:
    message = DownloadDocuments(signing_id=signing.id, traceparent=telemetry.current_trace())
    await app.queue.send(Queue.DOWNLOADS, message, delay_seconds=max(delay_seconds, 1.0))
