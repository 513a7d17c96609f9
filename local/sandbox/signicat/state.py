"""Everything the simulated platform remembers: uploads, orders, tasks, packaging, archive, messages sent."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from local.sandbox.signicat.wire import OrderBody
from local.sandbox.signicat.wire import PackagingTask as PackagingBody
from local.sandbox.signicat.wire import Task as TaskBody

_LETTERS = string.ascii_lowercase + string.digits
DEFAULT_DAYS_TO_LIVE = 7


class Status(StrEnum):
    CREATED = "CREATED"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    FAILED = "FAILED"


def new_id(now: datetime) -> str:
    """58 characters, the day first, as the platform's own look."""
    return now.strftime("%d%m%Y") + "".join(secrets.choice(_LETTERS) for _ in range(50))


def new_artifact() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(25))


@dataclass(frozen=True)
class Happening:
    type: str
    at: datetime
    data: str | None = None


@dataclass(frozen=True)
class Forward:
    original_task_id: str
    forwarder: str
    recipient: str


@dataclass
class Task:
    body: TaskBody
    created: datetime
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    """Part of the signing address: whoever has it is the signer."""
    status: Status = Status.CREATED
    previous_status: Status = Status.CREATED
    changed_at: float = field(default_factory=time.monotonic)
    started: bool = False
    reject_reason: str | None = None
    completed: datetime | None = None
    artifact: str | None = None
    events: list[Happening] = field(default_factory=list)
    forward: Forward | None = None
    statements: dict[str, bytes] = field(default_factory=dict)
    """LTV-SDO by document id."""

    @property
    def id(self) -> str:
        return self.body.id

    @property
    def days_to_live(self) -> int:
        return self.body.daysToLive or DEFAULT_DAYS_TO_LIVE

    @property
    def expires(self) -> datetime:
        return self.created + timedelta(days=self.days_to_live)

    def move(self, status: Status) -> None:
        self.previous_status, self.status, self.changed_at = self.status, status, time.monotonic()


@dataclass
class Packaging:
    body: PackagingBody
    status: Status = Status.CREATED
    result: bytes | None = None
    original: bytes = b""
    archive_id: str | None = None
    under_way: bool = False
    changed_at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.body.id


@dataclass(frozen=True)
class Mail:
    """One e-mail or text message that went out. `trigger` is what it told of; `late` marks a delayed one."""

    type: str
    recipient: str
    trigger: str
    text: str
    late: bool = False


@dataclass
class Order:
    id: str
    body: OrderBody
    created: datetime
    tasks: list[Task]
    packaging: list[Packaging]
    mails: list[Mail] = field(default_factory=list)
    told_completed: bool = False

    def task(self, task_id: str) -> Task | None:
        return next((one for one in self.tasks if one.id == task_id), None)

    def package(self, packaging_task_id: str) -> Packaging | None:
        return next((one for one in self.packaging if one.id == packaging_task_id), None)

    def may_act(self, task: Task) -> bool:
        """A task waits for those that it depends on (5.2)."""
        before = [self.task(one) for one in task.body.dependsOnTasks or ()]
        return all(one is not None and one.status is Status.COMPLETED for one in before)

    @property
    def deletion(self) -> datetime | None:
        days = self.body.daysUntilDeletion
        last = max(one.expires for one in self.tasks)
        return None if days is None else last + timedelta(days=days)


@dataclass
class State:
    uploads: dict[str, bytes] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    ever: list[Order] = field(default_factory=list)
    """Every order that was created, deleted ones too."""
    archive: dict[str, bytes] = field(default_factory=dict)
    offset: timedelta = timedelta()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def now(self) -> datetime:
        return self.clock() + self.offset
