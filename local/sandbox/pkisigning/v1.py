"""The four V1 calls below `/api/share` (spec pkisigning 2). Only StartSignFlow has a published form.

The other three are answered in every alternative that 2.3 to 2.5 name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.pkisigning import archive, lifecycle
from local.sandbox.pkisigning.platform import Platform, check_deadline, check_placement, guid_of, new_document
from local.sandbox.pkisigning.state import Document, SignRequest, new_id, utc_now
from local.sandbox.pkisigning.wire import (
    Action,
    ActorBody,
    ById,
    DocumentV1,
    JsonObject,
    RecipientV1,
    SignerBody,
    SignerV1,
)
from local.sandbox.pkisigning.wire import StartSignFlow as StartBody
from local.sandbox.server import Operation, validated

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.pkisigning.bulk import BulkArchive


@dataclass
class Share:
    platform: Platform
    bulk: Callable[[SignRequest], BulkArchive | None]

    def operations(self) -> list[Operation]:
        share = "/api/share"
        retrieve, remove = f"{share}/retrievedocument", f"{share}/removedocument"
        levels = f"{share}/getworkgroupwithclearancelevel"
        return [
            Operation("Share_StartSignFlow", "POST", f"{share}/startsignflow", self.start),
            Operation("Share_RetrieveDocument", "GET", retrieve, self.retrieve),
            Operation("Share_RetrieveDocument", "GET", f"{retrieve}/{{pkisId}}", self.retrieve),
            Operation("Share_RetrieveDocument", "POST", retrieve, self.retrieve),
            Operation("Share_RemoveDocument", "DELETE", remove, self.remove),
            Operation("Share_RemoveDocument", "DELETE", f"{remove}/{{pkisId}}", self.remove),
            Operation("Share_RemoveDocument", "POST", remove, self.remove),
            Operation("Share_GetWorkgroupWithClearanceLevel", "GET", levels, self.workgroups),
        ]

    async def start(self, web_request: web.Request) -> web.Response:
        token = self.platform.identity.check(web_request)
        body = validated(StartBody, await web_request.read())
        workgroup = self.platform.workgroup_for(body.workgroupId, body.clearanceLevel)
        self.platform.reserve(sum(len(one.signers) + len(one.recipients) for one in body.documents))
        request = SignRequest(
            new_id(), body.dossierName, body.clearanceLevel, workgroup, token.user, token.user is not None,
            callback_url=body.callbackUrl, signer_note=body.signatureNote, recipient_note=body.recipientNote,
            started_by="V1",
        )  # fmt: skip
        try:
            await self._fill(request, body)
            changed = lifecycle.start(self.platform.state, request)
        except Problem:
            for actor in request.actors:
                self.platform.state.credits.release(actor.id)
            raise
        self.platform.state.requests[request.id] = request
        self.platform.announce(request, changed=changed)
        form = self.platform.options.start_answer
        return web.json_response(request.id if form == "string" else {form: request.id})

    async def retrieve(self, web_request: web.Request) -> web.StreamResponse:
        self.platform.identity.check(web_request)
        request = await self._named(web_request)
        return await archive.answer(self.platform, request, self.bulk(request), "Share_RetrieveDocument")

    async def remove(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        self.platform.remove_request(await self._named(web_request))
        return web.Response(status=204)

    async def workgroups(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        groups = self.platform.state.workgroups
        return web.json_response(
            [{"id": one.id, "name": one.name, "clearanceLevel": one.clearance_level} for one in groups]
        )

    async def _named(self, web_request: web.Request) -> SignRequest:
        if web_request.method == "POST":
            return self.platform.request_by_id(validated(ById, await web_request.read()).pkisId)
        return self.platform.request_by_id(guid_of(web_request, "pkisId"))

    async def _fill(self, request: SignRequest, body: StartBody) -> None:
        for number, item in enumerate(body.documents):
            document = await self._document(request, item, number)
            for signer in item.signers:
                converted = _signer(signer)
                check_deadline(converted.deadline, utc_now())
                check_placement(request, document, converted)
                self.platform.add_actor(request, document, converted, signer.ordinal)
            for recipient in item.recipients:
                check_deadline(recipient.deadline, utc_now())
                self.platform.add_actor(request, document, _recipient(recipient), recipient.ordinal)

    async def _document(self, request: SignRequest, item: DocumentV1, number: int) -> Document:
        try:
            content = item.decoded()
        except ValueError as error:
            raise Problem(400, "Bad contents.", errors={f"documents.{number}.contents": [str(error)]}) from error
        document = await new_document(self.platform, request, item.filename, content)
        document.name = item.name
        document.polls_left = 0  # V1 has no status call: the platform waits by itself before it invites
        return document


def _signer(signer: SignerV1) -> SignerBody:
    place = {"placeholder": signer.placeholder, "fieldName": signer.signatureFieldName}
    nowhere = {"sigFieldX": 0, "sigFieldY": 0, "sigFieldH": 0, "sigFieldW": 0}
    return SignerBody.model_validate(_person(signer, Action.SIGN) | place | nowhere)


def _recipient(recipient: RecipientV1) -> ActorBody:
    return ActorBody.model_validate(_person(recipient, Action.DOWNLOAD))


def _person(person: RecipientV1, action: Action) -> JsonObject:
    return {
        "action": action.value, "firstname": person.firstname, "prefix": person.prefix, "lastname": person.lastname,
        "email": person.email,
        "mobile": person.mobile, "deadline": person.deadline, "language": (person.language or "nl").upper(),
        "validateRealIdentity": person.extendedIdentityVerification,
    }  # fmt: skip
