"""Revocation, asked of a real responder: what it proves, what its silence means, how often it is asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from local.sandbox.pki import CallbackSigner, Issued, SandboxPki, sandbox_key
from shared.verification.memory import SingleFlight
from tests.verification.world import NOW, World, refused


def _sub_ca(world: World, **knobs: Any) -> Issued:
    return world.pki.issue(common_name="Sub CA", dns_names=None, is_ca=True, key=sandbox_key("sub"), **knobs)


def _below(world: World, issuer: Issued, leaf: Issued) -> CallbackSigner:
    return CallbackSigner(leaf, (issuer.certificate, world.pki.issuing.certificate))


@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("source", ["ocsp", "crl"])
async def test_revoked_leaf(world: World, source: str, mode: str) -> None:
    leaf = world.pki.issue(with_ocsp=source == "ocsp", with_crl=source == "crl")
    signer = world.pki.signer(leaf)
    assert (await world.deliver(signer, verifier=world.verifier(revocation=mode))).verdicts["revocation"] == "good"
    world.pki.revoke(leaf.certificate)
    failure = await refused(world.deliver(signer, verifier=world.verifier(revocation=mode)))
    assert (failure.reason, failure.status) == ("certificate_revoked", 401)
    assert world.responder.served[source] > 0


@pytest.mark.parametrize("mode", ["hard", "soft"])
async def test_revoked_intermediate(world: World, mode: str) -> None:
    world.pki.revoke(world.pki.issuing.certificate)
    assert (await refused(world.deliver(verifier=world.verifier(revocation=mode)))).reason == "certificate_revoked"


async def test_soft_fail_about_an_intermediate_does_not_hide_a_revoked_leaf(world: World) -> None:
    silent = _sub_ca(world, with_ocsp=False, with_crl=False)
    leaf = world.pki.issue(issuer=silent)
    signer, soft = _below(world, silent, leaf), world.verifier(revocation="soft")
    assert (await refused(world.deliver(signer, chain_length=3))).reason == "revocation_unknown"
    assert (await world.deliver(signer, chain_length=3, verifier=soft)).verdicts["revocation"] == "unknown"
    world.pki.revoke(leaf.certificate)
    again = world.verifier(revocation="soft")
    assert (await refused(world.deliver(signer, chain_length=3, verifier=again))).reason == "certificate_revoked"


@pytest.mark.parametrize(
    "fault",
    [
        {"down": True},
        {"slow_seconds": 2},
        {"garbage": True},
    ],
)
async def test_failing_responder_under_hard_and_soft(world: World, fault: dict[str, Any]) -> None:
    for switch, value in fault.items():
        setattr(world.responder, switch, value)
    failure = await refused(world.deliver(verifier=world.verifier(revocation_timeout_seconds=0.3)))
    assert (failure.reason, failure.status) == ("revocation_unknown", 401)
    soft = world.verifier(revocation="soft", revocation_timeout_seconds=0.3)
    assert (await world.deliver(verifier=soft)).verdicts["revocation"] == "unknown"


async def test_redirects_are_not_followed(world: World) -> None:
    world.responder.redirect_to = f"/pki/crl/{world.pki.root.name}.crl"
    assert (await refused(world.deliver())).reason == "revocation_unknown"
    assert world.responder.served == {"ocsp": 2, "crl": 2}


async def test_answers_are_read_up_to_a_limit(world: World) -> None:
    signer = world.pki.signer(world.pki.issue(with_ocsp=False))
    world.pki.crl_filler_bytes = 1024 * 1024
    assert (await refused(world.deliver(signer))).reason == "revocation_unknown"
    world.pki.crl_filler_bytes = 512 * 1024
    assert (await world.deliver(signer)).verdicts["revocation"] == "good"


async def test_nobody_listening_at_all(world: World) -> None:
    elsewhere = SandboxPki.create("http://127.0.0.1:9", NOW)
    verifier = world.verifier(trust_anchors=elsewhere.trust_bundle_pem())
    assert (await refused(world.deliver(elsewhere.signer(), verifier=verifier))).reason == "revocation_unknown"


async def test_addresses_that_are_not_http_are_not_called(world: World) -> None:
    points = [
        x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
        for url in ("ldap://127.0.0.1/cn=ca", "file:///etc/passwd", "http://[::bad")
    ]
    odd = world.pki.issue(with_ocsp=False, with_crl=False, extensions=[(x509.CRLDistributionPoints(points), False)])
    assert (await refused(world.deliver(world.pki.signer(odd)))).reason == "revocation_unknown"
    assert set(world.responder.served) == {"ocsp"}  # the issuing CA's own status


async def test_soft_unknown_is_asked_again_soon(world: World) -> None:
    world.responder.down = True
    soft = world.verifier(revocation="soft")
    signer = world.signer
    await world.deliver(signer, verifier=soft)
    asked = world.responder.total
    await world.deliver(signer, verifier=soft)
    assert world.responder.total == asked
    world.responder.down = False
    world.advance(seconds=31)
    assert (await world.deliver(signer, verifier=soft)).verdicts["revocation"] == "good"


async def test_crl_answers_when_ocsp_does_not(world: World) -> None:
    world.responder.ocsp_down = True
    assert (await world.deliver()).verdicts["revocation"] == "good"
    assert world.responder.served == {"ocsp": 2, "crl": 2}


async def test_delegated_responder_is_authorised_by_its_certificate(world: World) -> None:
    world.pki.delegate_ocsp()
    leaf = world.pki.issue(with_crl=False)
    assert (await world.deliver(world.pki.signer(leaf))).verdicts["revocation"] == "good"
    world.pki.revoke(leaf.certificate)
    assert (await refused(world.deliver(world.pki.signer(leaf)))).reason == "certificate_revoked"


async def test_answers_signed_by_somebody_else_prove_nothing(world: World) -> None:
    signer = world.pki.signer(world.pki.issue(with_crl=False))
    verifier = world.verifier()
    world.pki.ocsp_responder = world.pki.issue(key=sandbox_key("impostor"))
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "revocation_unknown"
    world.pki.ocsp_responder = None  # and were not remembered
    assert (await world.deliver(signer, verifier=verifier)).verdicts["revocation"] == "good"


async def test_stale_answers_prove_nothing(world: World) -> None:
    leaf = world.pki.issue(with_crl=False)
    world.pki.clock = lambda: world.now - timedelta(hours=2)  # and answers are good for one hour
    assert (await refused(world.deliver(world.pki.signer(leaf)))).reason == "revocation_unknown"


async def test_fetched_once_while_valid(world: World) -> None:
    verifier, signer = world.verifier(), world.signer
    for _ in range(5):
        await world.deliver(signer, verifier=verifier)
    assert world.responder.served == {"ocsp": 2}
    await world.deliver(world.pki.signer(), verifier=verifier)  # a new leaf; the issuing CA's answer is still good
    assert world.responder.served == {"ocsp": 3}


async def test_concurrent_callbacks_share_one_fetch(world: World) -> None:
    world.responder.slow_seconds = 0.05
    verifier, signer = world.verifier(), world.signer
    stamps = [timedelta(milliseconds=number) for number in range(20)]
    deliveries = [world.deliver(signer, verifier=verifier, clock_offset=each, shuffle=bool(each)) for each in stamps]
    assert len({callback.event_key for callback in await asyncio.gather(*deliveries)}) == 20
    assert world.responder.served == {"ocsp": 2}


async def test_different_containers_share_the_fetches(world: World) -> None:
    world.responder.slow_seconds = 0.05
    verifier = world.verifier(intermediates=world.pki.intermediates_pem())
    signer = world.signer
    await asyncio.gather(*(world.deliver(signer, verifier=verifier, chain_length=length) for length in (1, 2, 3)))
    assert world.responder.served == {"ocsp": 2}


async def test_a_cancelled_callback_does_not_take_the_others_along(world: World) -> None:
    world.responder.slow_seconds = 0.1
    verifier, signer = world.verifier(), world.signer
    first = asyncio.create_task(world.deliver(signer, verifier=verifier))
    second = asyncio.create_task(world.deliver(signer, verifier=verifier))
    await asyncio.sleep(0.03)
    first.cancel()
    assert (await second).verdicts["revocation"] == "good"
    assert first.cancelled()


async def test_revocation_is_noticed_after_the_cap_and_not_before(world: World) -> None:
    world.pki.revocation_lifetime = timedelta(days=7)
    verifier, signer = world.verifier(verdict_cap_seconds=600), world.signer
    await world.deliver(signer, verifier=verifier)
    world.pki.revoke(signer.leaf.certificate)
    world.advance(seconds=599)
    assert (await world.deliver(signer, verifier=verifier)).verdicts["revocation"] == "good"
    world.advance(seconds=1)
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "certificate_revoked"
    world.responder.down = True  # and stays noticed
    world.advance(seconds=3600)
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "certificate_revoked"


async def test_outage_is_survived_until_next_update(world: World) -> None:
    world.pki.revocation_lifetime = timedelta(hours=2)
    verifier, signer = world.verifier(verdict_cap_seconds=600), world.signer
    await world.deliver(signer, verifier=verifier)
    world.responder.down = True
    world.advance(minutes=110)
    assert (await world.deliver(signer, verifier=verifier)).verdicts["revocation"] == "good"
    world.advance(minutes=15)
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "revocation_unknown"


async def test_next_update_before_the_cap_ends_the_verdict(world: World) -> None:
    world.pki.revocation_lifetime = timedelta(minutes=10)
    verifier, signer = world.verifier(), world.signer
    await world.deliver(signer, verifier=verifier)
    world.pki.revoke(signer.leaf.certificate)
    world.advance(minutes=9)
    assert (await world.deliver(signer, verifier=verifier)).verdicts["revocation"] == "good"
    world.advance(minutes=1)
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "certificate_revoked"


async def test_answer_without_next_update_is_kept_briefly(world: World) -> None:
    world.pki.revocation_lifetime = None
    verifier, signer = world.verifier(), world.signer
    await world.deliver(signer, verifier=verifier)
    world.advance(minutes=4)
    await world.deliver(signer, verifier=verifier)
    assert world.responder.served == {"ocsp": 2}
    world.advance(minutes=2)
    await world.deliver(signer, verifier=verifier)
    assert world.responder.served == {"ocsp": 4}


async def test_certificate_that_expires_ends_the_verdict(world: World) -> None:
    verifier = world.verifier()
    signer = world.pki.signer(world.pki.issue(not_after=NOW + timedelta(minutes=10)))
    await world.deliver(signer, verifier=verifier)
    world.advance(minutes=10, seconds=1)
    assert (await refused(world.deliver(signer, verifier=verifier))).reason == "certificate_expired"


async def test_no_network_before_signature_and_offline_chain_hold(world: World) -> None:
    attacker = SandboxPki.create(world.pki.base_url, NOW, slot="attacker")
    foreign = world.pki.signer(world.pki.issue(dns_names=["example.com"]))
    expired = world.pki.signer(world.pki.issue(not_after=NOW - timedelta(hours=1)))
    verifier = world.verifier(revocation="soft")
    for delivery in (
        world.deliver(key=sandbox_key("someone-else"), verifier=verifier),
        world.deliver(attacker.signer(), verifier=verifier, chain_length=3),
        world.deliver(CallbackSigner(attacker.issue(issuer=attacker.root), ()), verifier=verifier),
        world.deliver(foreign, verifier=verifier),
        world.deliver(expired, verifier=verifier),
        world.deliver(clock_offset=timedelta(hours=-1), verifier=verifier),
    ):
        await refused(delivery)
    assert world.responder.total == 0


async def test_signature_is_checked_although_the_verdict_is_remembered(world: World) -> None:
    verifier, signer = world.verifier(), world.signer
    await world.deliver(signer, verifier=verifier)
    failure = await refused(world.deliver(signer, verifier=verifier, key=sandbox_key("someone-else")))
    assert failure.reason == "signature_mismatch"
    assert (await refused(world.deliver(signer, verifier=verifier, body=b"{}"))).reason == "signing_id_malformed"


async def test_shared_work_that_fails_is_done_again() -> None:
    flight: SingleFlight[int] = SingleFlight()
    calls: list[int] = []

    async def work() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ValueError("once")
        return len(calls)

    outcomes = await asyncio.gather(flight.run("k", work), flight.run("k", work), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError]
    assert await flight.run("k", work) == 2
