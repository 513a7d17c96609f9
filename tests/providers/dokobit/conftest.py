from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.sandbox.dokobit import DokobitSandbox, Options
from shared.providers.dokobit.provider import DokobitProvider
from tests.providers.dokobit.samples import provider_at


@pytest.fixture
async def sandbox() -> AsyncIterator[DokobitSandbox]:
    async with DokobitSandbox.start(options=Options(visible_signatures=False)) as running:
        yield running


@pytest.fixture
async def provider(sandbox: DokobitSandbox) -> AsyncIterator[DokobitProvider]:
    async with provider_at(sandbox) as built:
        yield built
