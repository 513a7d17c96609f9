from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.history import EntryKind, HistoryEntry, is_intact, record
from tests.domain.make import NOW, signing


def chain(length: int) -> list[HistoryEntry]:
    current, entries = signing(), []
    for step in range(length):
        current, entry = record(current, EntryKind.PROGRESS, NOW + timedelta(seconds=step), {"step": str(step)})
        entries.append(entry)
    return entries


def test_entries_are_numbered_and_chained() -> None:
    entries = chain(3)
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert entries[1].previous_hash == entries[0].hash
    assert is_intact(entries)


def test_unknown_facts_are_left_out() -> None:
    _, entry = record(signing(), EntryKind.MOVED, NOW, {"to": "started", "provider_status": None})
    assert entry.facts == {"to": "started"}


@given(st.integers(1, 6), st.data())
def test_any_alteration_shows(length: int, data: st.DataObject) -> None:
    entries = chain(length)
    index = data.draw(st.integers(0, length - 1))
    forged = entries[index].model_copy(update={"facts": {"step": "forged"}})
    assert not is_intact([*entries[:index], forged, *entries[index + 1 :]])


@given(st.integers(2, 6), st.data())
def test_any_removal_but_of_the_newest_shows(length: int, data: st.DataObject) -> None:
    entries = chain(length)
    index = data.draw(st.integers(0, length - 2))
    assert not is_intact(entries[:index] + entries[index + 1 :])
