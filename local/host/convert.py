"""Between the wire and what functions see, through the very converters that the platform's worker uses.

Their classes matter: `func.QueueMessage` built by hand never has a dequeue count, the converter's does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.functions.http import HttpRequestConverter, HttpResponseConverter
from azure.functions.meta import Datum
from azure.functions.queue import QueueMessageInConverter
from azure.functions.timer import TimerRequestConverter


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class MessageFacts:
    """What the service says about a queue message."""

    id: str
    dequeue_count: int
    pop_receipt: str
    inserted_at: datetime | None
    expires_at: datetime | None
    next_visible_at: datetime | None


def http_request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    route: Mapping[str, str],
    body: bytes,
) -> Any:
    fields = {
        "method": Datum(method, "string"),
        "url": Datum(url, "string"),
        "headers": _strings(headers),
        "query": _strings(query),
        "params": _strings(route),
        "body": Datum(body, "bytes"),
    }
    return HttpRequestConverter.decode(Datum(fields, "http"), trigger_metadata=None)


def http_response(result: object) -> Response:
    """Raises NotImplementedError for anything that is neither a response nor a string, None included."""
    datum = HttpResponseConverter.encode(result, expected_type=None)
    if datum.type == "string":
        return Response(200, [("Content-Type", "text/plain; charset=utf-8")], datum.value.encode())
    fields = datum.value
    headers = [(name, value.value) for name, value in fields["headers"].items()]
    for cookie in fields["cookies"] or ():
        headers.extend(("Set-Cookie", morsel.OutputString()) for morsel in cookie.values())
    return Response(int(fields["status_code"].value), headers, fields["body"].value)


def queue_message(text: str, facts: MessageFacts) -> Any:
    metadata = {
        "Id": Datum(facts.id, "string"),
        "DequeueCount": Datum(str(facts.dequeue_count), "string"),
        "PopReceipt": Datum(facts.pop_receipt, "string"),
        "InsertionTime": _moment(facts.inserted_at),
        "ExpirationTime": _moment(facts.expires_at),
        "NextVisibleTime": _moment(facts.next_visible_at),
    }
    return QueueMessageInConverter.decode(Datum(text, "string"), trigger_metadata=metadata)


def timer_request() -> Any:
    info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    return TimerRequestConverter.decode(Datum(json.dumps(info), "json"), trigger_metadata=None)


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _moment(value: datetime | None) -> Datum | None:
    return None if value is None else Datum(json.dumps(value.isoformat()), "json")
