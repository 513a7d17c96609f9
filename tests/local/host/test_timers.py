"""The timer trigger through a running host (host guide C3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from azure.storage.blob.aio import BlobClient, BlobLeaseClient

from local.host.process import HostError, HostProcess
from local.host.singleton import CONTAINER, lock_blob

from .conftest import Sample, until


async def test_timers(make_sample: Callable[..., Sample]) -> None:
    async with make_sample().host() as host:
        # by schedule, every second
        await until(lambda: host.log_text().count("tick past_due=False") >= 2, host)

        # at start, where asked for; never else within this test
        assert host.log_text().count("rare_run") == 1
        assert "function=broken" not in host.log_text()

        # by hand
        assert await host.run_function("rarely")
        assert host.log_text().count("rare_run") == 2

        # a failure is said, logged, and leaves the schedules alone
        assert not await host.run_function("broken")
        assert "ERROR host invocation function=broken" in host.log_text()
        ticks = host.log_text().count("tick past_due=False")
        await until(lambda: host.log_text().count("tick past_due=False") > ticks, host)

        # queue functions too
        assert await host.run_function("late", "by hand")
        assert 'late_seen text="by hand"' in host.log_text()

        with pytest.raises(HostError, match="404"):
            await host.run_function("unknown")


def ticks(host: HostProcess) -> int:
    return host.log_text().count("tick past_due=False")


async def end_lease(sample: Sample) -> None:
    """As if the minute after the holder's last renewal had passed."""
    async with BlobClient.from_connection_string(
        sample.settings["AzureWebJobsStorage"], CONTAINER, lock_blob(sample.app_dir, "ticking")
    ) as blob:
        await BlobLeaseClient(blob).break_lease(0)


async def test_of_two_hosts_one_fires_until_it_stops_or_dies(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    async with sample.host() as first:
        await until(lambda: ticks(first) >= 1, first)
        async with sample.host() as second:
            seen = ticks(first)
            await until(lambda: ticks(first) >= seen + 2, first)
            assert ticks(second) == 0

            # killed: nobody fires before the lease has run out
            first.kill()
            await asyncio.sleep(1.5)
            assert ticks(second) == 0
            await end_lease(sample)
            await until(lambda: ticks(second) >= 1, second)

            # started again it waits; once the other stops it has the lock back at once
            await first.start()
            seen = ticks(first)
            await second.stop()
            await until(lambda: ticks(first) > seen, first)
            assert ticks(second) >= 1
