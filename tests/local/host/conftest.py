"""The sample app with a host.json of the test's choice, and queues of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.queue.aio import QueueClient

from local.azurite import Azurite
from local.host.process import HostProcess

SAMPLE = Path(__file__).parent / "sample_app" / "function_app.py"


@dataclass(frozen=True)
class Sample:
    """A copy of the sample app, its settings, and the names of its queues."""

    app_dir: Path
    settings: dict[str, str]

    def host(self, invisibility_seconds: float = 600.0) -> HostProcess:
        return HostProcess(
            self.app_dir, self.settings, invisibility_seconds=invisibility_seconds, max_polling_seconds=0.2
        )

    def queue(self, name: str, suffix: str = "") -> QueueClient:
        """The queue behind the setting `name`."""
        return QueueClient.from_connection_string(
            self.settings["AzureWebJobsStorage"], self.settings[f"{name}_QUEUE"] + suffix
        )


def copy_sample(folder: Path, connection_string: str, **queues: object) -> Sample:
    shutil.copy(SAMPLE, folder)
    host_json = {"version": "2.0", "extensions": {"queues": queues}}
    (folder / "host.json").write_text(json.dumps(host_json), encoding="utf-8")
    unique = uuid.uuid4().hex[:8]
    names = {f"{name}_QUEUE": f"{name.lower()}-{unique}" for name in ("ORDERS", "LATE", "ANSWERING", "DEAD")}
    settings = {
        "AzureWebJobsStorage": connection_string,
        "AzureWebJobs.disabled.Disabled": "true",
        "RARELY": "0 0 0 29 2 mon",
        **names,
    }
    return Sample(folder, settings)


@pytest.fixture
def make_sample(azurite: Azurite, tmp_path: Path) -> Callable[..., Sample]:
    return lambda **queues: copy_sample(tmp_path, azurite.connection_string, **queues)


async def until(condition: Callable[[], bool], host: HostProcess, seconds: float = 60.0) -> None:
    """Wait for `condition`; fails with the host's log."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, host.log_text()
        await asyncio.sleep(0.03)
