"""V2 operations 7 to 16: documents and their actors (spec pkisigning 1.5)."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from local.sandbox.answers import Problem
from local.sandbox.pkisigning import lifecycle, render
from local.sandbox.pkisigning.platform import (
    Platform,
    actor_of,
    check_deadline,
    check_placement,
    document_of,
    new_document,
)
from local.sandbox.pkisigning.state import Document, SignRequest, utc_now
from local.sandbox.pkisigning.v2_requests import has_acted_filter
from local.sandbox.pkisigning.wire import ActorBody, SignerBody, UpdateDocument
from local.sandbox.server import Operation, validated


@dataclass
class Documents:
    platform: Platform

    def operations(self) -> list[Operation]:
        documents = "/requests/{requestId}/documents"
        one = f"{documents}/{{documentId}}"
        actors = f"{one}/Actors"
        actor = f"{actors}/{{actorId}}"
        return [
            Operation("Documents_Create", "POST", documents, self.create),
            Operation("Documents_Get", "GET", one, self.get),
            Operation("Documents_Update", "PUT", one, self.update),
            Operation("Documents_Delete", "DELETE", one, self.delete),
            Operation("Documents_GetDocumentStatus", "GET", "/status/Documents/create", self.get),
            Operation("Actors_List", "GET", actors, self.list_actors),
            Operation("Actors_Create", "POST", actors, self.create_actor),
            Operation("Actors_Get", "GET", actor, self.get_actor),
            Operation("Actors_Update", "PUT", actor, self.update_actor),
            Operation("Actors_Delete", "DELETE", actor, self.delete_actor),
        ]

    async def create(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        filename, content = await _uploaded_file(web_request)
        document = await new_document(self.platform, request, filename, content)
        answer = render.document_metadata(self.platform.state, request, document)
        if document.ready:
            return web.json_response(answer, status=201)
        location = f"/status/Documents/create?requestId={request.id}&documentId={document.id}"
        return web.json_response(answer, status=202, headers={"Location": location})

    async def get(self, web_request: web.Request) -> web.Response:
        """Operations 8 and 11: 202 without a body while the document is not ready."""
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        if not document.ready:
            document.polls_left -= 1
            return web.Response(status=202)
        return web.json_response(render.document_metadata(self.platform.state, request, document))

    async def update(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        body = validated(UpdateDocument, await web_request.read())
        lifecycle.require_new(request)
        document.name, document.filename = body.name or document.name, body.filename or document.filename
        document.document_type, document.updated = body.documentType, utc_now()
        return web.json_response(render.document_metadata(self.platform.state, request, document))

    async def delete(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        lifecycle.require_new(request)
        for actor in request.actors_of(document.id):
            self.platform.remove_actor(request, actor)
        request.documents.remove(document)
        return web.Response(status=204)

    async def list_actors(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        wanted = has_acted_filter(web_request)
        actors = [one for one in request.actors_of(document.id) if wanted in {None, one.has_acted}]
        return web.json_response([render.actor_model(self.platform.state, request, actor) for actor in actors])

    async def create_actor(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        body = validated(SignerBody, await web_request.read())
        lifecycle.require_new(request)
        if not document.ready:
            raise Problem(409, "The document is still being processed.")
        check_deadline(body.deadline, utc_now())
        check_placement(request, document, body)
        actor = self.platform.add_actor(request, document, body)
        return web.json_response(render.actor_model(self.platform.state, request, actor), status=201)

    async def get_actor(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        actor = actor_of(request, document, web_request)
        return web.json_response(render.actor_model(self.platform.state, request, actor))

    async def update_actor(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        actor = actor_of(request, document, web_request)
        body = validated(ActorBody, await web_request.read())
        check_deadline(body.deadline, utc_now())
        lifecycle.change_actor(request, actor, body)
        return web.json_response(render.actor_model(self.platform.state, request, actor))

    async def delete_actor(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request, document = self._found(web_request)
        actor = actor_of(request, document, web_request)
        lifecycle.require_new(request)
        self.platform.remove_actor(request, actor)
        return web.Response(status=204)

    def _found(self, web_request: web.Request) -> tuple[SignRequest, Document]:
        request = self.platform.request(web_request)
        return request, document_of(request, web_request)


async def _uploaded_file(web_request: web.Request) -> tuple[str, bytes]:
    """The one part called `file`, with a file name. Raises Problem 400 or 415."""
    if web_request.content_type != "multipart/form-data":
        raise Problem(415, "The upload must be multipart/form-data.")
    found: tuple[str, bytes] | None = None
    try:
        async for part in await web_request.multipart():
            if not isinstance(part, BodyPartReader) or part.name != "file" or not part.filename or found:
                raise Problem(400, "Bad upload.", errors={"file": ["Send exactly one part, `file`, with a file name."]})
            found = (part.filename, bytes(await part.read()))
    except ValueError as error:
        raise Problem(400, "The multipart body cannot be read.") from error
    if found is None or not found[1]:
        raise Problem(400, "Bad upload.", errors={"file": ["The file is missing or empty."]})
    return found
