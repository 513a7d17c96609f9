"""The certificates that travel with a signature, and which of them signed.

Decoding is tolerant, because trust comes from the chain and not from the packing.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from shared.verification.detached import decode_base64
from shared.verification.domains import certificate_names
from shared.verification.reasons import Reason, refusal

MAX_CERTIFICATES = 10
# More certificates of one name than a cross-signed pair serve only to make path building explode.
_MAX_SAME_SUBJECT = 2

# asn1crypto makes each of its classes ready at first use, and parses when asked, without locks of its own. Two threads
# in it at once can leave a class wrong for as long as the process lives. Whoever uses it, or what builds on it, holds
# this.
IN_ASN1CRYPTO = threading.Lock()

_PEM = re.compile(r"-----BEGIN (PKCS7|CMS|CERTIFICATE)-----([A-Za-z0-9+/= ]+)-----END \1-----")
_OBJECT_IDENTIFIER = 0x06
_LONG_FORM = 0x80


@dataclass(frozen=True)
class Sender:
    """The certificate that signed, its names and key, what came along, and a fingerprint of the whole set."""

    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]
    names: tuple[str, ...]
    key: rsa.RSAPublicKey
    fingerprint: bytes


def decode_container(text: str) -> tuple[x509.Certificate, ...]:
    """The distinct certificates of the header, in no meaningful order. Raises VerificationFailed.

    INFERRED (spec pkisigning 3.4): base64 of a certs-only SignedData; also accepted are PEM armour folded into one
    line and one bare certificate. Strike the forms that turn out not to exist here.
    """
    der = _from_pem(text) if text.startswith("-----BEGIN ") else decode_base64(text)
    if not der:
        raise refusal(Reason.CONTAINER_MALFORMED)
    try:
        encoded = list(dict.fromkeys(_signed_data_certificates(der) if _is_signed_data(der) else [der]))
        certificates = tuple(_read(item) for item in encoded[: MAX_CERTIFICATES + 1])
    except Exception:
        # Two parsers on hostile bytes, each with errors of its own: whatever they stumble over is refused.
        raise refusal(Reason.CONTAINER_MALFORMED) from None
    if not certificates:
        raise refusal(Reason.CONTAINER_EMPTY)
    if len(certificates) > MAX_CERTIFICATES or _crowded(certificates):
        raise refusal(Reason.CONTAINER_TOO_MANY)
    return certificates


def select_leaf(certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The one certificate that issued none of the others; never the first, the order means nothing."""
    if len(certificates) == 1:
        return certificates[0]
    issuers = {certificate.issuer for certificate in certificates}
    candidates = [certificate for certificate in certificates if certificate.subject not in issuers]
    if len(candidates) != 1:
        raise refusal(Reason.LEAF_AMBIGUOUS)
    return candidates[0]


def read_sender(text: str, *, minimum_rsa_bits: int) -> Sender:
    """Steps 4 to 6 of the checklist in the provider's `callback.py`: decode, pick the leaf, look at its key.

    Call it in a thread: it may wait for another that judges a chain.
    """
    certificates = decode_container(text)  # 4
    leaf = select_leaf(certificates)  # 5
    try:
        key, names = leaf.public_key(), certificate_names(leaf)
    except Exception:
        # An unknown kind of key, or one that is not on its curve.
        raise refusal(Reason.CONTAINER_MALFORMED) from None
    if not isinstance(key, rsa.RSAPublicKey):  # 6
        raise refusal(Reason.KEY_NOT_RSA)
    if key.key_size < minimum_rsa_bits:
        raise refusal(Reason.KEY_TOO_SMALL)
    others = tuple(certificate for certificate in certificates if certificate is not leaf)
    return Sender(leaf, others, names, key, _fingerprint(leaf, certificates))


def _fingerprint(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> bytes:
    digest = hashlib.sha256(hashlib.sha256(leaf.public_bytes(Encoding.DER)).digest())
    for encoded in sorted(certificate.public_bytes(Encoding.DER) for certificate in certificates):
        digest.update(hashlib.sha256(encoded).digest())
    return digest.digest()


def _crowded(certificates: Sequence[x509.Certificate]) -> bool:
    return max(Counter(certificate.subject for certificate in certificates).values()) > _MAX_SAME_SUBJECT


def _read(der: bytes) -> x509.Certificate:
    """The parts of a certificate are parsed when asked for: ask here, where an error is expected."""
    certificate = x509.load_der_x509_certificate(der)
    _ = (certificate.subject, certificate.issuer, certificate.extensions)
    return certificate


def _from_pem(text: str) -> bytes | None:
    match = _PEM.fullmatch(text.strip())
    return decode_base64(match[2].replace(" ", "")) if match else None


def _is_signed_data(der: bytes) -> bool:
    """A ContentInfo begins with its type's identifier, a certificate with another sequence."""
    header = 2 if len(der) < 2 or der[1] < _LONG_FORM else 2 + der[1] - _LONG_FORM
    return len(der) > header and der[header] == _OBJECT_IDENTIFIER


def _signed_data_certificates(der: bytes) -> list[bytes]:
    # cryptography's loader warns about sets that are not in DER order and announces to refuse them; the containers
    # of the provider are unordered (spec pkisigning 3.4).
    with IN_ASN1CRYPTO:
        from asn1crypto import cms  # noqa: PLC0415 - only processes that see callbacks pay for it

        content_info = cms.ContentInfo.load(der, strict=True)
        if content_info["content_type"].native != "signed_data":
            raise ValueError("not a SignedData")
        choices = content_info["content"]["certificates"]
        return [choice.chosen.dump() for choice in choices if choice.name == "certificate"]
