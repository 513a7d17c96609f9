"""Path building, validation and revocation judgement, by pyhanko-certvalidator.

The only module that imports it; `chain.py` imports this one when the first container has to be judged, so that a
process which never sees a callback does not pay for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    ExpiredError,
    InvalidCertificateError,
    NotYetValidError,
    PathBuildingError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    AlgorithmUsagePolicy,
    CertRevTrustPolicy,
    DisallowWeakAlgorithmsPolicy,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.validate import async_validate_path, validate_usage

from shared.domain.errors import VerificationFailed
from shared.verification.policy import VerificationPolicy
from shared.verification.reasons import Reason, refusal

# A container may hold cross-signed certificates; more candidate paths than this are somebody's attempt to keep us busy.
_MAX_PATHS = 16
# Revocation data made this instant by a CA whose clock is ahead of ours is still good; validity itself gets no slack.
_REVOCATION_CLOCK_SLACK = timedelta(seconds=60)


class PathValidator:
    """Validates against the anchors of one policy. Has no fetchers: what it is not given, it does not have."""

    def __init__(self, policy: VerificationPolicy) -> None:
        self._server_auth = policy.require_server_auth
        self._trust = SimpleTrustManager.build(trust_roots=_converted(policy.anchor_certificates()))
        self._intermediates = policy.intermediate_certificates()
        self._algorithms = _algorithms(policy.minimum_rsa_bits)

    async def find(
        self, leaf: x509.Certificate, others: Sequence[x509.Certificate], now: datetime
    ) -> list[x509.Certificate]:
        """Anchor first, leaf last: the first path that holds at `now`, revocation aside. Raises VerificationFailed."""
        context = self._context((*others, *self._intermediates), now, RevocationCheckingRule.NO_CHECK, timedelta(0))
        candidates = context.path_builder.async_build_paths_lazy(_converted([leaf])[0])
        failure, tried = refusal(Reason.CHAIN_UNTRUSTED), 0
        try:
            async for path in candidates:
                try:
                    return await self._checked(context, path, now)
                except VerificationFailed as error:
                    failure, tried = error, tried + 1
                if tried >= _MAX_PATHS:
                    break
        except PathBuildingError:
            raise refusal(Reason.CHAIN_UNTRUSTED) from None
        raise failure

    async def _checked(self, context: ValidationContext, path: ValidationPath, now: datetime) -> list[x509.Certificate]:
        if path.pkix_len == 0:  # an anchor vouches for others; it does not send callbacks
            raise refusal(Reason.CHAIN_UNTRUSTED)
        try:
            await async_validate_path(context, path)
            self._check_purpose(path.last)
        except ExpiredError:
            raise refusal(Reason.CERTIFICATE_EXPIRED) from None
        except NotYetValidError:
            raise refusal(Reason.CERTIFICATE_NOT_YET_VALID) from None
        except InvalidCertificateError:
            raise refusal(Reason.CERTIFICATE_PURPOSE) from None
        except ValidationError:
            raise refusal(Reason.CHAIN_INVALID) from None
        return _within_dates([x509.load_der_x509_certificate(each.dump()) for each in path.iter_certs(True)], now)

    def _check_purpose(self, leaf: asn1_x509.Certificate) -> None:
        """Key usage, where stated, must allow signing. E-seals may state nonRepudiation only (spec pkisigning 3.4)."""
        usage = leaf.key_usage_value.native if leaf.key_usage_value is not None else set()
        signing = "non_repudiation" if "non_repudiation" in usage else "digital_signature"
        server = {"server_auth"} if self._server_auth else set()
        validate_usage(leaf, {signing}, server, extended_optional=not self._server_auth)

    async def is_good(
        self, certificates: Sequence[x509.Certificate], now: datetime, *, ocsp: bytes | None, crl: bytes | None
    ) -> bool | None:
        """The last of `certificates` (anchor first) by this data: True good, False revoked, None not determined."""
        anchor, *chain = _converted(certificates)
        rule = RevocationCheckingRule.OCSP_REQUIRED if ocsp is not None else RevocationCheckingRule.CRL_REQUIRED
        try:
            context = self._context(certificates, now, rule, _REVOCATION_CLOCK_SLACK, ocsp=ocsp, crl=crl)
            await async_validate_path(context, ValidationPath(CertTrustAnchor(anchor), chain[:-1], chain[-1]))
        except RevokedError:
            return False
        except Exception:
            # Stale, mis-signed, about another certificate, or not parseable: it does not prove the status.
            return None
        return True

    def _context(
        self,
        others: Sequence[x509.Certificate],
        now: datetime,
        leaf_rule: RevocationCheckingRule,
        tolerance: timedelta,
        *,
        ocsp: bytes | None = None,
        crl: bytes | None = None,
    ) -> ValidationContext:
        """Revocation is asked for the last certificate only: each one of a chain gets a question of its own."""
        rules = RevocationCheckingPolicy(leaf_rule, RevocationCheckingRule.NO_CHECK)
        return ValidationContext(
            trust_manager=self._trust,
            other_certs=_converted(others),
            moment=now,
            allow_fetching=False,
            ocsps=[ocsp] if ocsp is not None else [],
            crls=[crl] if crl is not None else [],
            revinfo_policy=CertRevTrustPolicy(rules),
            time_tolerance=tolerance,
            algorithm_usage_policy=self._algorithms,
        )


def _algorithms(minimum_rsa_bits: int) -> AlgorithmUsagePolicy:
    """No MD5, no SHA-1, no short RSA keys anywhere in the path."""
    make: Any = DisallowWeakAlgorithmsPolicy  # its constructor is not annotated
    policy = make(rsa_key_size_threshold=minimum_rsa_bits)
    if not isinstance(policy, AlgorithmUsagePolicy):
        raise TypeError("pyhanko-certvalidator has changed")
    return policy


def _converted(certificates: Sequence[x509.Certificate]) -> list[asn1_x509.Certificate]:
    return [asn1_x509.Certificate.load(each.public_bytes(Encoding.DER), strict=True) for each in certificates]


def _within_dates(chain: list[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """The anchor too, whose dates RFC 5280 leaves to the relying party."""
    if any(now > certificate.not_valid_after_utc for certificate in chain):
        raise refusal(Reason.CERTIFICATE_EXPIRED)
    if any(now < certificate.not_valid_before_utc for certificate in chain):
        raise refusal(Reason.CERTIFICATE_NOT_YET_VALID)
    return chain
