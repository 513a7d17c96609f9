"""Everything the simulated environment remembers: packages, documents, people, links."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from local.sandbox.connective.wire import ActorStatus, Status

if TYPE_CHECKING:
    from local.sandbox.connective.wire import ExternalProof

FINAL = frozenset({Status.FINISHED, Status.REJECTED, Status.REVOKED, Status.FAILED})
ACTED = frozenset({ActorStatus.FINISHED, ActorStatus.SKIPPED, ActorStatus.REJECTED, ActorStatus.FAILED})


def new_id() -> str:
    return str(uuid4())


@dataclass
class Location:
    id: str
    label: str
    page: int
    marker: str | None = None
    is_field: bool = False
    box: tuple[int, float, float, float, float] | None = None
    """Page, left, top, width, height in points."""
    used_type: str | None = None
    signed_at: datetime | None = None
    proofs: list[ExternalProof] = field(default_factory=list)


@dataclass
class Document:
    id: str
    name: str
    media_type: str
    language: str
    content: bytes
    """As it stands now: every signature appends a revision."""
    original: bytes
    created: datetime
    reference: str | None = None
    correlation_id: str | None = None
    locations: list[Location] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        return ".pdf" if self.media_type == "application/pdf" else ".xml"


@dataclass
class Actor:
    id: str
    kind: str
    order: float
    location_ids: list[str]
    signing_types: list[str]
    notify: bool
    status: ActorStatus = ActorStatus.DRAFT
    token: str | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    """Per address, for groups: each member has a link of their own."""
    completed_by: str | None = None
    completed_at: datetime | None = None
    reason: str | None = None

    @property
    def has_acted(self) -> bool:
        return self.status in ACTED


@dataclass
class Stakeholder:
    id: str
    kind: str
    name: str
    email: str | None
    reference: str | None
    group_name: str | None = None
    contact_code: str | None = None
    members: list[str] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)


@dataclass
class Package:
    id: str
    name: str
    initiator: str
    created: datetime
    sequence: int
    reference: str | None = None
    callback_url: str | None = None
    notification_url: str | None = None
    correlation_id: str | None = None
    group_code: str = "00001"
    expiry: datetime | None = None
    status: Status = Status.DRAFT
    previous_status: Status = Status.DRAFT
    changed_at: float = field(default_factory=time.monotonic)
    documents: list[Document] = field(default_factory=list)
    stakeholders: list[Stakeholder] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def actors(self) -> list[Actor]:
        return [actor for person in self.stakeholders for actor in person.actors]

    @property
    def workers(self) -> list[Actor]:
        """Those with something to do: everybody but receivers."""
        return [actor for actor in self.actors if actor.kind != "Receiver"]

    @property
    def locations(self) -> list[Location]:
        return [one for document in self.documents for one in document.locations]

    def document(self, document_id: str) -> Document | None:
        return next((one for one in self.documents if one.id == document_id), None)

    def document_of(self, location_id: str) -> tuple[Document, Location] | None:
        pairs = ((document, one) for document in self.documents for one in document.locations)
        return next((pair for pair in pairs if pair[1].id == location_id), None)

    def stakeholder_of(self, actor: Actor) -> Stakeholder:
        return next(one for one in self.stakeholders if actor in one.actors)

    def in_line(self) -> list[Actor]:
        """Whose turn it is: all of the lowest order that have not acted; equal numbers act side by side."""
        waiting = [actor for actor in self.workers if not actor.has_acted]
        lowest = min((actor.order for actor in waiting), default=0)
        return [actor for actor in waiting if actor.order == lowest]


@dataclass
class Link:
    package_id: str
    actor_id: str
    opened: bool = False


@dataclass
class State:
    packages: dict[str, Package] = field(default_factory=dict)
    deleted: list[Package] = field(default_factory=list)
    openings: Counter[str] = field(default_factory=Counter)
    """How often a package was sent out for signing, per id."""
    reminders: Counter[str] = field(default_factory=Counter)
    mails: list[tuple[str, str]] = field(default_factory=list)
    """Package and actor of every e-mail the service sent, notifications being wished."""
    links: dict[str, Link] = field(default_factory=dict)
    list_tokens: dict[str, list[str]] = field(default_factory=dict)
    """What is left of a listing, per continuation token."""
    clock_offset: timedelta = timedelta(0)
    sequence: int = 0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def new_link(self, package: Package, actor: Actor) -> str:
        token = secrets.token_urlsafe(24)
        self.links[token] = Link(package.id, actor.id)
        return token
