"""App processes that start fast: one process has everything imported already and splits off each new one.

The storm kills dozens of processes; on a small machine the imports of their successors would be most of its work.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from local.host.environment import child_environment
from local.host.process import HostProcess
from local.stack import ROOT

_AHEAD = ("local.host.__main__", "shared.bootstrap", "shared.api.signings", "shared.flow.reconcile", "function_app")


class Nursery:
    """Lives in the harness and talks to the process that splits."""

    def __init__(self, control: socket.socket) -> None:
        self._stream = control.makefile("rw", encoding="utf-8")

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Nursery]:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.chaos.nursery", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=child_environment({"PYTHONUNBUFFERED": "1"}),
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        try:
            yield cls(ours)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()  # whatever still runs ends with it
            ours.close()

    def split(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """The process id of a new host with these arguments."""
        order = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        self._stream.write(json.dumps(order) + "\n")
        self._stream.flush()
        return int(self._stream.readline())


class _Child:
    """What `HostProcess` needs of a process, for one that is not our own child. Its parent collects it."""

    stdin: IO[bytes] | None = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._send(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while self.poll() is None:
            time.sleep(0.002)
        return self.returncode or 0

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        if self.returncode is not None:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            self.returncode = 0


class NurseryHost(HostProcess):
    """A host whose processes come from the nursery."""

    def __init__(self, *positional: Any, nursery: Nursery, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._nursery = nursery

    def _spawn(self) -> _Child:
        _, _, _, *arguments = self._command()
        return _Child(self._nursery.split(arguments, self._environment(), self._log))


def main(control: socket.socket) -> None:
    for name in _AHEAD:
        importlib.import_module(name)
    del sys.modules["function_app"]  # the host loads it by itself
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children are collected by the system
    stream = control.makefile("rw", encoding="utf-8")
    for line in stream:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        stream.write(f"{pid}\n")
        stream.flush()


def _become(order: dict[str, Any]) -> None:
    """Does not return."""
    host = importlib.import_module("local.host.__main__")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()  # noqa: TID251 - settings reach the app through the environment, as from the host's own start
    os.environ.update(order["environment"])  # noqa: TID251
    random.seed()
    code = 1
    try:
        code = host.main(order["arguments"])
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
