"""The main job and its mishaps at every provider, over HTTP, through the whole app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from local.azurite import Azurite
from local.players import PLAYERS, Player
from local.stack import Stack, running_stack
from tests.scenarios.conftest import FAST
from tests.scenarios.play import CONTRACT, Play, person
from tests.scenarios.secrecy import check_log

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Every account of the local stack but PKIsigning's, which has its own module.
ACCOUNTS = {"dokobit": "dokobit", "dokobit_universal": "dokobit", "connective": "connective", "signicat": "signicat"}
# Dokobit hands out links to its internal signings only.
INTERNAL = {"options": {"flow": "internal", "redirect_uri": "https://app.example.org/thanks"}}
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
            check_log(running)


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


def kept_at(play: Play, account: str) -> dict[str, Any]:
    """The provider's own signings by id."""
    player, sandbox = at(play, account)
    things = {"dokobit": "signings", "connective": "packages", "signicat": "orders"}[player.name]
    found: dict[str, Any] = getattr(sandbox.state, things)
    return found


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
    assert (await play.get(signing["id"]))["state"] == "started"
    await play.reconcile_while_started(signing["id"])
    await check_files(play, await play.until(signing["id"], "stored"))
    moved = [entry["facts"] for entry in await play.history(signing["id"]) if entry["kind"] == "moved"]
    assert (moved[1]["to"], moved[1]["source"]) == ("completed", "reconcile")


@every_account
async def test_a_signing_that_was_deleted_at_the_provider_is_found_out(play: Play, account: str) -> None:
    signing = await started(play, account)
    kept_at(play, account).pop(signing["providerSigningId"])
    await play.reconcile_while_started(signing["id"])
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
async def test_a_document_from_blob_storage(play: Play, account: str) -> None:
    player, sandbox = at(play, account)
    blob = await play.put_into_inbox(f"contracts/{account}.pdf")
    documents = [{"name": "lease.pdf", "blob": blob}]
    signing = await play.start(account, documents=documents, participants=[_person(player, 1)])
    await sandbox.complete(signing["providerSigningId"])
    await check_files(play, await play.until(signing["id"], "stored"))
    assert await play.blob(blob) == CONTRACT


@every_account
async def test_a_pdf_that_is_none_is_refused_before_anything_is_made(play: Play, account: str) -> None:
    player, _ = at(play, account)
    order = play.order(account, participants=[_person(player, 1)])
    await play.check_no_pdf_is_refused(order, lambda: len(kept_at(play, account)))


@every_account
async def test_reads_that_lag_behind_the_callback_are_asked_again(play: Play, account: str) -> None:
    """By the callback's own word that it is over; where it has none, reconcile asks."""
    _, sandbox = at(play, account)
    signing = await started(play, account)
    sandbox.fault("late_status", times=None, seconds=2)
    await sandbox.complete(signing["providerSigningId"])
    if account == "connective":
        await play.reconcile_while_started(signing["id"])
    await check_files(play, await play.until(signing["id"], "stored"))
    await play.told(signing["id"], "started", "completed", "stored")


@every_account
async def test_an_operation_of_the_providers_own(play: Play, account: str) -> None:
    signing = await started(play, account)
    theirs = signing["providerSigningId"]
    name, arguments, field, value = {
        "dokobit": ("DokobitUniversalAPICheckExternalSigningStatus", {"token": theirs}, "status", "pending"),
        "connective": ("GetPackageStatus", {"Id": theirs}, "PackageStatus", "Pending"),
        "signicat": ("getSigningOrder", {"orderId": theirs}, "id", theirs),
    }[ACCOUNTS[account]]
    answer = await play.client.post(f"/api/accounts/{account}/operations/{name}", json=arguments)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["answer"][field].lower()) == (200, value.lower())
    nothing = await play.client.post(f"/api/accounts/{account}/operations/{name}", json={})
    assert (nothing.status_code, nothing.json()["errors"][0]["field"]) == (400, next(iter(arguments)))


@every_account
async def test_cancel(play: Play, account: str) -> None:
    signing = await started(play, account)
    answer = await play.client.post(f"/api/signings/{signing['id']}/cancel", json={"reason": "typing error"})
    assert answer.status_code == 200, answer.text
    await play.until(signing["id"], "cancelled")


@every_account
async def test_links_lead_to_the_signing_page(play: Play, account: str) -> None:
    player, sandbox = at(play, account)
    listed = (await play.client.get("/api/accounts")).json()["accounts"]
    assert ["links" in one["capabilities"]["actions"] for one in listed if one["account"] == account] == [True]
    of_kind = INTERNAL if player.name == "dokobit" else {}
    signing = await play.start(account, participants=[_person(player, 1)], **of_kind)
    answer = await play.client.get(f"/api/signings/{signing['id']}/links")
    assert answer.status_code == 200, answer.text
    (link,) = answer.json()["links"]
    assert link["url"].startswith(sandbox.base_url)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("account", ["dokobit", "dokobit_universal"])
async def test_an_external_signing_at_dokobit_has_no_links(play: Play, account: str) -> None:
    signing = await started(play, account)
    answer = await play.client.get(f"/api/signings/{signing['id']}/links")
    assert (answer.status_code, answer.json()["code"]) == (422, "unsupported_feature")


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
