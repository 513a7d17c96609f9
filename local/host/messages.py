"""The pure part of the queue trigger: what becomes of a message, and when to look again (host guide C2)."""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

_POISON = "-poison"
_LONGEST_QUEUE_NAME = 63
_MIN_POLLING_SECONDS = 0.1
_JITTER = 0.2


class UndecodableMessage(ValueError):
    """The text is not base64 although `messageEncoding` says so."""


class Verdict(Enum):
    DELETE = auto()
    RELEASE = auto()  # visible again after `visibilityTimeout`
    POISON = auto()  # copied to the poison queue, then deleted
    LEAVE = auto()  # nothing: it stays invisible until the invisibility runs out


def poison_queue_name(queue: str) -> str | None:
    """None for poison queues themselves and for names that leave no room for the suffix."""
    if queue.endswith(_POISON) or len(queue) + len(_POISON) > _LONGEST_QUEUE_NAME:
        return None
    return queue + _POISON


def decode(text: str, encoding: Literal["base64", "none"]) -> str:
    """What the function sees. Raises UndecodableMessage."""
    if encoding == "none":
        return text
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", errors="replace")
    except binascii.Error as error:
        raise UndecodableMessage from error


def may_run(dequeue_count: int, max_dequeue_count: int) -> bool:
    return dequeue_count <= max_dequeue_count


def verdict_without_running(poison_queue: str | None) -> Verdict:
    """For a message that was taken too often, or cannot be decoded."""
    return Verdict.LEAVE if poison_queue is None else Verdict.POISON


def verdict_after_running(succeeded: bool, dequeue_count: int, max_dequeue_count: int, poison: str | None) -> Verdict:
    if succeeded:
        return Verdict.DELETE
    if poison is None:  # released, it would come back at once, for ever
        return Verdict.LEAVE
    return Verdict.POISON if dequeue_count >= max_dequeue_count else Verdict.RELEASE


@dataclass
class Backoff:
    """The pause before the next look at an empty queue: 100 ms, doubling, 20 % either way, up to a maximum."""

    max_seconds: float
    _empty_looks: int = 0

    def reset(self) -> None:
        self._empty_looks = 0

    def next_seconds(self) -> float:
        base: float = min(_MIN_POLLING_SECONDS * 2**self._empty_looks, self.max_seconds)
        if base < self.max_seconds:
            self._empty_looks += 1
        return min(base * random.uniform(1 - _JITTER, 1 + _JITTER), self.max_seconds)
