from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.provider_contract import ProviderContract
from tests.contracts.provider_world import ProviderWorld
from tests.providers.pkisigning.world import running_world


class TestV1(ProviderContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ProviderWorld]:
        async with running_world("v1") as world:
            yield world


class TestV2(ProviderContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ProviderWorld]:
        async with running_world("v2") as world:
            yield world
