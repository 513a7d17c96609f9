"""A provider that keeps the truth: what it answers follows from what was done there, never from a script.

`Bureau` is the far side: each of its async methods is one call over the wire, and people act on it directly.
`BureauProvider` is our side, in the three shapes that a start can have (design 6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, TypeVar

from shared.domain.capabilities import Capabilities
from shared.domain.errors import (
    NotReady,
    ProviderError,
    ProviderNotFound,
    Rejected,
    Throttled,
    Unavailable,
    VerificationFailed,
)
from shared.domain.notices import StatusNotice
from shared.domain.signing import Participant, Signing
from shared.domain.states import EventKind
from shared.flow.start_log import PROVIDER_SIGNING_ID
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
from tests.fakes.provider import CAPABILITIES

T = TypeVar("T")


class Shape(StrEnum):
    """How a start goes, and what can be looked up when the answer to the invitation was lost."""

    DRAFTED = "drafted"  # several calls, a checkpoint, proof by the status of a known id (PKIsigning V2)
    FOUND = "found"  # one call, proof by our reference (Connective)
    BLIND = "blind"  # one call, nothing to look up: only a callback can tell (PKIsigning V1, Dokobit)


class Trouble(Enum):
    """What happens to the next call."""

    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    LOST = "lost"
    REFUSED = "refused"


def _error(trouble: Trouble) -> ProviderError:
    errors: dict[Trouble, ProviderError] = {
        Trouble.THROTTLED: Throttled("slow down", retry_after_seconds=30),
        Trouble.UNREACHABLE: Unavailable("no route", sent=False),
        Trouble.BROKEN: Unavailable("503", sent=True),
        Trouble.LOST: Unavailable("cut off", sent=True),
        Trouble.REFUSED: Rejected("no"),
    }
    return errors[trouble]


@dataclass
class Case:
    """One signing as the provider has it. `reference` is our signing id."""

    id: str
    reference: str
    callback_url: str
    status: str = "draft"
    invitations: int = 0
    late_seals: set[int] = field(default_factory=set)
    # The provider makes other bytes for every download until it has sealed a file, and never the same twice.
    fetches: int = 0


@dataclass(frozen=True)
class CallbackSent:
    url: str
    body: bytes


class Bureau:
    """Files are numbered from 1, in the order of the documents."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.troubles: list[Trouble] = []
        self.callbacks: list[CallbackSent] = []
        self.reminders = 0
        self._serial = 0

    # ------------------------------------------------------------------------------------------ over the wire

    async def create(self, reference: str, callback_url: str) -> str:
        return self._answered(lambda: self._open(reference, callback_url).id)

    async def attach(self, case_id: str) -> None:
        self._answered(lambda: self._case(case_id))

    async def invite(self, case_id: str) -> None:
        self._answered(lambda: self._invite(self._case(case_id)))

    async def create_and_invite(self, reference: str, callback_url: str) -> str:
        return self._answered(lambda: self._invite(self._open(reference, callback_url)).id)

    async def find(self, reference: str) -> str | None:
        return self._answered(lambda: next((case.id for case in self.about(reference)), None))

    async def status(self, case_id: str) -> str:
        return self._answered(lambda: self._case(case_id).status)

    async def open_file(self, case_id: str, number: int) -> list[bytes]:
        return self._answered(lambda: self._file(self._case(case_id), number))

    async def read_piece(self, pieces: list[bytes], index: int) -> bytes:
        return self._answered(lambda: pieces[index])

    async def withdraw(self, case_id: str) -> None:
        self._answered(lambda: self._end(self._case(case_id), "withdrawn"))

    async def remind(self, case_id: str) -> None:
        self._answered(lambda: self._case(case_id))
        self.reminders += 1

    async def extend(self, case_id: str) -> None:
        self._answered(lambda: self._reopen(self._case(case_id)))

    async def delete(self, case_id: str) -> None:
        self._answered(lambda: self.removed(case_id))

    def _answered(self, act: Callable[[], T]) -> T:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None and trouble is not Trouble.LOST:
            raise _error(trouble)
        answer = act()
        if trouble is Trouble.LOST:
            raise _error(trouble)
        return answer

    # ------------------------------------------------------------------------------------------ what happens there

    def about(self, reference: str) -> list[Case]:
        return [case for case in self.cases.values() if case.reference == reference]

    def acted(self, case: Case, status: str) -> None:
        """The signers, or time, end a signing that is pending."""
        self._end(case, status)

    def removed(self, case_id: str) -> None:
        case = self.cases.get(case_id)
        if case is not None:
            case.status = "deleted"

    def seal_all(self) -> None:
        for case in self.cases.values():
            case.late_seals.clear()

    def _open(self, reference: str, callback_url: str) -> Case:
        case = Case(f"p-{len(self.cases) + 1}", reference, callback_url)
        self.cases[case.id] = case
        return case

    def _invite(self, case: Case) -> Case:
        case.invitations += 1
        self._set(case, "pending")
        return case

    def _end(self, case: Case, status: str) -> None:
        if case.status != "pending":
            raise Rejected(f"a case that is {case.status} cannot become {status}")
        self._set(case, status)

    def _reopen(self, case: Case) -> None:
        if case.status == "expired":
            self._set(case, "pending")

    def _set(self, case: Case, status: str) -> None:
        case.status = status
        self._serial += 1
        body = json.dumps({"id": case.id, "status": status, "serial": self._serial}).encode()
        self.callbacks.append(CallbackSent(case.callback_url, body))

    def _case(self, case_id: str) -> Case:
        case = self.cases.get(case_id)
        if case is None or case.status == "deleted":
            raise ProviderNotFound("no such case")
        return case

    def _file(self, case: Case, number: int) -> list[bytes]:
        if case.status != "signed":
            raise NotReady("nothing is signed yet")
        case.fetches += 1
        mark = b"" if number in case.late_seals else b"<< /Type /Sig /ByteRange [0 1 2 3] >>\n"
        return [b"%PDF-1.7\n" + mark, f"% file {number}, fetch {case.fetches}\n%%EOF\n".encode()]


_KINDS = {
    "draft": None,
    "pending": EventKind.ACCEPTED,
    "signed": EventKind.ALL_SIGNED,
    "declined": EventKind.DECLINED,
    "withdrawn": EventKind.CANCELLED,
    "expired": EventKind.EXPIRED,
}


@dataclass
class BureauProvider:
    """`ports.SigningProvider`. `bureau` is a `Bureau`, or a stand-in that watches the calls to one."""

    bureau: Any
    shape: Shape
    account: str = "bureau"
    name: str = "bureau"
    capabilities: Capabilities = CAPABILITIES
    account_webhook_wanted: bool = False
    remembered: set[str] = field(default_factory=set)

    def check(self, signing: Signing) -> None:
        return None

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        known = _known_id(order, log)
        if self.shape is Shape.DRAFTED:
            return await self._start_drafted(order, log, known)
        if known is not None:
            return Started(known)
        await _read_documents(order)
        await log.inviting()
        case_id: str = await self.bureau.create_and_invite(order.signing.id, order.callback_url)
        return Started(case_id, "pending", facts={"answered": "yes"})

    async def _start_drafted(self, order: StartOrder, log: StartLog, known: str | None) -> Started:
        if known is None:
            known = await self.bureau.create(order.signing.id, order.callback_url)
            await log.checkpoint(provider_signing_id=known)
        elif (status := await self.bureau.status(known)) != "draft":
            return Started(known, status)
        await _read_documents(order)
        await self.bureau.attach(known)
        await log.inviting()
        await self.bureau.invite(known)
        return Started(known, "pending")

    async def prove_start(self, order: StartOrder, log: StartLog) -> StartProof:
        known = _known_id(order, log)
        if known is None and self.shape is Shape.FOUND:
            known = await self.bureau.find(order.signing.id)
        if known is None:
            return StartProof(None if self.shape is Shape.BLIND else False)
        status = await self.bureau.status(known)
        return StartProof(status != "draft", Started(known, status) if status != "draft" else None)

    async def status(
        self, provider_signing_id: str, access_key: str | None = None, *, signing: Signing | None = None
    ) -> ProviderStatus:
        status = await self.bureau.status(provider_signing_id)
        return ProviderStatus(status, _KINDS[status])

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        return [
            Deliverable(document.name, "document", document.media_type, {"number": str(document.number)})
            for document in signing.documents
        ]

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        pieces = await self.bureau.open_file(signing.provider_signing_id, int(deliverable.facts["number"]))

        async def chunks() -> AsyncIterator[bytes]:
            for index in range(len(pieces)):
                yield await self.bureau.read_piece(pieces, index)

        yield Download(chunks(), deliverable.media_type, None)

    async def cancel(self, signing: Signing, reason: str | None = None) -> None:
        await self.bureau.withdraw(signing.provider_signing_id)

    async def remind(self, signing: Signing, number: int | None = None) -> None:
        await self.bureau.remind(signing.provider_signing_id)

    async def add_participant(self, signing: Signing, participant: Participant) -> None:
        raise NotImplementedError

    async def remove_participant(self, signing: Signing, number: int) -> None:
        raise NotImplementedError

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        await self.bureau.extend(signing.provider_signing_id)

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        return []

    async def delete(self, signing: Signing) -> None:
        await self.bureau.delete(signing.provider_signing_id)

    @asynccontextmanager
    async def operate(self, operation_id: str, arguments: Mapping[str, object]) -> AsyncIterator[OperationAnswer]:
        yield OperationAnswer(200)

    async def verify_callback(self, raw: RawCallback) -> VerifiedCallback:
        if not raw.body.startswith(b"{"):
            raise VerificationFailed("not_json", status=400)
        return verified(raw, headers={}, verdicts={}, event_key=hashlib.sha256(raw.body).hexdigest())

    def notices(self, callback: VerifiedCallback) -> list[StatusNotice]:
        content = json.loads(callback.raw.body)
        return [StatusNotice(content["id"], content["status"])]

    def seen_before(self, callback: VerifiedCallback) -> bool:
        return callback.event_key in self.remembered

    def remember(self, callback: VerifiedCallback) -> None:
        self.remembered.add(callback.event_key)

    async def subscribe(self, url: str) -> str:
        return "webhook"

    async def is_reachable(self) -> bool:
        return True

    async def aclose(self) -> None:
        return None


def _known_id(order: StartOrder, log: StartLog) -> str | None:
    return log.facts.get(PROVIDER_SIGNING_ID) or order.signing.provider_signing_id


async def _read_documents(order: StartOrder) -> None:
    for document in order.signing.documents:
        await order.read_document(document)
