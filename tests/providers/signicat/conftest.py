from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.providers.signicat.world import World, running_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as running:
        yield running
