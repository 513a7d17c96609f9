"""Which queues an order may name for its answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from shared.domain.messages import POISON_SUFFIX, Queue

DEFAULT_REPLY_QUEUES = ("signing-replies",)

_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_PATTERN = re.compile(r"[a-z0-9*-]{1,63}", re.ASCII)
# The Functions host keeps its own work there.
_OF_THE_HOST = "azure-webjobs-"


def is_reply_pattern(text: str) -> bool:
    """A queue's name, in which `*` stands for anything."""
    return _PATTERN.fullmatch(text) is not None


def may_be_replied_to(name: str, allowed: Iterable[str]) -> bool:
    """Whether `name` is a queue's name that `allowed` covers, and certainly none that this app or its host reads."""
    if not _NAME.fullmatch(name) or name in {queue.value for queue in Queue}:
        return False
    if name.endswith(POISON_SUFFIX) or name.startswith(_OF_THE_HOST):
        return False
    return any(fnmatchcase(name, pattern) for pattern in allowed)
