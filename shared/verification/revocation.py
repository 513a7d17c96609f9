"""Is anything in a chain revoked? OCSP first, then CRL, fetched here and judged by the chain validator.

Only chains that already lead to a configured anchor come here, so every address in them was put there by a trusted
CA: that, and not a list of forbidden addresses, is what keeps a sender from choosing whom we call. Still: http and
https only, no redirects, a small answer, little time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from shared.verification.chain import Chain, ChainValidator
from shared.verification.memory import SingleFlight, TimedMemory

MAX_ANSWER_BYTES = 1024 * 1024
_MAX_ADDRESSES = 4
_REMEMBERED_ANSWERS = 64
# An answer without nextUpdate means "newer information is always available" (RFC 6960 4.2.2.1).
_WITHOUT_NEXT_UPDATE = timedelta(minutes=5)


class Status(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """What is known about a chain or one of its certificates, and until when it may be relied upon."""

    status: Status
    until: datetime


@dataclass(frozen=True)
class _Answer:
    body: bytes
    fetched_at: datetime
    until: datetime


@dataclass(frozen=True)
class _Source:
    """One way to learn the status of one certificate: `key` names the answer, `fetch` gets it."""

    key: Hashable
    fetch: Callable[[], Awaitable[bytes]]
    next_update: Callable[[bytes], datetime | None]
    judge: Callable[[bytes, datetime], Awaitable[bool | None]]


class RevocationChecker:
    """Remembers answers until their nextUpdate, but asks again after `refresh_seconds`; if nobody answers then, what is
    remembered still counts. So a revocation is noticed within that time, and an outage survived until nextUpdate.

    Only answers that proved a status are remembered: a forged one must not stand in the way of the next.
    """

    def __init__(
        self, http: httpx.AsyncClient, validator: ChainValidator, *, refresh_seconds: float, timeout_seconds: float
    ) -> None:
        self._http = http
        self._validator = validator
        self._refresh = timedelta(seconds=refresh_seconds)
        self._timeout = timeout_seconds / 2  # an OCSP responder that hangs leaves the other half to the CRL
        self._answers: TimedMemory[_Answer] = TimedMemory(_REMEMBERED_ANSWERS)
        self._fetches: SingleFlight[bytes] = SingleFlight()

    async def check(self, chain: Chain, now: datetime) -> Finding:
        """Revoked if anything in the chain is; good only if everything is."""
        findings = await asyncio.gather(*(self._check_last(part, now) for part in chain.revocable()))
        until = min(finding.until for finding in findings)
        for status in (Status.REVOKED, Status.UNKNOWN):
            if any(finding.status is status for finding in findings):
                return Finding(status, until)
        return Finding(Status.GOOD, until)

    async def _check_last(self, chain: Chain, now: datetime) -> Finding:
        for sources in (self._ocsp_sources(chain), self._crl_sources(chain)):
            for source in sources:
                finding = await self._consult(source, now, budget=self._timeout / len(sources))
                if finding.status is not Status.UNKNOWN:
                    return finding
        return Finding(Status.UNKNOWN, now)

    async def _consult(self, source: _Source, now: datetime, *, budget: float) -> Finding:
        remembered = self._answers.get(source.key, now)
        if remembered is not None and now < remembered.fetched_at + self._refresh:
            return await self._judged(source, remembered, now)
        try:
            body = await self._fetches.run(source.key, partial(_within, budget, source.fetch))
            answer = _Answer(body, now, source.next_update(body) or now + _WITHOUT_NEXT_UPDATE)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError):
            return await self._judged(source, remembered, now)
        finding = await self._judged(source, answer, now)
        if finding.status is Status.UNKNOWN:
            return await self._judged(source, remembered, now)
        self._answers.put(source.key, answer, until=answer.until)
        return finding

    async def _judged(self, source: _Source, answer: _Answer | None, now: datetime) -> Finding:
        good = await source.judge(answer.body, now) if answer is not None else None
        if answer is None or good is None:
            return Finding(Status.UNKNOWN, now)
        return Finding(Status.GOOD if good else Status.REVOKED, answer.until)

    def _ocsp_sources(self, chain: Chain) -> list[_Source]:
        async def judge(body: bytes, now: datetime) -> bool | None:
            return await self._validator.is_good(chain, now, ocsp=body)

        identity = (chain.last.fingerprint(hashes.SHA256()), chain.issuer.fingerprint(hashes.SHA256()))
        return [
            _Source(("ocsp", url, *identity), partial(self._ask, url, chain), _ocsp_until, judge)
            for url in _ocsp_addresses(chain.last)[:_MAX_ADDRESSES]
        ]

    def _crl_sources(self, chain: Chain) -> list[_Source]:
        async def judge(body: bytes, now: datetime) -> bool | None:
            return await self._validator.is_good(chain, now, crl=body)

        return [
            _Source(("crl", url), partial(self._download, "GET", url), _crl_until, judge)
            for url in _crl_addresses(chain.last)[:_MAX_ADDRESSES]
        ]

    async def _ask(self, url: str, chain: Chain) -> bytes:
        # SHA-1 names the issuer here, it protects nothing; responders are bound to know no other (RFC 5019 2.1.1).
        naming = hashes.SHA1()  # noqa: S303
        request = ocsp.OCSPRequestBuilder().add_certificate(chain.last, chain.issuer, naming).build()
        return await self._download("POST", url, request.public_bytes(Encoding.DER), "application/ocsp-request")

    async def _download(self, method: str, url: str, body: bytes | None = None, content_type: str = "") -> bytes:
        headers = {"accept-encoding": "identity"} | ({"content-type": content_type} if content_type else {})
        request = self._http.build_request(method, url, content=body, headers=headers, timeout=self._timeout)
        response = await self._http.send(request, stream=True, follow_redirects=False, auth=None)
        try:
            if response.status_code != 200:
                raise ValueError("no revocation data there")
            return await _limited(response)
        finally:
            await response.aclose()


async def _within(seconds: float, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
    async with asyncio.timeout(seconds):
        return await fetch()


async def _limited(response: httpx.Response) -> bytes:
    received = bytearray()
    async for chunk in response.aiter_raw():  # raw: a compressed answer could unfold without limit
        received += chunk
        if len(received) > MAX_ANSWER_BYTES:
            raise ValueError("revocation data beyond the limit")
    return bytes(received)


def _ocsp_until(body: bytes) -> datetime | None:
    response = ocsp.load_der_ocsp_response(body)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError("the responder has no answer")
    return min((each.next_update_utc for each in response.responses if each.next_update_utc is not None), default=None)


def _crl_until(body: bytes) -> datetime | None:
    return x509.load_der_x509_crl(body).next_update_utc


def _ocsp_addresses(certificate: x509.Certificate) -> list[str]:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return _web_addresses(
        each.access_location for each in access if each.access_method == AuthorityInformationAccessOID.OCSP
    )


def _crl_addresses(certificate: x509.Certificate) -> list[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return _web_addresses(name for point in points for name in point.full_name or ())


def _web_addresses(names: Iterable[x509.GeneralName]) -> list[str]:
    urls = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return [url for url in urls if url.lower().startswith(("http://", "https://"))]
