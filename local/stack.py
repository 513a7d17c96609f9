"""The whole product on one machine: Azurite, the provider simulator, a receiver of notifications, and the app.

Every server listens on loopback, on free ports unless others are asked for, and ends with the block.
"""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.azurite import Azurite
from local.host.process import HostProcess
from local.receiver import Receiver
from local.sandbox.pkisigning import PkisigningSandbox

ROOT = Path(__file__).resolve().parents[1]

# The accounts that every local stack has: one for each API of PKIsigning, both at the same simulator.
V2_ACCOUNT = "pki"
V1_ACCOUNT = "pki_v1"


@dataclass(frozen=True)
class Ports:
    """0 means any free port. Azurite takes three of its own, also free ones when `azurite` is None."""

    app: int = 0
    sandbox: int = 0
    receiver: int = 0
    azurite: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Stack:
    azurite: Azurite
    sandbox: PkisigningSandbox
    receiver: Receiver
    host: HostProcess
    settings: Mapping[str, str]

    def client(self) -> httpx.AsyncClient:
        """An HTTP client for the app, with its function key."""
        return httpx.AsyncClient(
            base_url=self.host.base_url,
            headers={"x-functions-key": self.host.function_key},
            timeout=120,
            trust_env=False,
        )


@asynccontextmanager
async def running_stack(
    *,
    say: Callable[[str], None] = lambda _: None,
    ports: Ports = Ports(),
    overrides: Mapping[str, str] | None = None,
    azurite: Azurite | None = None,
    invisibility_seconds: float = 600.0,
    max_polling_seconds: float | None = 0.5,
) -> AsyncIterator[Stack]:
    """Starts everything, in order. `overrides` are app settings; `azurite` one that runs already."""
    async with AsyncExitStack() as closing:
        if azurite is None:
            say("storage emulator (Azurite)")
            azurite = closing.enter_context(Azurite.start(ports=ports.azurite))
        say("PKIsigning simulator")
        sandbox = await closing.enter_async_context(PkisigningSandbox.start(port=ports.sandbox))
        receiver = await closing.enter_async_context(Receiver.start(port=ports.receiver))
        app_port = ports.app or _free_port()
        settings = app_settings(azurite, sandbox, app_port) | dict(overrides or {})
        say("the app, in the local Functions host")
        host = await closing.enter_async_context(
            HostProcess(
                ROOT,
                settings,
                port=app_port,
                invisibility_seconds=invisibility_seconds,
                max_polling_seconds=max_polling_seconds,
            )
        )
        yield Stack(azurite, sandbox, receiver, host, settings)


def app_settings(azurite: Azurite, sandbox: PkisigningSandbox, app_port: int) -> dict[str, str]:
    """App settings as Azure would hold them, for the simulator's throw-away credentials and trust anchor."""
    return {
        "AzureWebJobsStorage": azurite.connection_string,
        "CountersignStorage": azurite.connection_string,
        "ReconcileSchedule": "0 */5 * * * *",
        "Countersign__PublicUrl": f"http://127.0.0.1:{app_port}",
        "Countersign__CallbackKeys": base64.b64encode(secrets.token_bytes(32)).decode(),
        "Countersign__CreateStorageLayout": "true",
        "Notify__AllowedHosts": "127.0.0.1",
        "Notify__UnsafeAllowLoopback": "true",
        **_account(V2_ACCOUNT, "v2", sandbox),
        **_account(V1_ACCOUNT, "v1", sandbox),
    }


def _account(name: str, api: str, sandbox: PkisigningSandbox) -> dict[str, str]:
    values = {
        "Provider": "pkisigning",
        "Api": api,
        "ApiUrl": sandbox.base_url,
        "IdentityUrl": sandbox.base_url,
        "ClientId": sandbox.client_id,
        "ClientSecret": sandbox.client_secret,
        "Grant": "refresh_token",
        "RefreshToken": sandbox.consent(),
        "TrustAnchors": base64.b64encode(sandbox.trust_bundle_pem).decode(),
    }
    return {f"Accounts__{name}__{setting}": value for setting, value in values.items()}


def _free_port() -> int:
    # The app's own address is part of its settings, so its port has to be known before it starts.
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port
