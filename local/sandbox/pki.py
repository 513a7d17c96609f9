"""A throw-away certificate authority for the simulator and the tests: root, issuing CA, leaves, CRL and OCSP.

Every key is made at run time and never written down. The root belongs in the trust bundle of an app under test only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
TimestampFormat = Literal["iso7", "iso", "unix", "unix_ms", "rfc1123"]

DEFAULT_DOMAIN = "callback.sandbox.pkisigning.io"
_FILLER = x509.ObjectIdentifier("1.3.6.1.4.1.99999.2")
_ROOT_DAYS = 3650
_LEAF_DAYS = 365


@cache
def sandbox_key(slot: str = "leaf", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One RSA key per slot and process: making them is slow, and most tests do not care which key it is."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def sandbox_ec_key(slot: str = "leaf") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Issued:
    """A certificate with the key it certifies."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def name(self) -> str:
        """What its CRL is called below `/pki/crl/`."""
        return _key_id(self.certificate.public_key()).hex()[:16]


@dataclass
class SandboxPki:
    """Root → issuing CA → whatever `issue` is asked for.

    `clock` dates the CRLs and OCSP responses, `revocation_lifetime` is the time until their nextUpdate (None: they
    carry none); `ocsp_responder` answers in the issuing CA's place when set, as most public CAs do it.
    `crl_filler_bytes` makes revocation lists large.
    """

    base_url: str
    root: Issued
    issuing: Issued
    clock: Callable[[], datetime]
    revocation_lifetime: timedelta | None = timedelta(hours=1)
    ocsp_responder: Issued | None = None
    crl_filler_bytes: int = 0
    _authorities: dict[bytes, Issued] = field(default_factory=dict)
    _certificates: dict[tuple[bytes, int], x509.Certificate] = field(default_factory=dict)
    _revoked: dict[tuple[bytes, int], datetime] = field(default_factory=dict)

    @classmethod
    def create(cls, base_url: str, now: datetime | None = None, *, slot: str = "sandbox") -> SandboxPki:
        """A fresh hierarchy whose CRL and OCSP addresses start with `base_url`. `slot` picks the CA keys."""
        moment = now or datetime.now(UTC)
        root = _self_signed(f"Sandbox Root CA ({slot})", sandbox_key(f"{slot}-root"), moment)
        clock = (lambda: now) if now is not None else (lambda: datetime.now(UTC))
        pki = cls(base_url.rstrip("/"), root, root, clock)
        pki._register(root, root.certificate)
        pki.issuing = pki.issue(
            common_name=f"Sandbox Issuing CA ({slot})",
            dns_names=None,
            key=sandbox_key(f"{slot}-issuing"),
            issuer=root,
            is_ca=True,
            not_before=moment - timedelta(days=_LEAF_DAYS),
            not_after=moment + timedelta(days=_ROOT_DAYS // 2),
        )
        return pki

    def issue(
        self,
        *,
        common_name: str = DEFAULT_DOMAIN,
        dns_names: Sequence[str] | None = (DEFAULT_DOMAIN,),
        other_names: Sequence[x509.GeneralName] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key: PrivateKey | None = None,
        issuer: Issued | None = None,
        with_ocsp: bool = True,
        with_crl: bool = True,
        is_ca: bool = False,
        server_auth: bool = True,
        seal: bool = False,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """A certificate by `issuer` (the issuing CA if left out). No names at all means: no SAN extension.

        `seal` gives the profile of an e-seal: key usage nonRepudiation alone and no serverAuth.
        """
        signer, key = issuer or self.issuing, key or sandbox_key()
        now = self.clock()
        builder = _builder(
            common_name, signer.certificate, key, not_before or now - timedelta(days=1),
            not_after or now + timedelta(days=_LEAF_DAYS),
        )  # fmt: skip
        builder = _with_profile(builder, signer.certificate, key, is_ca=is_ca, server_auth=server_auth, seal=seal)
        names = [x509.DNSName(name) for name in dns_names or ()] + list(other_names)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = self._with_revocation(builder, signer, with_ocsp=with_ocsp, with_crl=with_crl)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        issued = Issued(builder.sign(signer.key, hashes.SHA256()), key)
        self._register(signer, issued.certificate)
        if is_ca:
            self._authorities[_key_id(key.public_key())] = issued
        return issued

    def signer(self, leaf: Issued | None = None) -> CallbackSigner:
        """A callback signer with `leaf`, or with a fresh leaf of the default domain."""
        return CallbackSigner(leaf or self.issue(), (self.issuing.certificate, self.root.certificate))

    def delegate_ocsp(self) -> Issued:
        """From now on OCSP responses of the issuing CA are signed by a responder certificate of its own."""
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
        self.ocsp_responder = self.issue(
            common_name="Sandbox OCSP", dns_names=None, key=sandbox_key("ocsp"), with_ocsp=False, with_crl=False,
            server_auth=False, extensions=[(x509.OCSPNoCheck(), False), (purpose, False)],
        )  # fmt: skip
        return self.ocsp_responder

    def revoke(self, certificate: x509.Certificate) -> None:
        self._revoked[self._identity(certificate)] = self.clock() - timedelta(minutes=1)

    def crl(self, issuer: Issued) -> bytes:
        """The DER revocation list of `issuer`, dated now."""
        authority, now = _key_id(issuer.certificate.public_key()), self.clock()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(now - timedelta(minutes=1))
            .next_update(now + (self.revocation_lifetime or timedelta(days=_LEAF_DAYS)))
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(authority, None, None), critical=False)
        )
        if self.crl_filler_bytes:
            filler = x509.UnrecognizedExtension(_FILLER, b"\0" * self.crl_filler_bytes)
            builder = builder.add_extension(filler, critical=False)
        for (revoker, serial), when in self._revoked.items():
            if revoker == authority:
                entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
                builder = builder.add_revoked_certificate(entry)
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def crl_by_name(self, name: str) -> bytes | None:
        """The list served as `/pki/crl/{name}.crl`, or None."""
        for authority in self._authorities.values():
            if authority.name == name:
                return self.crl(authority)
        return None

    def ocsp_response(self, request_der: bytes) -> bytes:
        """The DER answer to a DER OCSP request. A certificate that is not ours gets `unauthorized`."""
        request = ocsp.load_der_ocsp_request(request_der)
        identity = self._identity_by_hash(request)
        if identity is None or identity not in self._certificates:
            return _encoded(ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED))
        authority, when, now = self._authorities[identity[0]], self._revoked.get(identity), self.clock()
        lifetime = self.revocation_lifetime
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self._certificates[identity],
            issuer=authority.certificate,
            algorithm=request.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.GOOD if when is None else ocsp.OCSPCertStatus.REVOKED,
            this_update=now - timedelta(minutes=1),
            next_update=None if lifetime is None else now + lifetime,
            revocation_time=when,
            revocation_reason=None,
        )
        for extension in request.extensions:
            builder = builder.add_extension(extension.value, critical=False)
        delegate = self.ocsp_responder if authority is self.issuing else None
        if delegate is not None:
            builder = builder.certificates([delegate.certificate])
        signer = delegate or authority
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        return _encoded(builder.sign(signer.key, hashes.SHA256()))

    def trust_bundle_pem(self) -> bytes:
        """The root alone: the only trust anchor of an app under test."""
        return self.root.certificate.public_bytes(serialization.Encoding.PEM)

    def intermediates_pem(self) -> bytes:
        return self.issuing.certificate.public_bytes(serialization.Encoding.PEM)

    def _register(self, issuer: Issued, certificate: x509.Certificate) -> None:
        self._authorities.setdefault(_key_id(issuer.certificate.public_key()), issuer)
        self._certificates[(_key_id(issuer.certificate.public_key()), certificate.serial_number)] = certificate

    def _identity(self, certificate: x509.Certificate) -> tuple[bytes, int]:
        for authority in self._authorities:
            if (authority, certificate.serial_number) in self._certificates:
                return (authority, certificate.serial_number)
        raise KeyError("that certificate was not issued here")

    def _identity_by_hash(self, request: ocsp.OCSPRequest) -> tuple[bytes, int] | None:
        for authority, issuer in self._authorities.items():
            digest = hashes.Hash(request.hash_algorithm)
            digest.update(_key_bits(issuer.certificate.public_key()))
            if digest.finalize() == request.issuer_key_hash:
                return (authority, request.serial_number)
        return None

    def _with_revocation(
        self, builder: x509.CertificateBuilder, signer: Issued, *, with_ocsp: bool, with_crl: bool
    ) -> x509.CertificateBuilder:
        if with_ocsp:
            address = x509.UniformResourceIdentifier(f"{self.base_url}/pki/ocsp")
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, address)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        if with_crl:
            address = x509.UniformResourceIdentifier(f"{self.base_url}/pki/crl/{signer.name}.crl")
            point = x509.DistributionPoint([address], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return builder


@dataclass(frozen=True)
class CallbackSigner:
    """Signs callback bodies as PKIsigning does (spec pkisigning 3.1, 3.3, 3.4), with a knob for each way to be wrong.

    `chain` is what may follow the leaf in the container, issuing CA first.
    """

    leaf: Issued
    chain: Sequence[x509.Certificate] = ()

    def headers(
        self,
        body: bytes,
        *,
        timestamp: str | None = None,
        now: datetime | None = None,
        clock_offset: timedelta = timedelta(0),
        timestamp_format: TimestampFormat = "iso7",
        chain_length: int = 2,
        shuffle: bool = False,
        bare: bool = False,
        pem: bool = False,
        wrong_order: bool = False,
        key: PrivateKey | None = None,
        pss: bool = False,
        digest: hashes.HashAlgorithm | None = None,
        omit: Collection[str] = (),
    ) -> dict[str, str]:
        """The three headers for `body`. `key` signs instead of the leaf's own; `omit` leaves headers out by name."""
        moment = (now or datetime.now(UTC)) + clock_offset
        stamp = timestamp if timestamp is not None else format_timestamp(moment, timestamp_format)
        encoded = stamp.encode()
        message = encoded + body if wrong_order else body + encoded
        signature = _sign(key or self.leaf.key, message, digest or hashes.SHA256(), pss=pss)
        headers = {
            "x-pkisigning-timestamp": stamp,
            "x-pkisigning-publickey": self._container(chain_length, shuffle=shuffle, bare=bare, pem=pem),
            "x-pkisigning-signature": base64.b64encode(signature).decode(),
        }
        return {name: value for name, value in headers.items() if name not in omit}

    def _container(self, chain_length: int, *, shuffle: bool, bare: bool, pem: bool) -> str:
        certificates = [self.leaf.certificate, *self.chain][:chain_length]
        if bare:
            return base64.b64encode(certificates[0].public_bytes(serialization.Encoding.DER)).decode()
        header = pkcs7_header(certificates[1:] + certificates[:1] if shuffle else certificates)
        return f"-----BEGIN PKCS7----- {header} -----END PKCS7-----" if pem else header


def signed_with_sha1(issued: Issued, issuer: Issued) -> Issued:
    """The same certificate under a SHA-1 signature, which certificate builders rightly no longer make."""
    if not isinstance(issuer.key, rsa.RSAPrivateKey):
        raise TypeError("only RSA issuers do this")
    certificate = asn1_x509.Certificate.load(issued.certificate.public_bytes(serialization.Encoding.DER))
    algorithm = {"algorithm": "sha1_rsa"}
    certificate["tbs_certificate"]["signature"] = algorithm
    certificate["signature_algorithm"] = algorithm
    body = certificate["tbs_certificate"].dump(force=True)
    certificate["signature_value"] = issuer.key.sign(body, padding.PKCS1v15(), hashes.SHA1())
    return Issued(x509.load_der_x509_certificate(certificate.dump(force=True)), issued.key)


def format_timestamp(moment: datetime, style: TimestampFormat = "iso7") -> str:
    """The forms of spec pkisigning 3.4; `iso7` is .NET's round-trip form."""
    moment = moment.astimezone(UTC)
    if style == "unix":
        return str(int(moment.timestamp()))
    if style == "unix_ms":
        return str(int(moment.timestamp() * 1000))
    patterns = {"iso7": "%Y-%m-%dT%H:%M:%S.%f0Z", "iso": "%Y-%m-%dT%H:%M:%SZ", "rfc1123": "%a, %d %b %Y %H:%M:%S GMT"}
    return moment.strftime(patterns[style])


def pkcs7_header(certs: Sequence[x509.Certificate]) -> str:
    """Base64 of a certs-only SignedData that keeps the order given; libraries that build one would sort it."""
    certificates = b"".join(cert.public_bytes(serialization.Encoding.DER) for cert in certs)
    version, empty_set = _tlv(0x02, b"\x01"), _tlv(0x31, b"")
    data = _tlv(0x30, bytes.fromhex("06092a864886f70d010701"))
    signed_data = _tlv(0x30, version + empty_set + data + _tlv(0xA0, certificates) + empty_set)
    content_info = _tlv(0x30, bytes.fromhex("06092a864886f70d010702") + _tlv(0xA0, signed_data))
    return base64.b64encode(content_info).decode()


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sign(key: PrivateKey, message: bytes, digest: hashes.HashAlgorithm, *, pss: bool) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(digest))
    if pss:
        return key.sign(message, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
    return key.sign(message, padding.PKCS1v15(), digest)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    common_name: str, issuer: x509.Certificate | None, key: PrivateKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.subject if issuer is not None else _name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _with_profile(
    builder: x509.CertificateBuilder,
    issuer: x509.Certificate | None,
    key: PrivateKey,
    *,
    is_ca: bool,
    server_auth: bool,
    seal: bool = False,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not is_ca and not seal, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=seal,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    public = key.public_key()
    authority = _key_id(issuer.public_key()) if issuer is not None else _key_id(public)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(_key_id(public)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority, None, None), critical=False)
    )
    if server_auth and not is_ca and not seal:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder


def _self_signed(common_name: str, key: PrivateKey, now: datetime) -> Issued:
    start, end = now - timedelta(days=_ROOT_DAYS), now + timedelta(days=_ROOT_DAYS)
    builder = _builder(common_name, None, key, start, end)
    builder = _with_profile(builder, None, key, is_ca=True, server_auth=False)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def _key_id(public_key: object) -> bytes:
    if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise TypeError("the sandbox certifies RSA and EC keys only")
    return x509.SubjectKeyIdentifier.from_public_key(public_key).digest


def _key_bits(public_key: object) -> bytes:
    """The bytes of the public key's bit string, which an OCSP request names the issuer by."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    if isinstance(public_key, rsa.RSAPublicKey):
        return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    raise TypeError("the sandbox certifies RSA and EC keys only")


def _encoded(response: ocsp.OCSPResponse) -> bytes:
    return response.public_bytes(serialization.Encoding.DER)
