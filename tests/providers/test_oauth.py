"""Access tokens against the simulated identity server, whose refresh tokens are good for one use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from aiohttp import web

from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning import PkisigningSandbox
from shared.domain.errors import ProviderError, Throttled, Unauthorised, Unavailable
from shared.ports import TokenRow
from shared.providers import oauth
from shared.providers.http import Credentials, HttpPool
from shared.providers.oauth import BearerAuth, ClientCredentials, SharedRefreshToken, TokenEndpoint
from shared.providers.sealing import HeldTokens, TokenSeal
from tests.providers.stand_ins import Clock, MemoryTokens, ScriptedServer


@pytest.fixture
async def sandbox() -> AsyncIterator[PkisigningSandbox]:
    async with PkisigningSandbox.start() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[HttpPool]:
    pool = HttpPool()
    yield pool
    await pool.aclose()


@dataclass
class Instances:
    """Several instances of the app: one account, one shared store, one clock."""

    sandbox: PkisigningSandbox
    http: HttpPool
    tokens: MemoryTokens = field(default_factory=MemoryTokens)
    clock: Clock = field(default_factory=Clock)

    def endpoint(self) -> TokenEndpoint:
        box = self.sandbox
        return TokenEndpoint(box.token_url, box.client_id, box.client_secret, self.http, account="main", now=self.clock)

    def another(self, seed: str | None = None) -> BearerAuth:
        source = SharedRefreshToken(
            self.endpoint(),
            self.tokens,
            account="main",
            seed=seed or self.sandbox.refresh_token,
            client_secret=self.sandbox.client_secret,
            now=self.clock,
        )
        return BearerAuth(source, self.clock)

    def by_client(self, *scopes: str) -> BearerAuth:
        return BearerAuth(ClientCredentials(self.endpoint(), scopes or ("pkisigning.platform",)), self.clock)

    @property
    def asked(self) -> int:
        return sum(call.operation == "Connect_Token" for call in self.sandbox.calls)


@pytest.fixture
def instances(sandbox: PkisigningSandbox, http: HttpPool) -> Instances:
    return Instances(sandbox, http)


def bearer(credentials: Credentials) -> str:
    return credentials.headers["Authorization"]


async def test_a_token_is_kept_until_a_minute_before_its_end(instances: Instances) -> None:
    auth = instances.another()
    first = await auth.credentials()
    instances.clock.forward(3539)
    assert await auth.credentials() == first
    instances.clock.forward(1)
    assert await auth.credentials() != first
    assert instances.asked == 2


async def test_a_short_lived_token_is_used_for_half_its_life(instances: Instances) -> None:
    instances.sandbox.options.token_seconds = 80
    auth = instances.by_client()
    first = await auth.credentials()
    instances.clock.forward(39)
    assert await auth.credentials() == first
    instances.clock.forward(1)
    assert await auth.credentials() != first


async def test_many_callers_wait_for_one_token(instances: Instances) -> None:
    auth = instances.another()
    given = await asyncio.gather(*(auth.credentials() for _ in range(20)))
    assert len({bearer(one) for one in given}) == 1
    assert instances.asked == 1
    renewed = await asyncio.gather(*(auth.credentials(refused=given[0]) for _ in range(20)))
    assert {bearer(one) for one in renewed} != {bearer(given[0])}
    assert instances.asked == 2


async def test_instances_share_one_token(instances: Instances) -> None:
    first = await instances.another().credentials()
    assert await instances.another().credentials() == first
    assert instances.asked == 1


async def test_racing_instances_spend_each_refresh_token_once(instances: Instances) -> None:
    racers = [instances.another() for _ in range(6)]
    for _ in range(3):
        given = await asyncio.gather(*(racer.credentials() for racer in racers))
        assert len({bearer(one) for one in given}) == 1
        instances.clock.forward(3600)
    assert instances.asked == 3
    assert all(call.status == 200 for call in instances.sandbox.calls)


async def test_a_crash_while_holding_the_lease_ends_with_the_lease(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_WAIT_SECONDS", 0.3)
    await instances.another().credentials()
    instances.clock.forward(3600)
    row = instances.tokens.rows["main"]
    await instances.tokens.write("main", replace(row, lease_until=instances.clock() + timedelta(seconds=30)))
    with pytest.raises(Unavailable) as caught:
        await instances.another().credentials()
    assert not caught.value.sent
    instances.clock.forward(30)
    assert await instances.another().credentials()
    assert instances.tokens.rows["main"].lease_until is None


async def test_waiting_for_another_instance_ends_with_its_token(instances: Instances) -> None:
    instances.sandbox.fault(FaultKind.SLOW, "Connect_Token", seconds=0.3)
    first, second = await asyncio.gather(instances.another().credentials(), instances.another().credentials())
    assert first == second
    assert instances.asked == 1


async def test_a_used_up_refresh_token_asks_for_consent(instances: Instances) -> None:
    await instances.another().credentials()
    instances.tokens.rows.clear()
    with pytest.raises(Unauthorised) as caught:
        await instances.another().credentials()
    assert caught.value.code == "consent_needed"
    assert "consent again" in caught.value.next_step
    assert instances.tokens.rows["main"].lease_until is None


async def test_a_new_consent_replaces_the_row(instances: Instances) -> None:
    await instances.another().credentials()
    instances.sandbox.identity.refresh_tokens.clear()
    instances.clock.forward(3600)
    with pytest.raises(Unauthorised):
        await instances.another().credentials()
    renewed = instances.another(seed=instances.sandbox.consent())
    assert await renewed.credentials()
    instances.clock.forward(3600)
    assert await renewed.credentials()


async def test_an_instance_with_an_older_seed_does_not_destroy_the_newer_tokens(instances: Instances) -> None:
    used_up = instances.sandbox.refresh_token
    await instances.another(seed=used_up).credentials()
    newer = instances.sandbox.consent()
    given = await instances.another(seed=newer).credentials()
    with pytest.raises(Unauthorised):
        await instances.another(seed=used_up).credentials()
    assert await instances.another(seed=newer).credentials() == given


async def test_another_client_secret_makes_the_row_useless_and_the_seed_counts(instances: Instances) -> None:
    await instances.another().credentials()
    sealed = instances.tokens.rows["main"].sealed
    assert TokenSeal("main", instances.sandbox.client_secret).open(sealed) is not None
    assert TokenSeal("other", instances.sandbox.client_secret).open(sealed) is None
    assert TokenSeal("main", "other").open(sealed) is None
    assert TokenSeal("main", "other").open("not base64!") is None
    row = instances.tokens.rows["main"]
    instances.tokens.rows["main"] = replace(row, sealed="rubbish")
    assert await instances.another(seed=instances.sandbox.consent()).credentials()


async def test_nothing_readable_is_stored(instances: Instances) -> None:
    token = bearer(await instances.another().credentials()).removeprefix("Bearer ")
    (row,) = instances.tokens.rows.values()
    assert token not in row.sealed
    assert instances.sandbox.refresh_token not in row.sealed
    assert token not in repr(HeldTokens.seeded(token))


async def test_a_renewal_that_could_not_be_saved_is_not_lost(instances: Instances) -> None:
    auth = instances.another()
    await auth.credentials()
    instances.clock.forward(3600)
    written = instances.tokens.write

    async def lease_only(account: str, row: TokenRow) -> TokenRow:
        instances.tokens.fail_next_writes = 0 if row.lease_until else 1
        return await written(account, row)

    instances.tokens.write = lease_only  # type: ignore[method-assign]
    with pytest.raises(OSError, match="storage is down"):
        await auth.credentials()
    instances.tokens.write = written  # type: ignore[method-assign]
    assert await auth.credentials() == await instances.another().credentials()
    assert instances.asked == 2


async def test_a_cancelled_caller_does_not_cost_the_refresh_token(instances: Instances) -> None:
    instances.sandbox.fault(FaultKind.SLOW, "Connect_Token", seconds=0.2)
    caller = asyncio.ensure_future(instances.another().credentials())
    await asyncio.sleep(0.1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await instances.another().credentials()
    assert instances.asked == 1


async def test_a_lease_lost_in_between_keeps_the_newest_token(instances: Instances) -> None:
    auth = instances.another()
    instances.sandbox.fault(FaultKind.SLOW, "Connect_Token", seconds=0.2)
    pending = asyncio.ensure_future(auth.credentials())
    await asyncio.sleep(0.1)
    row = instances.tokens.rows["main"]
    await instances.tokens.write("main", replace(row, lease_until=instances.clock() + timedelta(seconds=30)))
    given = await pending
    assert await instances.another().credentials() == given


async def test_client_credentials_ask_for_their_scopes_and_store_nothing(instances: Instances) -> None:
    given = await instances.by_client("pkisigning.platform", "ImpersonateOwner").credentials()
    token = instances.sandbox.identity.access_tokens[bearer(given).removeprefix("Bearer ")]
    assert token.scopes == {"pkisigning.platform", "ImpersonateOwner"}
    assert instances.tokens.rows == {}


async def test_a_refused_client_is_unauthorised(instances: Instances) -> None:
    instances.sandbox.options.allow_client_credentials = False
    with pytest.raises(Unauthorised, match="unauthorized_client") as caught:
        await instances.by_client().credentials()
    assert caught.value.code == "provider_unauthorised"


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (web.Response(status=500), Unavailable),
        (web.Response(status=302, headers={"Location": "/x"}), Unavailable),
        (web.Response(status=429, headers={"Retry-After": "5"}), Throttled),
        (web.Response(status=401, text="<html>"), Unauthorised),
        (_json('{"error": "<script>"}', 400), Unauthorised),
        (_json("[]", 400), Unauthorised),
        (web.Response(text="<html>"), Unavailable),
        (_json("{}"), Unavailable),
        (_json('{"access_token": "bad\\r\\ntoken"}'), Unavailable),
    ],
)
async def test_what_a_token_endpoint_may_say(http: HttpPool, answer: web.Response, kind: type[ProviderError]) -> None:
    async with ScriptedServer.start() as server:
        server.answers(answer)
        endpoint = TokenEndpoint(server.base_url, "id", "secret", http, account="main", now=Clock())
        with pytest.raises(kind) as caught:
            await endpoint.ask({"grant_type": "client_credentials"})
    assert getattr(caught.value, "sent", False) is False
    assert "<" not in caught.value.detail


async def test_a_token_endpoint_that_is_not_there(http: HttpPool) -> None:
    async with ScriptedServer.start() as server:
        url = server.base_url
    with pytest.raises(Unavailable) as caught:
        await TokenEndpoint(url, "id", "secret", http, account="main", now=Clock()).ask({})
    assert not caught.value.sent


async def test_no_token_and_no_secret_in_the_log(instances: Instances, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    given = bearer(await instances.another().credentials()).removeprefix("Bearer ")
    everything = "\n".join(record.getMessage() for record in caplog.records)
    assert "token_asked" in everything
    for secret in (given, instances.sandbox.refresh_token, instances.sandbox.client_secret):
        assert secret not in everything
