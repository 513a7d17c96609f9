"""`ports.SigningStore`, in memory and on tables."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.errors import AlreadyExists, ConcurrentUpdate, NotFound
from shared.domain.history import EntryKind, is_intact
from shared.domain.signing import Announcement, Progress, State
from tests.storage.conftest import Stores
from tests.storage.samples import NOW, new_id, signing, with_entries


async def test_what_was_created_is_loaded(stores: Stores) -> None:
    first, entries = with_entries(signing(), EntryKind.REQUESTED)
    created = await stores.signings.create(first, entries)
    loaded = await stores.signings.load(first.id)
    assert loaded == created
    assert loaded.signing == first


async def test_creating_twice_is_refused_and_changes_nothing(stores: Stores) -> None:
    first = signing(title="first")
    await stores.signings.create(first, [])
    with pytest.raises(AlreadyExists):
        await stores.signings.create(first.model_copy(update={"title": "second"}), [])
    assert (await stores.signings.load(first.id)).signing.title == "first"


async def test_an_unknown_signing_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.signings.load(new_id())
    assert await stores.signings.history(new_id()) == []


async def test_a_save_returns_the_etag_of_what_is_stored(stores: Stores) -> None:
    created = await stores.signings.create(signing(), [])
    changed, entries = with_entries(created.signing.model_copy(update={"state": State.STARTED}), EntryKind.MOVED)
    saved = await stores.signings.save(created, changed, entries)
    assert saved.etag != created.etag
    assert await stores.signings.load(changed.id) == saved
    again = changed.model_copy(update={"state": State.COMPLETED})
    await stores.signings.save(saved, again, [])
    assert (await stores.signings.load(changed.id)).signing.state is State.COMPLETED


async def test_a_stale_save_leaves_nothing_behind(stores: Stores) -> None:
    created = await stores.signings.create(signing(), [])
    winner, won = with_entries(created.signing.model_copy(update={"title": "winner"}), EntryKind.MOVED)
    await stores.signings.save(created, winner, won)
    people = tuple(p.model_copy(update={"progress": Progress.SIGNED}) for p in created.signing.participants)
    loser, lost = with_entries(
        created.signing.model_copy(update={"participants": people}), EntryKind.MOVED, EntryKind.PROGRESS
    )
    with pytest.raises(ConcurrentUpdate):
        await stores.signings.save(created, loser, lost)
    assert (await stores.signings.load(winner.id)).signing == winner
    assert await stores.signings.history(winner.id) == won


async def test_a_history_entry_is_never_written_over(stores: Stores) -> None:
    first, entries = with_entries(signing(), EntryKind.REQUESTED)
    created = await stores.signings.create(first, entries)
    with pytest.raises(ConcurrentUpdate):
        await stores.signings.save(created, first.model_copy(update={"title": "changed"}), entries)
    assert await stores.signings.load(first.id) == created


async def test_saving_what_was_never_created_is_refused(stores: Stores) -> None:
    created = await stores.signings.create(signing(), [])
    other = signing()
    with pytest.raises(ConcurrentUpdate):
        await stores.signings.save(created, other, [])
    with pytest.raises(NotFound):
        await stores.signings.load(other.id)


async def test_of_many_concurrent_saves_exactly_one_wins(stores: Stores) -> None:
    created = await stores.signings.create(signing(), [])

    async def save(number: int) -> str | None:
        changed, entries = with_entries(created.signing.model_copy(update={"title": f"{number}"}), EntryKind.MOVED)
        try:
            await stores.signings.save(created, changed, entries)
        except ConcurrentUpdate:
            return None
        return changed.title

    winners = [title for title in await asyncio.gather(*(save(number) for number in range(12))) if title]
    assert winners == [(await stores.signings.load(created.signing.id)).signing.title]
    assert len(await stores.signings.history(created.signing.id)) == 1


async def test_history_comes_in_order_and_its_chain_holds(stores: Stores) -> None:
    first, entries = with_entries(signing(), EntryKind.REQUESTED, EntryKind.START_ATTEMPT)
    loaded = await stores.signings.create(first, entries)
    for _ in range(4):
        changed, more = with_entries(loaded.signing, EntryKind.CHECKPOINT, EntryKind.IGNORED, EntryKind.PROGRESS)
        loaded = await stores.signings.save(loaded, changed, more)
    history = await stores.signings.history(first.id)
    assert [entry.seq for entry in history] == list(range(1, 15))
    assert is_intact(history)
    assert history[-1].hash == loaded.signing.history_hash


async def test_parts_change_appear_and_go(stores: Stores) -> None:
    created = await stores.signings.create(signing(documents=3, participants=2), [])
    one, two = created.signing.participants
    three = two.model_copy(update={"number": 3, "email": "new@example.com"})
    changed = created.signing.model_copy(
        update={
            "participants": (one.model_copy(update={"progress": Progress.VIEWED, "progress_at": NOW}), two, three),
            "documents": created.signing.documents[:1],
        }
    )
    await stores.signings.save(created, changed, [])
    assert (await stores.signings.load(changed.id)).signing == changed


def _announcement(seq: int) -> Announcement:
    return Announcement(seq=seq, state=State.STARTED, at=NOW, next_attempt_at=NOW)


async def test_a_recorded_delivery_survives_a_save_that_was_read_before(stores: Stores) -> None:
    created = await stores.signings.create(signing(announcements=(_announcement(1),)), [])
    delivered = _announcement(1).model_copy(update={"attempts": 1, "delivered_at": NOW})
    await stores.signings.record_delivery(created.signing.id, delivered)
    loaded = await stores.signings.load(created.signing.id)
    assert loaded.signing.announcements == (delivered,)
    assert loaded.etag == created.etag
    changed = created.signing.model_copy(update={"announcements": (_announcement(1), _announcement(4))})
    await stores.signings.save(created, changed, [])
    assert (await stores.signings.load(changed.id)).signing.announcements == (delivered, _announcement(4))


async def test_a_delivery_of_nothing_is_not_recorded(stores: Stores) -> None:
    created = await stores.signings.create(signing(announcements=(_announcement(1),)), [])
    with pytest.raises(NotFound):
        await stores.signings.record_delivery(created.signing.id, _announcement(2))
    with pytest.raises(NotFound):
        await stores.signings.record_delivery(new_id(), _announcement(1))
    assert await stores.signings.load(created.signing.id) == created


async def test_text_beyond_one_table_property_survives(stores: Stores) -> None:
    wide = "\U0001f58a" * 40_000  # two UTF-16 units each: 80 Ki of them, where a property holds 32 Ki
    first = signing(metadata={"wide": wide, "plain": "x" * 33_000})
    created = await stores.signings.create(first, [])
    assert (await stores.signings.load(first.id)).signing == first
    shorter = first.model_copy(update={"metadata": {}})
    await stores.signings.save(created, shorter, [])
    assert (await stores.signings.load(first.id)).signing == shorter


async def test_the_largest_signing_fits(stores: Stores) -> None:
    first, entries = with_entries(signing(documents=20, participants=50), EntryKind.REQUESTED)
    await stores.signings.create(first, entries)
    loaded = await stores.signings.load(first.id)
    assert [document.number for document in loaded.signing.documents] == list(range(1, 21))
    assert [participant.number for participant in loaded.signing.participants] == list(range(1, 51))


async def test_the_first_claimant_wins_and_the_others_hear_its_facts(stores: Stores) -> None:
    key = f"key/with#odd?\\characters {new_id()} \u00e9"
    assert await stores.signings.find("idempotency", key) is None
    assert await stores.signings.claim("idempotency", key, "one", {"body": "abc"}) is None
    assert await stores.signings.claim("idempotency", key, "two", {"body": "xyz"}) == {
        "body": "abc",
        "signing_id": "one",
    }
    assert await stores.signings.find("idempotency", key) == "one"
    assert await stores.signings.claimed("idempotency", key) == {"body": "abc", "signing_id": "one"}
    assert await stores.signings.claimed("reference", key) is None
    assert await stores.signings.find("reference", key) is None
    assert await stores.signings.claim("reference", key, "two", {}) is None


async def test_claiming_again_with_the_same_id_is_not_winning_again(stores: Stores) -> None:
    key = new_id()
    assert await stores.signings.claim("provider", key, "one", {}) is None
    assert await stores.signings.claim("provider", key, "one", {}) == {"signing_id": "one"}


async def test_of_sixteen_concurrent_claimants_one_wins(stores: Stores) -> None:
    key = new_id()
    answers = await asyncio.gather(*(stores.signings.claim("idempotency", key, f"{n}", {}) for n in range(16)))
    winners = [number for number, answer in enumerate(answers) if answer is None]
    assert len(winners) == 1
    assert [answer for answer in answers if answer is not None] == [{"signing_id": f"{winners[0]}"}] * 15


async def test_only_what_is_due_is_read_oldest_bucket_first(stores: Stores) -> None:
    # A time before everything that other tests mark.
    now = datetime(1999, 1, 1, 12, 2, tzinfo=UTC)
    early, later, present, soon = (new_id() for _ in range(4))
    await stores.signings.mark_due(soon, now + timedelta(seconds=1))
    await stores.signings.mark_due(later, now - timedelta(minutes=10))
    await stores.signings.mark_due(early, now - timedelta(hours=3))
    await stores.signings.mark_due(present, now)
    await stores.signings.mark_due(present, now)
    rows = await stores.signings.due(now, 10)
    assert [(row.signing_id, row.due_at) for row in rows] == [
        (early, now - timedelta(hours=3)),
        (later, now - timedelta(minutes=10)),
        (present, now),
    ]
    assert [row.signing_id for row in await stores.signings.due(now, 2)] == [early, later]
    assert await stores.signings.due(now, 0) == []
    for row in rows:
        await stores.signings.settle_due(row)
        await stores.signings.settle_due(row)
    assert await stores.signings.due(now, 10) == []
    [last] = await stores.signings.due(now + timedelta(seconds=1), 10)
    assert last.signing_id == soon
    await stores.signings.settle_due(last)


async def test_a_claimed_key_changes_hands_if_its_holder_is_the_one_that_was_seen(stores: Stores) -> None:
    key = new_id()
    await stores.signings.claim("idempotency", key, "one", {"body": "abc"})
    assert await stores.signings.reclaim("idempotency", key, "one", "two", {"body": "xyz"}) is None
    present = {"body": "xyz", "signing_id": "two"}
    assert await stores.signings.claimed("idempotency", key) == present
    assert await stores.signings.claim("idempotency", key, "three", {}) == present
    assert await stores.signings.reclaim("idempotency", key, "one", "three", {}) == present
    with pytest.raises(ConcurrentUpdate):
        await stores.signings.reclaim("idempotency", new_id(), "one", "two", {})


async def test_of_sixteen_who_take_a_key_over_one_succeeds(stores: Stores) -> None:
    key = new_id()
    await stores.signings.claim("idempotency", key, "first", {})
    answers = await asyncio.gather(
        *(stores.signings.reclaim("idempotency", key, "first", f"{n}", {}) for n in range(16))
    )
    assert answers.count(None) == 1
    winner = answers.index(None)
    assert [answer for answer in answers if answer is not None] == [{"signing_id": f"{winner}"}] * 15


async def test_many_rows_are_marked_and_settled_together(stores: Stores) -> None:
    now = datetime(1997, 1, 1, 12, 2, tzinfo=UTC)
    times = {new_id(): now - timedelta(seconds=number % 3) for number in range(250)}
    await stores.signings.mark_all_due(times)
    await stores.signings.mark_all_due(times)
    rows = await stores.signings.due(now, 1000)
    assert {row.signing_id: row.due_at for row in rows} == times
    # As when another timer run was faster with some of them.
    for row in rows[::50]:
        await stores.signings.settle_due(row)
    await stores.signings.settle_all_due([*rows, rows[0]])
    assert await stores.signings.due(now, 1000) == []
    await stores.signings.settle_all_due(rows)
    await stores.signings.mark_all_due({})


async def test_old_claims_are_found_and_forgotten_once(stores: Stores) -> None:
    kind = f"old-{new_id()}"
    await asyncio.gather(*(stores.signings.claim(kind, f"key {number}", f"{number}", {}) for number in range(20)))
    long_ago, soon = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(minutes=1)
    assert [one async for one in stores.signings.claims_before(kind, long_ago)] == []
    assert [one async for one in stores.signings.claims_before(kind[:-1], soon)] == []
    found = [one async for one in stores.signings.claims_before(kind, soon)]
    assert sorted(one.signing_id for one in found) == sorted(f"{number}" for number in range(20))
    for one in found[1:]:
        await stores.signings.forget_claim(one)
        await stores.signings.forget_claim(one)
    assert [one.signing_id async for one in stores.signings.claims_before(kind, soon)] == [found[0].signing_id]


async def test_a_claim_made_anew_is_not_forgotten(stores: Stores) -> None:
    kind = f"anew-{new_id()}"
    await stores.signings.claim(kind, "key", "one", {})
    [old] = [one async for one in stores.signings.claims_before(kind, datetime.now(UTC) + timedelta(minutes=1))]
    await stores.signings.forget_claim(old)
    assert await stores.signings.claim(kind, "key", "two", {}) is None
    await stores.signings.forget_claim(old)
    assert await stores.signings.claim(kind, "key", "three", {}) == {"signing_id": "two"}
