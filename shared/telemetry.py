"""Logs as facts: one JSON object a line, ids and codes only. Counters beside them. The trace travels in messages.

The Functions host forwards the text of a log record and nothing of its `extra`, hence JSON in the text. The list of
field names is closed: a new one is a decision about what may leave the process, made in review.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from contextvars import ContextVar
from typing import TypedDict, Unpack

_LOGGER = logging.getLogger("countersign")


class LogFields(TypedDict, total=False):
    """The agreed field names; mypy refuses any other."""

    account: str | None
    attempt: int
    code: str | None
    count: int
    delay_seconds: float
    duration_ms: int
    event_key: str | None
    from_state: str
    function: str
    message_id: str
    operation: str
    provider: str | None
    provider_request_id: str | None
    provider_signing_id: str | None
    provider_status: str | None
    provider_status_code: int | None
    queue: str
    reason: str | None
    signing_id: str | None
    size: int
    source: str
    state: str
    status: int


# These write addresses of blobs, and with them names of documents, at INFO.
for _noisy in ("azure.core.pipeline.policies.http_logging_policy", "httpx", "httpcore"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

counters: Counter[str] = Counter()
"""Counted since this process began: event name, with its reason behind a colon."""

# W3C trace context, version 00 or a later one of the same form. It may come from anybody on the internet.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def _write(level: int, event: str, fields: LogFields) -> None:
    reason = fields.get("reason")
    counters[f"{event}:{reason}" if reason else event] += 1
    if not _LOGGER.isEnabledFor(level):
        return
    known = {name: value for name, value in fields.items() if value is not None}
    trace = {"traceparent": _traceparent.get()} if _traceparent.get() else {}
    _LOGGER.log(level, "%s", json.dumps({"event": event, **known, **trace}, default=str))


def info(event: str, **fields: Unpack[LogFields]) -> None:
    """Something expected happened."""
    _write(logging.INFO, event, fields)


def warning(event: str, **fields: Unpack[LogFields]) -> None:
    """Something that a person may want to look at, but that the product deals with."""
    _write(logging.WARNING, event, fields)


def error(event: str, **fields: Unpack[LogFields]) -> None:
    """Something that a person has to look at."""
    _write(logging.ERROR, event, fields)


def enter_trace(traceparent: str | None) -> None:
    """Makes `traceparent` (W3C) the one that this invocation's logs and messages carry. Anything that does not have
    its exact form is passed over: it would put a sender's own words into both."""
    is_one = traceparent is not None and _TRACEPARENT.fullmatch(traceparent) is not None
    _traceparent.set(traceparent if is_one else None)


def current_trace() -> str | None:
    """The W3C traceparent of this invocation, to be put into messages."""
    return _traceparent.get()
