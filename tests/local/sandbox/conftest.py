from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.sandbox.pkisigning import PkisigningSandbox
from tests.local.sandbox.client import Client, Receiver


@pytest.fixture
async def sandbox() -> AsyncIterator[PkisigningSandbox]:
    async with PkisigningSandbox.start() as running:
        yield running


@pytest.fixture
async def client(sandbox: PkisigningSandbox) -> AsyncIterator[Client]:
    async with Client(sandbox) as talking:
        yield talking


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening
