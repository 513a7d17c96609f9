"""A process that can die at any call it makes: just before the call, or after it took effect but was not yet learnt.

Every port of the App is put behind a stand-in that names each call and asks a gate whether to go on. `Killed` is no
`Exception`, so that nothing in the product can take it for a failure; and a dead process does nothing more: whatever
a `finally` may try after that is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from shared.domain.messages import Queue

BEFORE, AFTER = "before", "after"

# Asked twice for each call: by its number in this process, name and moment. Returns to let the process go on, raises
# Killed to end it.
Gate = Callable[[int, str, str], Awaitable[None]]


class Killed(BaseException):
    """The process is gone."""


class Life:
    """What the stand-ins of one process share."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._calls = 0
        self.is_over = False

    def count(self) -> int:
        """The number of a new call, from 1. Calls may lie within others: a stream is read while it is written."""
        self._calls += 1
        return self._calls

    async def point(self, number: int, call: str, moment: str) -> None:
        self.require()
        try:
            await self._gate(number, call, moment)
        except Killed:
            self.is_over = True
            raise
        self.require()

    def require(self) -> None:
        if self.is_over:
            raise Killed


class StandIn:
    """Passes every call on to `target`; coroutine functions are points."""

    def __init__(self, life: Life, port: str, target: object) -> None:
        self._life = life
        self._port = port
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if inspect.iscoroutinefunction(found):
            return self._watched(f"{self._port}.{name}", found)
        if name == "open_random":
            return lambda written: StandIn(self._life, "file", found(written))
        return found

    def _watched(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            number, shown = self._life.count(), name + _detail(name, args)
            await self._life.point(number, shown, BEFORE)
            answer = await call(*args, **kwargs)
            await self._life.point(number, shown, AFTER)
            return answer

        return watched


def _detail(name: str, args: tuple[Any, ...]) -> str:
    """Which queue a message goes to, and what kind of entry a save brings: so that points can be told apart."""
    if args and isinstance(args[0], Queue):
        return f" {args[0].value}"
    if name == "signings.claim":
        return f" {args[0]}"
    if args and isinstance(args[-1], list | tuple):
        kinds = [str(entry.kind) for entry in args[-1] if hasattr(entry, "kind")]
        return f" {'+'.join(dict.fromkeys(kinds))}" if kinds else ""
    return ""


def standing_in(life: Life, port: str, target: object) -> Any:
    """Typed as anything: it is whatever `target` is."""
    return StandIn(life, port, target)


async def always_open(number: int, call: str, moment: str) -> None:
    """The gate of a process that lives on."""
