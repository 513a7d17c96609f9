"""The life of a host: index, listen, say so, and end without cutting off what runs."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from local.host import environment
from local.host.admin import Admin
from local.host.config import HostConfig, read_config
from local.host.http import HttpFunctions
from local.host.index import IndexedFunction, QueueTrigger, TimerTrigger, index_app
from local.host.invoke import Invoker
from local.host.keys import Keys
from local.host.queues import QueueListener
from local.host.singleton import RECOVERY_SECONDS, Singleton, lock_blob
from local.host.timers import TimerListener

logger = logging.getLogger("host")

GRACE_SECONDS = 5.0
# Kestrel's limits, rounded up: one line, one header.
_LONGEST_LINE = 16_384
_LONGEST_HEADER = 32_768


@dataclass(frozen=True)
class Options:
    app_dir: Path
    port: int
    keys: Keys
    invisibility_seconds: float
    max_polling_seconds: float | None
    ready_file: Path | None
    end_with_stdin: bool
    preload: str | None = None


async def serve(options: Options) -> None:
    """Run the host until SIGTERM or SIGINT. Raises what indexing raises, before anything listens."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    if options.end_with_stdin:
        _stop_when_stdin_ends(stop)
    with socket.create_server(("127.0.0.1", options.port)) as listening:
        address = "{}:{}".format(*listening.getsockname())
        environment.set_default("WEBSITE_HOSTNAME", address)  # the platform's name for the app's own address
        config = read_config(options.app_dir, options.invisibility_seconds, options.max_polling_seconds)
        if options.preload is not None:
            importlib.import_module(options.preload)
        functions = index_app(options.app_dir)
        host = Host(functions, config, options)
        await host.start(listening)
        _announce(f"http://{address}", options.ready_file)
        await stop.wait()
        if not await host.stop():
            _end_at_once()


class Host:
    def __init__(self, functions: Sequence[IndexedFunction], config: HostConfig, options: Options) -> None:
        invoker = Invoker(options.app_dir)
        self._http = HttpFunctions(functions, invoker, options.keys, config.route_prefix, config.body_limit)
        self._admin = Admin(functions, invoker, options.keys)
        self._listeners = _listeners(functions, config, invoker, options)
        self._tasks: list[asyncio.Task[None]] = []
        self._runner = web.AppRunner(
            self._application(config.body_limit),
            access_log=None,
            auto_decompress=False,  # functions get the bytes that were sent
            shutdown_timeout=GRACE_SECONDS,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_HEADER,
        )

    async def start(self, listening: socket.socket) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._tasks = [asyncio.create_task(listener.run()) for listener in self._listeners]
        for task in self._tasks:
            task.add_done_callback(_log_death)

    async def stop(self) -> bool:
        """Take nothing new and give what runs the grace time. False when something still runs after that."""
        for listener in self._listeners:
            listener.stop()
        ending = [self._runner.cleanup(), self._admin.drain(), *self._tasks]
        _, late = await asyncio.wait([asyncio.ensure_future(end) for end in ending], timeout=GRACE_SECONDS)
        return not late

    def _application(self, body_limit: int) -> web.Application:
        application = web.Application(client_max_size=body_limit + 1)
        application.router.add_route("*", "/admin{tail:(/.*)?}", self._admin.handle)
        application.router.add_route("*", "/{tail:.*}", self._http.handle)
        return application


def _listeners(
    functions: Sequence[IndexedFunction], config: HostConfig, invoker: Invoker, options: Options
) -> list[QueueListener | TimerListener]:
    listeners: list[QueueListener | TimerListener] = []
    for function in functions:
        if isinstance(function.trigger, QueueTrigger):
            listeners.append(QueueListener(function, function.trigger, config.queues, invoker))
        elif isinstance(function.trigger, TimerTrigger):
            listeners.append(TimerListener(function, function.trigger, invoker, _lock(function, options)))
    return listeners


def _lock(function: IndexedFunction, options: Options) -> Singleton | None:
    """None for a host without storage of its own, which has nobody to share a timer with."""
    connection_string = environment.setting("AzureWebJobsStorage")
    if connection_string is None:
        return None
    recovery = RECOVERY_SECONDS if options.max_polling_seconds is None else max(options.max_polling_seconds, 1.0)
    return Singleton(connection_string, lock_blob(options.app_dir, function.name), recovery)


def _end_at_once() -> None:
    """Like the platform: no cancelling, no waiting for threads. Messages under way come back later."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _log_death(task: asyncio.Task[None]) -> None:
    """A listener ends only when told to; one that fails must not do so in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("listener_died", exc_info=error)


def _announce(url: str, ready_file: Path | None) -> None:
    if ready_file is not None:
        unfinished = ready_file.with_suffix(".tmp")
        unfinished.write_text(url, encoding="utf-8")
        unfinished.rename(ready_file)  # whoever waits for the file never sees it half written
    print(f"countersign-host ready {url}", flush=True)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _stop_when_stdin_ends(stop: asyncio.Event) -> None:
    """Whoever started us holds the other end of stdin; it closes however they die."""
    loop = asyncio.get_running_loop()

    def watch() -> None:
        # Not sys.stdin: its lock, held here, would abort the interpreter's own end.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
