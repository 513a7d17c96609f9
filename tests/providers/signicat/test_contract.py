from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.provider_contract import ProviderContract
from tests.contracts.provider_world import ProviderWorld
from tests.providers.signicat.world import running_world


class TestSignicat(ProviderContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ProviderWorld]:
        async with running_world() as world:
            yield world
