"""How signings lie in tables, and how many requests each step costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import TransactionOperation

from shared.domain.errors import AlreadyExists, ConcurrentUpdate
from shared.domain.history import EntryKind
from shared.domain.signing import Progress, State
from shared.storage.clients import DUE, LOOKUPS, SIGNINGS, StorageClients
from shared.storage.due import SHARDS, due_row
from shared.storage.signings import TableSigningStore
from shared.storage.tables import joined, pieces, safe_key
from tests.storage.samples import NOW, new_id, signing, with_entries


async def _rows(clients: StorageClients, table: str, query: str) -> list[dict[str, object]]:
    return [dict(row) async for row in clients.table(table).query_entities(query)]


async def test_the_requests_that_one_signing_costs(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    first, entries = with_entries(signing(), EntryKind.REQUESTED)
    created = await store.create(first, entries)
    assert clients.calls == {"table:BATCH signings": 1}
    clients.calls.clear()
    changed, more = with_entries(created.signing, EntryKind.MOVED)
    await store.save(created, changed, more)
    assert clients.calls == {"table:BATCH signings": 1}
    clients.calls.clear()
    await store.load(first.id)
    assert clients.calls == {"table:GET signings": 1}
    clients.calls.clear()
    await store.claim("idempotency", first.id, first.id, {})
    await store.mark_due(first.id, NOW + timedelta(days=365))
    assert clients.calls == {"table:POST lookups": 1, "table:PATCH due": 1}


async def test_history_does_not_make_loading_dearer(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    loaded = await store.create(signing(), [])
    for _ in range(12):
        changed, entries = with_entries(loaded.signing, *[EntryKind.IGNORED] * 90)
        loaded = await store.save(loaded, changed, entries)
    clients.calls.clear()
    assert await store.load(loaded.signing.id) == loaded
    assert clients.calls == {"table:GET signings": 1}
    assert len(await store.history(loaded.signing.id)) == 1080


async def test_only_the_parts_that_changed_are_written(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    created = await store.create(signing(), [])
    before = {row["RowKey"]: row for row in await _rows(clients, SIGNINGS, f"PartitionKey eq '{created.signing.id}'")}
    assert sorted(map(str, before)) == ["d-0001", "d-0002", "p-0001", "p-0002", "p-0003", "signing"]
    people = list(created.signing.participants)
    people[1] = people[1].model_copy(update={"progress": Progress.SIGNED})
    changed = created.signing.model_copy(update={"participants": tuple(people), "state": State.STARTED})
    stamps = {
        row["RowKey"]: row.metadata["timestamp"]
        async for row in clients.table(SIGNINGS).query_entities(f"PartitionKey eq '{changed.id}'")
    }
    await store.save(created, changed, [])
    moved = {
        row["RowKey"]
        async for row in clients.table(SIGNINGS).query_entities(f"PartitionKey eq '{changed.id}'")
        if row.metadata["timestamp"] != stamps[row["RowKey"]]
    }
    assert moved == {"signing", "p-0002"}


async def test_people_can_read_the_signing_row(clients: StorageClients) -> None:
    created = await TableSigningStore(clients).create(signing(state=State.STARTED, provider_signing_id="p-1"), [])
    row = await clients.table(SIGNINGS).get_entity(created.signing.id, "signing")
    readable = {name: row[name] for name in ("state", "account", "provider", "provider_signing_id", "reference")}
    assert readable == {
        "state": "started",
        "account": "acme",
        "provider": "pkisigning",
        "provider_signing_id": "p-1",
        "reference": "order/7 & co",
    }
    assert "example.com" not in joined(row)


async def test_claims_can_be_cleared_out_by_age(clients: StorageClients) -> None:
    own = new_id()
    await TableSigningStore(clients).claim("idempotency", own, own, {})
    [row] = await _rows(clients, LOOKUPS, f"signing_id eq '{own}'")
    assert datetime.fromisoformat(str(row["created_at"])).tzinfo is not None


async def test_a_claim_that_changes_hands_is_a_young_one_again(clients: StorageClients) -> None:
    store, own = TableSigningStore(clients), new_id()
    await store.claim("idempotency", own, f"{own}-1", {})
    [before] = await _rows(clients, LOOKUPS, f"signing_id eq '{own}-1'")
    assert await store.reclaim("idempotency", own, f"{own}-1", f"{own}-2", {}) is None
    [after] = await _rows(clients, LOOKUPS, f"signing_id eq '{own}-2'")
    assert (after["PartitionKey"], after["RowKey"]) == (before["PartitionKey"], before["RowKey"])
    assert str(after["created_at"]) > str(before["created_at"])


async def test_a_take_over_whose_answer_was_lost_is_recognised(
    clients: StorageClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK repeats a PUT after a 500; here its second try finds what the first has written."""
    own, table = new_id(), clients.table(LOOKUPS)
    update = table.update_entity

    async def twice(*arguments: Any, **more: Any) -> Any:
        await update(*arguments, **more)
        return await update(*arguments, **more)

    monkeypatch.setattr(table, "update_entity", twice)
    monkeypatch.setattr(clients, "table", lambda _: table)
    store = TableSigningStore(clients)
    await store.claim("idempotency", own, "one", {})
    assert await store.reclaim("idempotency", own, "one", "two", {}) is None
    assert await store.claim("idempotency", own, "three", {}) == {"signing_id": "two"}


async def test_a_write_whose_answer_was_lost_is_recognised(clients: StorageClients) -> None:
    """The SDK repeats a POST after a 500. Here the repeat is made by sending each batch twice."""
    store = TableSigningStore(_Repeating(clients))
    created = await store.create(signing(), [])
    saved = await store.save(created, created.signing.model_copy(update={"title": "changed"}), [])
    assert await store.load(saved.signing.id) == saved
    with pytest.raises(AlreadyExists):
        await store.create(created.signing, [])
    with pytest.raises(ConcurrentUpdate):
        await store.save(created, created.signing, [])


class _Repeating(StorageClients):
    """The same clients, but every transaction goes out twice and only the second answer is heard."""

    def __init__(self, clients: StorageClients) -> None:
        self.__dict__.update(vars(clients))

    async def transact(self, table: str, operations: Iterable[Any]) -> list[Mapping[str, Any]]:
        operations = list(operations)
        await super().transact(table, operations)
        return await super().transact(table, operations)


async def test_too_many_rows_for_one_transaction_are_refused_before_the_call(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    created = await store.create(signing(), [])
    changed, entries = with_entries(created.signing, *[EntryKind.IGNORED] * 100)
    with pytest.raises(ValueError, match="101 rows"):
        await store.save(created, changed, entries)


async def test_reading_what_is_due_costs_the_same_however_much_is_not(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    now = datetime(1998, 6, 1, 12, 0, tzinfo=UTC)
    await store.mark_due(own := new_id(), now - timedelta(minutes=1))

    async def cost() -> int:
        clients.calls.clear()
        assert [row.signing_id for row in await store.due(now, 200)] == [own]
        return clients.calls.total()

    await _mark_future(clients, 1000)
    few = await cost()
    await _mark_future(clients, 4000)
    assert await cost() == few == 1
    [row] = await store.due(now, 1)
    await store.settle_due(row)


async def test_a_batch_of_due_rows_costs_a_call_for_each_partition(clients: StorageClients) -> None:
    store = TableSigningStore(clients)
    now = datetime(1996, 6, 1, 12, 0, tzinfo=UTC)
    await store.mark_all_due({new_id(): now + timedelta(seconds=number) for number in range(200)})
    rows = await store.due(now + timedelta(seconds=299), 1000)
    assert len(rows) == 200
    clients.calls.clear()
    await store.settle_all_due(rows)
    assert clients.calls == {"table:BATCH due": SHARDS}


async def _mark_future(clients: StorageClients, count: int) -> None:
    """Many rows at one far time, written a hundred at a time."""
    partitions: dict[str, list[dict[str, str]]] = {}
    for _ in range(count):
        row = due_row(new_id(), datetime(2190, 1, 1, tzinfo=UTC))
        partitions.setdefault(row["PartitionKey"], []).append(row)
    for rows in partitions.values():
        for start in range(0, len(rows), 100):
            operations = [(TransactionOperation.CREATE, row) for row in rows[start : start + 100]]
            await clients.transact(DUE, operations)


@pytest.mark.parametrize("length", [0, 1, 15_999, 16_000, 16_001, 48_000])
def test_pieces_join_to_the_same_text(length: int) -> None:
    text = "é" * length
    columns = pieces(text)
    assert joined(columns) == text
    assert max(len(column.encode("utf-16-le")) for column in columns.values()) <= 64 * 1024


def test_a_key_that_a_table_would_refuse_is_replaced() -> None:
    assert safe_key("acme-1") == "acme-1"
    assert safe_key("a/b") != safe_key("a#b")
    assert not set(safe_key("a/b\\c#d?e")) & set("/\\#?")
