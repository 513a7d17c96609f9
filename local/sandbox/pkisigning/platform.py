"""What every operation needs: find things or answer 404, take in documents and actors, tell about changes."""

from __future__ import annotations

import asyncio
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.sandbox import pdf
from local.sandbox.answers import Problem
from local.sandbox.pkisigning.auth import IMPERSONATE, AccessToken, IdentityServer
from local.sandbox.pkisigning.lifecycle import require_new
from local.sandbox.pkisigning.state import Actor, Document, SignRequest, State, Workgroup, new_id
from local.sandbox.pkisigning.wire import Action, ActorBody, SignerBody, as_guid

if TYPE_CHECKING:
    from datetime import datetime

    from aiohttp import web

    from local.sandbox.faults import FaultPlan
    from local.sandbox.pkisigning.callbacks import CallbackDesk
    from local.sandbox.pkisigning.options import Options


@dataclass
class Platform:
    """State and services, shared by the operations, the control routes and the pages."""

    state: State
    options: Options
    identity: IdentityServer
    callbacks: CallbackDesk
    faults: FaultPlan

    def request(self, web_request: web.Request) -> SignRequest:
        return self.request_by_id(guid_of(web_request, "requestId"))

    def request_by_id(self, request_id: str) -> SignRequest:
        found = self.state.requests.get(request_id)
        if found is None:
            raise Problem(404, "There is no such request.")
        return found

    def workgroup_for(self, workgroup_id: str | None, clearance: int) -> str | None:
        """Raises Problem 400 for an unknown workgroup and 403 for a level above the caller's own."""
        if workgroup_id is None:
            return None
        group = next((one for one in self.state.workgroups if one.id == workgroup_id), None)
        if group is None:
            raise Problem(400, "Unknown workgroup.", errors={"workgroupId": ["There is no such workgroup."]})
        if clearance > group.clearance_level:
            raise Problem(403, "The clearance level is above the caller's own.")
        return group.id

    def announce(self, request: SignRequest, *, changed: bool) -> None:
        """Every change of status goes out as a callback (3.5)."""
        if changed:
            self.callbacks.announce(request)

    def reserve(self, count: int) -> None:
        """Raises Problem 402 when the ledger cannot carry `count` more actors."""
        if self.state.credits.available < count:
            raise Problem(402, "There are not enough credits.")

    def add_actor(self, request: SignRequest, document: Document, body: ActorBody, ordinal: int = 0) -> Actor:
        """Raises Problem 402 when the credits are used up."""
        self.reserve(1)
        placement = body if isinstance(body, SignerBody) else None
        sequence = self.state.next_sequence()
        person = ActorBody.model_validate({name: getattr(body, name) for name in ActorBody.model_fields})
        actor = Actor(new_id(), document.id, person, placement, sequence, ordinal)
        self.state.credits.reserve(actor.id)
        request.actors.append(actor)
        return actor

    def remove_actor(self, request: SignRequest, actor: Actor) -> None:
        self.state.credits.release(actor.id)
        request.actors.remove(actor)

    def remove_request(self, request: SignRequest) -> None:
        for actor in request.actors:
            self.state.credits.release(actor.id)
        self.state.deleted.append(self.state.requests.pop(request.id))


def guid_of(web_request: web.Request, name: str) -> str:
    """A GUID from path or query; raises Problem 400."""
    text = web_request.match_info.get(name) or web_request.query.get(name) or ""
    try:
        return as_guid(text)
    except ValueError as error:
        raise Problem(400, "Not a GUID.", errors={name: ["The value is not a GUID."]}) from error


def document_of(request: SignRequest, web_request: web.Request) -> Document:
    document = request.document(guid_of(web_request, "documentId"))
    if document is None:
        raise Problem(404, "There is no such document.")
    return document


def actor_of(request: SignRequest, document: Document, web_request: web.Request) -> Actor:
    actor = request.actor(guid_of(web_request, "actorId"))
    if actor is None or actor.document_id != document.id:
        raise Problem(404, "There is no such actor.")
    return actor


def check_owner(token: AccessToken, owner: str | None) -> None:
    if owner is not None and IMPERSONATE not in token.scopes:
        raise Problem(403, f"Setting the owner needs the scope {IMPERSONATE}.")


def check_placement(request: SignRequest, document: Document, body: SignerBody) -> None:
    """One place per signer: a placeholder or field can be used once, and a field must exist and be empty."""
    if body.action is not Action.SIGN:
        return
    others = [actor.placement for actor in request.actors_of(document.id) if actor.placement is not None]
    others = [one for one in others if one.action is Action.SIGN]
    if body.placeholder is not None and any(one.placeholder == body.placeholder for one in others):
        raise _placement("placeholder", "Another signer of this document uses this placeholder.")
    if body.fieldName is not None and any(one.fieldName == body.fieldName for one in others):
        raise _placement("fieldName", "Another signer of this document uses this field.")
    if body.fieldName is not None and body.fieldName not in {one.name for one in document.facts.empty_fields}:
        raise _placement("fieldName", "The document has no empty signature field of that name.")


def check_deadline(deadline: datetime, now: datetime) -> None:
    if deadline <= now:
        raise Problem(400, "The deadline has passed.", errors={"deadline": ["The deadline must be in the future."]})


async def new_document(platform: Platform, request: SignRequest, filename: str, content: bytes) -> Document:
    """Take in a PDF or DOCX. Raises Problem 400, 409, 413, 415 or 422."""
    require_new(request)
    if len(content) > platform.options.max_document_bytes:
        raise Problem(413, "The document is too large.")
    suffix = filename.rpartition(".")[2].lower()
    if suffix == "pdf" and b"%PDF-" in content[:1024]:
        usable, polls = content, platform.options.pdf_polls
    elif suffix == "docx" and _is_docx(content):
        usable, polls = await asyncio.to_thread(pdf.converted, filename), platform.options.docx_polls
    else:
        raise Problem(415, "Only PDF and DOCX are accepted, with the matching file name.")
    facts = await _facts(usable)
    require_new(request)  # it may have been started while the file was read
    name = filename.rpartition(".")[0] or filename
    stored = filename if suffix == "pdf" else f"{name}.pdf"
    document = Document(new_id(), name, stored, usable, usable, len(request.documents), facts, polls_left=polls)
    request.documents.append(document)
    return document


async def _facts(content: bytes) -> pdf.PdfFacts:
    try:
        return await asyncio.to_thread(pdf.inspect_pdf, content)
    except pdf.ProtectedPdf as error:
        raise Problem(422, "The PDF is protected.") from error
    except pdf.NotAPdf as error:
        raise Problem(400, "The PDF cannot be read.", errors={"file": [str(error)]}) from error


def _is_docx(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "word/document.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _placement(field: str, text: str) -> Problem:
    return Problem(400, "The place of the signature cannot be used.", errors={field: [text]})


def workgroup_model(group: Workgroup) -> dict[str, str]:
    return {"id": group.id, "name": group.name}
