"""Whose certificate is it? Anchors, chains, dates, domains and purposes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier

from local.sandbox.pki import CallbackSigner, Issued, SandboxPki, sandbox_key, signed_with_sha1
from shared.domain.errors import ConfigurationError
from shared.providers.pkisigning.callback import CERTIFICATES
from shared.verification.container import IN_ASN1CRYPTO, decode_container
from shared.verification.policy import VerificationPolicy
from tests.verification.world import NOW, World, refused


def _attacker(world: World) -> SandboxPki:
    return SandboxPki.create(world.pki.base_url, NOW, slot="attacker")


async def test_forged_leaf_with_the_right_domain(world: World) -> None:
    forged = _attacker(world).signer()
    for chain_length in (1, 2, 3):
        failure = await refused(world.deliver(forged, chain_length=chain_length))
        assert (failure.reason, failure.status) == ("chain_untrusted", 401)


async def test_forged_leaf_in_the_company_of_the_real_chain(world: World) -> None:
    attacker = _attacker(world)
    real = (world.pki.issuing.certificate, world.pki.root.certificate)
    below_real_names = attacker.issue(
        issuer=Issued(world.pki.issuing.certificate, sandbox_key("attacker-root")), key=sandbox_key("attacker-leaf")
    )
    failure = await refused(world.deliver(CallbackSigner(below_real_names, real), chain_length=3))
    assert failure.reason == "chain_invalid"


async def test_root_of_the_same_name_is_another_root(world: World) -> None:
    attacker = _attacker(world)
    namesake = attacker.issue(
        common_name="Sandbox Root CA (sandbox)", dns_names=None, is_ca=True, issuer=attacker.root, key=sandbox_key("n")
    )
    signer = CallbackSigner(attacker.issue(issuer=namesake), (namesake.certificate, attacker.root.certificate))
    failure = await refused(world.deliver(signer, chain_length=3))
    assert failure.reason in {"chain_untrusted", "chain_invalid"}


async def test_trusting_another_root_is_not_trusting_this_one(world: World) -> None:
    verifier = world.verifier(trust_anchors=_attacker(world).trust_bundle_pem())
    assert (await refused(world.deliver(verifier=verifier, chain_length=3))).reason == "chain_untrusted"


async def test_missing_intermediate_is_not_fetched(world: World) -> None:
    assert (await refused(world.deliver(chain_length=1))).reason == "chain_untrusted"
    assert world.responder.total == 0


async def test_a_leaf_cannot_issue(world: World) -> None:
    leaf = world.pki.issue(common_name="ca.pkisigning.io")
    below = world.pki.issue(issuer=leaf, key=sandbox_key("below"))
    signer = CallbackSigner(below, (leaf.certificate, world.pki.issuing.certificate))
    assert (await refused(world.deliver(signer, chain_length=3))).reason == "chain_invalid"


async def test_an_anchor_does_not_send_callbacks(world: World) -> None:
    root = world.pki.root
    bundle = root.certificate.public_bytes(Encoding.PEM) + world.signer.leaf.certificate.public_bytes(Encoding.PEM)
    leaf = world.pki.issue()
    bundle += leaf.certificate.public_bytes(Encoding.PEM)
    failure = await refused(world.deliver(CallbackSigner(leaf), verifier=world.verifier(trust_anchors=bundle)))
    assert failure.reason == "chain_untrusted"


async def test_weak_digest_in_the_chain(world: World) -> None:
    weak = signed_with_sha1(world.pki.issue(), world.pki.issuing)
    assert (await refused(world.deliver(world.pki.signer(weak)))).reason == "chain_invalid"


async def test_short_key_further_up_the_chain(world: World) -> None:
    short = world.pki.issue(common_name="Short CA", dns_names=None, is_ca=True, key=sandbox_key("short-ca", 1024))
    leaf = world.pki.issue(issuer=short)
    signer = CallbackSigner(leaf, (short.certificate, world.pki.issuing.certificate))
    assert (await refused(world.deliver(signer, chain_length=3))).reason == "chain_invalid"


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({"not_after": NOW - timedelta(seconds=1)}, "certificate_expired"),
        ({"not_before": NOW + timedelta(seconds=1)}, "certificate_not_yet_valid"),
        ({"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=2)}, "certificate_expired"),
    ],
)
async def test_dates_of_the_leaf(world: World, dates: dict[str, Any], reason: str) -> None:
    failure = await refused(world.deliver(world.pki.signer(world.pki.issue(**dates))))
    assert (failure.reason, failure.status) == (reason, 401)
    assert world.responder.total == 0


async def test_expired_intermediate(world: World) -> None:
    old = world.pki.issue(
        common_name="Old CA", dns_names=None, is_ca=True, key=sandbox_key("old"), not_after=NOW - timedelta(hours=1)
    )
    signer = CallbackSigner(world.pki.issue(issuer=old), (old.certificate, world.pki.issuing.certificate))
    assert (await refused(world.deliver(signer, chain_length=3))).reason == "certificate_expired"


async def test_expired_anchor(world: World) -> None:
    world.advance(days=3649)
    leaf = world.pki.issue(not_after=world.now + timedelta(days=90), issuer=world.pki.root)
    signer = CallbackSigner(leaf, (world.pki.root.certificate,))
    assert (await world.deliver(signer)).verdicts["chain"] == "trusted"
    world.advance(days=2)
    assert (await refused(world.deliver(signer))).reason == "certificate_expired"


@pytest.mark.parametrize(
    "name",
    [
        "pkisigning.nl",
        "PKIsigning.NL",
        "callback.pkisigning.io.",
        "*.pkisigning.io",
        "*.sandbox.pkisigning.nl",
        "a-b.pkisigning.io",
    ],
)
async def test_domains_that_are_theirs(world: World, name: str) -> None:
    callback = await world.deliver(world.pki.signer(world.pki.issue(common_name="x", dns_names=[name])))
    assert callback.verdicts["domain"] in {"pkisigning.nl", "pkisigning.io"}


@pytest.mark.parametrize(
    "name",
    [
        "evil-pkisigning.nl",
        "evilpkisigning.io",
        "pkisigning.nl.example.com",
        "pkisigning.io.nl",
        "nl",
        "*",
        "*.nl",
        "*pkisigning.nl",
        "*.*.pkisigning.nl",
        "a.*.pkisigning.nl",
        ".pkisigning.nl",
        "pkisigning.nl..",
        "pkisigning.nl\0.example.com",
        "example.com\0.pkisigning.nl",
        "example.com/.pkisigning.nl",
        "x y.pkisigning.nl",
        "xn--pkisignng-2pb.nl",
        "xn--pksigning-cgb.io",
        "callback@pkisigning.nl",
        "https://pkisigning.nl",
        "",
    ],
)
async def test_look_alike_domains(world: World, name: str) -> None:
    leaf = world.pki.issue(common_name="callback.pkisigning.nl", dns_names=[name])
    failure = await refused(world.deliver(world.pki.signer(leaf)))
    assert (failure.reason, failure.status) == ("domain_mismatch", 401)
    assert world.responder.total == 0


@pytest.mark.parametrize(
    "name", ["p\u212aisigning.nl", "pk\u0456signing.nl", "\uff50kisigning.nl", "pkisigning\u3002nl"]
)
async def test_letters_of_other_scripts_in_a_common_name(world: World, name: str) -> None:
    leaf = world.pki.issue(common_name=name, dns_names=None)
    assert (await refused(world.deliver(world.pki.signer(leaf)))).reason == "domain_mismatch"


async def test_common_name_counts_only_without_any_san(world: World) -> None:
    seal = world.pki.issue(common_name="seal.pkisigning.nl", dns_names=None)
    assert (await world.deliver(world.pki.signer(seal))).verdicts["domain"] == "pkisigning.nl"
    other = world.pki.issue(common_name="pkisigning.nl", dns_names=None, other_names=[x509.RFC822Name("a@example.com")])
    assert (await refused(world.deliver(world.pki.signer(other)))).reason == "domain_mismatch"


async def test_one_right_name_among_others_is_enough(world: World) -> None:
    leaf = world.pki.issue(dns_names=["example.com", "callback.pkisigning.io"])
    assert (await world.deliver(world.pki.signer(leaf))).verdicts["domain"] == "pkisigning.io"


async def test_other_domains_by_setting(world: World) -> None:
    verifier = world.verifier(domain_suffixes=("example.com",))
    assert (await refused(world.deliver(verifier=verifier))).reason == "domain_mismatch"


async def test_seal_profile_unless_server_auth_is_required(world: World) -> None:
    signer = world.pki.signer(world.pki.issue(common_name="seal.pkisigning.nl", dns_names=None, seal=True))
    assert (await world.deliver(signer)).verdicts["chain"] == "trusted"
    strict = world.verifier(require_server_auth=True)
    assert (await refused(world.deliver(signer, verifier=strict))).reason == "certificate_purpose"
    assert (await world.deliver(verifier=strict)).verdicts["chain"] == "trusted"


async def test_key_that_may_not_sign(world: World) -> None:
    ca_like = world.pki.issue(is_ca=True)
    assert (await refused(world.deliver(world.pki.signer(ca_like)))).reason == "certificate_purpose"


async def test_unknown_critical_extension(world: World) -> None:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert (await world.deliver(world.pki.signer(world.pki.issue(extensions=[(unknown, False)])))).event_key
    failure = await refused(world.deliver(world.pki.signer(world.pki.issue(extensions=[(unknown, True)]))))
    assert failure.reason == "chain_invalid"


async def test_a_maze_of_cross_signed_certificates_is_left_quickly(world: World) -> None:
    attacker = _attacker(world)
    names = [f"Maze {number}" for number in range(4)]
    first = {name: attacker.issue(common_name=name, dns_names=None, is_ca=True, issuer=attacker.root) for name in names}
    maze = [
        attacker.issue(common_name=name, dns_names=None, is_ca=True, issuer=first[other]).certificate
        for name, other in zip(names * 2, names[1:] + names[:1] + names[2:] + names[:2], strict=True)
    ]
    signer = CallbackSigner(attacker.issue(issuer=first["Maze 0"]), maze)
    assert (await refused(world.deliver(signer, chain_length=9))).reason == "chain_untrusted"


@pytest.mark.parametrize(
    "changes",
    [
        {"trust_anchors": b""},
        {"trust_anchors": b" \n"},
        {"trust_anchors": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"intermediates": b"nonsense"},
        {"domain_suffixes": ()},
        {"domain_suffixes": ("nl",)},
        {"domain_suffixes": ("*.pkisigning.nl",)},
        {"domain_suffixes": ("PKIsigning.nl",)},
        {"revocation": "off"},
        {"window_seconds": 0},
        {"future_tolerance_seconds": -1},
        {"verdict_cap_seconds": -1},
        {"revocation_timeout_seconds": 0},
        {"minimum_rsa_bits": 1024},
    ],
)
async def test_wrong_settings_are_refused_at_once(world: World, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        world.policy(**changes)
    assert len(caught.value.problems) == 1


def test_all_wrong_settings_are_reported_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        VerificationPolicy(trust_anchors=b"", domain_suffixes=(), window_seconds=-1, future_tolerance_seconds=-2)
    assert len(caught.value.problems) == 4


async def test_one_thread_at_a_time_judges_a_chain_over_all_accounts(world: World) -> None:
    """Two that enter asn1crypto for the first time can leave it wrong for good. The event loop goes on meanwhile."""
    # A bare certificate needs no container to be opened: it is the chain that waits.
    signer = CallbackSigner(world.pki.issue(issuer=world.pki.root), ())
    with IN_ASN1CRYPTO:
        calls = [world.deliver(signer, verifier=world.verifier(), bare=True) for _ in range(2)]
        deliveries = [asyncio.create_task(call) for call in calls]
        ended, waiting = await asyncio.wait(deliveries, timeout=0.3)
        assert (len(ended), len(waiting)) == (0, 2)
    assert [one.verdicts["chain"] for one in await asyncio.gather(*deliveries)] == ["trusted", "trusted"]


async def test_one_thread_at_a_time_opens_a_container(world: World) -> None:
    headers = world.signed(chain_length=2).headers
    with IN_ASN1CRYPTO:
        opened = asyncio.create_task(asyncio.to_thread(decode_container, headers[CERTIFICATES]))
        ended, _ = await asyncio.wait([opened], timeout=0.3)
        assert not ended
    assert len(await opened) == 2
