"""The whole app over HTTP: the local host as a process, real Azurite, the simulator, a receiver of notifications."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from local.players import V1_ACCOUNT, V2_ACCOUNT
from local.sandbox.pkisigning import CallbackKnobs
from local.stack import Stack, running_stack
from tests.scenarios.play import Play
from tests.scenarios.secrecy import check_log

# The product's times, shrunk so that what takes minutes takes seconds. Queue delays are whole seconds.
FAST = {
    # Scenarios run the timer when they mean to.
    "ReconcileSchedule": "0 0 0 1 1 *",
    "HousekeepingSchedule": "0 0 0 1 1 *",
    "Flow__StartRetrySeconds": "4",
    "Flow__StartLeaseSeconds": "30",
    "Flow__InviteProofAfterSeconds": "2",
    "Flow__StartUncertainAfterSeconds": "5",
    "Flow__OutageRetrySeconds": "1",
    "Flow__ThrottleMaxSeconds": "3",
    "Flow__CircuitFirstSeconds": "1",
    "Flow__CircuitLongestSeconds": "2",
    "Flow__ReconcileMinSeconds": "1",
    "Flow__ReconcileMaxSeconds": "1",
    "Flow__ReconcileCallsPerMinute": "6000",
    "Flow__ProviderGoneAfterSeconds": "1",
    "Flow__StagingSeconds": "2",
    "Flow__FollowUpGraceSeconds": "2",
    "Flow__DownloadRetryFirstSeconds": "1",
    "Flow__DownloadRetryLastSeconds": "1",
    "Flow__DownloadAttentionAfter": "3",
    "Flow__NotifyRetrySeconds": "1,1",
    f"Accounts__{V1_ACCOUNT}__CallsPerMinute": "100000",
    f"Accounts__{V2_ACCOUNT}__CallsPerMinute": "100000",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """On an emulator of its own: it lives on while other tests look into queues that it reads. At the end, whatever the
    app wrote in all the scenarios is looked through for secrets."""
    async with running_stack(overrides=FAST, max_polling_seconds=0.2) as running:
        running.sandbox.options.rate_limit = 100_000
        running.sandbox.options.credits = 100_000
        running.sandbox.set_credits(100_000)
        yield running
        check_log(running)


@pytest_asyncio.fixture(loop_scope="session")
async def play(stack: Stack) -> AsyncIterator[Play]:
    """One scenario's hands and eyes; the simulator is put right again afterwards."""
    async with stack.client() as client:
        yield Play(stack, client)
    stack.sandbox.faults.clear()
    stack.sandbox.set_knobs(CallbackKnobs())
    stack.sandbox.set_credits(100_000)
