"""What signatures are put into: PDFs (PAdES, by the frame), and ASiC-E containers with an XML signature each.

The signature value is a real RSA one over a real SignedInfo, which is written in canonical form to begin with. There is
no time-stamp and no validation material, and only the properties that name time and certificate.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from local.sandbox.dokobit.state import File, Signing
    from local.sandbox.pdf import Identity

ASIC_E = "application/vnd.etsi.asic-e+zip"
MEDIA_TYPES = {"pdf": "application/pdf", **dict.fromkeys(("asice", "bdoc", "edoc", "adoc", "adoc.cedoc"), ASIC_E)}
SUFFIXES = {"adoc.cedoc": "adoc"}
_DS = "http://www.w3.org/2000/09/xmldsig#"
_XADES = "http://uri.etsi.org/01903/v1.3.2#"
_ASIC = "http://uri.etsi.org/02918/v1.2.1#"
_C14N = "http://www.w3.org/2006/12/xml-c14n11"
_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"


def signature_xml(files: Sequence[File], identity: Identity, at: datetime, *, number: int) -> bytes:
    """One signature over all files."""
    certificate = identity.certificate.public_bytes(Encoding.DER)
    properties = _properties(certificate, at, number)
    references = "".join(_reference(quote(one.name), _digest(one.content)) for one in files)
    references += _reference(
        f"#P{number}", _digest(properties.encode()), ' Type="http://uri.etsi.org/01903#SignedProperties"'
    )
    signed_info = (
        f'<ds:SignedInfo xmlns:ds="{_DS}"><ds:CanonicalizationMethod Algorithm="{_C14N}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{_RSA_SHA256}"></ds:SignatureMethod>{references}</ds:SignedInfo>'
    )
    value = identity.key.sign(signed_info.encode(), padding.PKCS1v15(), hashes.SHA256())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<asic:XAdESSignatures xmlns:asic="{_ASIC}">'
        f'<ds:Signature xmlns:ds="{_DS}" Id="S{number}">{signed_info}'
        f"<ds:SignatureValue>{_base64(value)}</ds:SignatureValue>"
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{_base64(certificate)}</ds:X509Certificate></ds:X509Data>"
        f'</ds:KeyInfo><ds:Object><xades:QualifyingProperties xmlns:xades="{_XADES}" Target="#S{number}">{properties}'
        "</xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>"
    ).encode()


def container(signing: Signing, *, signed: bool = True, complete: bool = True) -> bytes:
    """The ZIP: mimetype first and stored, the files as they came, manifest and signatures in META-INF."""
    files = signing.files if complete else signing.files[:-1]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), ASIC_E)
        for one in files:
            archive.writestr(one.name, one.original)
        archive.writestr("META-INF/manifest.xml", _manifest(files))
        for number, signature in enumerate(signing.signatures if signed else ()):
            archive.writestr(f"META-INF/signatures{number}.xml", signature.xml)
    return buffer.getvalue()


def count_signatures(content: bytes) -> int:
    """In a container. Raises ValueError for what is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(name.startswith("META-INF/signatures") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise ValueError("is no container") from error


def _manifest(files: Sequence[File]) -> str:
    namespace = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    entries = [("/", ASIC_E), *((one.name, "application/octet-stream") for one in files)]
    listed = "".join(
        f'<m:file-entry m:full-path={quoteattr(path)} m:media-type="{media_type}"/>' for path, media_type in entries
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<m:manifest xmlns:m="{namespace}">{listed}</m:manifest>'


def _reference(uri: str, digest: str, kind: str = "") -> str:
    return (
        f'<ds:Reference{kind} URI="{escape(uri)}"><ds:DigestMethod Algorithm="{_SHA256}"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    )


def _properties(certificate: bytes, at: datetime, number: int) -> str:
    return (
        f'<xades:SignedProperties xmlns:ds="{_DS}" xmlns:xades="{_XADES}" Id="P{number}">'
        f"<xades:SignedSignatureProperties><xades:SigningTime>{at:%Y-%m-%dT%H:%M:%SZ}</xades:SigningTime>"
        f'<xades:SigningCertificateV2><xades:Cert><xades:CertDigest><ds:DigestMethod Algorithm="{_SHA256}">'
        f"</ds:DigestMethod><ds:DigestValue>{_digest(certificate)}</ds:DigestValue></xades:CertDigest></xades:Cert>"
        "</xades:SigningCertificateV2></xades:SignedSignatureProperties></xades:SignedProperties>"
    )


def _digest(content: bytes) -> str:
    return _base64(hashlib.sha256(content).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
