"""A provider that lives in memory: it keeps what it was asked to do, and fails where a test tells it to.

It has the shape of a multi-call provider: `create` (remembered as a checkpoint), then `invite`. `fail_at[step]` is
raised before the step acts, `lose_at[step]` after it acted, as when an answer is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.capabilities import Action, Calls, Capabilities, PlacementKind
from shared.domain.errors import ProviderError, UnsupportedFeature
from shared.domain.notices import StatusNotice
from shared.domain.signing import Participant, Role, Signing
from shared.domain.states import EventKind
from shared.ports import (
    Deliverable,
    Download,
    OperationAnswer,
    ProviderStatus,
    SigningLink,
    Started,
    StartLog,
    StartOrder,
    StartProof,
)
from shared.verification.raw import RawCallback, VerifiedCallback, verified

CAPABILITIES = Capabilities(
    roles=frozenset({Role.SIGNER}),
    placements=frozenset(PlacementKind),
    media_types=frozenset({"application/pdf"}),
    languages=frozenset({"en"}),
    ordered=True,
    several_documents=True,
    deadline=True,
    participant_message=True,
    phone_required=False,
    strong_identity=True,
    signed_callbacks=True,
    title_length=(1, 200),
    actions=frozenset(Action) - {Action.REMIND_ONE},
    download_calls=Calls(),
)
PENDING = ProviderStatus("Pending", EventKind.ACCEPTED)
DRAFT = ProviderStatus("Draft", None)
DONE = ProviderStatus("Done", EventKind.ALL_SIGNED)


@dataclass
class MemoryProvider:
    account: str = "memory"
    name: str = "memory"
    capabilities: Capabilities = CAPABILITIES
    account_webhook_wanted: bool = False
    created: list[str] = field(default_factory=list)
    invited: list[str] = field(default_factory=list)
    read_documents: list[bytes] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    status_reads: list[str] = field(default_factory=list)
    statuses: list[ProviderStatus | ProviderError] = field(default_factory=list)
    downloads: list[bytes | ProviderError] = field(default_factory=list)
    fail_at: dict[str, Exception] = field(default_factory=dict)
    lose_at: dict[str, Exception] = field(default_factory=dict)
    proof: StartProof | ProviderError = field(default_factory=lambda: StartProof(invited=None))
    managed: list[tuple[object, ...]] = field(default_factory=list)
    refuse_unknown_title: bool = False
    remembered: set[str] = field(default_factory=set)

    def check(self, signing: Signing) -> None:
        if self.refuse_unknown_title:
            raise UnsupportedFeature("no", field="title", supported_by=("other",))

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        provider_signing_id = log.facts.get("provider_signing_id")
        if provider_signing_id is None:
            self.read_documents = [await order.read_document(document) for document in order.signing.documents]
            provider_signing_id = self._step("create", self.created, f"p-{len(self.created) + 1}")
            await log.checkpoint(provider_signing_id=provider_signing_id)
        self._step("prepare", [], provider_signing_id)
        await log.inviting()
        self._step("invite", self.invited, provider_signing_id)
        return Started(provider_signing_id, "Pending")

    def _step(self, name: str, done: list[str], value: str) -> str:
        if name in self.fail_at:
            raise self.fail_at.pop(name)
        done.append(value)
        if name in self.lose_at:
            raise self.lose_at.pop(name)
        return value

    async def prove_start(self, order: StartOrder, log: StartLog) -> StartProof:
        if isinstance(self.proof, ProviderError):
            raise self.proof
        return self.proof

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        self.status_reads.append(provider_signing_id)
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        return (Deliverable("signed.zip", "archive", "application/zip"),)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        content = self.downloads.pop(0) if len(self.downloads) > 1 else self.downloads[0]
        if isinstance(content, ProviderError):
            raise content
        media_type = "application/pdf" if content.startswith(b"%PDF") else "application/zip"
        yield Download(_chunks(content), media_type, len(content))

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        self.managed.append(("cancel", signing.id, reason))

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        self.managed.append(("remind", signing.id, number))

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        self.managed.append(("add_participant", signing.id, participant.number))

    async def remove_participant(self, signing: Signing, number: int) -> None:
        self.managed.append(("remove_participant", signing.id, number))

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        self.managed.append(("extend", signing.id, deadline))

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        return [SigningLink(person.number, f"https://sign.example/{person.number}") for person in signing.participants]

    async def delete(self, signing: Signing) -> None:
        self.managed.append(("delete", signing.id))

    @asynccontextmanager
    async def operate(self, operation_id: str, arguments: Mapping[str, object]) -> AsyncIterator[OperationAnswer]:
        yield OperationAnswer(200, {"operation": operation_id, "arguments": dict(arguments)})

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        return verified(raw, headers={}, verdicts={}, event_key=hashlib.sha256(raw.body).hexdigest())

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        return [StatusNotice("p-1", callback.raw.body[:20].decode())]

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return callback.event_key in self.remembered

    def remember(self, callback: VerifiedCallback) -> None:
        self.remembered.add(callback.event_key)

    async def subscribe(self, url: str) -> str:
        if "subscribe" in self.fail_at:
            raise self.fail_at.pop("subscribe")
        self.subscribed.append(url)
        return f"webhook-{len(self.subscribed)}"

    async def is_reachable(self) -> bool:
        return True

    async def aclose(self) -> None:
        return None


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]
