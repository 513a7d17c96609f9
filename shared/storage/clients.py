"""The Azure SDK clients: made once, shared by all stores, counted, closed together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ResourceExistsError
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from shared.domain.messages import POISON_SUFFIX, Queue
from shared.domain.reply_queues import DEFAULT_REPLY_QUEUES

SIGNINGS = "signings"
LOOKUPS = "lookups"
DUE = "due"
DEAD_LETTERS = "deadletters"
SUBSCRIPTIONS = "subscriptions"
TOKENS = "tokens"
PACE = "pace"
ACCOUNTS = "accounts"
TABLES = (SIGNINGS, LOOKUPS, DUE, DEAD_LETTERS, SUBSCRIPTIONS, TOKENS, PACE, ACCOUNTS)

STAGING = "staging"
SIGNED = "signed"
INBOX = "inbox"
CONTAINERS = (INBOX, STAGING, SIGNED)

# The SDK's own defaults (15 s before the first repeat, minutes of time-out) would eat the whole HTTP budget.
_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_REPEATS = 4


@dataclass(frozen=True)
class Endpoints:
    """Service addresses of one storage account, for identity-based access."""

    blob: str
    queue: str
    table: str

    @classmethod
    def of_account(cls, name: str, suffix: str = "core.windows.net") -> Endpoints:
        return cls(*(f"https://{name}.{service}.{suffix}" for service in ("blob", "queue", "table")))


class StorageClients:
    """Every client is created once. `calls` counts requests as they leave, repeats included."""

    def __init__(
        self,
        blobs: BlobServiceClient,
        queues: QueueServiceClient,
        tables: TableServiceClient,
        calls: Counter[str],
        credential: AsyncTokenCredential | None = None,
    ) -> None:
        self.calls = calls
        self._blobs = blobs
        self._queues = queues
        self._tables = tables
        self._credential = credential
        self._table_clients = {name: tables.get_table_client(name) for name in TABLES}
        self._queue_clients = {queue: queues.get_queue_client(queue.value) for queue in Queue}

    @classmethod
    def from_settings(
        cls,
        *,
        connection_string: str | None = None,
        endpoints: Endpoints | None = None,
        client_id: str | None = None,
    ) -> StorageClients:
        """With a connection string, else with endpoints and the app's identity (`client_id`: a user-assigned one)."""
        if connection_string is not None:
            return cls.from_connection_string(connection_string)
        if endpoints is None:
            raise ValueError("storage needs a connection string or endpoints")
        return cls.from_identity(endpoints, _app_identity(client_id))

    @classmethod
    def from_connection_string(cls, connection_string: str) -> StorageClients:
        calls: Counter[str] = Counter()
        return cls(
            BlobServiceClient.from_connection_string(connection_string, **_storage_options("blob", calls)),
            QueueServiceClient.from_connection_string(connection_string, **_storage_options("queue", calls)),
            TableServiceClient.from_connection_string(connection_string, **_table_options(calls)),
            calls,
        )

    @classmethod
    def from_identity(cls, endpoints: Endpoints, credential: AsyncTokenCredential) -> StorageClients:
        """The clients own `credential` and close it."""
        calls: Counter[str] = Counter()
        return cls(
            BlobServiceClient(endpoints.blob, credential=credential, **_storage_options("blob", calls)),
            QueueServiceClient(endpoints.queue, credential=credential, **_storage_options("queue", calls)),
            TableServiceClient(endpoints.table, credential=credential, **_table_options(calls)),
            calls,
            credential,
        )

    def table(self, name: str) -> TableClient:
        return self._table_clients[name]

    def queue(self, queue: Queue) -> QueueClient:
        return self._queue_clients[queue]

    def foreign_queue(self, name: str) -> QueueClient:
        """A queue that is not one of ours."""
        return self._queues.get_queue_client(name)

    def container(self, name: str) -> ContainerClient:
        return self._blobs.get_container_client(name)

    def blob(self, container: str, path: str) -> BlobClient:
        return self._blobs.get_blob_client(container, path)

    async def transact(self, table: str, operations: Iterable[Any]) -> list[Mapping[str, Any]]:
        """One table transaction; the answers are in the order of the operations."""

        def count(_: object) -> None:
            self.calls[f"table:BATCH {table}"] += 1

        return await self.table(table).submit_transaction(list(operations), raw_request_hook=count)

    async def ensure_layout(self) -> None:
        """Creates tables, containers and queues where they are missing: for a local start and for tests."""
        names = [name for queue in Queue for name in (queue.value, queue.value + POISON_SUFFIX)]
        names += DEFAULT_REPLY_QUEUES
        await asyncio.gather(
            *(_unless_there(self._tables.create_table(name)) for name in TABLES),
            *(_unless_there(self._blobs.create_container(name)) for name in CONTAINERS),
            *(_unless_there(self._queues.create_queue(name)) for name in names),
        )

    async def aclose(self) -> None:
        async with AsyncExitStack() as closing:
            if self._credential is not None:
                closing.push_async_callback(self._credential.close)
            for client in (self._blobs, self._queues, self._tables):
                closing.push_async_callback(client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _unless_there(creation: Awaitable[object]) -> None:
    try:
        await creation
    except ResourceExistsError:
        return


def _app_identity(client_id: str | None) -> AsyncTokenCredential:
    # azure.identity costs 0.2 s and 40 MB of import (host guide D1): only where it is used.
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415

    if client_id is not None:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential()


def _storage_options(kind: str, calls: Counter[str]) -> dict[str, Any]:
    repeats = {"initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1, "retry_total": _REPEATS}
    return {**_common_options(kind, calls), **repeats}


def _table_options(calls: Counter[str]) -> dict[str, Any]:
    repeats = {"retry_total": _REPEATS, "retry_backoff_factor": 0.4, "retry_backoff_max": 8}
    return {**_common_options("table", calls), **repeats}


def _common_options(kind: str, calls: Counter[str]) -> dict[str, Any]:
    return {
        "raw_request_hook": _counting(kind, calls),
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "user_agent": "countersign",
    }


def _counting(kind: str, calls: Counter[str]) -> Callable[[Any], None]:
    def count(request: Any) -> None:
        url = urlsplit(request.http_request.url)
        parts = [part for part in url.path.split("/") if part]
        # Emulators put the account's name in the path, Azure puts it in the host.
        first = parts[1:2] if url.hostname in {"127.0.0.1", "localhost"} else parts[:1]
        target = first[0].split("(")[0] if first else ""
        comp = "".join(parse_qs(url.query).get("comp", []))
        calls[" ".join(word for word in (f"{kind}:{request.http_request.method}", target, comp) if word)] += 1

    return count
