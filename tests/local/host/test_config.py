"""host.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.host.config import ConfigError, read_config, timespan_seconds


def test_defaults_are_those_of_the_real_host(tmp_path: Path) -> None:
    config = read_config(tmp_path, 600, None)

    assert (config.route_prefix, config.body_limit) == ("api", 104857600)
    queues = config.queues
    assert (queues.batch_size, queues.max_dequeue_count, queues.encoding) == (16, 5, "base64")
    assert (queues.visibility_seconds, queues.max_polling_seconds, queues.invisibility_seconds) == (0, 60, 600)


def test_values(tmp_path: Path) -> None:
    queues = {
        "batchSize": 4,
        "newBatchThreshold": 0,
        "maxDequeueCount": 3,
        "visibilityTimeout": "00:00:30",
        "maxPollingInterval": "00:00:10",
        "messageEncoding": "none",
    }
    content = {"extensions": {"http": {"routePrefix": "v1"}, "queues": queues}}
    (tmp_path / "host.json").write_text(json.dumps(content), encoding="utf-8")

    config = read_config(tmp_path, 5, 0.5)

    assert config.route_prefix == "v1"
    assert (config.queues.batch_size, config.queues.new_batch_threshold, config.queues.max_dequeue_count) == (4, 0, 3)
    assert (config.queues.visibility_seconds, config.queues.max_polling_seconds) == (30, 0.5)
    assert (config.queues.encoding, config.queues.invisibility_seconds) == ("none", 5)


@pytest.mark.parametrize(
    "queues", [{"batchSize": 33}, {"batchSize": "4"}, {"messageEncoding": "hex"}, {"visibilityTimeout": "30"}]
)
def test_what_the_real_host_would_refuse(tmp_path: Path, queues: dict[str, object]) -> None:
    (tmp_path / "host.json").write_text(json.dumps({"extensions": {"queues": queues}}), encoding="utf-8")

    with pytest.raises(ConfigError):
        read_config(tmp_path, 600, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:30", 30), ("01:02:03", 3723), ("1.00:00:00", 86400), ("00:00:00.1000000", 0.1)]
)
def test_time_spans(text: str, seconds: float) -> None:
    assert timespan_seconds(text) == pytest.approx(seconds)
