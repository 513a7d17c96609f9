"""The provider contract, on either surface."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.provider_contract import ProviderContract
from tests.providers.dokobit.world import DokobitWorld, running_world


@pytest.fixture(params=["connector", "universal"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[DokobitWorld]:
    async with running_world(surface=request.param) as running:
        yield running


class TestDokobit(ProviderContract):
    pass
