"""What a signed callback must satisfy. Built once from settings; wrong settings are refused here, not at a callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from shared.domain.errors import ConfigurationError
from shared.verification.domains import is_usable_suffix

RevocationMode = Literal["hard", "soft"]


@dataclass(frozen=True)
class VerificationPolicy:
    """Trust and limits of one account's callbacks. Raises ConfigurationError listing everything that is wrong.

    `trust_anchors` and `intermediates` are PEM bundles; there is no default anchor on purpose. `revocation` says what
    happens when revocation cannot be determined: `hard` refuses, `soft` goes on and says so in the verdict; a revoked
    certificate is refused under both. `verdict_cap_seconds` bounds how long a revocation may go unnoticed.
    `unsafe_accept_unsigned` lets callbacks through that carry none of the signature headers (spec pkisigning 3.5, V2
    webhooks); one that carries any of them is verified in full.
    """

    trust_anchors: bytes
    intermediates: bytes = b""
    domain_suffixes: tuple[str, ...] = ("pkisigning.io", "pkisigning.nl")
    revocation: RevocationMode = "hard"
    window_seconds: float = 300
    future_tolerance_seconds: float = 60
    verdict_cap_seconds: float = 3600
    revocation_timeout_seconds: float = 5
    minimum_rsa_bits: int = 2048
    require_server_auth: bool = False
    unsafe_accept_unsigned: bool = False

    def __post_init__(self) -> None:
        problems = [
            *_bundle_problems("trust_anchors", self.trust_anchors, required=True),
            *_bundle_problems("intermediates", self.intermediates, required=False),
            *_suffix_problems(self.domain_suffixes),
            *_number_problems(self),
        ]
        if self.revocation not in ("hard", "soft"):
            problems.append("revocation must be hard or soft")
        if problems:
            raise ConfigurationError(problems)

    def anchor_certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.trust_anchors)

    def intermediate_certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.intermediates) if self.intermediates.strip() else []


def _bundle_problems(name: str, bundle: bytes, *, required: bool) -> list[str]:
    if not bundle.strip():
        return [f"{name} is empty: without a trust anchor nothing can be verified"] if required else []
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
        _ = [certificate.extensions for certificate in certificates]  # parsed when asked for: ask now
    except (ValueError, x509.DuplicateExtension):
        return [f"{name} is not a bundle of readable PEM certificates"]
    return [] if certificates else [f"{name} holds no certificate"]


def _suffix_problems(suffixes: Sequence[str]) -> list[str]:
    if not suffixes:
        return ["domain_suffixes is empty: any certificate of a trusted issuer would do"]
    wrong = [suffix for suffix in suffixes if not is_usable_suffix(suffix)]
    return [
        f"domain_suffixes holds {suffix!r}, which is not a lower-case domain of two or more labels" for suffix in wrong
    ]


def _number_problems(policy: VerificationPolicy) -> list[str]:
    problems = []
    if not 0 < policy.window_seconds <= 86400:
        problems.append("window_seconds must be above 0 and at most a day")
    if not 0 <= policy.future_tolerance_seconds <= 86400:
        problems.append("future_tolerance_seconds must be between 0 and a day")
    if policy.verdict_cap_seconds < 0:
        problems.append("verdict_cap_seconds must not be negative")
    if not 0 < policy.revocation_timeout_seconds <= 60:
        problems.append("revocation_timeout_seconds must be above 0 and at most 60")
    if policy.minimum_rsa_bits < 2048:
        problems.append("minimum_rsa_bits must be 2048 or more")
    return problems
