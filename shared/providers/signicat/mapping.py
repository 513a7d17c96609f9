"""Signicat's words and ours, both ways. Pure (spec signicat 5.1).

Participant 2 is the task `participant-2`, document 1 the task document `document-1` and the packaging task `package-1`.
Every signer signs every document; observers get them to view.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain.signing import Document, Participant, Progress, Role, Signing
from shared.domain.states import EventKind
from shared.ports import Deliverable, ParticipantProgress, ProviderStatus, SigningLink
from shared.providers.operation import FileUpload
from shared.providers.signicat import CAPABILITIES, DEFAULT_METHOD_TYPE, HANDWRITTEN, PDF, Config, Methods, wire
from shared.providers.signicat.wire import PackagingTaskStatus, PackagingTriggerStatus, TaskStatus, TaskTriggerStatus

# ------------------------------------------------------------------------------------------- wire -> domain

# Spec 3.1, 3.2 and 5.1. ACCEPTED: went out and goes on; ALL_SIGNED: this one is done.
TASK_STATUSES: Mapping[str, EventKind] = {
    TaskStatus.CREATED: EventKind.ACCEPTED,
    TaskStatus.COMPLETED: EventKind.ALL_SIGNED,
    TaskStatus.REJECTED: EventKind.DECLINED,
    TaskStatus.EXPIRED: EventKind.EXPIRED,
    TaskStatus.DELETED: EventKind.CANCELLED,
    TaskStatus.FAILED: EventKind.FAILED,
}
PACKAGING_STATUSES: Mapping[str, EventKind] = {
    PackagingTaskStatus.CREATED: EventKind.ACCEPTED,
    PackagingTaskStatus.COMPLETED: EventKind.ALL_SIGNED,
    PackagingTaskStatus.FAILED: EventKind.FAILED,
}
if _unmapped := {*TaskStatus} - TASK_STATUSES.keys() | {*PackagingTaskStatus} - PACKAGING_STATUSES.keys():
    raise NotImplementedError(f"no meaning given to the Signicat statuses {sorted(_unmapped)}")

# One of these at a signer's task ends the order, the first of them most of all: a person's no outweighs a technical
# end, and what can still be repaired comes last.
_ENDS = (TaskStatus.REJECTED, TaskStatus.DELETED, TaskStatus.FAILED, TaskStatus.EXPIRED)
PACKAGING = "PACKAGING_"  # before the status of a packaging task, where that is what counts
_ACTED = {Role.SIGNER: Progress.SIGNED, Role.OBSERVER: Progress.RECEIVED}

_TASK_ID = re.compile(r"participant-([1-9][0-9]*)")


@dataclass(frozen=True)
class TaskReading:
    """One task as it was read back. `stands_for` is the task that was handed over to it."""

    id: str
    status: str
    only_views: bool = False
    reason: str | None = None
    stands_for: str | None = None


def status_of(tasks: Sequence[TaskReading], packaging: Sequence[str], signing: Signing | None = None) -> ProviderStatus:
    """The order's status, which Signicat itself does not have (spec 5.1): all tasks done *and* everything packaged.

    `packaging` are the statuses of the packaging tasks; they count once all tasks are done. `signing` adds who acted.
    """
    found = open_or_ended(tasks) or _packaged(packaging)
    if signing is None:
        return found
    return ProviderStatus(
        found.provider_status, found.kind, found.known, found.reason, participants=progress_of(signing, tasks)
    )


def open_or_ended(tasks: Sequence[TaskReading]) -> ProviderStatus | None:
    """None when every task is done, so that packaging decides. A person who was only to view ends nothing by not
    viewing: the signed documents are there all the same."""
    counting = _in_force(tasks)
    if not counting:
        return ProviderStatus("NO_TASKS", None, known=False)
    acting = [one for one in counting if not one.only_views] or counting
    for end in _ENDS:
        ended = next((one for one in acting if one.status == end), None)
        if ended is not None:
            return ProviderStatus(end.value, TASK_STATUSES[end], reason=ended.reason or None)
    unknown = next((one.status for one in counting if one.status not in TASK_STATUSES), None)
    if unknown is not None:
        return ProviderStatus(unknown, None, known=False)
    if any(one.status == TaskStatus.CREATED for one in counting):
        return ProviderStatus(TaskStatus.CREATED.value, EventKind.ACCEPTED)
    return None


def _packaged(statuses: Sequence[str]) -> ProviderStatus:
    for status in sorted(statuses, key=lambda one: one != PackagingTaskStatus.FAILED):
        if status not in PACKAGING_STATUSES:
            return ProviderStatus(PACKAGING + status, None, known=False)
        if status != PackagingTaskStatus.COMPLETED:
            return ProviderStatus(PACKAGING + status, PACKAGING_STATUSES[status])
    return ProviderStatus(TaskStatus.COMPLETED.value, EventKind.ALL_SIGNED)


def _in_force(tasks: Sequence[TaskReading]) -> list[TaskReading]:
    """Without those that were handed over: their successors count instead. Who signs and adds somebody, did sign."""
    handed_over = {one.stands_for for one in tasks}
    return [one for one in tasks if one.id not in handed_over or one.status == TaskStatus.COMPLETED]


def progress_of(signing: Signing, tasks: Sequence[TaskReading]) -> tuple[ParticipantProgress, ...]:
    """Participants who have acted, themselves or by whom they handed their task over to."""
    originals = {one.id: one.stands_for for one in tasks if one.stands_for is not None}
    found = []
    for participant in signing.participants:
        own = [one for one in _in_force(tasks) if _original(one.id, originals) == task_id(participant)]
        if any(one.status == TaskStatus.REJECTED for one in own):
            found.append(ParticipantProgress(participant.number, Progress.DECLINED))
        elif own and all(one.status == TaskStatus.COMPLETED for one in own):
            found.append(ParticipantProgress(participant.number, _ACTED[participant.role]))
    return tuple(found)


def _original(task: str, originals: Mapping[str, str]) -> str:
    for _ in originals:
        task = originals.get(task, task)
    return task


def is_ours(task: str) -> bool:
    """False for a task that came by itself: somebody handed theirs over (spec 5.2)."""
    return _TASK_ID.fullmatch(task) is not None


def only_views(task: wire.StoredTask) -> bool:
    return bool(task.documents) and all(one.action == wire.DocumentAction.VIEW for one in task.documents or ())


def links_of(signing: Signing, order: wire.SigningOrder, open_tasks: Iterable[str]) -> list[SigningLink]:
    addresses = {one.id: one.signingUrl for one in order.tasks if one.id in set(open_tasks)}
    numbered = [(one.number, addresses.get(task_id(one))) for one in signing.participants]
    return [SigningLink(number, url) for number, url in numbered if url]


# ----------------------------------------------------------------------------------------------------- files


def packages_of(signing: Signing) -> list[Deliverable]:
    return [
        Deliverable(_file_name(one), "document", PDF, {"package": package_id(one), "document": str(one.number)})
        for one in signing.documents
    ]


def statement_of(task: str, document: str) -> Deliverable:
    """What one signer signed of one document: an LTV-SDO, kept as it comes (spec 3.6, 6)."""
    name = f"{_safe_name(task)}-{_safe_name(document)}.sdo"
    return Deliverable(name, "evidence", "application/x-ltv-sdo", {"task": task, "result": document})


def events_of(task: str) -> Deliverable:
    return Deliverable(f"{_safe_name(task)}-events.json", "evidence", "application/json", {"task": task})


def _file_name(document: Document) -> str:
    return document.name if document.name.lower().endswith(".pdf") else f"{document.name}.pdf"


def _safe_name(given: str) -> str:
    """Our own ids are file names as they are; of others only a digest is."""
    if re.fullmatch(r"(participant|document)-[0-9]+", given):
        return given
    return f"other-{hashlib.sha256(given.encode()).hexdigest()[:12]}"


# ------------------------------------------------------------------------------------------- domain -> wire


def _return_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("expected an http(s) address")
    return value


ReturnUrl = Annotated[str, AfterValidator(_return_url)]
Text = Annotated[str, Field(min_length=1)]


class Options(BaseModel):
    """What one signing may choose beside the account's configuration.

    `subject_attributes` tells by participant number who the signer has to prove to be, such as
    `{1: {"national-id": "..."}}`. The `on_task_...` addresses are where the signer's browser goes afterwards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    signature_methods: Methods | None = None
    configuration: Text | None = None
    profile: Text | None = None
    days_until_deletion: Annotated[int | None, Field(ge=1, le=30)] = None
    subject_attributes: Mapping[int, Mapping[Text, Text]] = Field(default_factory=dict)
    on_task_complete: ReturnUrl | None = None
    on_task_reject: ReturnUrl | None = None
    on_task_postpone: ReturnUrl | None = None


_WAITING = {
    "en": "A document is waiting for you: {title}. Open it here: ${{taskUrl}}",
    "nb": "Et dokument venter på deg: {title}. Åpne det her: ${{taskUrl}}",
    "da": "Et dokument venter på dig: {title}. Åbn det her: ${{taskUrl}}",
    "sv": "Ett dokument väntar på dig: {title}. Öppna det här: ${{taskUrl}}",
    "fi": "Asiakirja odottaa sinua: {title}. Avaa se tästä: ${{taskUrl}}",
}
if _wordless := CAPABILITIES.languages - _WAITING.keys():
    raise NotImplementedError(f"no invitation written in {sorted(_wordless)}")

_NORWEGIAN = {"no": "nb", "nn": "nb"}  # `nn` is known from SOAP only (spec 3.7)


def task_id(participant: Participant) -> str:
    return f"participant-{participant.number}"


def document_id(document: Document) -> str:
    return f"document-{document.number}"


def package_id(document: Document) -> str:
    return f"package-{document.number}"


def to_wire_file(document: Document, content: bytes) -> FileUpload:
    return FileUpload(document.name, document.media_type, content)


def to_wire_order(
    signing: Signing, config: Config, uploads: Mapping[int, str], callback_url: str
) -> wire.SigningOrderCreate:
    """`uploads` are the ids of the uploaded documents by number."""
    options = Options.model_validate(dict(signing.options))
    making = _Making(signing, config, options, uploads, callback_url)
    return wire.SigningOrderCreate(
        clientReference=signing.id,
        tasks=tuple(_to_wire_task(making, one) for one in signing.participants),
        packagingTasks=tuple(_to_wire_package(making, one) for one in signing.documents),
        daysUntilDeletion=options.days_until_deletion or config.days_until_deletion,
        notifications=(
            wire.SigningOrderNotification(
                id="order-completed", type=_URL, recipient=making.notice_url("order.COMPLETED"), message=_NO_MESSAGE
            ),
        ),
    )


_URL = wire.NotificationType.URL
_NO_MESSAGE = "callback"  # required, and of no use where an address is called


@dataclass(frozen=True)
class _Making:
    """What every part of an order is made from."""

    signing: Signing
    config: Config
    options: Options
    uploads: Mapping[int, str]
    callback_url: str

    @property
    def methods(self) -> tuple[wire.SignatureMethod, ...]:
        return _to_wire_methods(self.options.signature_methods or self.config.signature_methods)

    def notice_url(self, notice: str) -> str:
        """The address with a word of ours that tells one notification from all others: the calls themselves look the
        same whatever they are about (spec 2.2)."""
        joiner = "&" if "?" in self.callback_url else "?"
        return f"{self.callback_url}{joiner}notice={self.signing.id}.{notice}"


def _to_wire_task(making: _Making, participant: Participant) -> wire.Task:
    config, options = making.config, making.options
    strong = wire.Authentication(methods=config.authentication_methods) if participant.strong_identity else None
    return wire.Task(
        id=task_id(participant),
        profile=options.profile or config.profile,
        language=language_of(participant, making.signing, config),
        daysToLive=days_to_live(making.signing, participant, config),
        configuration=options.configuration or config.configuration,
        documents=tuple(_to_wire_document(making, participant, one) for one in making.signing.documents),
        signatureMethods=making.methods if participant.role is Role.SIGNER else None,
        authentication=strong,
        onTaskComplete=options.on_task_complete,
        onTaskReject=options.on_task_reject,
        onTaskPostpone=options.on_task_postpone,
        subject=_to_wire_subject(making, participant),
        dependsOnTasks=_tasks_before(making.signing, participant) or None,
        notifications=(*_to_wire_invitations(making, participant), *_to_wire_callbacks(making, participant)),
    )


def _to_wire_document(making: _Making, participant: Participant, document: Document) -> wire.TaskDocument:
    return wire.TaskDocument(
        id=document_id(document),
        description=document.name,
        action=wire.DocumentAction.SIGN if participant.role is Role.SIGNER else wire.DocumentAction.VIEW,
        source=wire.DocumentSource.SESSION,
        documentRef=making.uploads[document.number],
        sendResultToArchive=False,
    )


def _to_wire_methods(written: Sequence[str]) -> tuple[wire.SignatureMethod, ...]:
    return tuple(
        wire.SignatureMethod(handwritten=True)
        if name == HANDWRITTEN
        else wire.SignatureMethod(name=name, type=wire.SignatureMethodType(kind or DEFAULT_METHOD_TYPE))
        for name, _, kind in (one.partition(":") for one in written)
    )


def _to_wire_subject(making: _Making, participant: Participant) -> wire.Subject | None:
    wanted = making.options.subject_attributes.get(participant.number)
    if not wanted:
        return None
    names = tuple(one.name for one in making.methods if one.name) or None
    attributes = tuple(wire.SubjectAttribute(name=name, value=value, methods=names) for name, value in wanted.items())
    return wire.Subject(id=task_id(participant), attributes=attributes)


def _tasks_before(signing: Signing, participant: Participant) -> tuple[str, ...]:
    """Those whose turn comes directly before: they wait for the ones before them."""
    earlier = [one.order for one in signing.participants if one.order < participant.order]
    return tuple(task_id(one) for one in signing.participants if earlier and one.order == max(earlier))


def _to_wire_invitations(making: _Making, participant: Participant) -> Iterable[wire.TaskNotification]:
    """One at once and, where wished, one more when the task is still open after some days (INFERRED, spec 2.1)."""
    config, is_email = making.config, making.config.invitations == "email"
    if config.invitations == "none":
        return
    days = config.reminder_after_days
    delays = {"invitation": None} | ({} if days is None else {"reminder": wire.Delay(days=days)})
    for name, delay in delays.items():
        yield wire.TaskNotification(
            id=f"{task_id(participant)}-{name}",
            type=wire.NotificationType.EMAIL if is_email else wire.NotificationType.SMS,
            recipient=participant.email if is_email else participant.phone or "",
            sender=config.sender,
            header=_one_line(making.signing.title) if is_email else None,
            message=_invitation_text(making, participant),
            schedule=(wire.TaskNotificationSchedule(triggerStatus=TaskTriggerStatus.CREATED, delay=delay),),
        )


def _invitation_text(making: _Making, participant: Participant) -> str:
    signing = making.signing
    waiting = _WAITING[language_of(participant, signing, making.config)].format(title=_one_line(signing.title))
    note = participant.message or signing.message
    return f"{note}\n\n{waiting}" if note else waiting


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _to_wire_callbacks(making: _Making, participant: Participant) -> Iterable[wire.TaskNotification]:
    """CREATED, once per order, brings the order's id even where the answer to its creation is lost: that cannot be
    looked up (spec 1.3)."""
    triggers = [TaskTriggerStatus.COMPLETED, TaskTriggerStatus.REJECTED, TaskTriggerStatus.EXPIRED]
    if participant.number == making.signing.participants[0].number:
        triggers.insert(0, TaskTriggerStatus.CREATED)
    for trigger in triggers:
        yield wire.TaskNotification(
            id=f"{task_id(participant)}-{trigger.lower()}",
            type=_URL,
            recipient=making.notice_url(f"{task_id(participant)}.{trigger}"),
            message=_NO_MESSAGE,
            schedule=(wire.TaskNotificationSchedule(triggerStatus=trigger),),
        )


def _to_wire_package(making: _Making, document: Document) -> wire.PackagingTask:
    """One file for each document, with the signatures of all signers (spec 5.2)."""
    signers = [one for one in making.signing.participants if one.role is Role.SIGNER]
    trigger = PackagingTriggerStatus.COMPLETED
    return wire.PackagingTask(
        id=package_id(document),
        method="pades",
        sendToArchive=False,
        documents=tuple(
            wire.PackagingTaskDocument(taskId=task_id(one), documentIds=(document_id(document),)) for one in signers
        ),
        notifications=(
            wire.PackagingTaskNotification(
                id=f"{package_id(document)}-completed",
                type=_URL,
                recipient=making.notice_url(f"{package_id(document)}.{trigger}"),
                message=_NO_MESSAGE,
                schedule=(wire.PackagingTaskNotificationSchedule(triggerStatus=trigger),),
            ),
        ),
    )


def days_to_live(signing: Signing, participant: Participant, config: Config) -> int:
    """Whole days, so nobody has less time than wished and some up to a day more."""
    deadline = participant.deadline or signing.deadline
    if deadline is None:
        return config.days_to_live
    return max(1, math.ceil((deadline - signing.created_at) / timedelta(days=1)))


def language_of(participant: Participant, signing: Signing, config: Config) -> str:
    """The account's language when nothing is wished, English for what is not spoken."""
    wished = (participant.language or signing.language or config.language)[:2].lower()
    wished = _NORWEGIAN.get(wished, wished)
    return wished if wished in CAPABILITIES.languages else "en"


def needs_other_language(signing: Signing) -> bool:
    """Whether somebody is invited in a language other than the wished one."""
    wished = {(one.language or signing.language or "en")[:2].lower() for one in signing.participants}
    return any(_NORWEGIAN.get(one, one) not in CAPABILITIES.languages for one in wished)
