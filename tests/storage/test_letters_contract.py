"""Dead letters, in memory and on tables. Each test has a time of its own, for the list is one for all."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.errors import ConcurrentUpdate, InvalidRequest, NotFound
from shared.domain.letters import LetterFilter, LetterStatus, Outcome
from shared.ports import DeadLetter, LoadedLetter
from tests.storage.conftest import Stores
from tests.storage.samples import NOW, new_id

SECOND = timedelta(seconds=1)


def a_time() -> datetime:
    """On a day of its own. What other tests have written for the far future stays the newest."""
    return NOW + timedelta(days=secrets.randbelow(30_000))


def a_letter(at: datetime, **changes: Any) -> DeadLetter:
    letter = DeadLetter(f"signing-events-{new_id()}", at, "signing-events", "unreadable", "no such field", '{"v": 1}')
    return replace(letter, **changes)


async def added(stores: Stores, *letters: DeadLetter) -> None:
    for letter in letters:
        assert await stores.dead_letters.add(letter)


async def ids(stores: Stores, wanted: LetterFilter) -> list[str]:
    return [letter.id for letter in (await stores.dead_letters.page(wanted, 100)).letters]


async def settled(stores: Stores, letter: DeadLetter, at: datetime) -> LoadedLetter:
    loaded = await stores.dead_letters.get(letter.id)
    return await stores.dead_letters.update(loaded, loaded.letter.status.discarded(at, "known"))


async def test_a_letter_is_read_back_whole(stores: Stores) -> None:
    letter = a_letter(a_time(), body="\U0001f58a{" * 8_000, signing_id=new_id(), encoding="base64")
    await added(stores, letter)
    assert (await stores.dead_letters.get(letter.id)).letter == letter
    with pytest.raises(NotFound):
        await stores.dead_letters.get(new_id())


async def test_adding_a_letter_twice_says_so_and_leaves_what_has_become_of_it(stores: Stores) -> None:
    letter = a_letter(a_time())
    await added(stores, letter)
    await settled(stores, letter, letter.at)
    assert not await stores.dead_letters.add(replace(letter, at=letter.at + SECOND, body="other"))
    kept = (await stores.dead_letters.get(letter.id)).letter
    assert (kept.body, kept.status.outcome) == (letter.body, Outcome.DISCARDED)


async def test_a_status_is_kept_and_taken_back(stores: Stores) -> None:
    letter = a_letter(a_time())
    await added(stores, letter)
    loaded = await stores.dead_letters.get(letter.id)
    for status in (
        LetterStatus().claimed(letter.at),
        LetterStatus().discarded(letter.at, "été, 'quoted'"),
        LetterStatus().replayed(letter.at),
        LetterStatus(),
    ):
        loaded = await stores.dead_letters.update(loaded, status)
        read = await stores.dead_letters.get(letter.id)
        assert read == loaded
        assert read.letter == replace(letter, status=status)


async def test_of_those_who_change_a_letter_at_once_one_wins(stores: Stores) -> None:
    letter = a_letter(a_time())
    await added(stores, letter)
    loaded = await stores.dead_letters.get(letter.id)
    changes = (
        stores.dead_letters.update(loaded, LetterStatus().claimed(letter.at + number * SECOND)) for number in range(8)
    )
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sum(isinstance(result, LoadedLetter) for result in results) == 1
    assert sum(isinstance(result, ConcurrentUpdate) for result in results) == 7


async def test_a_page_holds_no_bodies(stores: Stores) -> None:
    at = a_time()
    letter = a_letter(at, signing_id=new_id())
    await added(stores, letter)
    page = await stores.dead_letters.page(LetterFilter(signing_id=letter.signing_id), 10)
    assert page.letters == (replace(letter, body=""),)
    assert page.cursor is None


async def test_pages_follow_each_other_though_letters_come_in_between(stores: Stores) -> None:
    at, queue = a_time(), new_id()
    letters = [a_letter(at + number * SECOND, queue=queue) for number in range(5)]
    await added(stores, *letters)
    wanted, seen, cursor = LetterFilter(queue=queue), [], None
    for number in range(3):
        page = await stores.dead_letters.page(wanted, 2, cursor)
        seen += [letter.id for letter in page.letters]
        cursor = page.cursor
        assert (cursor is None) == (number == 2)
        await added(stores, a_letter(at + 60 * SECOND, queue=queue))
    assert seen == [letter.id for letter in reversed(letters)]


async def test_a_full_last_page_has_no_cursor(stores: Stores) -> None:
    at, queue = a_time(), new_id()
    await added(stores, a_letter(at, queue=queue), a_letter(at, queue=queue))
    assert (await stores.dead_letters.page(LetterFilter(queue=queue), 2)).cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "é", "dC0xMjM", "t-0000000000000-" + "0" * 64])
async def test_what_is_no_cursor_is_refused(stores: Stores, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await stores.dead_letters.page(LetterFilter(), 10, cursor)


async def test_letters_are_found_by_what_they_have_in_common(stores: Stores) -> None:
    at, queue, signing_id = a_time(), new_id(), new_id()
    plain = a_letter(at, queue=queue)
    other_reason = a_letter(at - SECOND, queue=queue, reason="http_500")
    of_signing = a_letter(at - 2 * SECOND, queue=queue, signing_id=signing_id)
    await added(stores, plain, other_reason, of_signing)
    assert await ids(stores, LetterFilter(queue=queue)) == [plain.id, other_reason.id, of_signing.id]
    assert await ids(stores, LetterFilter(queue=queue, reason="http_500")) == [other_reason.id]
    assert await ids(stores, LetterFilter(signing_id=signing_id)) == [of_signing.id]
    await settled(stores, other_reason, at)
    assert await ids(stores, LetterFilter(queue=queue, is_open=True)) == [plain.id, of_signing.id]
    assert await ids(stores, LetterFilter(queue=queue, is_open=False)) == [other_reason.id]


async def test_a_range_of_time_is_exact_to_the_microsecond(stores: Stores) -> None:
    at, queue = NOW, new_id()
    tick = timedelta(microseconds=1)
    letters = {number: a_letter(at + number * tick, queue=queue) for number in (-1, 0, 1, 1_000_000)}
    await added(stores, *letters.values())
    between = LetterFilter(queue=queue, since=at, before=at + SECOND)
    assert set(await ids(stores, between)) == {letters[0].id, letters[1].id}
    assert await ids(stores, LetterFilter(queue=queue, before=at)) == [letters[-1].id]
    assert await ids(stores, LetterFilter(queue=queue, since=at + SECOND)) == [letters[1_000_000].id]
    long_ago = datetime.min.replace(tzinfo=at.tzinfo)
    assert len(await ids(stores, LetterFilter(queue=queue, since=long_ago))) == 4
    assert await ids(stores, LetterFilter(queue=queue, before=long_ago)) == []


async def test_settled_letters_can_be_cleared_out_by_age_and_open_ones_not(stores: Stores) -> None:
    # Earlier than what any other test writes.
    at = NOW - timedelta(days=3_650 + secrets.randbelow(3_650))
    old, newer, still_open = (a_letter(at) for _ in range(3))
    await added(stores, old, newer, still_open)
    await settled(stores, old, at + SECOND)
    await settled(stores, newer, at + 3 * SECOND)
    assert await stores.dead_letters.remove_settled(at + 2 * SECOND, 100) >= 1
    with pytest.raises(NotFound):
        await stores.dead_letters.get(old.id)
    for letter in (newer, still_open):
        assert (await stores.dead_letters.get(letter.id)).letter.id == letter.id
    assert await stores.dead_letters.remove_settled(at + 4 * SECOND, 0) == 0
    assert await stores.dead_letters.add(old)
