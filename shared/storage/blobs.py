"""Bytes in blob storage. Addresses in our records are `container/path`.

inbox/…                                          what callers put there to be signed; only read here
staging/{signing id}/…                           a caller's documents, until the provider has them
signed/{account}/{yyyy}/{mm}/{signing id}/…      written once, never changed
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import BlobClient

from shared.domain.blob_address import is_plain
from shared.domain.errors import AlreadyExists, NotFound, TooLarge
from shared.domain.inbox import inbox_address
from shared.ports import Inspector, RandomAccess, WrittenBlob
from shared.storage.blocks import BlockUpload, full_blocks
from shared.storage.clients import CONTAINERS, INBOX, STAGING, StorageClients

# The SDK hands a blob that it sends in one piece to aiohttp as raw bytes, which warns from here on.
_ONE_PUT_BYTES = 1024 * 1024
# Index tags: at most ten, and only these characters.
_TAGS = 10
_TAG_FORBIDDEN = re.compile(r"[^A-Za-z0-9 +\-./:=_]")
_TAG_LENGTH = 256


class BlobDocumentStore:
    """`ports.DocumentStore` on blob storage."""

    def __init__(self, clients: StorageClients) -> None:
        self._clients = clients

    async def stage(self, blob: str, content: bytes, media_type: str) -> None:
        client, settings = self._blob(blob), _settings(blob, media_type)
        if len(content) <= _ONE_PUT_BYTES:
            await client.upload_blob(content, overwrite=True, content_settings=settings)
            return
        async with aclosing(full_blocks(_single(content))) as blocks:
            done = await BlockUpload(client, secrets.token_hex(8), None).run(blocks)
        await client.commit_block_list([BlobBlock(block_id) for block_id in done.block_ids], content_settings=settings)

    async def read_staged(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        try:
            stream = await self._blob(blob).download_blob()
            if max_bytes is not None and stream.size > max_bytes:
                raise TooLarge(f"The blob has {stream.size} bytes; at most {max_bytes} are read.")
            return await stream.readall()
        except ResourceNotFoundError as error:
            raise NotFound(f"There is no staged document {blob}.") from error

    def inbox_address(self, address: str) -> str | None:
        return inbox_address(address, self._clients.container(INBOX).url)

    async def delete_staged(self, blobs: Sequence[str]) -> None:
        for blob in blobs:
            if not blob.startswith(f"{STAGING}/"):
                raise ValueError("only staged documents are deleted like this")
            await _delete_if_there(self._blob(blob))

    async def staged_before(self, before: datetime) -> AsyncIterator[WrittenBlob]:
        async for item in self._clients.container(STAGING).list_blobs():
            if item.last_modified < before:
                yield _written(f"{STAGING}/{item.name}", item.size, "", item.etag, item.last_modified)

    async def write_once(
        self,
        blob: str,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        tags: Mapping[str, str],
        inspector: Inspector | None = None,
    ) -> WrittenBlob:
        client = self._blob(blob)
        # The blocks of two writers of one blob live side by side: each commits its own only.
        attempt = secrets.token_hex(8)
        upload = BlockUpload(client, attempt, inspector)
        async with aclosing(full_blocks(chunks, one_piece_bytes=_ONE_PUT_BYTES)) as blocks:
            done = await upload.run(blocks)
        if inspector is not None:
            inspector.finish()
        facts: dict[str, Any] = {
            "content_settings": _settings(blob, media_type),
            "metadata": {"sha256": done.sha256, "attempt": attempt},
            "tags": _tags(tags),
        }
        try:
            if done.one_piece is not None:
                answer = await client.upload_blob(done.one_piece, overwrite=False, **facts)
            else:
                parts = [BlobBlock(block_id) for block_id in done.block_ids]
                answer = await client.commit_block_list(parts, match_condition=MatchConditions.IfMissing, **facts)
        except HttpResponseError as error:
            # 409 BlobAlreadyExists from storage; ResourceModifiedError is what 412 becomes.
            if error.status_code not in {409, 412}:
                raise
            return await self._written_by(blob, attempt, error)
        return _written(blob, done.size, done.sha256, answer["etag"], answer["last_modified"])

    async def describe(self, blob: str) -> WrittenBlob | None:
        try:
            found = await self._blob(blob).get_blob_properties()
        except ResourceNotFoundError:
            return None
        sha256 = (found.metadata or {}).get("sha256", "")
        return _written(blob, found.size, sha256, found.etag, found.last_modified)

    def open_random(self, written: WrittenBlob) -> RandomAccess:
        return BlobRandomAccess(self._blob(written.blob), written.size, written.etag)

    async def delete(self, blob: str, etag: str) -> None:
        """A blob that is gone, or that is not the one written, is left at that."""
        try:
            await self._blob(blob).delete_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
        except (ResourceNotFoundError, ResourceModifiedError):
            return

    async def _written_by(self, blob: str, attempt: str, error: HttpResponseError) -> WrittenBlob:
        """What is there, when the refused commit had in truth been done: the SDK repeats a request whose answer was
        lost, and storage may have carried out the first."""
        found = await self._blob(blob).get_blob_properties()
        if (found.metadata or {}).get("attempt") != attempt:
            raise AlreadyExists(f"blob {blob} exists") from error
        return _written(blob, found.size, found.metadata["sha256"], found.etag, found.last_modified)

    def _blob(self, blob: str) -> BlobClient:
        container, _, path = blob.partition("/")
        if container not in CONTAINERS or not is_plain(blob):
            raise ValueError("a blob address is container/path, without dots for steps")
        return self._clients.blob(container, path)


class BlobRandomAccess:
    """`ports.RandomAccess` on one version of a blob: a read of anything else fails."""

    def __init__(self, client: BlobClient, size: int, etag: str) -> None:
        self._client = client
        self._etag = etag
        self._whole: bytes | None = None
        self.size = size

    async def read(self, offset: int, length: int) -> bytes:
        if self.size > _ONE_PUT_BYTES:
            return await self._read(offset, length)
        if self._whole is None:
            # A small blob is cheaper to fetch once than in two pieces.
            self._whole = await self._read(0, self.size)
        return self._whole[offset : offset + length]

    async def _read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            stream = await self._client.download_blob(
                offset=offset, length=length, etag=self._etag, match_condition=MatchConditions.IfNotModified
            )
            content: bytes = await stream.readall()
        except (ResourceNotFoundError, ResourceModifiedError) as error:
            raise NotFound("This version of the blob is gone.") from error
        return content


async def _single(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _delete_if_there(client: BlobClient) -> None:
    try:
        await client.delete_blob()
    except ResourceNotFoundError:
        return


def _written(blob: str, size: int, sha256: str, etag: Any, written_at: Any) -> WrittenBlob:
    if not isinstance(written_at, datetime):
        raise TypeError("storage did not say when the blob was written")
    return WrittenBlob(blob, size, sha256, str(etag), written_at)


def _settings(blob: str, media_type: str) -> ContentSettings:
    name = quote(blob.rsplit("/", 1)[-1], safe="")
    return ContentSettings(content_type=media_type, content_disposition=f"attachment; filename*=UTF-8''{name}")


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Storage refuses the whole commit for one wrong character in a caller's reference, so they are replaced."""
    return {name: _TAG_FORBIDDEN.sub("_", value)[:_TAG_LENGTH] for name, value in list(tags.items())[:_TAGS]}
