"""The Azurite launcher."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local import azurite as launcher
from local.azurite import Azurite, AzuriteError, free_ports

REPOSITORY = Path(__file__).parents[2]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_all_three_services_answer(azurite: Azurite) -> None:
    connection = azurite.connection_string
    with (
        BlobServiceClient.from_connection_string(connection) as blobs,
        QueueServiceClient.from_connection_string(connection) as queues,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        blobs.create_container("launcher").upload_blob("a", b"bytes")
        assert blobs.get_blob_client("launcher", "a").download_blob().readall() == b"bytes"
        queues.create_queue("launcher").send_message("text")
        message = queues.get_queue_client("launcher").receive_message()
        assert message is not None
        assert message.content == "text"
        tables.create_table("launcher").create_entity({"PartitionKey": "p", "RowKey": "r"})
        assert tables.get_table_client("launcher").get_entity("p", "r")["RowKey"] == "r"


def test_data_on_disk_outlives_a_restart_on_the_same_ports(tmp_path: Path) -> None:
    ports = free_ports()
    with (
        Azurite.start(tmp_path, ports) as azurite,
        QueueServiceClient.from_connection_string(azurite.connection_string) as client,
    ):
        client.create_queue("kept")
    assert not any(listens(port) for port in ports)
    with (
        Azurite.start(tmp_path, ports) as azurite,
        QueueServiceClient.from_connection_string(azurite.connection_string) as client,
    ):
        assert [queue.name for queue in client.list_queues()] == ["kept"]


def test_a_taken_port_is_said_with_azurites_own_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        blob, queue, _ = free_ports()
        with pytest.raises(AzuriteError, match="EADDRINUSE"):
            Azurite.start(ports=(blob, queue, taken.getsockname()[1]))


def test_it_does_not_outlive_its_starter() -> None:
    starter = f"""
import os
from local.azurite import Azurite
print(Azurite.start().ports[2], flush=True)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    done = subprocess.run(
        [sys.executable, "-c", starter], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )

    port = int(done.stdout)
    deadline = time.monotonic() + 60
    while listens(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_command_installs_only_what_is_missing() -> None:
    command = [sys.executable, "-m", "local.azurite", "install"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "")
    assert launcher.installed_version() == launcher.VERSION


def test_an_install_without_the_right_version_counts_as_none(tmp_path: Path) -> None:
    assert launcher.installed_version(tmp_path) is None
    package = tmp_path / "node_modules" / "azurite"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "3.0.0"}', encoding="utf-8")
    assert launcher.installed_version(tmp_path) == "3.0.0"
