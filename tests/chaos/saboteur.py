"""Rides inside each app process (`--preload`): every call through a port passes a named point, where the process may be
killed or storage may fail. The product itself knows nothing of it.

The harness asks by files in the folder `CHAOS_DIR`:

    missions/kill~{point}     the process that passes the point next takes the file and dies by SIGKILL, right there
    missions/fault~{point}    ... takes the file and gets the error that the SDK raises when storage does not answer
    storm                     a probability: so many requests to storage fail or lose their answer, below the SDK
    journal                   what was done: kills, faults, files committed and removed
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from local.host import environment
from shared import bootstrap
from shared.ports import App
from shared.settings import Settings
from tests.chaos.journal import Journal
from tests.chaos.points import AFTER, BEFORE, WRITING, point


class Saboteur:
    def __init__(self, folder: Path, seed: int) -> None:
        self.missions = folder / "missions"
        self.storm = folder / "storm"
        self.journal = Journal(folder / "journal")
        self.random = random.Random(f"{seed}-{len(self.journal.read('start'))}")
        self.journal.note("start")

    def passes(self, name: str) -> None:
        """Does not return when a kill was asked for here. Raises what the SDK raises when a fault was asked for."""
        if self._taken(f"kill~{name}"):
            self.journal.note("kill", point=name)
            os.kill(os.getpid(), signal.SIGKILL)
        if self._taken(f"fault~{name}"):
            self.journal.note("fault", point=name)
            raise self._storage_error(name)

    def _taken(self, mission: str) -> bool:
        try:
            (self.missions / mission).unlink()
        except FileNotFoundError:
            return False
        return True

    def _storage_error(self, name: str) -> Exception:
        kinds = (ServiceRequestError, ServiceResponseError, HttpResponseError)
        return self.random.choice(kinds)(f"as asked for at {name}")

    def storm_hits(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self.random.random() < float(self.storm.read_text())
        return False


class Watched:
    """Stands before a port: its coroutine functions pass a point before and after, all else goes straight through."""

    def __init__(self, target: Any, name: str, saboteur: Saboteur) -> None:
        self._target = target
        self._name = name
        self._saboteur = saboteur

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._target, attribute)
        if not inspect.iscoroutinefunction(value):
            return value
        watched = self._watched(value, f"{self._name}.{attribute}")
        setattr(self, attribute, watched)
        return watched

    def _watched(self, call: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        before, after = point(name, BEFORE), point(name, AFTER)

        @functools.wraps(call)
        async def passing(*positional: Any, **named: Any) -> Any:
            self._saboteur.passes(before)
            result = await call(*positional, **named)
            self._saboteur.passes(after)
            return result

        return passing


class WatchedQueue(Watched):
    """One name a queue."""

    async def send(self, queue: Any, message: Any, *, delay_seconds: float = 0) -> None:
        name = f"{self._name}.send.{queue.value}"
        await self._watched(self._target.send, name)(queue, message, delay_seconds=delay_seconds)


class WatchedDocuments(Watched):
    """A point in the middle of each file, and a note of each file that was committed or removed."""

    async def write_once(self, blob: str, chunks: AsyncIterator[bytes], **settings: Any) -> Any:
        self._saboteur.passes(point(f"{self._name}.write_once", BEFORE))
        written = await self._target.write_once(blob, self._interrupted(chunks), **settings)
        self._saboteur.journal.note("commit", blob=blob, etag=written.etag, sha256=written.sha256)
        self._saboteur.passes(point(f"{self._name}.write_once", AFTER))
        return written

    async def _interrupted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            self._saboteur.passes(WRITING)

    async def delete(self, blob: str, etag: str) -> None:
        await self._target.delete(blob, etag)
        self._saboteur.journal.note("removal", blob=blob, etag=etag)


class WatchedProvider(Watched):
    """The start with its log, and streams, which are not coroutine functions."""

    async def start(self, order: Any, log: Any) -> Any:
        watched_log = Watched(log, "start_log", self._saboteur)
        return await self._watched(self._target.start, f"{self._name}.start")(order, watched_log)

    @contextlib.asynccontextmanager
    async def fetch(self, signing: Any, deliverable: Any) -> AsyncIterator[Any]:
        self._saboteur.passes(point(f"{self._name}.fetch", BEFORE))
        async with self._target.fetch(signing, deliverable) as download:
            yield download


def watched_app(app: App, saboteur: Saboteur) -> App:
    parts: dict[str, Any] = {
        name: Watched(getattr(app, name), name, saboteur)
        for name in ("signings", "dead_letters", "subscriptions", "pace", "notifier", "replies")
    }
    parts["queue"] = WatchedQueue(app.queue, "queue", saboteur)
    parts["documents"] = WatchedDocuments(app.documents, "documents", saboteur)
    parts["providers"] = {
        account: WatchedProvider(provider, "provider", saboteur) for account, provider in app.providers.items()
    }
    return replace(app, **parts)


def install(saboteur: Saboteur) -> None:
    """Replaces the composition root by one that watches what it built, and puts the storm below the SDK."""
    build = bootstrap.build

    def watched_build(settings: Settings) -> bootstrap.Deployment:
        deployment = build(settings)
        return replace(deployment, app=watched_app(deployment.app, saboteur))

    bootstrap.build = watched_build
    send = AioHttpTransport.send

    async def stormy(self: Any, request: Any, **settings: Any) -> Any:
        if saboteur.storm_hits():
            saboteur.journal.note("storm", where="request")
            raise ServiceRequestError("the storm took the request")
        answer = await send(self, request, **settings)
        if saboteur.storm_hits():
            saboteur.journal.note("storm", where="answer")
            await asyncio.sleep(0)
            raise ServiceResponseError("the storm took the answer")
        return answer

    AioHttpTransport.send = stormy


def _from_environment() -> None:
    folder, seed = environment.setting("CHAOS_DIR"), environment.setting("CHAOS_SEED")
    if folder is not None and seed is not None:
        install(Saboteur(Path(folder), int(seed)))


_from_environment()
