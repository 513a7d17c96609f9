"""A signing at Dokobit after its start: what can be done to it, and the files it ends in (spec dokobit 1.6, 5)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from shared import telemetry
from shared.domain.errors import NotReady, Permanent, ProviderNotFound, Rejected, UnsupportedFeature
from shared.domain.signing import Participant, Role, Signing
from shared.domain.states import EventKind
from shared.ports import Deliverable, Download, SigningLink
from shared.providers.dokobit import NAME, PDF, Config, Flow, limits, mapping, operations
from shared.providers.dokobit.start import promised, read_status
from shared.providers.dokobit.wire import (
    AddExternalSigners,
    DeleteSigners,
    Reminder,
    SignerToken,
    SigningStatus,
    SigningType,
    StatusSigner,
    UpdateExternalSigning,
    UploadForValidation,
    ValidationAccepted,
)
from shared.providers.http import ByteReply, ProviderClient
from shared.providers.peek import head_of, rejoined
from shared.verification.memory import TimedMemory

Pause = Callable[[float], Awaitable[None]]

_DELETE_SIGNER = {"external": operations.DELETE_EXTERNAL_SIGNER, "internal": operations.DELETE_INTERNAL_SIGNER}
_DELETE = {"external": operations.DELETE_EXTERNAL, "internal": operations.DELETE_INTERNAL}
_DOWNLOAD = {"external": operations.DOWNLOAD_EXTERNAL, "internal": operations.DOWNLOAD_INTERNAL}
_OVER = frozenset({EventKind.ALL_SIGNED, EventKind.FAILED})
# Moments travel in whole seconds.
_ROUNDING = timedelta(seconds=1)

# The evidence: name and media type of each report (spec 1.2, operations 19 to 22).
_REPORTS = {
    operations.PDF_REPORT.id: ("validation-report.pdf", PDF),
    operations.XML_REPORT.id: ("validation-report.xml", limits.XML),
    operations.DETAILED_PDF_REPORT.id: ("validation-detailed-report.pdf", PDF),
    operations.DIAGNOSTIC_DATA.id: ("validation-diagnostic-data.xml", limits.XML),
}
# How long one attempt waits for a report: every 2 seconds (spec 3.8), in all less than a person would.
_REPORT_PAUSES = (2.0,) * 10
# So many attempts to get the evidence; after that the signed document is stored without.
_PATIENCE = 8
_VALIDATION_KEPT = timedelta(hours=1)
_CANCELLED_KEPT = timedelta(days=1)
_HEAD_BYTES = 64


class Manager:
    """Raises ProviderError, Rejected for what does not fit the state that the signing has, and UnsupportedFeature for
    what the signing's own flow lacks."""

    def __init__(self, config: Config, client: ProviderClient, now: Callable[[], datetime]) -> None:
        self._config, self._client, self._now = config, client, now
        self._cancelled: TimedMemory[bool] = TimedMemory(10_000)

    def has_cancelled(self, token: str) -> bool:
        """Whether this process has: a deleted signing is as unknown to Dokobit as one that never was (spec 3.2). Only
        spares a detour, since the flow keeps for good that a cancellation was asked for."""
        return self._cancelled.get(token, self._now()) is not None

    async def cancel(self, signing: Signing) -> None:
        """Takes everybody out who has not signed, then deletes it. Deleting alone may leave it open to people who were
        invited (the sources disagree, spec 5.2). Afterwards the token is dead; a reason cannot be given."""
        flow, token = self._flow(signing), token_of(signing)
        read = await read_status(self._client, flow, token)
        if mapping.STATUSES.get((read.status or "").lower()) in _OVER:
            raise Rejected("The signing is over at the provider, so it cannot be cancelled.")
        waiting = [one.token for one in read.signers or () if one.token and not mapping.has_acted(one)]
        if waiting:
            await self._take_out(flow, token, waiting)
        await self._client.call(_DELETE[flow], token=token)
        self._cancelled.put(token, True, until=self._now() + _CANCELLED_KEPT)

    async def remind(self, signing: Signing, number: int | None) -> None:
        self._only("external", signing, "remind")
        people = mapping.people_in(signing, await self._status(signing))
        numbers = mapping.first_waiting(signing, people) if number is None else [number]
        if not numbers:
            raise Rejected("Nobody has anything left to do, so nobody can be reminded.")
        for one in numbers:
            body = Reminder(signer=_token_in(people, one))
            await self._client.call(operations.REMIND, token=token_of(signing), body=body)

    async def add(self, signing: Signing, participant: Participant) -> None:
        """External only: nothing published says how an added participant of an internal signing gets a link."""
        self._only("external", signing, "add_participant")
        together = signing.model_copy(update={"participants": (*signing.participants, participant)})
        limits.check(together, self._config)
        body = AddExternalSigners(signers=(mapping.to_wire_late(signing, participant),))
        await self._client.call(operations.ADD_EXTERNAL_SIGNER, token=token_of(signing), body=body)

    async def remove(self, signing: Signing, number: int) -> None:
        people = mapping.people_in(signing, await self._status(signing))
        await self._take_out(self._flow(signing), token_of(signing), [_token_in(people, number)])

    async def extend(self, signing: Signing, deadline: datetime) -> None:
        """Read back, because it is not published what becomes of fields that an update leaves out (spec 1.3)."""
        self._only("external", signing, "extend")
        body = UpdateExternalSigning(deadline=deadline, hard_deadline=limits.is_hard_deadline(signing, self._config))
        await self._client.call(operations.UPDATE_EXTERNAL, token=token_of(signing), body=body)
        read = await self._status(signing)
        if read.deadline is not None and abs(read.deadline - deadline) > _ROUNDING:
            raise Rejected("The provider accepted the new deadline but shows another one.")

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        self._only("internal", signing, "links")
        people = mapping.people_in(signing, await self._status(signing))
        return [
            SigningLink(one.number, signing.start.facts[mapping.link_fact(one.number)])
            for one in signing.participants
            if one.role is Role.SIGNER
            and mapping.link_fact(one.number) in signing.start.facts
            and not (one.number in people and mapping.has_acted(people[one.number]))
        ]

    async def delete(self, signing: Signing) -> None:
        """For good. Absence is fine."""
        if signing.provider_signing_id is None:
            return
        try:
            await self._client.call(_DELETE[self._flow(signing)], token=signing.provider_signing_id)
        except ProviderNotFound:
            return
        except Rejected:
            # A 400 may mean just that (spec 6): the status tells.
            if not await self._is_gone(signing):
                raise

    async def _is_gone(self, signing: Signing) -> bool:
        try:
            await self._status(signing)
        except ProviderNotFound:
            return True
        return False

    async def _take_out(self, flow: Flow, token: str, people: Sequence[str]) -> None:
        body = DeleteSigners(signers=tuple(SignerToken(token=one) for one in people))
        await self._client.call(_DELETE_SIGNER[flow], token=token, body=body)

    async def _status(self, signing: Signing) -> SigningStatus:
        return await read_status(self._client, self._flow(signing), token_of(signing))

    def _flow(self, signing: Signing) -> Flow:
        return limits.flow_of(signing, self._config)

    def _only(self, flow: Flow, signing: Signing, action: str) -> None:
        if self._flow(signing) != flow:
            raise UnsupportedFeature(f"Only {flow} signings at Dokobit can {action}.", field=action)


def token_of(signing: Signing) -> str:
    if signing.provider_signing_id is None:
        raise ProviderNotFound("The signing has no id at the provider yet.")
    return signing.provider_signing_id


def _token_in(people: dict[int, StatusSigner], number: int) -> str:
    person = people.get(number)
    if person is None or not person.token:
        raise Rejected(f"The provider does not show participant {number}.")
    return person.token


class Files:
    """What a completed signing has to be stored: the signed file, and the reports on its validation as evidence."""

    def __init__(self, config: Config, client: ProviderClient, now: Callable[[], datetime], pause: Pause) -> None:
        self._config, self._client, self._now, self._pause = config, client, now, pause
        self._validations: TimedMemory[str] = TimedMemory(1000)

    async def deliverables(self, signing: Signing) -> Sequence[Deliverable]:
        """Has the signed file validated on the way, for only then there are reports to list.

        A validation service that refuses must not keep a signed document from being stored: then there is no evidence.
        """
        name, media_type = limits.RESULTS[limits.type_of(signing)]
        document = Deliverable(name, "document", media_type)
        facts = await self._validated(signing, document)
        if facts is None:
            return (document,)
        reports = (
            Deliverable(report, "evidence", kind, {**facts, "operation": operation})
            for operation, (report, kind) in _REPORTS.items()
        )
        return (document, *reports)

    @asynccontextmanager
    async def fetch(self, signing: Signing, deliverable: Deliverable) -> AsyncIterator[Download]:
        """Only operations of the table are called, never an address that came in a message (spec 2.5)."""
        async with AsyncExitStack() as stack:
            if deliverable.kind == "evidence":
                reply = await self._opened_report(stack, deliverable)
            else:
                reply = await self._opened_document(stack, signing)
            head = await head_of(reply.chunks, _HEAD_BYTES)
            media_type = limits.kind_of(head, deliverable.media_type)
            if media_type is None:
                raise NotReady("What the provider sent is not yet the file that was asked for.")
            yield Download(rejoined(head, reply.chunks), media_type, reply.length)

    async def _opened_document(self, stack: AsyncExitStack, signing: Signing) -> ByteReply:
        flow, token = limits.flow_of(signing, self._config), token_of(signing)
        opening = self._client.stream(_DOWNLOAD[flow], not_ready_on=(202, 409), token=token)
        try:
            return await stack.enter_async_context(opening)
        except (ProviderNotFound, Rejected) as error:
            await read_status(self._client, flow, token)  # raises the same when the signing itself is gone
            raise NotReady(
                "The provider has no file for this signing yet.", provider_status_code=error.provider_status_code
            ) from None

    async def _opened_report(self, stack: AsyncExitStack, deliverable: Deliverable) -> ByteReply:
        operation = operations.OPERATIONS[deliverable.facts["operation"]]
        pauses = iter(_REPORT_PAUSES)
        while True:
            try:
                opening = self._client.stream(operation, token=deliverable.facts["validation"])
                return await stack.enter_async_context(opening)
            except ProviderNotFound:
                self._validations.put(deliverable.facts["digest"], "", until=self._now())
                raise NotReady("The provider forgot the validation; it is done anew.") from None
            except NotReady:
                seconds = next(pauses, None)
                if seconds is None:
                    raise
                await self._pause(seconds)

    async def _validated(self, signing: Signing, document: Deliverable) -> dict[str, str] | None:
        """Token and digest of the signed file's validation, or None where there is no evidence to be had."""
        # ADoc containers are not among the kinds that are validated (spec 3.1).
        if not self._config.validation_reports or limits.type_of(signing) is SigningType.ADOC_CEDOC:
            return None
        if signing.download.attempts >= _PATIENCE:
            _warn_without_evidence(signing, "too_many_attempts")
            return None
        content = await self._content(signing, document)
        if content is None:
            _warn_without_evidence(signing, "file_too_large")
            return None
        if not limits.is_signed(content):
            raise NotReady("What the provider sent carries no signature yet.")
        digest = hashlib.sha256(content).hexdigest()
        token = self._validations.get(digest, self._now())
        if token is None:
            try:
                token = await self._upload(document.name, content)
            except Permanent as error:
                _warn_without_evidence(signing, error.code)
                return None
            self._validations.put(digest, token, until=self._now() + _VALIDATION_KEPT)
        return {"validation": token, "digest": digest}

    async def _content(self, signing: Signing, document: Deliverable) -> bytes | None:
        """The signed file whole, for it has to be sent as base64; None when it is too large for that."""
        content = bytearray()
        async with self.fetch(signing, document) as download:
            async for chunk in download.chunks:
                content += chunk
                if len(content) > self._config.validation_max_bytes:
                    return None
        return bytes(content)

    async def _upload(self, name: str, content: bytes) -> str:
        body = UploadForValidation(file=mapping.file_of(name, content, self._config))
        reply = await self._client.call(operations.VALIDATE, body=body)
        return promised(reply.read(ValidationAccepted).token, operations.VALIDATE, reply)


def _warn_without_evidence(signing: Signing, reason: str) -> None:
    telemetry.warning("evidence_left_out", signing_id=signing.id, provider=NAME, reason=reason)
