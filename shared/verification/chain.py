"""Does the sender's certificate chain to a configured anchor? Offline; revocation comes after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509

from shared.domain.errors import VerificationFailed
from shared.verification.container import IN_ASN1CRYPTO, Sender
from shared.verification.policy import VerificationPolicy
from shared.verification.reasons import Reason, refusal

if TYPE_CHECKING:
    from shared.verification.pkix import PathValidator


@dataclass(frozen=True)
class Chain:
    """A path that holds, anchor first, leaf last."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def not_after(self) -> datetime:
        return min(certificate.not_valid_after_utc for certificate in self.certificates)

    def revocable(self) -> list[Chain]:
        """The chain down to each certificate that can be revoked: to all but the anchor."""
        return [Chain(self.certificates[:length]) for length in range(2, len(self.certificates) + 1)]

    @property
    def last(self) -> x509.Certificate:
        return self.certificates[-1]

    @property
    def issuer(self) -> x509.Certificate:
        return self.certificates[-2]


class ChainValidator:
    """Works in threads: the library is pure Python, a large CRL takes it a while, and its first use imports it. One
    thread at a time over all accounts (IN_ASN1CRYPTO)."""

    def __init__(self, policy: VerificationPolicy) -> None:
        self._policy = policy

    @cached_property
    def _paths(self) -> PathValidator:
        from shared.verification.pkix import PathValidator  # noqa: PLC0415 - loads pyhanko-certvalidator and asn1crypto

        return PathValidator(self._policy)

    async def validate(self, sender: Sender, now: datetime) -> Chain:
        """The chain of the sender's leaf at `now`. Raises VerificationFailed."""
        return await asyncio.to_thread(self._validate, sender, now)

    def _validate(self, sender: Sender, now: datetime) -> Chain:
        try:
            with IN_ASN1CRYPTO:
                return Chain(tuple(asyncio.run(self._paths.find(sender.leaf, sender.others, now))))
        except VerificationFailed:
            raise
        except Exception as error:
            # The library meets hostile certificates here; what it stumbles over is refused, and the cause kept.
            raise refusal(Reason.CHAIN_INVALID) from error

    async def is_good(
        self, chain: Chain, now: datetime, *, ocsp: bytes | None = None, crl: bytes | None = None
    ) -> bool | None:
        """The last certificate by this revocation data: True good, False revoked, None not determined."""
        return await asyncio.to_thread(self._is_good, chain, now, ocsp, crl)

    def _is_good(self, chain: Chain, now: datetime, ocsp: bytes | None, crl: bytes | None) -> bool | None:
        with IN_ASN1CRYPTO:
            return asyncio.run(self._paths.is_good(chain.certificates, now, ocsp=ocsp, crl=crl))
