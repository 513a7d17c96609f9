"""Subscriptions, tokens, circuits and dead letters, in memory and on tables."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.domain.circuits import CircuitState, Standing
from shared.domain.errors import ConcurrentUpdate
from shared.ports import DeadLetter, TokenRow
from tests.storage.conftest import Stores
from tests.storage.samples import NOW, new_id


async def test_one_worker_subscribes_and_the_others_hear_the_id(stores: Stores) -> None:
    account = new_id()
    answers = await asyncio.gather(*(stores.subscriptions.claim(account, "digest", NOW, 60) for _ in range(8)))
    assert sorted(answers, key=str) == [""] * 7 + [None]
    await stores.subscriptions.record(account, "digest", "webhook-1", NOW)
    assert await stores.subscriptions.claim(account, "digest", NOW, 60) == "webhook-1"
    assert await stores.subscriptions.claim(account, "other digest", NOW, 60) is None


async def test_a_stale_claim_is_taken_over_once(stores: Stores) -> None:
    account = new_id()
    assert await stores.subscriptions.claim(account, "digest", NOW, 60) is None
    later = NOW + timedelta(seconds=60)
    answers = await asyncio.gather(*(stores.subscriptions.claim(account, "digest", later, 60) for _ in range(8)))
    assert sorted(answers, key=str) == [""] * 7 + [None]


async def test_a_token_row_changes_only_from_what_was_read(stores: Stores) -> None:
    account = f"acme/{new_id()}"
    assert await stores.tokens.read(account) is None
    first = await stores.tokens.write(account, TokenRow(None, "sealed-1", None))
    assert await stores.tokens.read(account) == first
    second = await stores.tokens.write(account, TokenRow(first.etag, "s" * 40_000, NOW))
    assert await stores.tokens.read(account) == second
    assert second.etag != first.etag
    for stale in (None, first.etag):
        with pytest.raises(ConcurrentUpdate):
            await stores.tokens.write(account, TokenRow(stale, "lost", None))
    assert await stores.tokens.read(account) == second


async def test_a_lease_can_be_given_back(stores: Stores) -> None:
    account = new_id()
    held = await stores.tokens.write(account, TokenRow(None, "sealed", NOW))
    await stores.tokens.write(account, TokenRow(held.etag, "sealed", None))
    row = await stores.tokens.read(account)
    assert row is not None
    assert row.lease_until is None


async def test_replacing_a_token_row_that_is_not_there_is_refused(stores: Stores) -> None:
    other = await stores.tokens.write(new_id(), TokenRow(None, "sealed", None))
    with pytest.raises(ConcurrentUpdate):
        await stores.tokens.write(new_id(), TokenRow(other.etag, "lost", None))


async def test_each_instance_has_one_word_on_an_account_and_takes_it_back(stores: Stores) -> None:
    account = new_id()
    until = NOW + timedelta(minutes=1)
    first = Standing(CircuitState.OPEN, NOW, until, "provider_unavailable", 5)
    second = Standing(CircuitState.OPEN, NOW, until + timedelta(minutes=1), None, 0)
    await stores.circuits.post(account, "a", first)
    await stores.circuits.post(account, "b", first)
    await stores.circuits.post(account, "b", second)
    assert sorted(await stores.circuits.read(account), key=lambda one: one.failures) == [second, first]
    for _ in range(2):
        await stores.circuits.post(account, "a", Standing())
    assert await stores.circuits.read(account) == [second]
    assert await stores.circuits.read(new_id()) == []


async def test_letters_come_newest_first_and_count_once(stores: Stores) -> None:
    # Later than what any other test writes: the list is one for all.
    at = NOW + timedelta(days=36_500)
    base = new_id()
    letters = [_letter(f"{base}/{number}", at + timedelta(seconds=number)) for number in range(4)]
    for letter in (*letters, letters[1]):
        await stores.dead_letters.add(letter)
    await stores.dead_letters.add(_letter(letters[0].id, at + timedelta(seconds=9)))
    assert await stores.dead_letters.list(4) == letters[::-1]
    assert await stores.dead_letters.list(2) == [letters[3], letters[2]]
    assert await stores.dead_letters.list(0) == []


async def test_a_letter_keeps_a_whole_queue_message(stores: Stores) -> None:
    letter = _letter(new_id(), NOW + timedelta(days=36_600), body="\U0001f58a{" * 8_000 + "x" * 25_000, signing_id=None)
    await stores.dead_letters.add(letter)
    assert await stores.dead_letters.list(1) == [letter]


async def test_a_letter_says_how_its_body_is_written(stores: Stores) -> None:
    at = NOW + timedelta(days=36_700)
    whole = base64.b64encode(bytes(range(256)) * 256).decode()
    letter = replace(_letter(new_id(), at, body=whole, signing_id=None), encoding="base64")
    await stores.dead_letters.add(letter)
    assert await stores.dead_letters.list(1) == [letter]


def _letter(letter_id: str, at: datetime, body: str = "{}", signing_id: str | None = "s-1") -> DeadLetter:
    return DeadLetter(letter_id, at, "signing-events", "unreadable", "no such field", body, signing_id)
