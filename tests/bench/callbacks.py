"""Callbacks: what verification and enqueueing cost beside the bare send of the same bytes."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification as x509_verification

from local.azurite import Azurite
from local.players import PLAYERS, V1_ACCOUNT
from local.sandbox.pdf import sample_contract
from local.sandbox.pki import CallbackSigner
from shared.bootstrap import utc_now
from shared.domain.messages import Message, Queue
from shared.flow import receive
from shared.verification.raw import RawCallback
from tests.bench.in_process import InProcess, running_in_process
from tests.bench.table import Figure, ratio_figure
from tests.domain.make import SIGNING_ID

T = TypeVar("T")

_COUNT = 320
_ROUNDS = 10
_AT_ONCE = 32
_VERIFICATIONS = 1500


async def measure(azurite: Azurite) -> list[Figure]:
    async with running_in_process(azurite) as product:
        address = product.deployment.app.addresses.for_signing("pkisigning", V1_ACCOUNT, SIGNING_ID)
        token = address.split(f"/{V1_ACCOUNT}/")[1]
        # One signer throughout, as at the provider: its chain and revocation are remembered after the first callback.
        signer = product.sandbox.pki.signer()
        figure = await _beside_bare_send(product, V1_ACCOUNT, token, lambda count: _signed(signer, count), 0.80)
        return [figure, await _verification_alone(product, signer)]


async def measure_unsigned(azurite: Azurite) -> list[Figure]:
    """The providers whose callbacks prove nothing: there the address and the read-back protect."""
    figures = []
    for name in PLAYERS:
        if name == "pkisigning":
            continue
        async with running_in_process(azurite, name) as product:
            signing = await product.start(sample_contract("Lease", ["Ada Jansen"]))
            await product.sandbox.complete(signing["providerSigningId"])
            await product.sandbox.settle()
            account, token, raw = product.arrived[-1]
            make = partial(_alike, raw, signing["providerSigningId"])
            figures.append(await _beside_bare_send(product, account, token, make, 0.85))
    return figures


def _alike(raw: RawCallback, provider_signing_id: str, count: int) -> list[RawCallback]:
    """Callbacks of the same shape about other signings, so that none is an exact repeat."""
    made = []
    for _ in range(count):
        # The same length and alphabet, whatever an id looks like here.
        other = uuid.uuid4().hex[:8] + provider_signing_id[8:]
        body = raw.body.replace(provider_signing_id.encode(), other.encode())
        query = {name: value.replace(provider_signing_id, other) for name, value in raw.query.items()}
        made.append(RawCallback(raw.method, raw.headers, body, utc_now(), query))
    return made


async def _beside_bare_send(
    product: InProcess, account: str, token: str, make: Callable[[int], list[RawCallback]], reach: float
) -> Figure:
    app, provider = product.deployment.app, product.player.name

    async def knock(raw: RawCallback) -> None:
        if await receive.run(app, provider, account, token, raw) != 200:
            raise RuntimeError("a good callback was refused")

    sample = await _captured(product, knock, make(1)[0])

    async def bare() -> float:
        return await _rate([sample] * _COUNT, lambda message: app.queue.send(Queue.EVENTS, message))

    pairs = []
    for number in range(_ROUNDS):
        # The emulator gets slower as its queue grows: each comes first as often as the other.
        floor = await bare() if number % 2 == 0 else 0.0
        rate = await _rate(make(_COUNT), knock)
        pairs.append((rate, floor or await bare()))
    return ratio_figure(f"callback to queued, 32 at once, {account}", pairs, "/s", reach)


async def _captured(product: InProcess, knock: Callable[[RawCallback], Awaitable[None]], raw: RawCallback) -> Message:
    """The very message that a callback becomes, so that the floor sends the same bytes."""
    app = product.deployment.app
    caught: list[Message] = []
    real_send = app.queue.send

    async def catch(queue: Queue, message: Message, *, delay_seconds: float = 0) -> None:
        caught.append(message)

    object.__setattr__(app.queue, "send", catch)
    try:
        await knock(raw)
    finally:
        object.__setattr__(app.queue, "send", real_send)
    return caught[0]


def _signed(signer: CallbackSigner, count: int) -> list[RawCallback]:
    now = utc_now()
    return [_raw(signer.headers(body, now=now), body, now) for body in (_body() for _ in range(count))]


def _raw(headers: dict[str, str], body: bytes, now: datetime) -> RawCallback:
    return RawCallback("POST", headers | {"content-type": "application/json"}, body, now)


def _body() -> bytes:
    return json.dumps(
        {"pkisId": str(uuid.uuid4()), "dossierStatus": "Completed", "authenticationKey": "k" * 32}
    ).encode()


async def _rate(items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> float:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with limit:
            await work(item)

    began = time.perf_counter()
    await asyncio.gather(*(one(item) for item in items))
    return len(items) / (time.perf_counter() - began)


async def _verification_alone(product: InProcess, signer: CallbackSigner) -> Figure:
    provider = product.deployment.app.providers[V1_ACCOUNT]
    callbacks = _signed(signer, 200)
    for callback in callbacks[:2]:
        await provider.verify_callback(callback)
    pairs = []
    for _ in range(_ROUNDS):
        floor = _floor_rate(product)
        began = time.perf_counter()
        for number in range(_VERIFICATIONS):
            await provider.verify_callback(callbacks[number % len(callbacks)])
        pairs.append((_VERIFICATIONS / (time.perf_counter() - began), floor))
    return ratio_figure("PKIsigning verification alone", pairs, "/s", 0.50)


def _floor_rate(product: InProcess) -> float:
    """Two certificates parsed, one chain built, one RSA signature verified, with `cryptography` alone."""
    pki = product.sandbox.pki
    leaf = pki.issue()
    ders = [leaf.certificate.public_bytes(Encoding.DER), pki.issuing.certificate.public_bytes(Encoding.DER)]
    message = _body()
    if not isinstance(leaf.key, rsa.RSAPrivateKey):
        raise TypeError("the sandbox signs with RSA")
    signature = leaf.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    store = x509_verification.Store([pki.root.certificate])
    policy = x509_verification.ExtensionPolicy
    began = time.perf_counter()
    for _ in range(_VERIFICATIONS):
        certificate, issuing = (x509.load_der_x509_certificate(der) for der in ders)
        builder = x509_verification.PolicyBuilder().store(store).time(utc_now())
        builder = builder.extension_policies(ca_policy=policy.webpki_defaults_ca(), ee_policy=policy.permit_all())
        builder.build_client_verifier().verify(certificate, [issuing])
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("not RSA")
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    return _VERIFICATIONS / (time.perf_counter() - began)
