"""What a provider is given to start a signing with."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.signing import Document, Signing
from shared.ports import App, StartOrder


def order_for(app: App, signing: Signing, contents: Mapping[int, bytes]) -> StartOrder:
    async def read(document: Document) -> bytes:
        content = contents.get(document.number)
        return content if content is not None else await app.documents.read_staged(document.blob)

    url = app.addresses.for_signing(signing.provider, signing.account, signing.id)
    return StartOrder(signing=signing, callback_url=url, read_document=read)
