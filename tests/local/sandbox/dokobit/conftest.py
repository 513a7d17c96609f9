from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.sandbox.dokobit import DokobitSandbox
from tests.local.sandbox.client import Receiver
from tests.local.sandbox.dokobit.client import Client


@pytest.fixture
async def sandbox() -> AsyncIterator[DokobitSandbox]:
    async with DokobitSandbox.start() as running:
        yield running


@pytest.fixture
async def client(sandbox: DokobitSandbox) -> AsyncIterator[Client]:
    talking = Client(sandbox)
    async with talking.http:
        yield talking


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening
