"""host.json: the few knobs that this host imitates, with the real host's defaults (host guide C1, C2)."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from local.host.environment import setting

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?")

_BODY_LIMIT = 104_857_600  # host guide C1; 210 MB on some plans


class ConfigError(Exception):
    """host.json holds something the real host would refuse too."""


@dataclass(frozen=True)
class QueueOptions:
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_seconds: float = 0.0
    max_polling_seconds: float = 60.0
    encoding: Literal["base64", "none"] = "base64"
    # The real host's fixed 10 minutes; shorter only so that tests need not wait.
    invisibility_seconds: float = 600.0


@dataclass(frozen=True)
class HostConfig:
    route_prefix: str = "api"
    body_limit: int = _BODY_LIMIT
    queues: QueueOptions = field(default_factory=QueueOptions)


def read_config(app_dir: Path, invisibility_seconds: float, max_polling_seconds: float | None) -> HostConfig:
    """Read `host.json` beside the app; a missing file means all defaults. Raises ConfigError."""
    path = app_dir / "host.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    extensions = content.get("extensions", {})
    return HostConfig(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        body_limit=int(setting("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or _BODY_LIMIT),
        queues=_queue_options(extensions.get("queues", {}), invisibility_seconds, max_polling_seconds),
    )


def _queue_options(queues: dict[str, object], invisibility: float, max_polling: float | None) -> QueueOptions:
    batch_size = _integer(queues, "batchSize", 16, 1, 32)
    encoding = queues.get("messageEncoding", "base64")
    if encoding not in ("base64", "none"):
        raise ConfigError(f"host.json: messageEncoding is 'base64' or 'none', not {encoding!r}.")
    polling = _seconds(queues, "maxPollingInterval", 60.0)
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=_integer(queues, "newBatchThreshold", batch_size // 2 * (os.cpu_count() or 1), 0, 1000),
        max_dequeue_count=_integer(queues, "maxDequeueCount", 5, 1, 1000),
        visibility_seconds=_seconds(queues, "visibilityTimeout", 0.0),
        max_polling_seconds=max(0.1, polling if max_polling is None else min(polling, max_polling)),
        encoding="base64" if encoding == "base64" else "none",
        invisibility_seconds=invisibility,
    )


def _integer(section: dict[str, object], name: str, default: int, low: int, high: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"host.json: {name} must be a number from {low} to {high}, not {value!r}.")
    return value


def _seconds(section: dict[str, object], name: str, default: float) -> float:
    value = section.get(name)
    return default if value is None else timespan_seconds(str(value))


def timespan_seconds(text: str) -> float:
    """Seconds of a .NET TimeSpan, `[d.]hh:mm:ss[.fffffff]`. Raises ConfigError."""
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        raise ConfigError(f"host.json: {text!r} is not a time span such as 00:00:30.")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(f"0.{match[5] or 0}")
