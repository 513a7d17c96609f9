"""One call of one function: async ones on the host's loop, sync ones in a thread pool, a log line for each."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.host.environment import setting
from local.host.index import HttpTrigger, IndexedFunction

logger = logging.getLogger("host")

_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class InvocationError(Exception):
    """The function returned something that its bindings have no place for."""


@dataclass(frozen=True)
class TraceContext:
    trace_parent: str
    trace_state: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def continuing(cls, trace_parent: str, trace_state: str) -> TraceContext:
        """A new span of the caller's trace, or of a new trace when the caller names none."""
        match = _TRACE_PARENT.fullmatch(trace_parent)
        trace_id = match[1] if match else secrets.token_hex(16)
        return cls(f"00-{trace_id}-{secrets.token_hex(8)}-01", trace_state if match else "")


@dataclass(frozen=True)
class RetryContext:
    retry_count: int = 0
    max_retry_count: int = 0
    exception: None = None


@dataclass(frozen=True)
class Context:
    """What a function's `context` parameter offers."""

    invocation_id: str
    function_name: str
    function_directory: str
    trace_context: TraceContext
    retry_context: RetryContext = field(default_factory=RetryContext)
    thread_local_storage: threading.local = field(default_factory=threading.local)


class Invoker:
    def __init__(self, app_dir: Path) -> None:
        self._app_dir = app_dir
        threads = setting("PYTHON_THREADPOOL_THREAD_COUNT")
        self._threads = ThreadPoolExecutor(max_workers=int(threads) if threads else None)

    async def call(
        self, function: IndexedFunction, argument: object, trace_parent: str = "", trace_state: str = ""
    ) -> Any:
        """The function's result. Whatever it raises is logged and raised on."""
        trace = TraceContext.continuing(trace_parent, trace_state)
        context = Context(str(uuid.uuid4()), function.name, str(self._app_dir), trace)
        started = time.monotonic()
        try:
            result = await self._run(function, argument, context)
            if result is not None and not isinstance(function.trigger, HttpTrigger):
                raise InvocationError(f"{function.name} returned a value but has no $return binding.")
        except Exception:
            logger.exception("invocation", extra=_facts(context, started, "failed"))
            raise
        logger.info("invocation", extra=_facts(context, started, "succeeded"))
        return result

    async def _run(self, function: IndexedFunction, argument: object, context: Context) -> Any:
        arguments: dict[str, object] = {function.parameter: argument}
        if function.wants_context:
            arguments["context"] = context
        if function.is_async:
            return await function.call(**arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _call_sync, function, arguments)


def _call_sync(function: IndexedFunction, arguments: dict[str, object]) -> Any:
    try:
        return function.call(**arguments)
    except StopIteration as error:  # cannot travel through a future: the caller would wait for ever
        raise InvocationError(f"StopIteration escaped from {function.name}.") from error


def _facts(context: Context, started: float, outcome: str) -> dict[str, object]:
    return {
        "function": context.function_name,
        "invocation_id": context.invocation_id,
        "duration_ms": round((time.monotonic() - started) * 1000),
        "outcome": outcome,
    }
