"""The contract of all providers, kept by Connective in its two forms of the process call and with instant packages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.verification.raw import RawCallback
from tests.contracts.provider_contract import ProviderContract
from tests.providers.connective.world import ConnectiveWorld, running_world


class ConnectiveContract(ProviderContract):
    """What a callback says is not published, and an empty body is what is expected (spec connective 3): it names no
    signing, and nothing in it can be nonsense. The address and the read-back do the rest."""

    callbacks_tell = False

    async def test_a_callback_names_its_signing(self, world: Any) -> None:
        _, arrived = await self._completed_callbacks(world)
        for raw in arrived:
            verified = await world.provider.verify_callback(raw)
            assert [one.provider_signing_id for one in world.provider.notices(verified)] == [None]

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"<html></html>", b'{"a":' * 500])
    async def test_nonsense_is_refused_and_never_crashes(self, world: Any, body: bytes) -> None:
        _, arrived = await self._completed_callbacks(world)
        raw = RawCallback(arrived[-1].method, {}, body, arrived[-1].received_at, {})
        (notice,) = world.provider.notices(await world.provider.verify_callback(raw))
        assert (notice.provider_signing_id, notice.provider_status) == (None, "")


class TestRecommendedProcess(ConnectiveContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ConnectiveWorld]:
        async with running_world() as running:
            yield running


class TestPublishedProcess(ConnectiveContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ConnectiveWorld]:
        async with running_world(process="v3") as running:
            yield running


class TestInstantPackages(ConnectiveContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[ConnectiveWorld]:
        async with running_world(instant=True) as running:
            yield running
