"""Every operation of every provider through our own endpoint, in the app on real storage, against the simulators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from local.azurite import Azurite
from local.players import V1_ACCOUNT, V2_ACCOUNT
from shared.providers import operations_of
from shared.providers.pkisigning.operations import V1_OPERATIONS, V2_OPERATIONS
from tests.bench.in_process import running_in_process
from tests.contracts.through_the_app import MODES, ThroughTheApp
from tests.providers.connective.tour import Tour
from tests.providers.dokobit.test_operations import every_operation
from tests.providers.pkisigning.tour import tour_v1, tour_v2
from tests.providers.signicat.test_operations import call_everything

COUNTS = {"pkisigning": 27, "dokobit": 22, "connective": 21, "signicat": 17}


@asynccontextmanager
async def through_the_app(azurite: Azurite, provider: str, account: str) -> AsyncIterator[ThroughTheApp]:
    """What takes the simulators time, they do at once here."""
    async with running_in_process(azurite, provider) as running:
        for option in ("docx_polls", "validation_polls", "packaging_seconds"):
            if option in type(running.sandbox.options).model_fields:
                setattr(running.sandbox.options, option, 0)
        yield ThroughTheApp(running, account)


def check(through: ThroughTheApp, operations: Collection[str]) -> None:
    """All of them were called here and arrived at the provider, and files came in each form."""
    assert set(through.called) == set(operations)
    assert {one.operation for one in through.running.sandbox.calls} >= set(operations)
    assert through.modes == set(MODES)


def test_the_counts_are_those_of_the_catalogue() -> None:
    assert {name: len(operations_of(name)) for name in COUNTS} == COUNTS
    ids = {one.id for one in (*V1_OPERATIONS, *V2_OPERATIONS)}
    assert ids == operations_of("pkisigning").keys()


async def test_pkisigning_v2(azurite: Azurite) -> None:
    async with through_the_app(azurite, "pkisigning", V2_ACCOUNT) as through:
        await tour_v2(through, through.running.sandbox)
        check(through, [one.id for one in V2_OPERATIONS])


async def test_pkisigning_v1(azurite: Azurite) -> None:
    async with through_the_app(azurite, "pkisigning", V1_ACCOUNT) as through:
        await tour_v1(through, through.running.sandbox)
        check(through, [one.id for one in V1_OPERATIONS])


async def test_dokobit(azurite: Azurite) -> None:
    async with through_the_app(azurite, "dokobit", "dokobit") as through:
        await every_operation(through, through.running.sandbox)
        check(through, operations_of("dokobit"))


async def test_connective(azurite: Azurite) -> None:
    async with through_the_app(azurite, "connective", "connective") as through:
        await Tour(through.running.sandbox, through.client).run()
        check(through, operations_of("connective"))


async def test_signicat(azurite: Azurite) -> None:
    async with through_the_app(azurite, "signicat", "signicat") as through:
        await call_everything(through.running.sandbox, through.client)
        check(through, operations_of("signicat"))
