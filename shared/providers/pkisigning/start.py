"""Starting a signing at PKIsigning: V2 in many calls that can be resumed, V1 in one (spec pkisigning 2.2, 6.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared import telemetry
from shared.domain.errors import NotReady, Rejected
from shared.domain.signing import Document, Signing
from shared.ports import Started, StartLog, StartOrder, StartProof
from shared.providers.answers import UnreadableAnswer
from shared.providers.http import ProviderClient
from shared.providers.pkisigning import NAME, Config, mapping, operations
from shared.providers.pkisigning.wire import DocumentMetaDataModel, RequestModel

Pause = Callable[[float], Awaitable[None]]

# How long one attempt to start waits for a document to be processed: growing pauses (spec 5), in all less than the
# lease on the signing. The next attempt goes on from the checkpoint.
_DOCUMENT_PAUSES = (1, 2, 4, 8, 16, 30)


async def read_request(client: ProviderClient, request_id: str, access_key: str | None = None) -> RequestModel:
    """Raises ProviderError. `access_key` is the one that came with a callback."""
    reply = await client.call(operations.REQUESTS_GET, requestId=request_id, callbackAuthenticationKey=access_key)
    return reply.read(RequestModel)


class Starter:
    """Starts of one account, and the search for proof of one that is uncertain."""

    def __init__(self, config: Config, client: ProviderClient, pause: Pause) -> None:
        self._config, self._client, self._pause = config, client, pause

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        if mapping.needs_other_language(order.signing):
            telemetry.warning("language_fallback", signing_id=order.signing.id, provider=NAME)
        if self._config.api == "v1":
            return await self._start_v1(order, log)
        return await self._start_v2(order, log)

    async def prove(self, order: StartOrder, log: StartLog) -> StartProof:
        """V2: by the status of the request. V1: unknown as long as no id is known, for nothing can be looked up."""
        request_id = _known_id(order, log)
        if request_id is None:
            return StartProof(None if self._config.api == "v1" else False)
        request = await read_request(self._client, request_id)
        invited = mapping.was_sent(request.status)
        return StartProof(invited, Started(request_id, request.status) if invited else None)

    async def _start_v1(self, order: StartOrder, log: StartLog) -> Started:
        known = _known_id(order, log)
        if known is not None:
            return Started(known)
        contents = {one.number: await order.read_document(one) for one in order.signing.documents}
        body = mapping.to_wire_start_sign_flow(order.signing, self._config, contents, order.callback_url)
        await log.inviting()
        reply = await self._client.call(operations.SHARE_START_SIGN_FLOW, body=body)
        pkis_id = mapping.pkis_id_from(reply.read_text())
        if pkis_id is None:
            raise UnreadableAnswer(NAME, operations.SHARE_START_SIGN_FLOW, reply.status, "it holds no id")
        return Started(pkis_id)

    async def _start_v2(self, order: StartOrder, log: StartLog) -> Started:
        """Carries on from what the platform has, not from what we think it has: an answer may have been lost.

        Nothing is visible to participants before the last call. A request whose creation was not answered stays behind
        as an empty draft, because requests cannot be listed (spec 1.3).
        """
        known = _known_id(order, log)
        request = await (self._create(order, log) if known is None else read_request(self._client, known))
        request_id = str(request.id)
        if mapping.was_sent(request.status):
            return Started(request_id, request.status)
        if known is not None:
            await self._remove_strays(request, log)
        documents = await self._ensure_documents(order, log, request)
        for document in order.signing.documents:
            await self._ensure_actors(order.signing, log, request, document, documents[document.number])
        await log.inviting()
        return await self._send(request_id)

    async def _create(self, order: StartOrder, log: StartLog) -> RequestModel:
        body = mapping.to_wire_request(order.signing, self._config)
        request = (await self._client.call(operations.REQUESTS_CREATE, body=body)).read(RequestModel)
        await log.checkpoint(provider_signing_id=str(request.id))
        return request

    async def _remove_strays(self, request: RequestModel, log: StartLog) -> None:
        """Documents whose upload was not answered: they are uploaded anew, which is simpler than telling them apart."""
        recorded = set(log.facts.values())
        for document in request.documents or ():
            if str(document.id) not in recorded:
                ids = {"requestId": request.id, "documentId": document.id}
                await self._client.call(operations.DOCUMENTS_DELETE, ids)

    async def _ensure_documents(self, order: StartOrder, log: StartLog, request: RequestModel) -> dict[int, str]:
        """The provider's id per document number, all of them processed."""
        ids, waiting = {}, []
        for document in order.signing.documents:
            fact = f"document_{document.number}"
            document_id, is_ready = log.facts.get(fact), False
            if document_id is None:
                document_id, is_ready = await self._upload(order, request, document)
                await log.checkpoint(**{fact: document_id})
            ids[document.number] = document_id
            waiting += [] if is_ready else [document_id]
        await self._await_documents(request, waiting, log)
        return ids

    async def _upload(self, order: StartOrder, request: RequestModel, document: Document) -> tuple[str, bool]:
        file = mapping.to_wire_file(document, await order.read_document(document))
        reply = await self._client.call(operations.DOCUMENTS_CREATE, requestId=request.id, file=file)
        return str(reply.read(DocumentMetaDataModel).id), reply.status == 201

    async def _await_documents(self, request: RequestModel, document_ids: list[str], log: StartLog) -> None:
        """Raises NotReady when the pauses, one series for all documents, are used up."""
        pauses = iter(_DOCUMENT_PAUSES)
        for document_id in document_ids:
            ids = {"requestId": request.id, "documentId": document_id}
            while (await self._client.call(operations.DOCUMENTS_GET_STATUS, ids)).status == 202:
                seconds = next(pauses, None)
                if seconds is None:
                    raise NotReady(f"{NAME} is still processing a document.", provider_status_code=202)
                await self._pause(seconds)
                await log.alive()

    async def _ensure_actors(
        self, signing: Signing, log: StartLog, request: RequestModel, document: Document, document_id: str
    ) -> None:
        """No checkpoint: the actors that exist are seen in the request itself, which a resumed start reads first. Hence
        nobody may add any whose lease is gone: whoever took it over has read already."""
        wanted = mapping.to_wire_actors(signing, document)
        existing = [actor for actor in request.actors or () if str(actor.documentId) == document_id]
        ids = {"requestId": request.id, "documentId": document_id}
        for surplus in mapping.surplus_actors(wanted, existing):
            await self._client.call(operations.ACTORS_DELETE, ids, actorId=surplus)
        for actor in mapping.missing_actors(wanted, existing):
            await log.alive()
            await self._client.call(operations.ACTORS_CREATE, ids, body=actor)

    async def _send(self, request_id: str) -> Started:
        try:
            await self._client.call(operations.REQUESTS_SEND, requestId=request_id)
        except Rejected:
            # Most probably sent before: then the answer to that was lost, and this is the proof (spec 5, 409).
            request = await read_request(self._client, request_id)
            if not mapping.was_sent(request.status):
                raise
            return Started(request_id, request.status)
        return Started(request_id)


def _known_id(order: StartOrder, log: StartLog) -> str | None:
    return log.facts.get("provider_signing_id") or order.signing.provider_signing_id
