"""The host as a child process, for tests and the demo.

    async with HostProcess(app_dir, {"AzureWebJobsStorage": azurite.connection_string}) as host:
        await client.get(f"{host.base_url}/api/health")

It gets `settings` as its whole environment (beside PATH and the like), and it never outlives the process that
started it. After `kill()` or `stop()` it can be started again: same port, same keys, same log.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import aiohttp

from local.host.environment import child_environment
from local.host.keys import Keys

_REPOSITORY = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.02


class HostError(Exception):
    """The host did not start or stop, or refused an admin call; the message ends with the end of its log."""


class Child(Protocol):
    """A running process, as `subprocess.Popen` is one."""

    stdin: IO[bytes] | None

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...

    def terminate(self) -> None: ...


def new_keys() -> Keys:
    return Keys(function=secrets.token_urlsafe(24), master=secrets.token_urlsafe(24))


class HostProcess:
    def __init__(
        self,
        app_dir: Path,
        settings: Mapping[str, str],
        *,
        port: int = 0,
        invisibility_seconds: float = 600.0,
        max_polling_seconds: float | None = None,
        keys: Keys | None = None,
        preload: str | None = None,
    ) -> None:
        """`keys` are shared by the instances of one app. `preload` names a module that is imported before the app."""
        keys = keys or new_keys()
        self.function_key, self.master_key = keys.function, keys.master
        self.base_url = ""
        self._port = port
        self._app_dir = app_dir
        self._settings = dict(settings)
        self._flags = [f"--invisibility-seconds={invisibility_seconds}"]
        if max_polling_seconds is not None:
            self._flags.append(f"--max-polling-seconds={max_polling_seconds}")
        if preload is not None:
            self._flags.append(f"--preload={preload}")
        self._folder = tempfile.TemporaryDirectory(prefix="countersign-host-")
        self._log = Path(self._folder.name) / "log"
        self._ready = Path(self._folder.name) / "ready"
        self._process: Child | None = None

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Return when the host listens and polls. Raises HostError, the process being gone then."""
        if self.is_running:
            raise HostError("The host runs already.")
        self._close_stdin()
        self._ready.unlink(missing_ok=True)
        self._process = self._spawn()
        deadline = time.monotonic() + timeout_seconds
        while not self._ready.exists():
            if not self.is_running:
                self._close_stdin()
                raise HostError(f"The host ended with code {self.exit_code}.\n{self._log_end()}")
            if time.monotonic() > deadline:
                self.kill()
                raise HostError(f"The host is not ready after {timeout_seconds:g} s.\n{self._log_end()}")
            await asyncio.sleep(_POLL_SECONDS)
        self.base_url = self._ready.read_text(encoding="utf-8")
        self._port = int(self.base_url.rpartition(":")[2])

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that runs. Raises HostError when there is none."""
        if self._process is None or not self.is_running:
            raise HostError("The host does not run.")
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it listens and polls."""
        return self.is_running and self._ready.exists()

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    async def run_function(self, name: str, text: str = "") -> bool:
        """Run a timer or queue function once, now, and say whether it succeeded. `text` is the message of a queue
        function. Raises HostError when there is no such function."""
        url = f"{self.base_url}/admin/functions/{name}"
        headers = {"x-functions-key": self.master_key, "Prefer": "wait"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"input": text}, headers=headers) as answer,
        ):
            if answer.status != 202:
                raise HostError(f"The host answered {answer.status} to running {name}.\n{self._log_end()}")
            return bool((await answer.json())["succeeded"])

    def log_text(self) -> str:
        """Everything that the host and the app wrote so far, over all starts."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """SIGKILL: messages under way stay invisible, as when Azure loses an instance."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_stdin()

    async def stop(self, timeout_seconds: float = 15.0) -> int:
        """SIGTERM, then wait; the exit code. Raises HostError after killing a host that does not stop."""
        if self._process is None:
            return 0
        self._process.terminate()
        deadline = time.monotonic() + timeout_seconds
        while self.is_running:
            if time.monotonic() > deadline:
                self.kill()
                raise HostError(f"The host did not stop within {timeout_seconds:g} s.\n{self._log_end()}")
            await asyncio.sleep(_POLL_SECONDS)
        self._close_stdin()
        return self._process.returncode or 0

    async def close(self) -> None:
        """Stop for good: the log goes too."""
        try:
            await self.stop()
        finally:
            self._folder.cleanup()

    async def __aenter__(self) -> HostProcess:
        try:
            await self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _spawn(self) -> Child:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command(),
                cwd=_REPOSITORY,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "local.host", f"--app-dir={self._app_dir}", f"--port={self._port}"]
        return [*command, f"--ready-file={self._ready}", "--end-with-stdin", *self._flags]

    def _environment(self) -> dict[str, str]:
        keys = {"LOCAL_FUNCTIONS_KEY": self.function_key, "LOCAL_FUNCTIONS_MASTER_KEY": self.master_key}
        return child_environment({"PYTHONUNBUFFERED": "1", **self._settings, **keys})

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _log_end(self) -> str:
        return self.log_text()[-4000:]
