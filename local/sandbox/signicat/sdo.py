"""LTV-SDO files: the XML container with which one signer signed one document (spec signicat 3.6). The signature in it
is real; everything else about the format is a likeness, for nobody should read these files."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

if TYPE_CHECKING:
    from local.sandbox.pdf import Identity


def statement(document: bytes, name: str, identity: Identity, at: datetime) -> bytes:
    """What `identity` signed, when, and the RSA-SHA256 signature over exactly the `SignedInfo` element."""
    info = (
        f'<SignedInfo><Document name={quoteattr(name)} sha256="{hashlib.sha256(document).hexdigest()}"/>'
        f"<SigningTime>{at.isoformat()}</SigningTime></SignedInfo>"
    )
    signature = identity.key.sign(info.encode(), padding.PKCS1v15(), hashes.SHA256())
    certificate = identity.certificate.public_bytes(serialization.Encoding.DER)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<LtvSdo version="1.2">{info}'
        f"<SignatureValue>{base64.b64encode(signature).decode()}</SignatureValue>"
        f"<X509Certificate>{base64.b64encode(certificate).decode()}</X509Certificate>"
        f"<Subject>{escape(identity.certificate.subject.rfc4514_string())}</Subject></LtvSdo>\n"
    ).encode()
