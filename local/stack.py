"""The whole product on one machine: Azurite, simulators of providers, a receiver of notifications, and the app.

The app may run in several processes, as Azure runs it in several instances: one address, one storage, the same keys.
Every server listens on loopback, on free ports unless others are asked for, and ends with the block.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from local.azurite import Azurite
from local.front import front_door
from local.host.process import HostProcess, new_keys
from local.players import PLAYERS
from local.receiver import Receiver
from local.sandbox.pkisigning import PkisigningSandbox

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ports:
    """0 means any free port. Azurite takes three of its own, also free ones when `azurite` is None; simulators take
    the ports from `sandboxes` on, one each."""

    app: int = 0
    sandboxes: int = 0
    receiver: int = 0
    azurite: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Stack:
    azurite: Azurite
    sandboxes: Mapping[str, Any]
    receiver: Receiver
    hosts: Sequence[HostProcess]
    base_url: str
    settings: Mapping[str, str]

    @property
    def host(self) -> HostProcess:
        """The first app process, and mostly the only one."""
        return self.hosts[0]

    @property
    def function_key(self) -> str:
        return self.host.function_key

    def log_text(self) -> str:
        """What all app processes wrote so far, one after the other."""
        return "\n".join(host.log_text() for host in self.hosts)

    @property
    def sandbox(self) -> PkisigningSandbox:
        """PKIsigning's simulator."""
        found = self.sandboxes["pkisigning"]
        if not isinstance(found, PkisigningSandbox):
            raise TypeError("this stack has no PKIsigning")
        return found

    def client(self) -> httpx.AsyncClient:
        """An HTTP client for the app, with its function key."""
        headers = {"x-functions-key": self.function_key}
        return httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=120, trust_env=False)


@asynccontextmanager
async def running_stack(
    *,
    providers: Sequence[str] = ("pkisigning",),
    say: Callable[[str], None] = lambda _: None,
    ports: Ports = Ports(),
    overrides: Mapping[str, str] | None = None,
    azurite: Azurite | None = None,
    invisibility_seconds: float = 600.0,
    max_polling_seconds: float | None = 0.5,
    instances: int = 1,
    process: Callable[..., HostProcess] = HostProcess,
) -> AsyncIterator[Stack]:
    """Starts everything, in order. `overrides` are app settings; `azurite` one that runs already; `process` makes the
    app's processes."""
    async with AsyncExitStack() as closing:
        if azurite is None:
            say("storage emulator (Azurite)")
            azurite = closing.enter_context(Azurite.start(ports=ports.azurite))
        sandboxes: dict[str, Any] = {}
        for number, name in enumerate(providers):
            say(f"simulator of {name}")
            port = ports.sandboxes + number if ports.sandboxes else 0
            sandboxes[name] = await closing.enter_async_context(PLAYERS[name].start(port))
        receiver = await closing.enter_async_context(Receiver.start(port=ports.receiver))
        app_port = ports.app or _free_port()
        settings = app_settings(azurite, sandboxes, app_port) | dict(overrides or {})
        say("the app, in the local Functions host" + (f", {instances} times" if instances > 1 else ""))
        make = partial(
            process,
            ROOT,
            invisibility_seconds=invisibility_seconds,
            max_polling_seconds=max_polling_seconds,
        )
        if instances == 1:
            hosts = [make(settings, port=app_port)]
            await closing.enter_async_context(hosts[0])
        else:
            hosts = await closing.enter_async_context(_several(make, settings, app_port, instances))
        yield Stack(azurite, sandboxes, receiver, hosts, f"http://127.0.0.1:{app_port}", settings)


@asynccontextmanager
async def _several(
    make: Callable[..., HostProcess], settings: Mapping[str, str], app_port: int, count: int
) -> AsyncIterator[list[HostProcess]]:
    """App processes on free ports behind one front door on the app's own."""
    keys = new_keys()
    # The platform's name for the app is that of its one address.
    settings = {**settings, "WEBSITE_HOSTNAME": f"127.0.0.1:{app_port}"}
    hosts = [make(settings, keys=keys) for _ in range(count)]
    async with AsyncExitStack() as closing:
        for host in hosts:
            closing.push_async_callback(host.close)
        await asyncio.gather(*(host.start() for host in hosts))
        await closing.enter_async_context(
            front_door(app_port, lambda: [host.base_url for host in hosts if host.is_ready])
        )
        yield hosts


def app_settings(azurite: Azurite, sandboxes: Mapping[str, Any], app_port: int) -> dict[str, str]:
    """App settings as Azure would hold them, for the simulators' throw-away credentials and trust anchors."""
    accounts = {
        f"Accounts__{account}__{setting}": value
        for name, sandbox in sandboxes.items()
        for account, values in PLAYERS[name].accounts(sandbox).items()
        for setting, value in values.items()
    }
    return accounts | {
        "AzureWebJobsStorage": azurite.connection_string,
        "CountersignStorage": azurite.connection_string,
        "ReconcileSchedule": "0 */5 * * * *",
        "HousekeepingSchedule": "0 40 */6 * * *",
        "Countersign__PublicUrl": f"http://127.0.0.1:{app_port}",
        "Countersign__CallbackKeys": base64.b64encode(secrets.token_bytes(32)).decode(),
        "Countersign__CreateStorageLayout": "true",
        "Notify__AllowedHosts": "127.0.0.1",
        "Notify__UnsafeAllowLoopback": "true",
    }


def _free_port() -> int:
    # The app's own address is part of its settings, so its port has to be known before it starts.
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port
