"""Readable sample PDFs, real PAdES signatures and audit trails for the simulators. Provider-neutral.

pyHanko and fpdf2 take about a second to import, so they are imported when first needed, inside the worker thread that
calls these functions. pyHanko's modules import each other in circles, which fails when two threads enter at two places
at once, so one thread at a time is in it. Nothing here waits on the network: signing uses keys in memory and no
time-stamp service.
"""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.sandbox.pdf_places import Placement, page_reference, page_with_text, signature_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate
    from fpdf import FPDF
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.fields import SigFieldSpec

_HEAD_BYTES = 1024
"""Readers accept `%PDF-` anywhere in the first kilobyte."""

_IN_PYHANKO = threading.Lock()

# pyHanko warns about every certificate it cannot match to a purpose; the simulator's own are fine by construction.
logging.getLogger("pyhanko").setLevel(logging.ERROR)


class NotAPdf(Exception):
    """The bytes are not a PDF that can be read."""


class ProtectedPdf(Exception):
    """The PDF is encrypted, so no signature can be added."""


@dataclass(frozen=True)
class SignatureFieldFacts:
    name: str
    page: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class PdfFacts:
    pages: int
    empty_fields: tuple[SignatureFieldFacts, ...]
    signatures: int


@dataclass(frozen=True)
class Identity:
    """Who signs: a certificate, its RSA key, and the certificates between it and the root."""

    certificate: Certificate
    key: RSAPrivateKey
    chain: tuple[Certificate, ...] = ()


@dataclass(frozen=True)
class AuditLine:
    name: str
    action: str
    at: datetime


def sample_contract(title: str, signers: Sequence[str], pages: int = 1) -> bytes:
    """A plain contract with one unique placeholder text (`_signer1_`, `_signer2_` ...) per signer on its last page."""
    document = _new_document(title)
    for number in range(1, pages + 1):
        document.add_page()
        _heading(document, title if number == 1 else f"{title} (page {number} of {pages})")
        for clause in range(1, 6):
            _paragraph(document, f"{number}.{clause}  {_CLAUSES[(number + clause) % len(_CLAUSES)]}")
    document.ln(6)
    for number, name in enumerate(signers, start=1):
        _signature_line(document, name, f"_signer{number}_")
    return bytes(document.output())


def converted(title: str) -> bytes:
    """What a word-processor file becomes after conversion: a one-page PDF that says so."""
    document = _new_document(title)
    document.add_page()
    _heading(document, title)
    _paragraph(document, "This page stands for the uploaded word-processor document.")
    return bytes(document.output())


def audit_trail(title: str, lines: Sequence[AuditLine], documents: Sequence[tuple[str, str]]) -> bytes:
    """A PDF that lists who did what and when, and the SHA-256 of every document (pairs of name and hex digest)."""
    document = _new_document(f"Audit trail - {title}")
    document.add_page()
    _heading(document, "Audit trail")
    _paragraph(document, title)
    for line in lines:
        _paragraph(document, f"{line.at:%Y-%m-%d %H:%M:%S} UTC   {line.action}   {line.name}")
    for name, digest in documents:
        _paragraph(document, f"{name}\nSHA-256 {digest}")
    return bytes(document.output())


def inspect_pdf(pdf: bytes) -> PdfFacts:
    """Read pages and signature fields. Raises NotAPdf or ProtectedPdf."""
    with _IN_PYHANKO:
        return _facts(_reader(pdf))


def page_of_text(pdf: bytes, text: str) -> int | None:
    """The first page (from 1) that carries the placeholder text, or None. Raises NotAPdf or ProtectedPdf."""
    with _IN_PYHANKO:
        return page_with_text(_reader(pdf), text)


def sign_pdf(
    pdf: bytes, identity: Identity, *, field_name: str, placement: Placement, reason: str | None = None
) -> bytes:
    """Add one PAdES signature as an incremental revision, so that earlier signatures stay valid.

    `field_name` names the new field; an existing empty field named by the placement wins over it.
    """
    with _IN_PYHANKO:
        return _signed(pdf, identity, field_name, placement, reason)


def _signed(pdf: bytes, identity: Identity, field_name: str, placement: Placement, reason: str | None) -> bytes:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter  # noqa: PLC0415
    from pyhanko.sign import signers  # noqa: PLC0415
    from pyhanko.sign.fields import SigSeedSubFilter  # noqa: PLC0415

    output = IncrementalPdfFileWriter(io.BytesIO(pdf), strict=False)
    metadata = signers.PdfSignatureMetadata(
        field_name=placement.field_name or field_name,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        reason=reason,
    )
    field = None if placement.field_name else _field_spec(pdf, field_name, placement)
    pdf_signer = signers.PdfSigner(metadata, signer=_simple_signer(identity), new_field_spec=field)
    signed = io.BytesIO()
    pdf_signer.sign_pdf(output, output=signed)
    return signed.getvalue()


def _reader(pdf: bytes) -> PdfFileReader:
    from pyhanko.pdf_utils.reader import PdfFileReader  # noqa: PLC0415

    if b"%PDF-" not in pdf[:_HEAD_BYTES]:
        raise NotAPdf("the file does not begin like a PDF")
    try:
        reader = PdfFileReader(io.BytesIO(pdf), strict=False)
    except Exception as error:
        raise NotAPdf(f"the PDF cannot be read: {type(error).__name__}") from error
    if reader.encrypted:
        raise ProtectedPdf("the PDF is protected")
    return reader


def _facts(reader: PdfFileReader) -> PdfFacts:
    from pyhanko.sign.fields import enumerate_sig_fields  # noqa: PLC0415  (slow import, see the module docstring)

    try:
        pages = int(reader.root["/Pages"]["/Count"])
        empty = tuple(
            _field_facts(reader, name, field.get_object())
            for name, _, field in enumerate_sig_fields(reader, filled_status=False)
        )
        return PdfFacts(pages=pages, empty_fields=empty, signatures=len(reader.embedded_regular_signatures))
    except Exception as error:
        raise NotAPdf(f"the PDF cannot be read: {type(error).__name__}") from error


def _field_facts(reader: PdfFileReader, name: str, field: Any) -> SignatureFieldFacts:
    left, bottom, right, top = (float(value) for value in field.get("/Rect", (0, 0, 0, 0)))
    page = field.raw_get("/P") if "/P" in field else None
    for number in range(int(reader.root["/Pages"]["/Count"])):
        if page is not None and page_reference(reader, number).idnum == page.idnum:
            return SignatureFieldFacts(name, number + 1, left, bottom, right - left, top - bottom)
    return SignatureFieldFacts(name, 1, left, bottom, right - left, top - bottom)


def _simple_signer(identity: Identity) -> Any:
    from asn1crypto import keys, x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415
    from pyhanko.sign import signers  # noqa: PLC0415
    from pyhanko_certvalidator.registry import SimpleCertificateStore  # noqa: PLC0415

    new_store: Any = SimpleCertificateStore  # its constructor carries no types
    store = new_store()
    store.register_multiple(x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in identity.chain)
    key = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return signers.SimpleSigner(
        signing_cert=x509.Certificate.load(identity.certificate.public_bytes(Encoding.DER)),
        signing_key=keys.PrivateKeyInfo.load(key),
        cert_registry=store,
    )


def _field_spec(pdf: bytes, field_name: str, placement: Placement) -> SigFieldSpec:
    from pyhanko.sign.fields import SigFieldSpec  # noqa: PLC0415

    if placement.placeholder is None and placement.box_percent is None and placement.box_points is None:
        return SigFieldSpec(field_name)
    page, box = signature_box(_reader(pdf), placement)
    return SigFieldSpec(field_name, on_page=page, box=box)


_CLAUSES = (
    "The parties have discussed this agreement in good faith and understand its content.",
    "The lessee pays on the first working day of each month, by bank transfer, without deduction.",
    "Either party may end this agreement in writing with a notice period of one calendar month.",
    "Changes to this agreement are valid only when both parties have signed them.",
    "This agreement is governed by the law of the place where the property is situated.",
    "Personal data are used for the performance of this agreement only and kept no longer than the law asks.",
)


def _new_document(title: str) -> FPDF:
    from fpdf import FPDF  # noqa: PLC0415

    logging.getLogger("fpdf").setLevel(logging.ERROR)
    document = FPDF(format="A4")
    document.set_auto_page_break(auto=True, margin=20)
    document.set_margins(22, 22, 22)
    document.set_title(title)
    document.set_creator("Countersign sandbox")
    return document


def _latin(text: str) -> str:
    """The standard fonts know Latin-1 only; other letters become question marks instead of an error."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _heading(document: FPDF, text: str) -> None:
    document.set_font("Helvetica", "B", 17)
    document.multi_cell(0, 9, _latin(text), align="L", new_x="LMARGIN", new_y="NEXT")
    document.ln(4)


def _paragraph(document: FPDF, text: str) -> None:
    document.set_font("Helvetica", size=10.5)
    document.multi_cell(0, 6, _latin(text), align="L", new_x="LMARGIN", new_y="NEXT")
    document.ln(2)


def _signature_line(document: FPDF, name: str, placeholder: str) -> None:
    if document.will_page_break(26):
        document.add_page()
    document.set_font("Helvetica", size=10.5)
    document.cell(0, 6, _latin(f"Signed by {name}:"), new_x="LMARGIN", new_y="NEXT")
    document.ln(9)
    document.set_text_color(150)
    document.cell(0, 6, placeholder, new_x="LMARGIN", new_y="NEXT")
    document.set_text_color(0)
    document.ln(4)
