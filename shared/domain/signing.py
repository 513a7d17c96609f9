"""The signing aggregate and its parts: frozen pydantic models, no I/O, no clock.

All times are aware UTC. Documents and participants are numbered from 1 in the order in which the caller gave them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class State(StrEnum):
    """Ours, and the only truth a caller needs. `shared/domain/states.py` holds the moves between them."""

    REQUESTED = "requested"
    STARTED = "started"
    COMPLETED = "completed"
    STORED = "stored"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class Role(StrEnum):
    SIGNER = "signer"
    APPROVER = "approver"
    OBSERVER = "observer"


class ResultFormat(StrEnum):
    """What the signed document is: a PDF with its signatures inside, or a container around the files."""

    PADES = "pades"
    ASIC_E = "asic_e"
    BDOC = "bdoc"
    EDOC = "edoc"
    ADOC = "adoc"


class Progress(StrEnum):
    """How far one participant has come."""

    WAITING = "waiting"
    INVITED = "invited"
    VIEWED = "viewed"
    SIGNED = "signed"
    APPROVED = "approved"
    RECEIVED = "received"
    DECLINED = "declined"
    BOUNCED = "bounced"


class AttentionCode(StrEnum):
    """Why a person should look at a signing. A flag beside the state, never a state."""

    CREDITS_EXHAUSTED = "credits_exhausted"
    START_UNCERTAIN = "start_uncertain"
    SEAL_LATE = "seal_late"
    CONFLICT = "conflict"
    POISON = "poison"
    NOTIFY_FAILED = "notify_failed"
    PROVIDER_UNAUTHORISED = "provider_unauthorised"
    PROVIDER_UNAVAILABLE = "provider_unavailable"


class Model(BaseModel):
    """Unknown fields are passed over, so that rows written by a newer version can still be read after a roll-back."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Placement(Model):
    """Where one signature goes: by unique `text` in the page, by name of an existing `field`, or by coordinates.

    Coordinates are in percent of the page from its top left corner. `document` is the document's number.
    """

    document: int = Field(default=1, ge=1)
    text: str | None = Field(default=None, min_length=1, max_length=200)
    field: str | None = Field(default=None, min_length=1, max_length=200)
    page: int | None = Field(default=None, ge=1)
    x: float | None = Field(default=None, ge=0, le=100)
    y: float | None = Field(default=None, ge=0, le=100)
    width: float | None = Field(default=None, gt=0, le=100)
    height: float | None = Field(default=None, gt=0, le=100)


class Participant(Model):
    """A person who signs, approves or receives. `order` groups: equal numbers act at the same time."""

    number: int
    role: Role = Role.SIGNER
    given_name: str
    family_name_prefix: str | None = None
    family_name: str
    email: str
    phone: str | None = None
    language: str | None = None
    order: int = 1
    deadline: datetime | None = None
    message: str | None = None
    strong_identity: bool = False
    placements: tuple[Placement, ...] = ()
    progress: Progress = Progress.WAITING
    progress_at: datetime | None = None


class Document(Model):
    """A file to be signed, staged in blob storage under `blob` until the provider has it."""

    number: int
    name: str
    media_type: str
    size: int
    sha256: str
    blob: str


class Notify(Model):
    """Where the caller wants to hear of each change of state."""

    url: str


class Outage(Model):
    """The provider could not be asked: since when, how often in a row, and the code of the last failure."""

    since: datetime
    count: int
    code: str


class StartProgress(Model):
    """What is known of the start so far (design 6).

    `facts` are the provider's own checkpoints, text to text. `inviting_at` is set before the one call that makes the
    provider invite people, `invited_at` after its answer: the first without the second means that nobody may call
    again before there is proof. `lease_*` says which worker is at it, `next_attempt_at` when the queue brings the next
    one.
    """

    facts: Mapping[str, str] = Field(default_factory=dict)
    inviting_at: datetime | None = None
    invited_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    outage: Outage | None = None

    @property
    def is_uncertain(self) -> bool:
        return self.inviting_at is not None and self.invited_at is None

    @property
    def may_have_invited(self) -> bool:
        return self.inviting_at is not None or self.invited_at is not None


class StoredFile(Model):
    """A blob that was written once: address inside the container, size in bytes, SHA-256 in lower-case hex."""

    blob: str
    name: str
    kind: str
    media_type: str
    size: int
    sha256: str
    stored_at: datetime


class UnfitFile(Model):
    """One version of a blob that failed a check after it was written, and has to make room."""

    blob: str
    etag: str


class DownloadProgress(Model):
    """How far the fetching of a completed signing's documents has come. `unfit` are files of failed attempts that may
    still be there."""

    attempts: int = 0
    last_reason: str | None = None
    next_attempt_at: datetime | None = None
    outage: Outage | None = None
    files: tuple[StoredFile, ...] = ()
    unfit: tuple[UnfitFile, ...] = ()


class Failure(Model):
    """Why a signing failed: a stable code, a sentence, and what to do next."""

    code: str
    detail: str
    next_step: str


class Announcement(Model):
    """One notification owed to the caller, born in the same write as the move that it tells of.

    `seq` is that move's number in the history, so that the event id (`signing id` + `seq`) is stable however often the
    message is sent. What the event says of the move is kept too: whoever gets it twice reads the same twice, however
    far the signing has come meanwhile. It is settled when `delivered_at` or `given_up_reason` is set. `replays` counts
    how often an operator had the deliveries begin anew.
    """

    seq: int
    state: State
    at: datetime
    provider_signing_id: str | None = None
    provider_status: str | None = None
    reason: str | None = None
    failure: Failure | None = None
    attempts: int = 0
    next_attempt_at: datetime
    delivered_at: datetime | None = None
    given_up_reason: str | None = None
    replays: int = 0

    @property
    def is_settled(self) -> bool:
        return self.delivered_at is not None or self.given_up_reason is not None


class Attention(Model):
    code: AttentionCode
    detail: str
    since: datetime


class Signing(Model):
    """The aggregate. One conditional write moves it; every move leaves a history entry."""

    id: str
    account: str
    provider: str
    title: str
    reference: str | None = None
    message: str | None = None
    language: str | None = None
    deadline: datetime | None = None
    metadata: Mapping[str, str] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)
    notify: Notify | None = None
    idempotency_key: str | None = None
    format: ResultFormat | None = None
    qualified_only: bool = False

    state: State = State.REQUESTED
    provider_signing_id: str | None = None
    provider_status: str | None = None
    reason: str | None = None
    attention: Attention | None = None
    failure: Failure | None = None
    cancel_requested: bool = False
    start: StartProgress = Field(default_factory=StartProgress)
    download: DownloadProgress = Field(default_factory=DownloadProgress)
    documents: tuple[Document, ...]
    participants: tuple[Participant, ...]

    announcements: tuple[Announcement, ...] = ()
    access_key: str | None = Field(default=None, repr=False)
    recent_event_keys: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    history_seq: int = 0
    history_hash: str = ""

    @property
    def is_over(self) -> bool:
        """Nothing more is expected: stored, or ended without documents. Soft ends may still be overtaken."""
        return self.state not in (State.REQUESTED, State.STARTED, State.COMPLETED)

    @property
    def is_told(self) -> bool:
        """No notification is owed to the caller any more."""
        return all(owed.is_settled for owed in self.announcements)
