"""Detached RSA signatures: text to bytes, bytes to verdict."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.verification.reasons import Reason, refusal

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")

# INFERRED (spec pkisigning 3.3 step 4): "RSASHA256" is PKCS#1 v1.5. There is no fallback to PSS and none to another
# digest: a second accepted form is a second way in.
_PADDING = padding.PKCS1v15()
_DIGEST = hashes.SHA256()


def decode_base64(text: str) -> bytes | None:
    """Standard or URL-safe alphabet, padded or not; None for anything else (INFERRED, spec pkisigning 3.4)."""
    if _BASE64.fullmatch(text) is None:
        return None
    bare = text.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return None


def decode_signature(text: str) -> bytes:
    signature = decode_base64(text)
    if not signature:
        raise refusal(Reason.SIGNATURE_MALFORMED)
    return signature


def check_signature(key: rsa.RSAPublicKey, signature: bytes, message: bytes) -> None:
    try:
        key.verify(signature, message, _PADDING, _DIGEST)
    except InvalidSignature:
        raise refusal(Reason.SIGNATURE_MISMATCH) from None
