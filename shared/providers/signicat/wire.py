"""Signicat's JSON, under its own names (spec signicat 1.4). Nothing is renamed here.

Requests are strict; answers tolerate unknown and null members, and keep a value that an enumeration does not list as
text. What both have in common stands in the `...Fields` classes. The enumerations hold what is known (spec 3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class TaskStatus(StrEnum):
    """FAILED is known from the SOAP interface to the same engine (spec 3.1)."""

    CREATED = "CREATED"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    FAILED = "FAILED"


class PackagingTaskStatus(StrEnum):
    CREATED = "CREATED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class DocumentAction(StrEnum):
    SIGN = "SIGN"
    VIEW = "VIEW"
    UPLOAD = "UPLOAD"


class DocumentSource(StrEnum):
    SESSION = "SESSION"
    UPLOAD = "UPLOAD"


class SignatureMethodType(StrEnum):
    AUTHENTICATION_BASED = "AUTHENTICATION_BASED"
    SIGNED_STATEMENT = "SIGNED_STATEMENT"
    THIRD_PARTY = "THIRD_PARTY"


class NotificationType(StrEnum):
    SMS = "SMS"
    EMAIL = "EMAIL"
    URL = "URL"


class TaskTriggerStatus(StrEnum):
    CREATED = "CREATED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FORWARDED = "FORWARDED"


class PackagingTriggerStatus(StrEnum):
    CREATED = "CREATED"
    COMPLETED = "COMPLETED"


Id = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Body(BaseModel):
    """Base of what we send: a name that the provider does not know is a mistake of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """Base of what we receive."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, hide_input_in_errors=True)


# --------------------------------------------------------------------------------------- common to both ways


class NameAndValue(BaseModel):
    name: str
    value: str | None = None


class IdentityHint(BaseModel):
    """Of a subject: only the methods named use it."""

    name: str
    value: str
    methods: tuple[str, ...] | None = None


class DelayFields(BaseModel):
    minutes: Count | None = None
    hours: Count | None = None
    days: Count | None = None


class NotificationFields(BaseModel):
    id: Id
    recipient: str
    message: str
    sender: str | None = None
    header: str | None = None


class TemplateParamsFields(BaseModel):
    id: Id
    footer: str | None = None
    button: str | None = None
    linkText: str | None = None
    logoUrl: str | None = None


class TaskDocumentFields(BaseModel):
    """`documentRef` is the id of an upload, `id` is chosen by whoever creates the order."""

    id: Id
    description: str | None = None
    documentRef: str | None = None
    externalReference: str | None = None
    signTextEntry: str | None = None
    sendResultToArchive: bool | None = None


class TaskFields(BaseModel):
    id: Id
    profile: str | None = None
    language: str | None = None
    configuration: str | None = None
    onTaskPostpone: str | None = None
    onTaskComplete: str | None = None
    onTaskReject: str | None = None
    signText: str | None = None
    dependsOnTasks: tuple[str, ...] | None = None
    useLegacyDocumentViewer: bool | None = None


# ---------------------------------------------------------------------------------------------------- bodies


class FormParam(NameAndValue, Body):
    pass


class Form(Body):
    interactive: bool | None = None
    inputParams: tuple[FormParam, ...] | None = None


class TaskDocument(TaskDocumentFields, Body):
    action: DocumentAction
    source: DocumentSource
    form: Form | None = None


class SignatureMethod(Body):
    """`name` may only be missing where `handwritten` is true."""

    name: str | None = None
    type: SignatureMethodType | None = None
    handwritten: bool | None = None


class Authentication(Body):
    methods: tuple[str, ...] | None = None
    artifact: bool | None = None


class Dialog(Body):
    title: str | None = None
    message: str | None = None


class SubjectAttribute(IdentityHint, Body):
    pass


class LoginHint(IdentityHint, Body):
    pass


class Subject(Body):
    id: Id
    attributes: tuple[SubjectAttribute, ...] | None = None
    loginHints: tuple[LoginHint, ...] | None = None


class Delay(DelayFields, Body):
    pass


class TaskNotificationSchedule(Body):
    triggerStatus: TaskTriggerStatus
    delay: Delay | None = None


class PackagingTaskNotificationSchedule(Body):
    triggerStatus: PackagingTriggerStatus


class SigningOrderNotification(NotificationFields, Body):
    type: NotificationType


class TaskNotification(NotificationFields, Body):
    type: NotificationType
    notificationTemplateParamsId: str | None = None
    schedule: tuple[TaskNotificationSchedule, ...] | None = None


class PackagingTaskNotification(NotificationFields, Body):
    type: NotificationType
    schedule: tuple[PackagingTaskNotificationSchedule, ...] | None = None


class NotificationTemplateParams(TemplateParamsFields, Body):
    pass


class Task(TaskFields, Body):
    documents: Annotated[tuple[TaskDocument, ...], Field(min_length=1)]
    daysToLive: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    signatureMethods: tuple[SignatureMethod, ...] | None = None
    authentication: Authentication | None = None
    dialog: Dialog | None = None
    notifications: tuple[TaskNotification, ...] | None = None
    subject: Subject | None = None


class PackagingTaskDocument(Body):
    taskId: Id
    documentIds: Annotated[tuple[str, ...], Field(min_length=1)]


class PackagingTask(Body):
    id: Id
    method: Id
    documents: Annotated[tuple[PackagingTaskDocument, ...], Field(min_length=1)]
    sendToArchive: bool | None = None
    notifications: tuple[PackagingTaskNotification, ...] | None = None


class SigningOrderCreate(Body):
    """An empty array is refused where the lower bound is 1: leave the member out (spec 1.4)."""

    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    clientReference: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    daysUntilDeletion: Annotated[int | None, Field(ge=1, le=30)] = None
    notifications: Annotated[tuple[SigningOrderNotification, ...] | None, Field(min_length=1)] = None
    packagingTasks: Annotated[tuple[PackagingTask, ...] | None, Field(min_length=1)] = None
    notificationTemplateParams: Annotated[tuple[NotificationTemplateParams, ...] | None, Field(min_length=1)] = None


class TokenRequest(Body):
    """Form fields of the token endpoint. The client's own credentials are here only where Basic is not used."""

    grant_type: str
    scope: str
    client_id: str | None = None
    client_secret: str | None = None


# --------------------------------------------------------------------------------------------------- answers


class UploadDocumentResponse(Answer):
    documentId: Id


class StoredFormParam(NameAndValue, Answer):
    pass


class StoredForm(Answer):
    interactive: bool | None = None
    inputParams: list[StoredFormParam] | None = None


class StoredTaskDocument(TaskDocumentFields, Answer):
    action: str | None = None
    source: str | None = None
    form: StoredForm | None = None


class StoredSignatureMethod(Answer):
    name: str | None = None
    type: str | None = None
    handwritten: bool | None = None


class StoredAuthentication(Answer):
    methods: list[str] | None = None
    artifact: bool | None = None


class StoredDialog(Answer):
    title: str | None = None
    message: str | None = None


class StoredSubjectAttribute(Answer):
    name: str | None = None
    value: str | None = Field(default=None, repr=False)
    methods: list[str] | None = None


class StoredSubject(Answer):
    id: str | None = None
    attributes: list[StoredSubjectAttribute] | None = None
    loginHints: list[StoredSubjectAttribute] | None = None


class StoredDelay(DelayFields, Answer):
    pass


class StoredSchedule(Answer):
    triggerStatus: str | None = None
    delay: StoredDelay | None = None


class StoredNotification(Answer):
    """Of all three levels: which members there are depends on the level."""

    id: str | None = None
    recipient: str | None = Field(default=None, repr=False)
    sender: str | None = None
    header: str | None = None
    message: str | None = Field(default=None, repr=False)
    type: str | None = None
    notificationTemplateParamsId: str | None = None
    schedule: list[StoredSchedule] | None = None


class StoredTemplateParams(TemplateParamsFields, Answer):
    pass


class StoredTask(TaskFields, Answer):
    documents: list[StoredTaskDocument] | None = None
    daysToLive: int | None = None
    signatureMethods: list[StoredSignatureMethod] | None = None
    authentication: StoredAuthentication | None = None
    dialog: StoredDialog | None = None
    notifications: list[StoredNotification] | None = None
    subject: StoredSubject | None = None
    signingUrl: str | None = Field(default=None, repr=False)


class StoredPackagingTaskDocument(Answer):
    taskId: str | None = None
    documentIds: list[str] | None = None


class StoredPackagingTask(Answer):
    id: Id
    sendToArchive: bool | None = None
    method: str | None = None
    notifications: list[StoredNotification] | None = None
    documents: list[StoredPackagingTaskDocument] | None = None


class SigningOrder(Answer):
    """`artifact` is there when a task uses artifact authentication."""

    id: Id
    tasks: list[StoredTask]
    artifact: str | None = Field(default=None, repr=False)
    clientReference: str | None = None
    notifications: list[StoredNotification] | None = None
    daysUntilDeletion: int | None = None
    packagingTasks: list[StoredPackagingTask] | None = None
    notificationTemplateParams: list[StoredTemplateParams] | None = None


class DocumentStatus(Answer):
    """The addresses are only signs that something is there; files are fetched by operation."""

    id: Id
    originalUri: str | None = None
    generatedUri: str | None = None
    resultUri: str | None = None
    formOutputParam: list[StoredFormParam] | None = None


class TaskStatusInfo(Answer):
    orderId: str
    taskId: str
    taskStatus: str
    clientReference: str | None = None
    clientStatus: str | None = None
    documents: list[DocumentStatus] | None = None
    rejectReason: str | None = None


class PackagingTaskStatusInfo(Answer):
    orderId: str
    packagingTaskId: str
    packagingTaskStatus: str
    packagingTaskResultUri: str | None = None


class ArtifactInfo(Answer):
    """The name of the address that comes along is not public (spec 1.4)."""

    artifact: str = Field(repr=False)
    orderId: str
    taskId: str
    signingUrl: str | None = Field(default=None, repr=False)


class TaskEvent(Answer):
    """`eventTime` stays text: its form is not strictly ISO 8601 (spec 1.4)."""

    eventType: str
    eventTime: str
    data: str | None = Field(default=None, repr=False)


class TaskForwardDetails(Answer):
    orderId: str | None = None
    taskId: str | None = None
    originalTaskId: str | None = None
    forwarderName: str | None = Field(default=None, repr=False)
    forwarderEmail: str | None = Field(default=None, repr=False)
    recipientName: str | None = Field(default=None, repr=False)
    recipientEmail: str | None = Field(default=None, repr=False)
    recipientMobile: str | None = Field(default=None, repr=False)


class TokenResponse(Answer):
    access_token: str = Field(repr=False)
    expires_in: float
    token_type: str | None = None
    scope: str | None = None
