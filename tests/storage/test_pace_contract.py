"""`ports.PaceStore`, in memory and on tables."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.storage.conftest import Stores
from tests.storage.samples import NOW, new_id


async def test_slots_follow_each_other_and_begin_anew_after_a_pause(stores: Stores) -> None:
    account = f"a/{new_id()}"
    assert await stores.pace.reserve(account, 3, 2.0, NOW) == NOW
    assert await stores.pace.reserve(account, 1, 2.0, NOW) == NOW + timedelta(seconds=6)
    assert await stores.pace.reserve(account, 1, 2.0, NOW + timedelta(seconds=1)) == NOW + timedelta(seconds=8)
    later = NOW + timedelta(seconds=60)
    assert await stores.pace.reserve(account, 1, 2.0, later) == later


async def test_accounts_do_not_wait_for_each_other(stores: Stores) -> None:
    await stores.pace.reserve(new_id(), 1000, 1.0, NOW)
    assert await stores.pace.reserve(new_id(), 1, 1.0, NOW) == NOW


async def test_of_many_at_once_none_shares_a_slot(stores: Stores) -> None:
    account = new_id()
    slots = await asyncio.gather(*(stores.pace.reserve(account, 2, 1.0, NOW) for _ in range(8)))
    assert sorted(slots) == [NOW + timedelta(seconds=2 * number) for number in range(8)]
