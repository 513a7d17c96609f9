"""Blocks that come from outside as one stream, for a generator that suspends when it needs more."""

from __future__ import annotations

from collections.abc import Generator

from shared.evidence.archive import truncated

_NOTHING = memoryview(b"")


class ByteStream:
    """Large content is looked at in place (`view`, `skip`); only headers are copied. No block is held on to between two
    feeds, because its memory belongs to the feeder.

    Generator methods are for `yield from`: each suspends until a block is offered, or `ended` is set.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.ended = False
        self._ahead = b""
        self._block = _NOTHING

    def offer(self, block: memoryview) -> None:
        self._block = block

    def let_go(self) -> None:
        self._block = _NOTHING

    @property
    def view(self) -> memoryview:
        """Some of what has come and is not used up; empty when there is nothing."""
        return memoryview(self._ahead) if self._ahead else self._block

    def skip(self, count: int) -> None:
        """Uses up `count` bytes of `view`."""
        self.offset += count
        if self._ahead:
            self._ahead = self._ahead[count:]
        else:
            self._block = self._block[count:]

    def has_more(self) -> Generator[None, None, bool]:
        """False at the end of the stream, else True once `view` holds something."""
        while not len(self.view):
            if self.ended:
                return False
            yield
        return True

    def peek(self, count: int) -> Generator[None, None, bytes]:
        """The next `count` bytes, fewer at the end of the stream, without using them up."""
        while len(self._ahead) < count:
            missing = count - len(self._ahead)
            self._ahead += bytes(self._block[:missing])
            self._block = self._block[missing:]
            if len(self._ahead) < count:
                if self.ended:
                    break
                yield
        return self._ahead[:count]

    def take(self, count: int) -> Generator[None, None, bytes]:
        """Uses up the next `count` bytes. Raises ArchiveNotReady when the stream ends before."""
        found = yield from self.peek(count)
        if len(found) < count:
            raise truncated()
        self._ahead = self._ahead[count:]
        self.offset += count
        return found
