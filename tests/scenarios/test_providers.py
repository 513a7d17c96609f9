"""The main job and its mishaps at every provider, over HTTP, through the whole app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from local.azurite import Azurite
from local.players import PLAYERS, Player
from local.stack import Stack, running_stack
from tests.scenarios.conftest import FAST
from tests.scenarios.play import Play, person

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Every account of the local stack but PKIsigning's, which has its own module.
ACCOUNTS = {"dokobit": "dokobit", "dokobit_universal": "dokobit", "connective": "connective", "signicat": "signicat"}
every_account = pytest.mark.parametrize("account", ACCOUNTS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack_of_all() -> AsyncIterator[Stack]:
    names = tuple(sorted(set(ACCOUNTS.values())))
    fast = {name: value for name, value in FAST.items() if not name.startswith("Accounts__")}
    budgets = {f"Accounts__{account}__CallsPerMinute": "100000" for account in ACCOUNTS}
    with Azurite.start() as azurite:
        async with running_stack(
            providers=names, azurite=azurite, overrides=fast | budgets, max_polling_seconds=0.2
        ) as running:
            for sandbox in running.sandboxes.values():
                lift_rate_limit(sandbox)
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def play(stack_of_all: Stack) -> AsyncIterator[Play]:
    async with stack_of_all.client() as client:
        yield Play(stack_of_all, client)
    for sandbox in stack_of_all.sandboxes.values():
        sandbox.faults.clear()
        knobs = type(sandbox.knobs)
        sandbox.set_knobs(knobs())


def lift_rate_limit(sandbox: Any) -> None:
    """Where the simulator has one: scenarios make more calls a minute than an account may."""
    if "rate_limit" in type(sandbox.options).model_fields:
        sandbox.options.rate_limit = 100_000


def at(play: Play, account: str) -> tuple[Player, Any]:
    player = PLAYERS[ACCOUNTS[account]]
    return player, play.stack.sandboxes[player.name]


async def started(play: Play, account: str, count: int = 1) -> dict[str, Any]:
    player, _ = at(play, account)
    people = [_person(player, number) for number in range(1, count + 1)]
    return await play.start(account, participants=people)


def _person(player: Player, number: int) -> dict[str, Any]:
    made = person(number)
    if not player.participant:
        del made["placements"]
    return made


async def check_files(play: Play, signing: dict[str, Any]) -> None:
    kinds = {file["kind"] for file in signing["files"]}
    assert "manifest" in kinds
    assert kinds & {"document", "archive"}
    assert len(await play.blobs_of(signing["id"], "signed")) == len(signing["files"])
    assert await play.blobs_of(signing["id"], "staging") == []


@every_account
async def test_happy_path_with_two_signers(play: Play, account: str) -> None:
    _, sandbox = at(play, account)
    signing = await started(play, account, 2)
    assert signing["state"] == "started"
    await sandbox.complete(signing["providerSigningId"])
    stored = await play.until(signing["id"], "stored")
    await check_files(play, stored)
    await play.told(signing["id"], "started", "completed", "stored")
    assert [one["progress"] for one in stored["participants"]] == ["signed", "signed"]
    assert any(file["kind"] == "evidence" for file in stored["files"])


@every_account
async def test_decline(play: Play, account: str) -> None:
    _, sandbox = at(play, account)
    signing = await started(play, account)
    await sandbox.decline(signing["providerSigningId"])
    await play.until(signing["id"], "declined")
    await play.told(signing["id"], "started", "declined")
    assert await play.blobs_of(signing["id"], "signed") == []


@every_account
async def test_lost_callbacks_are_found_by_reconcile(play: Play, account: str) -> None:
    _, sandbox = at(play, account)
    sandbox.set_knobs(type(sandbox.knobs)(drop=True))
    signing = await started(play, account)
    await sandbox.complete(signing["providerSigningId"])
    await asyncio.sleep(1.2)
    assert (await play.get(signing["id"]))["state"] == "started"
    for _ in range(20):
        await play.reconcile()
        await asyncio.sleep(1.1)
        if (await play.get(signing["id"]))["state"] != "started":
            break
    await check_files(play, await play.until(signing["id"], "stored"))


@every_account
async def test_a_signing_that_was_deleted_at_the_provider_is_found_out(play: Play, account: str) -> None:
    player, sandbox = at(play, account)
    signing = await started(play, account)
    kept = sandbox.state
    things = {"dokobit": "signings", "connective": "packages", "signicat": "orders"}[player.name]
    getattr(kept, things).pop(signing["providerSigningId"])
    for _ in range(20):
        await play.reconcile()
        await asyncio.sleep(1.1)
        if (await play.get(signing["id"]))["state"] != "started":
            break
    failed = await play.until(signing["id"], "failed")
    assert failed["failure"]["code"] == "provider_not_found"


@every_account
async def test_callbacks_three_times(play: Play, account: str) -> None:
    _, sandbox = at(play, account)
    sandbox.set_knobs(type(sandbox.knobs)(copies=3))
    signing = await started(play, account)
    await sandbox.complete(signing["providerSigningId"])
    stored = await play.until(signing["id"], "stored")
    await sandbox.settle()
    await check_files(play, stored)
    await play.told(signing["id"], "started", "completed", "stored")
    moves = [entry["facts"]["to"] for entry in await play.history(signing["id"]) if entry["kind"] == "moved"]
    assert moves == ["started", "completed", "stored"]


@every_account
async def test_cancel(play: Play, account: str) -> None:
    signing = await started(play, account)
    answer = await play.client.post(f"/api/signings/{signing['id']}/cancel", json={"reason": "typing error"})
    assert answer.status_code == 200, answer.text
    await play.until(signing["id"], "cancelled")


@every_account
async def test_links_lead_to_the_signing_page(play: Play, account: str) -> None:
    _, sandbox = at(play, account)
    signing = await started(play, account)
    answer = await play.client.get(f"/api/signings/{signing['id']}/links")
    if answer.status_code == 422:
        assert answer.json()["code"] == "unsupported_feature"
        return
    (link,) = answer.json()["links"]
    assert link["url"].startswith(sandbox.base_url)
    assert answer.headers["cache-control"] == "no-store"


async def test_the_catalogue_is_complete(play: Play) -> None:
    providers = (await play.client.get("/api/providers")).json()["providers"]
    counts = {one["name"]: len(one["operations"]) for one in providers}
    assert counts == {"pkisigning": 27, "dokobit": 22, "connective": 21, "signicat": 17}
    for provider in providers:
        for operation in provider["operations"]:
            assert operation["answers"], operation["id"]


async def test_an_unsupported_wish_names_who_could_grant_it(play: Play) -> None:
    wish = play.order("signicat", participants=[person(1)])
    answer = await play.post(wish)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unsupported_feature")
    assert problem["field"] == "participants[0].placements[0]"
    assert set(problem["supportedBy"]) == {"pkisigning", "connective"}
