from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local.receiver import Receiver
from local.sandbox.pki import SandboxPki
from shared.domain.errors import InvalidRequest, NotifyRefused, Unavailable
from shared.notifier import HttpNotifier, NotifierConfig, is_allowed_host
from tests.domain.make import NOW

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "x:1", "subject": "x", "data": {"state": "stored"}}
PUBLIC = NotifierConfig(allowed_hosts=("*",))
LOCAL = NotifierConfig(allowed_hosts=("127.0.0.1",), unsafe_allow_loopback=True)


async def test_an_event_is_delivered_as_a_cloud_event_with_a_signature() -> None:
    secret = b"s" * 32
    notifier = HttpNotifier(replace(LOCAL, secrets=(secret,)))
    async with Receiver.start() as receiver:
        assert await notifier.deliver(receiver.url, EVENT, NOW) == 204
    await notifier.aclose()
    (delivery,) = receiver.deliveries
    assert delivery.event == EVENT
    assert delivery.headers["content-type"].startswith("application/cloudevents+json")
    signed = f"x:1.{int(NOW.timestamp())}.".encode() + delivery.body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert delivery.headers["webhook-signature"] == f"v1,{expected}"
    assert delivery.headers["webhook-id"] == "x:1"


async def test_a_receivers_status_is_passed_on_and_redirects_are_not_followed() -> None:
    notifier = HttpNotifier(LOCAL)
    async with Receiver.start() as receiver:
        receiver.next_statuses.extend([503, 302])
        assert await notifier.deliver(receiver.url, EVENT, NOW) == 503
        assert await notifier.deliver(receiver.url, EVENT, NOW) == 302
    assert len(receiver.deliveries) == 2
    await notifier.aclose()


async def test_nobody_listening_is_unavailable() -> None:
    async with Receiver.start() as receiver:
        url = receiver.url
    notifier = HttpNotifier(LOCAL)
    with pytest.raises(Unavailable):
        await notifier.deliver(url, EVENT, NOW)
    await notifier.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://10.0.0.5/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/metadata",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://[fd00::1]/x",
        "https://[fe80::1]/x",
        "https://2130706433/x",
    ],
)
async def test_private_addresses_are_refused_before_any_connection(url: str) -> None:
    with pytest.raises((NotifyRefused, InvalidRequest)) as refusal:
        await HttpNotifier(PUBLIC).deliver(url, EVENT, NOW)
    assert "private_address" in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/x", "not_https"),
        ("ftp://example.com/x", "not_https"),
        ("https://user:secret@example.com/x", "not_an_address"),
        ("https:///x", "not_an_address"),
        ("nonsense", "not_https"),
        ("https://exa mple.com/", "not_an_address"),
    ],
)
def test_wrong_addresses_are_refused_at_intake(url: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        HttpNotifier(PUBLIC).check_url(url)
    assert refusal.value.fields[0].message == reason


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("prod-1.westeurope.logic.azure.com", True),
        ("PROD.LOGIC.AZURE.COM.", True),
        ("logic.azure.com", False),
        ("evil-logic.azure.com", False),
        ("logic.azure.com.evil.example", False),
        ("hooks.example.com", True),
        ("sub.hooks.example.com", False),
    ],
)
def test_the_allow_list_ends_on_a_label(host: str, *, allowed: bool) -> None:
    assert is_allowed_host(host, ("*.logic.azure.com", "hooks.example.com")) is allowed


async def test_loopback_is_reached_in_development_only() -> None:
    async with Receiver.start() as receiver:
        with pytest.raises(NotifyRefused, match="not_https"):
            await HttpNotifier(replace(LOCAL, unsafe_allow_loopback=False)).deliver(receiver.url, EVENT, NOW)
    assert receiver.deliveries == []


def server_tls(folder: Path, pki: SandboxPki, name: str) -> ssl.SSLContext:
    issued = pki.issue(common_name=name, dns_names=[name], server_auth=True)
    chain = [issued.certificate, pki.issuing.certificate]
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize(("certified", "is_delivered"), [("localhost", True), ("other.example", False)])
async def test_https_goes_to_the_checked_address_and_still_verifies_the_name(
    tmp_path: Path, certified: str, *, is_delivered: bool
) -> None:
    pki = SandboxPki.create("http://127.0.0.1:9")
    trusted = ssl.create_default_context(cadata=pki.trust_bundle_pem().decode())
    notifier = HttpNotifier(replace(LOCAL, allowed_hosts=("localhost",)), tls=trusted)
    async with Receiver.start(tls=server_tls(tmp_path, pki, certified)) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        if is_delivered:
            assert await notifier.deliver(url, EVENT, NOW) == 204
            assert receiver.deliveries[0].headers["host"].startswith("localhost:")
        else:
            with pytest.raises(Unavailable):
                await notifier.deliver(url, EVENT, NOW)
            assert receiver.deliveries == []
    await notifier.aclose()
