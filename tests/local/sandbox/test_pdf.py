"""The PDFs the simulators make: readable, with one place per signer, signed where the placeholder stands."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from local.sandbox import pdf
from local.sandbox.pdf import (
    AuditLine,
    Identity,
    NotAPdf,
    audit_trail,
    inspect_pdf,
    page_of_text,
    sample_contract,
    sign_pdf,
)
from local.sandbox.pdf_places import Placement
from local.sandbox.pki import SandboxPki, sandbox_key


def identity() -> Identity:
    pki = SandboxPki.create("http://127.0.0.1:9")
    issued = pki.issue(common_name="Zoë", dns_names=None, key=sandbox_key("signer"), server_auth=False)
    return Identity(issued.certificate, sandbox_key("signer"), (pki.issuing.certificate,))


def field_of(signed: bytes) -> dict[str, Any]:
    [embedded] = PdfFileReader(io.BytesIO(signed)).embedded_regular_signatures
    return dict(embedded.sig_field.items())


def page_text(pdf: bytes, number: int) -> bytes:
    reader: Any = PdfFileReader(io.BytesIO(pdf))
    return bytes(reader.find_page_for_modification(number)[0].get_object()["/Contents"].get_object().data)


def test_a_sample_has_its_pages_and_one_placeholder_per_signer() -> None:
    contract = sample_contract("Huur Ærøskøbing → 2024", ["Zoë", "Łukasz"], pages=3)
    assert inspect_pdf(contract).pages == 3
    text = b"".join(page_text(contract, number) for number in range(3))
    assert [text.count(placeholder) for placeholder in (b"_signer1_", b"_signer2_", b"_signer3_")] == [1, 1, 0]


def test_many_signers_run_over_onto_another_page() -> None:
    assert inspect_pdf(sample_contract("Board resolution", [f"Member {n}" for n in range(30)])).pages > 1


def test_the_signature_stands_at_its_placeholder() -> None:
    contract = sample_contract("Lease", ["Ada", "Bob"], pages=2)
    boxes = []
    for placeholder in ("_signer1_", "_signer2_"):
        signed = sign_pdf(contract, identity(), field_name="S", placement=Placement(placeholder=placeholder))
        left, bottom, right, top = (float(value) for value in field_of(signed)["/Rect"])
        assert (right - left, top - bottom) == (170, 42)
        boxes.append((left, bottom))
    assert boxes[0][0] == boxes[1][0]
    assert boxes[0][1] > boxes[1][1] + 42


def test_coordinates_are_percentages_from_the_upper_left_corner() -> None:
    place = Placement(box_percent=(10, 20, 30, 5))
    signed = sign_pdf(sample_contract("Lease", []), identity(), field_name="S", placement=place)
    assert [round(float(value)) for value in field_of(signed)["/Rect"]] == [59, 631, 237, 673]


def test_an_invisible_signature_has_no_area() -> None:
    signed = sign_pdf(sample_contract("Lease", []), identity(), field_name="S", placement=Placement())
    assert [float(value) for value in field_of(signed)["/Rect"]] == [0, 0, 0, 0]


def test_an_audit_trail_names_people_and_digests() -> None:
    at = datetime(2030, 1, 5, 9, 30, tzinfo=UTC)
    trail = audit_trail("Lease", [AuditLine("Ada Jansen", "signed", at)], [("lease.pdf", "ab" * 32)])
    text = page_text(trail, 0)
    assert b"2030-01-05 09:30:00 UTC   signed   Ada Jansen" in text
    assert b"ab" * 32 in text


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"%PDF-1.7", b"%PDF-1.7\nxref\ntrailer<<>>\nstartxref\n9\n%%EOF"]
)
def test_what_is_not_a_pdf_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPdf):
        inspect_pdf(content)


def test_one_thread_at_a_time_is_in_pyhanko(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules import each other in circles: two threads that enter it for the first time would fail, and a good
    document be refused."""
    contract, inside, seen = sample_contract("Lease", ["Ada"]), threading.Semaphore(1), []
    read = pdf._reader

    def watched(content: bytes) -> PdfFileReader:
        seen.append(inside.acquire(blocking=False))
        time.sleep(0.02)
        inside.release()
        return read(content)

    monkeypatch.setattr(pdf, "_reader", watched)
    visible, signer = Placement(placeholder="_signer1_"), identity()
    with ThreadPoolExecutor(6) as threads:
        for _ in range(2):
            threads.submit(inspect_pdf, contract)
            threads.submit(page_of_text, contract, "_signer1_")
            threads.submit(sign_pdf, contract, signer, field_name="Signature1", placement=visible)
    assert seen == [True] * 6
