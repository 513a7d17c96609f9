"""Everything the simulated platform remembers: requests, actors, invitations, credits, webhooks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from local.sandbox.pkisigning.wire import Status

if TYPE_CHECKING:
    from local.sandbox.pdf import PdfFacts
    from local.sandbox.pkisigning.wire import Action, ActorBody, SignerBody

FINAL = frozenset({Status.COMPLETED, Status.DECLINED, Status.WITHDRAWN, Status.EXPIRED, Status.ERROR})
PENDING = frozenset({Status.PENDING_APPROVAL, Status.PENDING_DOWNLOAD, Status.PENDING_SIGNATURE})


def new_id() -> str:
    return str(uuid4())


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Actor:
    id: str
    document_id: str
    body: ActorBody
    placement: SignerBody | None
    sequence: int
    ordinal: int = 0
    acted_at: datetime | None = None

    @property
    def action(self) -> Action:
        return self.body.action

    @property
    def has_acted(self) -> bool:
        return self.acted_at is not None

    @property
    def full_name(self) -> str:
        return " ".join(part for part in (self.body.firstname, self.body.prefix, self.body.lastname) if part)

    @property
    def turn(self) -> tuple[datetime, int, int]:
        """The order of acting: deadline, then V1's ordinal, then the order of adding (spec pkisigning 1.7, 2.2)."""
        return (self.body.deadline, self.ordinal, self.sequence)


@dataclass
class Document:
    id: str
    name: str
    filename: str
    content: bytes
    """As it stands now: every signature appends a revision."""
    original: bytes
    index: int
    facts: PdfFacts
    document_type: str = "RegularPdf"
    polls_left: int = 0
    """How many more status reads answer 202."""
    created: datetime = field(default_factory=utc_now)
    updated: datetime = field(default_factory=utc_now)
    signatures: list[tuple[Actor, datetime, str]] = field(default_factory=list)
    """Who signed, when, in which field."""

    @property
    def ready(self) -> bool:
        return self.polls_left == 0


@dataclass(frozen=True)
class Invitation:
    """One e-mail. A person with several documents of one request and one deadline gets a single one."""

    request_id: str
    actor_ids: tuple[str, ...]
    kind: str
    at: datetime


@dataclass
class SignRequest:
    id: str
    name: str
    clearance_level: int
    workgroup_id: str | None
    owner: str | None
    mine: bool
    callback_url: str | None = None
    signer_note: str | None = None
    recipient_note: str | None = None
    status: Status = Status.NEW
    previous_status: Status = Status.NEW
    changed_at: float = field(default_factory=time.monotonic)
    reasons: str | None = None
    documents: list[Document] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    authentication_keys: list[str] = field(default_factory=list)
    expires: datetime = field(default_factory=lambda: utc_now() + timedelta(days=90))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    started_by: str = "V2"

    def document(self, document_id: str) -> Document | None:
        return next((one for one in self.documents if one.id == document_id), None)

    def actor(self, actor_id: str) -> Actor | None:
        return next((one for one in self.actors if one.id == actor_id), None)

    def actors_of(self, document_id: str) -> list[Actor]:
        return [actor for actor in self.actors if actor.document_id == document_id]

    def in_line(self) -> list[Actor]:
        """Whose turn it is: one person, with all documents that carry the same deadline for that person."""
        waiting = sorted((actor for actor in self.actors if not actor.has_acted), key=lambda actor: actor.turn)
        if not waiting:
            return []
        first = waiting[0]
        return [one for one in waiting if _same_person(one, first)]


def _same_person(one: Actor, other: Actor) -> bool:
    same_address = one.body.email.lower() == other.body.email.lower()
    return same_address and one.body.deadline == other.body.deadline and one.action == other.action


@dataclass
class Credits:
    """Adding an actor reserves one; acting turns it into a charge; removing the actor before gives it back (5)."""

    total: int = 100
    reserved: set[str] = field(default_factory=set)
    charged: set[str] = field(default_factory=set)

    @property
    def available(self) -> int:
        return self.total - len(self.reserved) - len(self.charged)

    def reserve(self, actor_id: str) -> None:
        self.reserved.add(actor_id)

    def charge(self, actor_id: str) -> None:
        self.reserved.discard(actor_id)
        self.charged.add(actor_id)

    def release(self, actor_id: str) -> None:
        self.reserved.discard(actor_id)


@dataclass
class Webhook:
    id: str
    url: str
    active: bool
    created: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class Workgroup:
    id: str
    name: str
    clearance_level: int


@dataclass
class State:
    organisation_id: str = field(default_factory=new_id)
    organisation_name: str = "Sandbox Organisation"
    workgroups: list[Workgroup] = field(
        default_factory=lambda: [Workgroup(new_id(), "Contracts", 3), Workgroup(new_id(), "Personnel", 1)]
    )
    requests: dict[str, SignRequest] = field(default_factory=dict)
    deleted: list[SignRequest] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    credits: Credits = field(default_factory=Credits)
    invitations: list[Invitation] = field(default_factory=list)
    start_calls: Counter[str] = field(default_factory=Counter)
    """Starts that were carried out, per request id: V2 Send or V1 StartSignFlow."""
    sequence: int = 0

    def invitations_sent(self, request_id: str, actor_id: str | None = None) -> int:
        """Invitations, reminders not counted."""
        return sum(
            one.kind == "Invite" and one.request_id == request_id and (actor_id is None or actor_id in one.actor_ids)
            for one in self.invitations
        )

    def reminders_sent(self, request_id: str) -> int:
        return sum(one.kind == "Reminder" and one.request_id == request_id for one in self.invitations)

    def named(self, name: str) -> list[SignRequest]:
        """Every request with that name, deleted ones included: two of them mean somebody was asked twice."""
        return [one for one in [*self.requests.values(), *self.deleted] if one.name == name]

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence
