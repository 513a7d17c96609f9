"""PKIsigning callbacks: what is believed, and every way of not being believed. All cryptography is real."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from local.sandbox.pki import TimestampFormat, pkcs7_header, sandbox_ec_key, sandbox_key
from shared.domain.errors import VerificationFailed
from shared.providers.pkisigning.callback import (
    CERTIFICATES,
    MAX_BODY_BYTES,
    SIGNATURE,
    TIMESTAMP,
    CallbackVerifier,
    events,
)
from shared.verification.raw import RawCallback
from tests.verification.world import BODY, SIGNING_ID, World, refused

HEADERS = [TIMESTAMP, CERTIFICATES, SIGNATURE]


async def test_good_callback_is_believed(world: World) -> None:
    callback = await world.deliver()
    assert callback.raw.body == BODY
    assert set(callback.headers) == set(HEADERS)
    assert dict(callback.verdicts) | {"certificates": ""} == {
        "timestamp": "fresh",
        "domain": "pkisigning.io",
        "signature": "valid",
        "chain": "trusted",
        "revocation": "good",
        "certificates": "",
    }
    (notice,) = events(callback)
    assert (notice.provider_signing_id, notice.provider_status) == (SIGNING_ID, "Completed")
    assert (notice.reason, notice.access_key) == (None, "k")


async def test_verdicts_event_key_and_repr_give_no_secret_away(world: World) -> None:
    callback = await world.deliver()
    assert "access_key" not in repr(events(callback)[0])
    assert len(callback.event_key) == 64


@pytest.mark.parametrize("position", [0, 20, len(BODY) - 3])
async def test_one_byte_changed_in_the_body(world: World, position: int) -> None:
    signed = world.signed()
    changed = bytearray(signed.body)
    changed[position] ^= 1
    failure = await refused(world.verifier().verify(world.raw(bytes(changed), signed.headers)))
    assert (failure.reason, failure.status) == ("signature_mismatch", 401)


async def test_one_character_changed_in_the_timestamp(world: World) -> None:
    signed = world.signed()
    headers = {**signed.headers, TIMESTAMP: signed.headers[TIMESTAMP].replace("00Z", "01Z")}
    assert headers[TIMESTAMP] != signed.headers[TIMESTAMP]
    failure = await refused(world.verifier().verify(world.raw(BODY, headers)))
    assert failure.reason == "signature_mismatch"


async def test_wrong_key(world: World) -> None:
    failure = await refused(world.deliver(key=sandbox_key("someone-else")))
    assert (failure.reason, failure.status) == ("signature_mismatch", 401)


@pytest.mark.parametrize("name", HEADERS)
async def test_missing_empty_and_repeated_headers(world: World, name: str) -> None:
    signed = world.signed()
    verifier = world.verifier()
    without = {key: value for key, value in signed.headers.items() if key != name}
    twice = {**signed.headers, name: f"{signed.headers[name]},{signed.headers[name]}"}
    empty = {**signed.headers, name: " "}
    for headers, reason in ((without, "header_missing"), (empty, "header_empty"), (twice, "header_repeated")):
        failure = await refused(verifier.verify(world.raw(BODY, headers)))
        assert (failure.reason, failure.status) == (reason, 400)


async def test_repeated_rfc1123_timestamp_is_repeated_and_not_a_date(world: World) -> None:
    signed = world.signed(timestamp_format="rfc1123")
    twice = {**signed.headers, TIMESTAMP: f"{signed.headers[TIMESTAMP]},{signed.headers[TIMESTAMP]}"}
    assert (await refused(world.verifier().verify(world.raw(BODY, twice)))).reason == "header_repeated"


@pytest.mark.parametrize("value", ["!!!", "A", "AAAA=A", "AA A=", "é", "====", "A" * 60_000])
@pytest.mark.parametrize("name", [CERTIFICATES, SIGNATURE])
async def test_malformed_header(world: World, name: str, value: str) -> None:
    failure = await refused(world.verifier().verify(world.raw(BODY, {**world.signed().headers, name: value})))
    assert failure.reason in {"signature_malformed", "container_malformed", "header_too_large"}
    assert failure.status == 400


@pytest.mark.parametrize("length", [1, 255, 257])
async def test_signature_of_the_wrong_length(world: World, length: int) -> None:
    value = base64.b64encode(b"\1" * length).decode()
    failure = await refused(world.verifier().verify(world.raw(BODY, {**world.signed().headers, SIGNATURE: value})))
    assert failure.reason == "signature_mismatch"


async def test_signature_of_another_message(world: World) -> None:
    other = world.signed(body=BODY.replace(b"Completed", b"Declined"))
    failure = await refused(world.verifier().verify(world.raw(BODY, other.headers)))
    assert failure.reason == "signature_mismatch"


async def test_wrong_order_of_concatenation(world: World) -> None:
    assert (await refused(world.deliver(wrong_order=True))).reason == "signature_mismatch"


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(-299, None), (-301, "timestamp_too_old"), (59, None), (61, "timestamp_in_future"), (1e6, "timestamp_in_future")],
)
async def test_window(world: World, offset: float, reason: str | None) -> None:
    delivery = world.deliver(clock_offset=timedelta(seconds=offset))
    if reason is None:
        assert (await delivery).verdicts["timestamp"] == "fresh"
    else:
        failure = await refused(delivery)
        assert (failure.reason, failure.status) == (reason, 401)


@pytest.mark.parametrize("style", ["iso7", "iso", "unix", "unix_ms", "rfc1123"])
async def test_every_probable_timestamp_format(world: World, style: TimestampFormat) -> None:
    assert (await world.deliver(timestamp_format=style)).verdicts["timestamp"] == "fresh"


async def test_rotated_key_needs_no_setting(world: World) -> None:
    verifier = world.verifier()
    await world.deliver(verifier=verifier)
    rotated = world.pki.signer(world.pki.issue(key=sandbox_key("rotated")))
    assert (await world.deliver(rotated, verifier=verifier)).verdicts["signature"] == "valid"


async def test_reserialised_json_is_another_message(world: World) -> None:
    signed = world.signed()
    failure = await refused(world.verifier().verify(world.raw(json.dumps(json.loads(BODY)).encode(), signed.headers)))
    assert failure.reason == "signature_mismatch"


async def test_empty_and_oversized_bodies(world: World) -> None:
    failure = await refused(world.deliver(body=b""))
    assert (failure.reason, failure.status) == ("body_missing", 400)
    largest = BODY[:-1] + b" " * (MAX_BODY_BYTES - len(BODY)) + b"}"
    assert (await world.deliver(body=largest)).raw.body == largest
    failure = await refused(world.deliver(body=largest + b" "))
    assert (failure.reason, failure.status) == ("body_too_large", 413)


async def test_replay_is_known_only_after_it_was_remembered(world: World) -> None:
    verifier, signed = world.verifier(), world.signed()
    first = await verifier.verify(signed)
    assert not verifier.was_replayed(first)
    verifier.remember(first)
    again = await verifier.verify(signed)
    assert verifier.was_replayed(again)
    unpadded = {**signed.headers, SIGNATURE: signed.headers[SIGNATURE].rstrip("=").replace("+", "-").replace("/", "_")}
    assert unpadded != signed.headers
    assert verifier.was_replayed(await verifier.verify(world.raw(BODY, unpadded)))
    assert not verifier.was_replayed(await world.deliver(verifier=verifier, clock_offset=timedelta(seconds=1)))


async def test_replay_memory_ends(world: World) -> None:
    relaxed = world.verifier(unsafe_accept_unsigned=True)
    relaxed.remember(await relaxed.verify(world.raw(BODY, {})))
    world.advance(seconds=719)
    assert relaxed.was_replayed(await relaxed.verify(world.raw(BODY, {})))
    world.advance(seconds=1)  # twice 300 seconds of window and 60 of tolerance
    assert not relaxed.was_replayed(await relaxed.verify(world.raw(BODY, {})))


async def test_unknown_status_is_passed_on_in_their_words(world: World) -> None:
    callback = await world.deliver(body=BODY.replace(b"Completed", b"PendingMoonPhase"))
    assert events(callback)[0].provider_status == "PendingMoonPhase"


@pytest.mark.parametrize("shift", [1, 2, 5])
async def test_bytes_cannot_move_between_body_and_timestamp(world: World, shift: int) -> None:
    for style in ("iso7", "unix", "unix_ms"):
        signed = world.signed(timestamp_format=style)
        stamp = signed.headers[TIMESTAMP]
        right = world.raw(BODY[:-shift], {**signed.headers, TIMESTAMP: BODY[-shift:].decode() + stamp})
        left = world.raw(BODY + stamp[:shift].encode(), {**signed.headers, TIMESTAMP: stamp[shift:]})
        for moved in (right, left):
            assert (await refused(world.verifier().verify(moved))).reason == "timestamp_malformed"


async def test_a_timestamp_that_still_parses_after_a_shift_leaves_broken_json(world: World) -> None:
    signed = world.signed(timestamp="1777896000" + "000")  # milliseconds of NOW: ten of its digits are seconds
    assert world.now.timestamp() == 1777896000
    moved = world.raw(BODY + b"177", {**signed.headers, TIMESTAMP: "7896000000"})
    assert (await refused(world.verifier().verify(moved))).reason == "timestamp_in_future"
    signed = world.signed(body=BODY + b"   ", timestamp="1777896000")
    assert (await world.verifier().verify(signed)).raw.body.endswith(b"   ")
    signed = world.signed(body=BODY + b"1777896000", timestamp="2026-05-04T12:00:00Z")
    assert (await refused(world.verifier().verify(signed))).reason == "json_malformed"


@pytest.mark.parametrize(("pss", "digest"), [(True, hashes.SHA256()), (False, hashes.SHA1()), (False, hashes.SHA512())])
async def test_no_other_signature_scheme(world: World, pss: bool, digest: hashes.HashAlgorithm) -> None:
    assert (await refused(world.deliver(pss=pss, digest=digest))).reason == "signature_mismatch"


async def test_short_rsa_key_and_ec_key(world: World) -> None:
    short = world.pki.signer(world.pki.issue(key=sandbox_key("short", 1024)))
    assert (await refused(world.deliver(short))).reason == "key_too_small"
    curve = world.pki.signer(world.pki.issue(key=sandbox_ec_key()))
    assert (await refused(world.deliver(curve))).reason == "key_not_rsa"


@pytest.mark.parametrize("chain_length", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
async def test_chains_of_every_length_in_any_order(world: World, chain_length: int, shuffle: bool) -> None:
    verifier = world.verifier(intermediates=world.pki.intermediates_pem())
    callback = await world.deliver(chain_length=chain_length, shuffle=shuffle, verifier=verifier)
    assert callback.verdicts["chain"] == "trusted"


async def test_bare_certificate_and_folded_pem(world: World) -> None:
    verifier = world.verifier(intermediates=world.pki.intermediates_pem())
    assert (await world.deliver(bare=True, verifier=verifier)).verdicts["chain"] == "trusted"
    assert (await world.deliver(pem=True, verifier=verifier)).verdicts["chain"] == "trusted"


async def test_two_leaves_are_nobodys(world: World) -> None:
    signer = world.signer
    other = world.pki.issue(common_name="other.pkisigning.io").certificate
    headers = {**world.signed(signer).headers, CERTIFICATES: pkcs7_header([other, signer.leaf.certificate])}
    failure = await refused(world.verifier().verify(world.raw(BODY, headers)))
    assert (failure.reason, failure.status) == ("leaf_ambiguous", 401)


async def test_too_many_certificates(world: World) -> None:
    crowd = [world.pki.issue(common_name=f"n{number}.pkisigning.io").certificate for number in range(11)]
    failure = await refused(world.verifier().verify(world.raw(BODY, {**world.signed().headers, **_container(crowd)})))
    assert failure.reason == "container_too_many"
    namesakes = [world.pki.issue(common_name="same").certificate for _ in range(3)]
    failure = await refused(
        world.verifier().verify(world.raw(BODY, {**world.signed().headers, **_container(namesakes)}))
    )
    assert failure.reason == "container_too_many"


def _container(certificates: Sequence[x509.Certificate]) -> dict[str, str]:
    return {CERTIFICATES: pkcs7_header(certificates)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "json_not_object"),
        (b'"text"', "json_not_object"),
        (b"{", "json_malformed"),
        (BODY + b"x", "json_malformed"),
        (BODY + BODY, "json_malformed"),
        (BODY + b"\0", "json_malformed"),
        (b"\xef\xbb\xbf" + BODY, "json_malformed"),
        (BODY.decode().encode("utf-16"), "json_malformed"),
        (b'{"a":NaN}', "json_malformed"),
        (b"[" * 20_000, "json_malformed"),
        (BODY[:-1] + b',"pkisId":"6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e12"}', "json_duplicate_key"),
        (BODY[:-1] + b',"PkisId":"6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e12"}', "json_duplicate_key"),
        (BODY[:-1] + b',"more":{"a":1,"a":2}}', "json_duplicate_key"),
        (b'{"dossierStatus":"Completed"}', "signing_id_malformed"),
        (b'{"pkisId":7,"dossierStatus":"Completed"}', "signing_id_malformed"),
        (BODY.replace(b"6f0d", b"6g0d"), "signing_id_malformed"),
        (BODY.replace(b"8e11", b"8e11\\n"), "signing_id_malformed"),
        (BODY.replace(b"dossierStatus", b"other"), "status_malformed"),
        (BODY.replace(b'"Completed"', b"null"), "status_malformed"),
        (BODY.replace(b'"Completed"', b'" "'), "status_malformed"),
        (BODY.replace(b"Completed", b"\\ud800"), "status_malformed"),
        (BODY.replace(b'"k"', b"[1]"), "field_malformed"),
        (BODY.replace(b'"k"', b'"\\udfff"'), "field_malformed"),
    ],
)
async def test_body_must_be_one_strict_object(world: World, body: bytes, reason: str) -> None:
    failure = await refused(world.deliver(body=body))
    assert (failure.reason, failure.status) == (reason, 400)


async def test_pascal_case_webhook_body(world: World) -> None:
    body = (
        b'{"PkisId":"6F0D5C1E-3F0A-4B57-9A53-0C1F2F7D8E11","DossierStatus":"Declined","Reason":"too dear",'
        b'"AuthenticationKey":null,"Unknown":{"x":[1]}}'
    )
    (notice,) = events(await world.deliver(body=body))
    assert (notice.provider_signing_id, notice.provider_status) == (SIGNING_ID, "Declined")
    assert (notice.reason, notice.access_key) == ("too dear", None)


async def test_unsigned_is_accepted_only_when_asked_for_and_only_without_any_header(world: World) -> None:
    bare = world.raw(BODY, {"content-type": "application/json"})
    assert (await refused(world.verifier().verify(bare))).reason == "header_missing"
    relaxed = world.verifier(unsafe_accept_unsigned=True)
    callback = await relaxed.verify(bare)
    assert dict(callback.verdicts) == {"signature": "unsigned"}
    assert events(callback)[0].provider_signing_id == SIGNING_ID
    assert (await refused(relaxed.verify(world.raw(b"{}", {})))).reason == "signing_id_malformed"
    for name in HEADERS:
        partly = world.raw(BODY, {name: world.signed().headers[name]})
        assert (await refused(relaxed.verify(partly))).reason == "header_missing"
    assert (await refused(world.deliver(key=sandbox_key("x"), verifier=relaxed))).reason == "signature_mismatch"


_TEXT = st.text(max_size=200)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), values=st.tuples(_TEXT, _TEXT, _TEXT), at=st.integers(0, 3), mangle=st.binary())
@example(body=b"{}", values=("0" * 10, "MAA=", "MAA="), at=3, mangle=b"")
async def test_any_bytes_verify_or_are_refused(
    world: World, body: bytes, values: tuple[str, str, str], at: int, mangle: bytes
) -> None:
    good, verifier = world.signed(), world.verifier()
    arbitrary = dict(zip(HEADERS, values, strict=True))
    headers = {**good.headers, **({HEADERS[at]: arbitrary[HEADERS[at]]} if at < 3 else arbitrary)}
    broken = {**good.headers, CERTIFICATES: _mangled(good.headers[CERTIFICATES], mangle)}
    for raw in (world.raw(body, headers), world.raw(BODY, headers), world.raw(BODY, broken)):
        assert await _outcome(verifier, raw) in {200, 400, 401}


async def _outcome(verifier: CallbackVerifier, raw: RawCallback) -> int:
    try:
        return 200 if events(await verifier.verify(raw)) else 500
    except VerificationFailed as failure:
        return failure.status


def _mangled(header: str, with_bytes: bytes) -> str:
    der = bytearray(base64.b64decode(header))
    for offset, value in enumerate(with_bytes):
        der[(offset * 131 + value * 7) % len(der)] ^= value
    return base64.b64encode(der).decode()


def test_importing_the_module_loads_no_heavy_library() -> None:
    code = (
        "import sys, shared.providers.pkisigning.callback; "
        "heavy = {'pyhanko_certvalidator', 'pyhanko', 'asn1crypto', 'oscrypto', 'requests', 'aiohttp'}; "
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
