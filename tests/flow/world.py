"""The flow on in-memory ports, with a clock to turn and the queues worked off by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.commands import NewDocument, StartSigning
from shared.domain.errors import NotifyRefused
from shared.domain.messages import DownloadDocuments, Message, NotifyCaller, ProviderEvent, Queue, RunStart
from shared.domain.policy import FlowPolicy
from shared.domain.signing import Notify, Participant, Placement, Signing
from shared.flow import apply, download, intake, notify, start
from shared.ports import App, Loaded
from shared.verification.address import CallbackAddresses
from tests.domain.make import NOW
from tests.fakes.provider import DONE, MemoryProvider
from tests.fakes.storage import (
    MemoryCircuitBoard,
    MemoryDeadLetterStore,
    MemoryDocumentStore,
    MemoryPaceStore,
    MemoryQueue,
    MemoryReplyQueues,
    MemorySigningStore,
    MemorySubscriptionStore,
)

PDF = b"%PDF-1.7 to be signed"


@dataclass
class MemoryNotifier:
    """Answers with `statuses` in turn, then 200."""

    statuses: list[int | Exception] = field(default_factory=list)
    delivered: list[Mapping[str, Any]] = field(default_factory=list)

    def check_url(self, url: str) -> None:
        if "refused" in url:
            raise NotifyRefused("host_not_allowed")

    async def deliver(self, url: str, event: Mapping[str, Any], now: datetime) -> int:
        answer = self.statuses.pop(0) if self.statuses else 200
        if isinstance(answer, Exception):
            raise answer
        if answer < 300:
            self.delivered.append(event)
        return answer


class World:
    def __init__(self, policy: FlowPolicy | None = None, provider: MemoryProvider | None = None) -> None:
        self.clock = NOW
        self.provider = provider or MemoryProvider()
        self.signings = MemorySigningStore()
        self.documents = MemoryDocumentStore()
        self.queue = MemoryQueue()
        self.replies = MemoryReplyQueues()
        self.pace = MemoryPaceStore()
        self.dead_letters = MemoryDeadLetterStore()
        self.notifier = MemoryNotifier()
        self.app = App(
            providers={self.provider.account: self.provider},
            signings=self.signings,
            documents=self.documents,
            queue=self.queue,
            replies=self.replies,
            dead_letters=self.dead_letters,
            subscriptions=MemorySubscriptionStore(),
            pace=self.pace,
            circuits=MemoryCircuitBoard(),
            notifier=self.notifier,
            addresses=CallbackAddresses("https://app.example", [b"k" * 32]),
            policy=policy or FlowPolicy(),
            now=lambda: self.clock,
            random_bytes=os.urandom,
        )

    def forward(self, seconds: float) -> None:
        self.clock += timedelta(seconds=seconds)

    def command(self, **changes: Any) -> StartSigning:
        command = StartSigning(
            account="memory",
            title="Lease",
            reference="lease-1",
            documents=(NewDocument(name="lease.pdf", media_type="application/pdf", content=PDF),),
            participants=(
                Participant(
                    number=1,
                    given_name="Ada",
                    family_name="Jansen",
                    email="ada@example.org",
                    placements=(Placement(text="_s1_"),),
                ),
            ),
            notify=Notify(url="https://caller.example/hook"),
        )
        return command.model_copy(update=changes)

    async def taken_in(self, **changes: Any) -> Signing:
        """A signing in `requested` that nobody works on; the queues are empty. Each call makes another one."""
        key = {"idempotency_key": os.urandom(8).hex()}
        taken = await intake.run(self.app, self.command(**key | changes), lease_owner=None)
        self.queue.take()
        return taken.loaded.signing

    async def started(self, **changes: Any) -> Signing:
        """A started signing whose notification has been delivered; the queues are empty."""
        signing = await self.taken_in(**changes)
        await start.run(self.app, RunStart(signing_id=signing.id))
        await self.work_off(Queue.NOTIFICATIONS)
        self.queue.take()
        return await self.now(signing)

    async def completed(self, **changes: Any) -> Signing:
        signing = await self.started(**changes)
        self.provider.statuses = [DONE]
        await apply.run(self.app, self.event(signing), redelivered=False)
        await self.work_off(Queue.NOTIFICATIONS)
        self.queue.take()
        return await self.now(signing)

    async def now(self, signing: Signing) -> Signing:
        return (await self.signings.load(signing.id)).signing

    async def loaded(self, signing: Signing) -> Loaded:
        return await self.signings.load(signing.id)

    def event(self, signing: Signing, **changes: Any) -> ProviderEvent:
        message = ProviderEvent(
            account=signing.account,
            source="callback",
            signing_id=signing.id,
            provider_signing_id=signing.provider_signing_id,
        )
        return message.model_copy(update=changes)

    async def work_off(self, *queues: Queue) -> int:
        """Runs what is on these queues (all without any), delays ignored, until nothing is left there."""
        worked = 0
        while due := [sent for sent in self.queue.sent if not queues or sent.queue in queues]:
            for sent in due:
                self.queue.sent.remove(sent)
                await self.run(sent.message)
                worked += 1
            if worked > 100:
                raise AssertionError("the queues never get empty")
        return worked

    async def run(self, message: Message) -> None:
        if isinstance(message, RunStart):
            await start.run(self.app, message)
        elif isinstance(message, ProviderEvent):
            await apply.run(self.app, message, redelivered=False)
        elif isinstance(message, DownloadDocuments):
            await download.run(self.app, message)
        elif isinstance(message, NotifyCaller):
            await notify.run(self.app, message)
        else:
            raise TypeError(type(message).__name__)

    def with_policy(self, **changes: Any) -> None:
        self.app = replace(self.app, policy=replace(self.app.policy, **changes))
