"""The whole flow on in-memory ports: stores that outlive processes, a truthful provider, queues by the host's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

from shared.domain.commands import NewDocument, StartSigning
from shared.domain.errors import Unavailable
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Notify, Participant, Signing
from shared.flow import intake, receive, reconcile, start
from shared.ports import App, Inspector, WrittenBlob
from shared.verification.address import CallbackAddresses
from shared.verification.raw import RawCallback
from tests.chaos.clockwork import Clock, Envelope, SimulatedQueue, work
from tests.chaos.mortal import Gate, Killed, Life, always_open, standing_in
from tests.chaos.provider import Bureau, BureauProvider, CallbackSent, Shape
from tests.fakes.storage import (
    MemoryCircuitBoard,
    MemoryDeadLetterStore,
    MemoryDocumentStore,
    MemoryPaceStore,
    MemoryReplyQueues,
    MemorySigningStore,
    MemorySubscriptionStore,
)

RECONCILE_SECONDS = 300.0


class CountingDocumentStore(MemoryDocumentStore):
    """Remembers every signed file that became visible, and every one that was taken away again."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[WrittenBlob] = []
        self.removed: list[str] = []

    async def write_once(
        self,
        blob: str,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        tags: Mapping[str, str],
        inspector: Inspector | None = None,
    ) -> WrittenBlob:
        written = await super().write_once(blob, chunks, media_type=media_type, tags=tags, inspector=inspector)
        self.made.append(written)
        return written

    async def delete(self, blob: str, etag: str) -> None:
        was_there = blob in self.blobs
        await super().delete(blob, etag)
        if was_there and blob not in self.blobs:
            self.removed.append(etag)

    def lasting(self, blob: str) -> list[WrittenBlob]:
        """The creations of this file that nobody took back."""
        return [written for written in self.made if written.blob == blob and written.etag not in self.removed]


class Receiver:
    """The caller's end: `ports.Notifier`. Answers with `statuses` in turn (0: no answer), then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[Mapping[str, Any]] = []

    def check_url(self, url: str) -> None:
        return None

    async def deliver(self, url: str, event: Mapping[str, Any], now: datetime) -> int:
        status = self.statuses.pop(0) if self.statuses else 200
        if status < 300:
            self.got.append(event)
        if status == 0:
            raise Unavailable("the answer was lost", sent=True)
        return status


@dataclass
class Process:
    """One app process: gone for good once its life is over."""

    app: App
    life: Life


class Scene:
    def __init__(self, shape: Shape, policy: FlowPolicy | None = None) -> None:
        self.shape = shape
        self.clock = Clock()
        self.policy = policy or FlowPolicy()
        self.bureau = Bureau()
        self.signings = MemorySigningStore()
        self.documents = CountingDocumentStore()
        self.queue = SimulatedQueue(self.clock)
        self.dead_letters = MemoryDeadLetterStore()
        self.receiver = Receiver()
        self.subscriptions = MemorySubscriptionStore()
        self.pace = MemoryPaceStore()
        # What escaped from queue workers, and so counted against its message.
        self.errors: list[Exception] = []
        self.healthy = self.process()
        self.last_tick = self.clock.now

    def process(self, gate: Gate = always_open, **policy: Any) -> Process:
        """A new process on the same stores."""
        life = Life(gate)
        provider = BureauProvider(standing_in(life, "provider", self.bureau), self.shape)
        app = App(
            providers={provider.account: provider},
            signings=standing_in(life, "signings", self.signings),
            documents=standing_in(life, "documents", self.documents),
            queue=standing_in(life, "queue", self.queue),
            replies=MemoryReplyQueues(),
            dead_letters=standing_in(life, "dead_letters", self.dead_letters),
            subscriptions=standing_in(life, "subscriptions", self.subscriptions),
            pace=standing_in(life, "pace", self.pace),
            circuits=MemoryCircuitBoard(),
            notifier=standing_in(life, "notifier", self.receiver),
            addresses=CallbackAddresses("https://app.example", [b"k" * 32]),
            policy=FlowPolicy(**policy) if policy else self.policy,
            now=self.clock,
            random_bytes=_RANDOM.randbytes,
        )
        return Process(app, life)

    # ------------------------------------------------------------------------------------------------- what is done

    async def post(self, process: Process, key: str | None, *, wait: bool = True) -> Signing:
        """`POST /api/signings`, as shared/api/signings.py does it."""
        owner = process.app.random_bytes(8).hex() if wait else None
        order = command(key)
        taken = await intake.run(process.app, order, lease_owner=owner)
        if owner is None or not taken.is_new:
            return taken.loaded.signing
        contents = {number: document.content for number, document in enumerate(order.documents, start=1)}
        return (await start.inline(process.app, taken.loaded, owner, contents)).signing

    async def call_back(self, process: Process, sent: CallbackSent) -> int:
        """The provider calls the address that it was given."""
        provider, account, token = urlsplit(sent.url).path.removeprefix("/api/callbacks/").split("/", 2)
        return await receive.run(
            process.app, provider, account, token, RawCallback("POST", {}, sent.body, self.clock())
        )

    async def take(self, process: Process, envelope: Envelope) -> None:
        """One message as the host handles it. Raises Killed when the process died over it."""
        self.queue.received(envelope)
        try:
            await work(process.app, envelope)
        except Killed:
            raise
        except Exception as error:
            self.errors.append(error)
            self.queue.failed(envelope)
        else:
            self.queue.done(envelope)

    async def tick(self, process: Process) -> None:
        self.last_tick = self.clock.now
        await reconcile.run(process.app, budget_seconds=240)

    # ------------------------------------------------------------------------------------------------- what follows

    async def run_visible(self) -> None:
        """Works off what can be seen now, by a process that lives on."""
        for _ in range(500):
            visible = self.queue.visible()
            if not visible:
                return
            await self.take(self.healthy, visible[0])
        raise AssertionError("the queues never get empty")

    async def settle(self, seconds: float, *, reconciling: bool = True) -> None:
        """Lets time pass, event by event, until nothing is left to happen or `seconds` are over."""
        end = self.clock.now + timedelta(seconds=seconds)
        while True:
            await self.run_visible()
            if reconciling and self.clock.now >= self.last_tick + timedelta(seconds=RECONCILE_SECONDS):
                await self.tick(self.healthy)
                await self.run_visible()
            following = await self._next_moment(reconciling=reconciling)
            if following is None or following > end:
                break
            self.clock.now = max(following, self.clock.now)
        self.clock.now = max(end, self.clock.now)

    async def _next_moment(self, *, reconciling: bool) -> datetime | None:
        moments = [envelope.visible_at for envelope in self.queue.envelopes]
        if reconciling:
            rows = await self.signings.due(self.clock.now + timedelta(days=400), 10_000)
            next_tick = self.last_tick + timedelta(seconds=RECONCILE_SECONDS)
            moments += [max(row.due_at, next_tick) for row in rows]
        return min(moments, default=None)

    async def deliver_callbacks(self) -> None:
        """All that the provider wants to tell, in order, each once."""
        while self.bureau.callbacks:
            await self.call_back(self.healthy, self.bureau.callbacks.pop(0))
        await self.run_visible()

    async def all(self) -> list[Signing]:
        return [(await self.signings.load(signing_id)).signing for signing_id in self.signings._signings]


# Ids must be the same in every run, for a failure to be repeated.
_RANDOM = Random(7)


def reseed() -> None:
    """Before each scene whose run is to be repeatable to the last id."""
    _RANDOM.seed(7)


def command(key: str | None) -> StartSigning:
    """Two documents, one signer for both, a caller who wants to be told. The key names the order."""
    files: Sequence[str] = ("lease.pdf", "annex.pdf")
    return StartSigning(
        account="bureau",
        title="Lease",
        reference=key,
        idempotency_key=key,
        documents=tuple(
            NewDocument(name=name, media_type="application/pdf", content=f"%PDF-1.7 {name}".encode()) for name in files
        ),
        participants=(Participant(number=1, given_name="Ada", family_name="Jansen", email="ada@example.org"),),
        notify=Notify(url="https://caller.example/hook"),
    )
