from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.sandbox.signicat import Options, SignicatSandbox
from tests.local.sandbox.client import Receiver
from tests.local.sandbox.signicat.client import Client


@pytest.fixture
async def sandbox() -> AsyncIterator[SignicatSandbox]:
    async with SignicatSandbox.start(options=Options(packaging_seconds=0)) as running:
        yield running


@pytest.fixture
async def client(sandbox: SignicatSandbox) -> AsyncIterator[Client]:
    async with Client(sandbox) as talking:
        yield talking


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening
