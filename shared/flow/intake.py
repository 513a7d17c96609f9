"""Stage 1: an order becomes a signing in state `requested`, with its documents staged. No provider call yet.

Order of writes, and what a crash after each leaves behind:
1. the idempotency key is claimed: a repeat takes the claimed id over and carries on here; when the order names blobs,
   so is its receipt, by which it is known when they are gone
2. a due row: points at nothing, reconcile removes it
3. the documents are staged: as above, and housekeeping by age
4. the row: from here on reconcile finishes the job by itself
5. the message on `signing-starts`
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.commands import NewDocument, StartSigning
from shared.domain.errors import (
    AlreadyExists,
    FieldError,
    InvalidRequest,
    NotifyRefused,
    UnsupportedFeature,
)
from shared.domain.history import EntryKind, record
from shared.domain.ids import signing_id as new_signing_id
from shared.domain.messages import Queue, RunStart
from shared.domain.signing import Document, Signing, StartProgress
from shared.flow.claim import claim, repeated, repeated_by_receipt
from shared.flow.follow_up import overdue, send_all
from shared.ports import App, Loaded


@dataclass(frozen=True)
class Intake:
    """`is_new` is False when an earlier request with the same key made this signing."""

    loaded: Loaded
    is_new: bool


async def run(app: App, command: StartSigning, *, lease_owner: str | None) -> Intake:
    """Takes an order in. With `lease_owner` the start is leased to that worker at once, else it is queued.

    Raises InvalidRequest, UnsupportedFeature, IdempotencyMismatch; nothing is written before those checks pass. Raises
    ConcurrentUpdate when the key of the order keeps changing hands.
    """
    try:
        _check(app, command)
    except (InvalidRequest, NotifyRefused, UnsupportedFeature):
        # What was taken in once is answered as it was then: a deadline passes, and settings change.
        earlier = await repeated(app, command)
        if earlier is None:
            raise
        return Intake(earlier, is_new=False)
    now = app.now()
    claimed = await claim(app, command, new_signing_id(now, app.random_bytes(10)))
    if claimed.earlier is not None:
        await _nudge(app, claimed.earlier.signing)
        return Intake(claimed.earlier, is_new=False)
    return await _write(app, command, _signing(app, command, claimed.signing_id, now, lease_owner))


async def by_receipt(app: App, receipt: str) -> Loaded | None:
    """The signing that this very order, which names documents that are gone, has made before; None when it has not."""
    earlier = await repeated_by_receipt(app, receipt)
    if earlier is not None:
        await _nudge(app, earlier.signing)
    return earlier


async def _nudge(app: App, signing: Signing) -> None:
    """A repeat may come because the first request died before its start was queued; reconcile would find that later."""
    now = app.now()
    if now - signing.created_at >= timedelta(seconds=app.policy.start_retry_seconds):
        lost = [follow_up for follow_up in overdue(signing, now, app.policy) if follow_up[0] is Queue.STARTS]
        await send_all(app, lost)


def _check(app: App, command: StartSigning) -> None:
    provider = app.provider(command.account)
    _check_limits(app, command)
    _check_deadlines(app, command)
    if command.notify is not None:
        app.notifier.check_url(command.notify.url)
    signing = _signing(app, command, "", app.now(), None)
    try:
        provider.check(signing)
    except UnsupportedFeature as refusal:
        supporters = app.who_supports(signing, refusal.field)
        raise UnsupportedFeature(refusal.detail, field=refusal.field, supported_by=supporters) from None


def _check_limits(app: App, command: StartSigning) -> None:
    policy = app.policy
    problems = []
    if len(command.documents) > policy.max_documents:
        problems.append(FieldError("documents", f"at most {policy.max_documents} documents"))
    if len(command.participants) > policy.max_participants:
        problems.append(FieldError("participants", f"at most {policy.max_participants} participants"))
    problems += [
        FieldError(f"documents[{index}].content", f"larger than {policy.max_document_bytes} bytes")
        for index, document in enumerate(command.documents)
        if len(document.content) > policy.max_document_bytes
    ]
    if problems:
        raise InvalidRequest("The request is larger than this gateway allows.", fields=problems)


def _check_deadlines(app: App, command: StartSigning) -> None:
    wished = {f"participants[{index}].deadline": one.deadline for index, one in enumerate(command.participants)}
    wished["deadline"] = command.deadline
    now = app.now()
    problems = [FieldError(field, "lies in the past") for field, at in wished.items() if at is not None and at <= now]
    if problems:
        raise InvalidRequest("The request does not fit.", fields=problems)


def _signing(app: App, command: StartSigning, new_id: str, now: datetime, lease_owner: str | None) -> Signing:
    lease_until = now + timedelta(seconds=app.policy.start_lease_seconds) if lease_owner else None
    return Signing(
        id=new_id,
        account=command.account,
        provider=app.provider(command.account).name,
        title=command.title,
        reference=command.reference,
        message=command.message,
        language=command.language,
        deadline=command.deadline,
        metadata=command.metadata,
        options=command.options,
        notify=command.notify,
        format=command.format,
        qualified_only=command.qualified_only,
        idempotency_key=command.idempotency_key,
        documents=tuple(_document(new_id, number, file) for number, file in enumerate(command.documents, start=1)),
        participants=command.participants,
        start=StartProgress(lease_owner=lease_owner, lease_until=lease_until, attempts=1 if lease_owner else 0),
        created_at=now,
        updated_at=now,
    )


def _document(new_id: str, number: int, file: NewDocument) -> Document:
    return Document(
        number=number,
        name=file.name,
        media_type=file.media_type,
        size=len(file.content),
        sha256=file.sha256,
        blob=f"staging/{new_id}/{number}",
    )


async def _write(app: App, command: StartSigning, signing: Signing) -> Intake:
    await app.signings.mark_due(signing.id, signing.created_at + timedelta(seconds=app.policy.reconcile_min_seconds))
    for document, file in zip(signing.documents, command.documents, strict=True):
        await app.documents.stage(document.blob, file.content, document.media_type)
    facts = {"account": signing.account, "documents": str(len(signing.documents))}
    signing, entry = record(signing, EntryKind.REQUESTED, signing.created_at, facts)
    try:
        loaded = await app.signings.create(signing, [entry])
    except AlreadyExists:
        return Intake(await app.signings.load(signing.id), is_new=False)
    is_leased = signing.start.lease_owner is not None
    message = RunStart(signing_id=signing.id, traceparent=telemetry.current_trace())
    try:
        await app.queue.send(Queue.STARTS, message, delay_seconds=app.policy.start_retry_seconds if is_leased else 0)
    except Exception as error:
        # The order is taken: reconcile finds its row. A failure now would make the caller's platform order again.
        telemetry.error("start_not_queued", signing_id=signing.id, reason=type(error).__name__)
    telemetry.info("signing_requested", signing_id=signing.id, account=signing.account, provider=signing.provider)
    return Intake(loaded, is_new=True)
