"""Starting a signing at Signicat: uploads that can be resumed, then the one call that makes it live (spec 5.2)."""

from __future__ import annotations

from shared import telemetry
from shared.domain.errors import ProviderNotFound
from shared.domain.signing import Document, Signing
from shared.ports import Started, StartLog, StartOrder, StartProof
from shared.providers.http import ProviderClient
from shared.providers.signicat import NAME, Config, mapping, operations
from shared.providers.signicat.wire import SigningOrder, TaskStatus, UploadDocumentResponse

OTHER_SIGNING = "other_signing"


async def read_order(client: ProviderClient, order_id: str, signing: Signing | None = None) -> SigningOrder:
    """Raises ProviderError; ProviderNotFound also for an order that was made for another signing than this one."""
    order = (await client.call(operations.GET_ORDER, orderId=order_id)).read(SigningOrder)
    if signing is not None and order.clientReference not in (None, signing.id):
        raise ProviderNotFound("The order at the provider belongs to another signing.", code=OTHER_SIGNING)
    return order


class Starter:
    """Starts of one account, and the search for proof of one that is uncertain."""

    def __init__(self, config: Config, client: ProviderClient) -> None:
        self._config, self._client = config, client

    async def start(self, order: StartOrder, log: StartLog) -> Started:
        """Nothing is visible to anybody before the order is created. A file whose upload was not answered stays behind
        unused, because uploads cannot be listed (spec 1.3)."""
        known = await self._known(order, log)
        if known is not None:
            return known
        if mapping.needs_other_language(order.signing):
            telemetry.warning("language_fallback", signing_id=order.signing.id, provider=NAME)
        uploads = await self._ensure_uploads(order, log)
        body = mapping.to_wire_order(order.signing, self._config, uploads, order.callback_url)
        await log.inviting()
        created = (await self._client.call(operations.CREATE_ORDER, body=body)).read(SigningOrder)
        return Started(created.id, TaskStatus.CREATED.value)

    async def prove(self, order: StartOrder, log: StartLog) -> StartProof:
        """Orders cannot be looked up. Only a callback can bring the id of one whose creation was not answered; until
        then it is not known whether there is one."""
        known = await self._known(order, log)
        return StartProof(None if known is None else True, known)

    async def _known(self, order: StartOrder, log: StartLog) -> Started | None:
        order_id = log.facts.get("provider_signing_id") or order.signing.provider_signing_id
        if order_id is None:
            return None
        found = await read_order(self._client, order_id, order.signing)
        return Started(found.id, TaskStatus.CREATED.value)

    async def _ensure_uploads(self, order: StartOrder, log: StartLog) -> dict[int, str]:
        """The provider's id of each document by number. How long an unused upload is kept is not public (spec 4), so
        those of an earlier attempt are looked after."""
        uploads = {}
        for document in order.signing.documents:
            fact = f"document_{document.number}"
            upload = log.facts.get(fact)
            if upload is None or not await self._is_there(upload):
                upload = await self._upload(order, document)
                await log.checkpoint(**{fact: upload})
            uploads[document.number] = upload
        return uploads

    async def _is_there(self, upload: str) -> bool:
        try:
            async with self._client.stream(operations.GET_DOCUMENT, documentId=upload):
                return True  # opened, not read
        except ProviderNotFound:
            return False

    async def _upload(self, order: StartOrder, document: Document) -> str:
        file = mapping.to_wire_file(document, await order.read_document(document))
        reply = await self._client.call(operations.UPLOAD_DOCUMENT, file=file)
        return reply.read(UploadDocumentResponse).documentId
