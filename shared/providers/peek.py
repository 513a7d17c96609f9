"""A look at the first bytes of a stream, which then still starts with them."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def head_of(chunks: AsyncIterator[bytes], size: int) -> bytes:
    """At least `size` bytes, or all there are."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return head


async def rejoined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream that `head` was taken from, whole again."""
    yield head
    async for chunk in rest:
        yield chunk
