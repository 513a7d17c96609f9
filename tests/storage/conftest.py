"""The storage ports twice: in memory, and on Azurite. What flow tests believe of the first holds for the second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from local.azurite import Azurite
from shared.ports import (
    CircuitBoard,
    DeadLetterStore,
    DocumentStore,
    PaceStore,
    SigningStore,
    SubscriptionStore,
    TokenStore,
)
from shared.storage.accounts import TableSubscriptionStore, TableTokenStore
from shared.storage.blobs import BlobDocumentStore
from shared.storage.circuits import TableCircuitBoard
from shared.storage.clients import StorageClients
from shared.storage.letters import TableDeadLetterStore
from shared.storage.pace import TablePaceStore
from shared.storage.signings import TableSigningStore
from tests.fakes.storage import (
    MemoryCircuitBoard,
    MemoryDeadLetterStore,
    MemoryDocumentStore,
    MemoryPaceStore,
    MemorySigningStore,
    MemorySubscriptionStore,
    MemoryTokenStore,
)


@dataclass(frozen=True)
class Stores:
    signings: SigningStore
    documents: DocumentStore
    dead_letters: DeadLetterStore
    subscriptions: SubscriptionStore
    tokens: TokenStore
    pace: PaceStore
    circuits: CircuitBoard


@pytest.fixture(scope="session")
def connection_string(azurite: Azurite) -> str:
    async def lay_out() -> None:
        async with StorageClients.from_settings(connection_string=azurite.connection_string) as clients:
            await clients.ensure_layout()
            await clients.ensure_layout()

    asyncio.run(lay_out())
    return azurite.connection_string


@pytest.fixture
async def clients(connection_string: str) -> AsyncIterator[StorageClients]:
    async with StorageClients.from_settings(connection_string=connection_string) as clients:
        yield clients


@pytest.fixture(params=["memory", "azurite"])
async def stores(request: pytest.FixtureRequest, connection_string: str) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield Stores(
            MemorySigningStore(),
            MemoryDocumentStore(),
            MemoryDeadLetterStore(),
            MemorySubscriptionStore(),
            MemoryTokenStore(),
            MemoryPaceStore(),
            MemoryCircuitBoard(),
        )
        return
    async with StorageClients.from_settings(connection_string=connection_string) as clients:
        yield Stores(
            TableSigningStore(clients),
            BlobDocumentStore(clients),
            TableDeadLetterStore(clients),
            TableSubscriptionStore(clients),
            TableTokenStore(clients),
            TablePaceStore(clients),
            TableCircuitBoard(clients),
        )
