"""What the flow speaks to. Every stage in `shared/flow` takes an `App` and knows nothing more concrete than this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from shared.domain.capabilities import Capabilities
from shared.domain.circuits import Standing
from shared.domain.errors import FieldError, InvalidRequest
from shared.domain.history import HistoryEntry
from shared.domain.letters import LetterFilter, LetterStatus
from shared.domain.messages import Message, Queue
from shared.domain.notices import StatusNotice
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Announcement, Document, Participant, Progress, Signing
from shared.domain.states import EventKind
from shared.verification.raw import RawCallback, VerifiedCallback

# ---------------------------------------------------------------------------------------------------- storage


@dataclass(frozen=True)
class Loaded:
    """A signing as it was read, with the etag that a later save depends on."""

    signing: Signing
    etag: str


@dataclass(frozen=True)
class DueSigning:
    """One row of the due index. `handle` is the store's own, for `SigningStore.settle_due`."""

    signing_id: str
    due_at: datetime
    handle: tuple[str, str]


@dataclass(frozen=True)
class OldClaim:
    """A lookup row seen by housekeeping. `handle` is the store's own, for `SigningStore.forget_claim`."""

    signing_id: str
    handle: tuple[str, str, str]


class SigningStore(Protocol):
    """Signings, their history, and the indexes that lead to them (design 8)."""

    async def create(self, signing: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        """Writes the aggregate, its parts and first entries in one transaction. Raises AlreadyExists."""

    async def load(self, signing_id: str) -> Loaded:
        """Raises NotFound."""

    async def save(self, loaded: Loaded, changed: Signing, entries: Sequence[HistoryEntry]) -> Loaded:
        """One transaction, conditional on `loaded.etag`. Raises ConcurrentUpdate."""

    async def history(self, signing_id: str) -> list[HistoryEntry]:
        """All entries, oldest first."""

    async def record_delivery(self, signing_id: str, announcement: Announcement) -> None:
        """Replaces the row of one announcement. Unconditional: only the notify stage writes it after its birth."""

    async def claim(self, kind: str, key: str, signing_id: str, facts: Mapping[str, str]) -> Mapping[str, str] | None:
        """Create-only lookup row. None when this call made it, else the facts of the one that was there first
        (with `signing_id` among them)."""

    async def reclaim(
        self, kind: str, key: str, holder: str, signing_id: str, facts: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Gives a claimed key to another signing, if `holder` is still the signing that has it; its age begins anew.
        None when this call did it, else the facts of the one that has it now. Raises ConcurrentUpdate when the row is
        gone. Not for kinds that are looked up with `find`: other processes may remember the old holder."""

    async def find(self, kind: str, key: str) -> str | None:
        """The signing id behind a natural key, or None."""

    async def claimed(self, kind: str, key: str) -> Mapping[str, str] | None:
        """The facts of the one that has the key now (with `signing_id` among them), or None. Never remembered."""

    async def mark_due(self, signing_id: str, due_at: datetime) -> None:
        """Adds a row to the time-bucketed due index."""

    async def due(self, now: datetime, limit: int) -> list[DueSigning]:
        """Rows whose time has come, oldest bucket first, at most `limit`."""

    async def settle_due(self, row: DueSigning) -> None:
        """Removes a due row that has been dealt with. Absence is fine."""

    async def mark_all_due(self, times: Mapping[str, datetime]) -> None:
        """`mark_due` for many signings, by id, in fewer calls. All of them are there when it returns; a failure may
        leave some."""

    async def settle_all_due(self, rows: Sequence[DueSigning]) -> None:
        """`settle_due` for many rows, in fewer calls."""

    def claims_before(self, kind: str, before: datetime) -> AsyncIterator[OldClaim]:
        """The claims of this kind made before that time, in no order: a walk that was cut short does not begin at the
        same place the next time."""

    async def forget_claim(self, claim: OldClaim) -> None:
        """Removes this very claim; one that is gone, or was made anew since it was read, is left at that."""


class DocumentStore(Protocol):
    """Bytes. Staged documents wait here for the provider; signed files are written once and never changed."""

    async def stage(self, blob: str, content: bytes, media_type: str) -> None:
        """Writes a caller's document under `staging/`."""

    async def read_staged(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        """A staged document, or one that a caller put into `inbox/`. Raises NotFound, and TooLarge before much of it
        was read."""

    def inbox_address(self, address: str) -> str | None:
        """`inbox/…` for a blob of our own inbox that was named so or by its full URL; None for anything else. Pure."""

    async def delete_staged(self, blobs: Sequence[str]) -> None:
        """Removes staged documents by address. Absence is fine."""

    def staged_before(self, before: datetime) -> AsyncIterator[WrittenBlob]:
        """The staged documents last written before that time, without their hashes; `delete` removes one of them."""

    async def write_once(
        self,
        blob: str,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        tags: Mapping[str, str],
        inspector: Inspector | None = None,
    ) -> WrittenBlob:
        """Streams `chunks` in bounded memory into one blob, hashing on the way. Nothing is visible before all of it is
        there and `inspector.finish()` has agreed. Raises AlreadyExists when the blob is there, and lets whatever the
        inspector raises pass; in both cases nothing becomes visible."""

    async def describe(self, blob: str) -> WrittenBlob | None:
        """What is stored under this address, or None. The hash is the one recorded at writing."""

    def open_random(self, written: WrittenBlob) -> RandomAccess:
        """Ranged reading of this very version, without a local copy."""

    async def delete(self, blob: str, etag: str) -> None:
        """Removes the very blob that was written (by etag): for a file that failed the check after writing."""


class Inspector(Protocol):
    """Looks at a stream while it is being written. `feed` runs in a worker thread, in order, one block at a time."""

    def feed(self, block: memoryview) -> None: ...

    def finish(self) -> None:
        """Raises ArchiveNotReady when what went by must not become visible."""


@dataclass(frozen=True)
class WrittenBlob:
    blob: str
    size: int
    sha256: str
    etag: str
    written_at: datetime


class RandomAccess(Protocol):
    size: int

    async def read(self, offset: int, length: int) -> bytes:
        """Raises NotFound when that version is no longer there."""


class MessageQueue(Protocol):
    async def send(self, queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        """Returns once the queue has it. Messages do not expire."""

    async def put_back_poison(self, queue: Queue, text: str, *, delay_seconds: float) -> None:
        """A copy of a poison message, as it came, on the poison queue that belongs to `queue`."""


class ReplyQueues(Protocol):
    """Queues of other services, on which they want to hear what became of their orders."""

    async def send(self, queue: str, text: str) -> None:
        """Returns once the queue has it. Raises ReplyRefused for a queue that may not be written to, or is missing."""


class PaceStore(Protocol):
    """Time slots for work that can wait, per account and shared by all instances: not for the hot path."""

    async def reserve(self, account: str, calls: int, seconds_per_call: float, now: datetime) -> datetime:
        """When the first of so many calls may be made; the others follow at that distance. Slots begin at `now`, or
        where the earlier ones of this account end. Raises ConcurrentUpdate when others were faster each time."""


@dataclass(frozen=True)
class DeadLetter:
    """A message nobody could act on. `body` is the original text (at most 64 KiB), in base64 when it was no text."""

    id: str
    at: datetime
    queue: str
    reason: str
    detail: str
    body: str
    signing_id: str | None = None
    encoding: Literal["text", "base64"] = "text"
    status: LetterStatus = field(default_factory=LetterStatus)


@dataclass(frozen=True)
class LoadedLetter:
    """A letter as it was read, with the etag that a later update depends on."""

    letter: DeadLetter
    etag: str


@dataclass(frozen=True)
class LetterPage:
    """Letters without their bodies. `cursor` leads to the next page; None at the end."""

    letters: Sequence[DeadLetter]
    cursor: str | None = None


class DeadLetterStore(Protocol):
    """Open letters stay for ever, settled ones until housekeeping removes them."""

    async def add(self, letter: DeadLetter) -> bool:
        """Idempotent by id: False when it is there already, whatever has become of it."""

    async def get(self, letter_id: str) -> LoadedLetter:
        """Raises NotFound."""

    async def update(self, loaded: LoadedLetter, status: LetterStatus) -> LoadedLetter:
        """Conditional on `loaded.etag`. Raises ConcurrentUpdate."""

    async def page(self, wanted: LetterFilter, limit: int, cursor: str | None = None) -> LetterPage:
        """Newest first, at most `limit`, from where `cursor` points. Raises InvalidRequest for what is no cursor."""

    async def remove_settled(self, before: datetime, limit: int) -> int:
        """Removes at most `limit` letters that were settled before then; returns how many. Repetition is harmless."""

    async def list(self, limit: int) -> list[DeadLetter]:
        """Newest first, whole."""


class SubscriptionStore(Protocol):
    """Organisation-wide webhooks that we registered at a provider: one row per account and address."""

    async def claim(self, account: str, address_digest: str, now: datetime, stale_after_seconds: float) -> str | None:
        """None when the caller now holds the claim and has to subscribe; the provider's id when that was done before,
        or an empty string when another worker holds a claim younger than `stale_after_seconds`."""

    async def record(self, account: str, address_digest: str, provider_webhook_id: str, now: datetime) -> None:
        """Completes a claim with the id that the provider gave."""


@dataclass(frozen=True)
class TokenRow:
    """The shared OAuth state of one account. Secrets inside are sealed by the provider's code, opaque to the store."""

    etag: str | None
    sealed: str
    lease_until: datetime | None


class TokenStore(Protocol):
    """Refresh tokens may rotate and are shared by all instances, so their row changes conditionally."""

    async def read(self, account: str) -> TokenRow | None: ...

    async def write(self, account: str, row: TokenRow) -> TokenRow:
        """Create (etag None) or replace if unchanged. Raises ConcurrentUpdate."""


class CircuitBoard(Protocol):
    """Where instances tell each other that they hold calls of an account back. One row per account and instance,
    written when that changes and at no other time."""

    async def post(self, account: str, instance: str, standing: Standing) -> None:
        """Replaces what this instance said of the account. A closed circuit needs no row: it takes the old one away."""

    async def read(self, account: str) -> list[Standing]:
        """What all instances said last, those among them that are gone included."""


# --------------------------------------------------------------------------------------------------- provider


@dataclass(frozen=True)
class StartOrder:
    """All that a provider needs to start one signing. `callback_url` is the signing's own capability address."""

    signing: Signing
    callback_url: str
    read_document: Callable[[Document], Awaitable[bytes]]


class StartLog(Protocol):
    """The start's memory. Each method is one conditional save; it raises LeaseLost when another worker took over."""

    @property
    def facts(self) -> Mapping[str, str]: ...

    async def checkpoint(self, **facts: str) -> None:
        """Remembers what a provider call brought. A fact named `provider_signing_id` becomes the signing's."""

    async def alive(self) -> None:
        """Between calls that leave no checkpoint: makes sure that the lease lasts for one more call, and costs a save
        only when it would not."""

    async def inviting(self) -> None:
        """Must be awaited directly before the one call that makes the provider invite people."""


@dataclass(frozen=True)
class Started:
    """`facts` are what the answer to the invitation itself brought, to be kept beside the checkpoints."""

    provider_signing_id: str
    provider_status: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StartProof:
    """What a look at the provider shows about an uncertain invitation: `invited` True, False, or None for unknown."""

    invited: bool | None
    started: Started | None = None


@dataclass(frozen=True)
class ParticipantProgress:
    number: int
    progress: Progress
    at: datetime | None = None


@dataclass(frozen=True)
class ProviderStatus:
    """A read-back. `kind` is ACCEPTED while a signing that went out goes on, and None for a draft that was not sent yet
    or for a status we have never seen (then `known` is False)."""

    provider_status: str
    kind: EventKind | None
    known: bool = True
    reason: str | None = None
    participants: tuple[ParticipantProgress, ...] = ()


@dataclass(frozen=True)
class Deliverable:
    """One file that the provider has for us. `kind`: archive, document or evidence. `name` is a plain file name."""

    name: str
    kind: str
    media_type: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    chunks: AsyncIterator[bytes]
    media_type: str
    length: int | None


@dataclass(frozen=True)
class SigningLink:
    """Where one participant signs. The address is a secret: whoever has it can sign in their place."""

    number: int
    url: str = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True)
class OperationFile:
    """A file that goes into an operation of the provider's own API."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class OperationAnswer:
    """What an operation of the provider's own API answered: JSON, or the stream of a file."""

    status: int
    content: Any = field(default=None, repr=False)
    download: Download | None = None


class SigningProvider(Protocol):
    """The neutral port (design 9): one instance per configured account."""

    name: str
    account: str
    capabilities: Capabilities

    def check(self, signing: Signing) -> None:
        """Raises UnsupportedFeature or InvalidRequest for what this account cannot do. Pure, before any call."""

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        """Carries the start on from `log.facts`. Raises ProviderError."""

    async def prove_start(self, order: StartOrder, log: StartLog) -> StartProof:
        """Looks, without changing anything, whether an uncertain invitation went out."""

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        """The read-back; with `signing` it also tells which participants have acted. Raises ProviderError."""

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        """The files to fetch once the signing is completed."""

    def fetch(self, signing: Signing, deliverable: Deliverable) -> AbstractAsyncContextManager[Download]:
        """Opens the stream of one deliverable. Raises NotReady while the provider is still sealing."""

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        """Ends the signing at the provider. This and the six below: only when `capabilities.actions` has them.
        Raises ProviderError."""

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        """Reminds whoever has to act, or one participant by number (REMIND_ONE)."""

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        """Adds a person to a signing that has started."""

    async def remove_participant(self, signing: Signing, number: int) -> None:
        """Takes somebody out who has not acted yet."""

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        """Moves the deadline of the signing."""

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        """Signing links, for participants who still have to act."""

    async def delete(self, signing: Signing) -> None:
        """Removes the signing at the provider, for good. Absence is fine."""

    def operate(
        self, operation_id: str, arguments: Mapping[str, object]
    ) -> AbstractAsyncContextManager[OperationAnswer]:
        """Runs one operation of the provider's own API by its id. Raises NotFound, InvalidRequest, ProviderError."""

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        """Raises VerificationFailed."""

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        """What a verified callback claims. Raises VerificationFailed(status=400) when it cannot be read."""

    def seen_before(self, callback: VerifiedCallback) -> bool:
        """True for an exact repeat of a callback that this process has safely queued."""

    def remember(self, callback: VerifiedCallback) -> None:
        """Call only after the event is safely queued."""

    @property
    def account_webhook_wanted(self) -> bool:
        """Whether status changes arrive on an account-level address that has to be registered once."""

    async def subscribe(self, url: str) -> str:
        """Registers the account-level webhook; returns the provider's id for it."""

    async def is_reachable(self) -> bool:
        """For the health endpoint: whether a token can be had."""

    async def aclose(self) -> None: ...


# ---------------------------------------------------------------------------------------------------- the app


class Notifier(Protocol):
    async def deliver(self, url: str, event: Mapping[str, Any], now: datetime) -> int:
        """POSTs one CloudEvent; returns the HTTP status. Raises NotifyRefused for an address that may not be called,
        Unavailable when no answer came."""

    def check_url(self, url: str) -> None:
        """Raises InvalidRequest when `url` can never be called (scheme, host allow-list). No network."""


class Addresses(Protocol):
    """Capability addresses for callbacks (design 7)."""

    def for_signing(self, provider: str, account: str, signing_id: str) -> str: ...

    def for_account(self, provider: str, account: str) -> str: ...

    def subject_of(self, provider: str, account: str, token: str) -> str | None:
        """The signing id, or `ACCOUNT_SUBJECT`, that a token was made for; None when its mac is wrong."""


@dataclass(frozen=True)
class App:
    """Everything the flow needs, built once by `shared/bootstrap.py`. Tests replace parts of it."""

    providers: Mapping[str, SigningProvider]
    signings: SigningStore
    documents: DocumentStore
    queue: MessageQueue
    replies: ReplyQueues
    dead_letters: DeadLetterStore
    subscriptions: SubscriptionStore
    pace: PaceStore
    circuits: CircuitBoard
    notifier: Notifier
    addresses: Addresses
    policy: FlowPolicy
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    # Which providers of the catalogue could grant the wish that stands in this field of the signing.
    who_supports: Callable[[Signing, str], Sequence[str]] = lambda _signing, _field: ()
    # Digests of account-level webhook addresses that this process knows to be registered: saves a read per start.
    registered_webhooks: set[str] = field(default_factory=set)

    def provider(self, account: str) -> SigningProvider:
        """Raises InvalidRequest(code unknown_account) for an account that is not configured."""
        found = self.providers.get(account)
        if found is None:
            known = ", ".join(sorted(self.providers)) or "none"
            raise InvalidRequest(
                f"There is no account named so. Configured accounts: {known}.",
                fields=[FieldError("account", "unknown account")],
                code="unknown_account",
            )
        return found

    def soon(self) -> datetime:
        """When reconcile should look again at a signing that has work under way."""
        return self.now() + timedelta(seconds=self.policy.reconcile_min_seconds)
