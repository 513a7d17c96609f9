"""The order as the simulator reads it (spec signicat 1.4), strictly.

Unknown members, wrong case and wrong JSON types are refused. This is a reading of the contract of its own: it shares no
code with the client it is meant to test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from local.sandbox.answers import Problem

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Violation = dict[str, str]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FormParam(Part):
    name: Text
    value: str | None = None


class Form(Part):
    interactive: bool | None = None
    inputParams: list[FormParam] | None = None


class TaskDocument(Part):
    id: Text
    description: str | None = None
    action: Literal["SIGN", "VIEW", "UPLOAD"]
    source: Literal["SESSION", "UPLOAD"]
    documentRef: str | None = None
    externalReference: str | None = None
    signTextEntry: str | None = None
    sendResultToArchive: bool | None = None
    form: Form | None = None

    @model_validator(mode="after")
    def _refers(self) -> TaskDocument:
        if self.source == "SESSION" and not self.documentRef:
            raise ValueError("a document from the session needs a documentRef")
        return self


class SignatureMethod(Part):
    name: Text | None = None
    type: Literal["AUTHENTICATION_BASED", "SIGNED_STATEMENT", "THIRD_PARTY"] | None = None
    handwritten: bool | None = None

    @model_validator(mode="after")
    def _named(self) -> SignatureMethod:
        if self.name is None and not self.handwritten:
            raise ValueError("a signature method needs a name unless it is handwritten")
        return self


class Authentication(Part):
    methods: list[str] | None = None
    artifact: bool | None = None


class Dialog(Part):
    title: str | None = None
    message: str | None = None


class Attribute(Part):
    name: Text
    value: Text
    methods: list[str] | None = None


class Subject(Part):
    id: Text
    attributes: list[Attribute] | None = None
    loginHints: list[Attribute] | None = None


class Delay(Part):
    minutes: Count | None = None
    hours: Count | None = None
    days: Count | None = None


class TaskSchedule(Part):
    triggerStatus: Literal["CREATED", "STARTED", "COMPLETED", "REJECTED", "EXPIRED", "FORWARDED"]
    delay: Delay | None = None


class PackagingSchedule(Part):
    triggerStatus: Literal["CREATED", "COMPLETED"]


class Notification(Part):
    id: Text
    recipient: Text
    sender: str | None = None
    header: str | None = None
    message: Text
    type: Literal["SMS", "EMAIL", "URL"]

    @model_validator(mode="after")
    def _reachable(self) -> Notification:
        if self.type == "EMAIL" and "@" not in self.recipient:
            raise ValueError("the recipient is no e-mail address")
        parts = urlsplit(self.recipient)
        if self.type == "URL" and not (parts.hostname and parts.scheme in {"https", "http"}):
            raise ValueError("the recipient is no absolute address")
        return self


class TaskNotification(Notification):
    notificationTemplateParamsId: str | None = None
    schedule: list[TaskSchedule] | None = None


class PackagingNotification(Notification):
    schedule: list[PackagingSchedule] | None = None


class TemplateParams(Part):
    id: Text
    footer: str | None = None
    button: str | None = None
    linkText: str | None = None
    logoUrl: str | None = None


class Task(Part):
    id: Text
    profile: str | None = None
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] | None = None
    daysToLive: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    configuration: str | None = None
    documents: Annotated[list[TaskDocument], Field(min_length=1)]
    signatureMethods: list[SignatureMethod] | None = None
    authentication: Authentication | None = None
    onTaskPostpone: str | None = None
    onTaskComplete: str | None = None
    onTaskReject: str | None = None
    dialog: Dialog | None = None
    notifications: list[TaskNotification] | None = None
    signText: str | None = None
    subject: Subject | None = None
    dependsOnTasks: list[str] | None = None
    useLegacyDocumentViewer: bool | None = None


class PackagingDocument(Part):
    taskId: Text
    documentIds: Annotated[list[Text], Field(min_length=1)]


class PackagingTask(Part):
    id: Text
    sendToArchive: bool | None = None
    method: Literal["pades"]
    notifications: list[PackagingNotification] | None = None
    documents: Annotated[list[PackagingDocument], Field(min_length=1)]


class OrderBody(Part):
    """A member that is an empty list, where one may not be, is refused like any other fault."""

    clientReference: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    tasks: Annotated[list[Task], Field(min_length=1)]
    notifications: Annotated[list[Notification], Field(min_length=1)] | None = None
    daysUntilDeletion: Annotated[int, Field(ge=1, le=30)] | None = None
    packagingTasks: Annotated[list[PackagingTask], Field(min_length=1)] | None = None
    notificationTemplateParams: Annotated[list[TemplateParams], Field(min_length=1)] | None = None


def read_order(raw: bytes) -> OrderBody:
    """Raises Problem 400 with every fault of shape at once."""
    try:
        return OrderBody.model_validate_json(raw)
    except ValidationError as failure:
        found = failure.errors(include_url=False, include_input=False)
        raise invalid([{"propertyPath": _path(one["loc"]), "message": one["msg"]} for one in found]) from failure


def invalid(violations: list[Violation]) -> Problem:
    body: dict[str, Any] = {
        "status": 400, "type": "about:blank", "title": "Constraint Violation", "violations": violations,
    }  # fmt: skip
    return Problem(400, "Constraint Violation", body=body)


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "$"


def faults_between(order: OrderBody, uploads: set[str]) -> Iterator[Violation]:
    """What is wrong between the parts of an order whose shape is right."""
    yield from _doubles("tasks", [one.id for one in order.tasks])
    for index, task in enumerate(order.tasks):
        path = f"tasks[{index}]"
        yield from _doubles(f"{path}.documents", [one.id for one in task.documents])
        for at, document in enumerate(task.documents):
            if document.documentRef is not None and document.documentRef not in uploads:
                yield _fault(f"{path}.documents[{at}].documentRef", "Unknown document")
        if any(one.action == "SIGN" for one in task.documents) and not (task.signatureMethods or task.configuration):
            yield _fault(f"{path}.signatureMethods", "A task with something to sign needs a signature method")
        yield from _dependency_faults(order, task, path)
    yield from _packaging_faults(order)


def _fault(path: str, message: str) -> Violation:
    return {"propertyPath": path, "message": message}


def _doubles(path: str, ids: list[str]) -> Iterator[Violation]:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            yield _fault(f"{path}[{index}].id", "The id is used twice")


def _dependency_faults(order: OrderBody, task: Task, path: str) -> Iterator[Violation]:
    known = {one.id: one for one in order.tasks}
    for at, needed in enumerate(task.dependsOnTasks or ()):
        if needed not in known:
            yield _fault(f"{path}.dependsOnTasks[{at}]", "Unknown task")
    reached, open_ends = set[str](), list(task.dependsOnTasks or ())
    while open_ends:
        one = open_ends.pop()
        if one not in reached and one in known:
            reached.add(one)
            open_ends += known[one].dependsOnTasks or ()
    if task.id in reached:
        yield _fault(f"{path}.dependsOnTasks", "The task depends on itself")


def _packaging_faults(order: OrderBody) -> Iterator[Violation]:
    packages = order.packagingTasks or []
    yield from _doubles("packagingTasks", [one.id for one in packages])
    files = {(task.id, one.id): one.documentRef for task in order.tasks for one in task.documents}
    for index, package in enumerate(packages):
        path, sources = f"packagingTasks[{index}].documents", set[str | None]()
        for at, part in enumerate(package.documents):
            for number, name in enumerate(part.documentIds):
                if (part.taskId, name) not in files:
                    yield _fault(f"{path}[{at}].documentIds[{number}]", "Unknown document of this task")
                else:
                    sources.add(files[part.taskId, name])
        if len(sources) > 1:
            # How several files would be put into one is not public; better no than something made up.
            yield _fault(path, "The documents of one packaging task must be of one file")
