from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.sandbox.connective import ConnectiveSandbox, Options
from tests.local.sandbox.connective.client import Client


@pytest.fixture
async def sandbox() -> AsyncIterator[ConnectiveSandbox]:
    async with ConnectiveSandbox.start(options=Options(rate_limit=10_000)) as running:
        yield running


@pytest.fixture
async def client(sandbox: ConnectiveSandbox) -> AsyncIterator[Client]:
    async with Client(sandbox) as talking:
        yield talking
