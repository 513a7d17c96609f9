"""The timer trigger through a running host (host guide C3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.host.process import HostError

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
