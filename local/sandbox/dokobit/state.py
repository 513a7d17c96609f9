"""Everything the simulated service remembers: signings, people, mails, deliveries, validations."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from local.sandbox.dokobit.wire import InternalPerson, LatePerson, Recipient, SealAnnotation

Flow = Literal["external", "internal"]
PersonState = Literal["pending", "signed", "declined"]
SigningState = Literal["pending", "completed", "declined", "archived", "failed"]


def new_token() -> str:
    """Opaque, at least 128 random bits, and of no fixed length."""
    return secrets.token_hex(16 + secrets.randbelow(9))


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Person:
    token: str
    body: LatePerson | InternalPerson
    sequence: int = 0
    state: PersonState = "pending"

    @property
    def must_sign(self) -> bool:
        return self.body.role == "signer"

    @property
    def full_name(self) -> str:
        names = (getattr(self.body, "name", None), getattr(self.body, "surname", None))
        return " ".join(filter(None, names)) or self.body.external_id


@dataclass
class File:
    name: str
    content: bytes
    """As it stands now: for a PDF every signature appends a revision."""
    original: bytes


@dataclass
class Signature:
    """One signature over all files of a container."""

    xml: bytes
    at: datetime


@dataclass(frozen=True)
class Mail:
    signing: str
    person: str
    kind: Literal["invite", "reminder"]
    at: datetime


@dataclass
class Signing:
    token: str
    flow: Flow
    type: str
    name: str
    files: list[File]
    people: list[Person]
    postback_url: str | None = None
    redirect_uri: str | None = None
    comment: str | None = None
    deadline: datetime | None = None
    hard_deadline: bool = False
    policy: dict[str, object] = field(default_factory=dict)
    signatures: list[Signature] = field(default_factory=list)
    seals: list[SealAnnotation | None] = field(default_factory=list)
    state: SigningState = "pending"
    previous_state: SigningState = "pending"
    changed_at: float = field(default_factory=time.monotonic)
    created: datetime = field(default_factory=utc_now)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_pdf(self) -> bool:
        return self.type == "pdf"

    def person(self, token: str) -> Person | None:
        return next((one for one in self.people if one.token == token), None)

    def waiting(self) -> list[Person]:
        """Signers who have not signed, those who declined among them: they may still change their mind."""
        return [one for one in self.people if one.must_sign and one.state != "signed"]

    def in_line(self) -> list[Person]:
        """Whose turn it is: the first sequence that is not done."""
        waiting = self.waiting()
        first = min((one.sequence for one in waiting), default=0)
        return [one for one in waiting if one.sequence == first]

    def is_blocked(self, now: datetime) -> bool:
        return self.hard_deadline and self.deadline is not None and self.deadline <= now


@dataclass
class Delivery:
    token: str
    name: str
    recipients: list[tuple[str, Recipient]]
    postback_url: str | None
    received: set[str] = field(default_factory=set)


@dataclass
class Validation:
    token: str
    name: str
    content: bytes
    signatures: int
    polls_left: int


@dataclass
class State:
    signings: dict[str, Signing] = field(default_factory=dict)
    deleted: list[Signing] = field(default_factory=list)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    validations: dict[str, Validation] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)

    def invitations_sent(self, signing: str, person: str | None = None) -> int:
        """Invitations, reminders not counted."""
        return sum(
            one.kind == "invite" and one.signing == signing and person in {None, one.person} for one in self.mails
        )

    def named(self, name: str) -> list[Signing]:
        """Every signing with that name, deleted ones included: two of them mean somebody was asked twice."""
        return [one for one in [*self.signings.values(), *self.deleted] if one.name == name]
