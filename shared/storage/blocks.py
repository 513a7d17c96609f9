"""A stream of any chunk sizes becomes 8 MiB blocks, two on the wire at a time, hashed and inspected as they go.

8 MiB and two in flight measured best for one stream (host guide D4). At most four blocks are in memory: one being
filled, one waiting for its turn, two under way.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from azure.storage.blob.aio import BlobClient

from shared.ports import Inspector

BLOCK_BYTES = 8 * 1024 * 1024
IN_FLIGHT = 2


@dataclass(frozen=True)
class Uploaded:
    """`one_piece` is the whole content when it is small enough to be written by one request; nothing is staged then."""

    block_ids: tuple[str, ...]
    size: int
    sha256: str
    one_piece: bytes | None = None


class BlockUpload:
    """Stages the blocks of one attempt; nothing is visible until somebody commits them."""

    def __init__(self, client: BlobClient, attempt: str, inspector: Inspector | None) -> None:
        self._client = client
        self._attempt = attempt
        self._inspector = inspector
        self._hash = hashlib.sha256()
        self._ids: list[str] = []
        self._size = 0
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._order = asyncio.Lock()
        self._readings: list[asyncio.Task[None]] = []

    async def run(self, blocks: AsyncIterator[io.BytesIO]) -> Uploaded:
        """Raises the first error of the stream, the network or the inspector, once no block is under way any more."""
        under_way: list[asyncio.Task[None]] = []
        try:
            async for block in blocks:
                if isinstance(block, OnePiece):
                    await self._read(block)
                    return Uploaded((), block.getbuffer().nbytes, self._hash.hexdigest(), block.getvalue())
                await self._slots.acquire()
                _raise_first(under_way)
                task = asyncio.create_task(self._put(block, self._next_id(block)))
                under_way.append(task)
                task.add_done_callback(lambda _: self._slots.release())
            await asyncio.gather(*under_way)
        except BaseException:
            await _stop(under_way)
            raise
        finally:
            # Threads cannot be cancelled: nobody may go on before the last one has put its block down.
            await asyncio.gather(*self._readings, return_exceptions=True)
        return Uploaded(tuple(self._ids), self._size, self._hash.hexdigest())

    def _next_id(self, block: io.BytesIO) -> str:
        block_id = f"{self._attempt}-{len(self._ids):06}"
        self._ids.append(block_id)
        self._size += block.getbuffer().nbytes
        return block_id

    async def _put(self, block: io.BytesIO, block_id: str) -> None:
        reading = asyncio.create_task(self._read(block))
        self._readings.append(reading)
        # A file-like body: aiohttp warns of raw bytes over 1 MiB, and the SDK rewinds this one for a repeat.
        await self._client.stage_block(block_id, block, length=block.getbuffer().nbytes)
        await asyncio.shield(reading)

    async def _read(self, block: io.BytesIO) -> None:
        # Locks are granted in the order of asking, and tasks ask in the order of their making: blocks stay in order.
        async with self._order:
            await asyncio.to_thread(self._look_at, block)

    def _look_at(self, block: io.BytesIO) -> None:
        with block.getbuffer() as content:
            self._hash.update(content)
            if self._inspector is not None:
                self._inspector.feed(content)


class OnePiece(io.BytesIO):
    """A whole content that is small."""


async def full_blocks(chunks: AsyncIterator[bytes], one_piece_bytes: int = 0) -> AsyncGenerator[io.BytesIO, None]:
    """Blocks of exactly `BLOCK_BYTES`, the last one shorter; one copy per byte. A content of no more than
    `one_piece_bytes` comes as one `OnePiece`."""
    block = io.BytesIO()
    is_first = True
    async for chunk in chunks:
        rest = memoryview(chunk)
        while len(rest) >= (room := BLOCK_BYTES - block.tell()):
            block.write(rest[:room])
            is_first = False
            yield _rewound(block)
            rest, block = rest[room:], io.BytesIO()
        block.write(rest)
    if is_first and 0 < block.tell() <= one_piece_bytes:
        yield OnePiece(block.getvalue())
    elif block.tell():
        yield _rewound(block)


def _rewound(block: io.BytesIO) -> io.BytesIO:
    block.seek(0)
    return block


def _raise_first(tasks: list[asyncio.Task[None]]) -> None:
    """Lets the earliest block's error out, and forgets the tasks that are done."""
    for task in [task for task in tasks if task.done()]:
        tasks.remove(task)
        task.result()


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
