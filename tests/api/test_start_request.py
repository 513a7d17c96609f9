from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.start_request import blobs_of, parse_start_request, to_command
from shared.domain.errors import InvalidRequest

PDF = b"%PDF-1.7 something"


def body(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "account": "PKI",
        "title": "Lease 2026-17",
        "documents": [{"name": "lease.pdf", "content": base64.b64encode(PDF).decode()}],
        "participants": [
            {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org", "placements": [{"text": "_s1_"}]}
        ],
    }
    return content | changes


def read(content: object, header: str | None = None) -> Any:
    return to_command(parse_start_request(json.dumps(content).encode()), header, {"inbox/a.pdf": PDF})


def fields_of(content: object) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refusal:
        read(content)
    return {item.field: item.message for item in refusal.value.fields}


def test_the_smallest_request_is_read() -> None:
    command = read(body())
    assert command.account == "pki"
    assert command.documents[0].content == PDF
    assert command.documents[0].media_type == "application/pdf"
    assert command.participants[0].number == 1


@pytest.mark.parametrize(
    "content",
    [
        base64.b64encode(PDF).decode(),
        f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}",
        {"$content-type": "application/pdf", "$content": base64.b64encode(PDF).decode()},
        base64.encodebytes(PDF).decode(),
    ],
)
def test_every_platform_form_of_a_file_is_read(content: object) -> None:
    assert read(body(documents=[{"name": "a.pdf", "content": content}])).documents[0].content == PDF


@pytest.mark.parametrize("content", ["not base64!", "", "JVBER", 7, None, {"content": "x"}, ["JVBERi0="]])
def test_a_file_that_is_none_is_named(content: object) -> None:
    assert "documents[0].content" in fields_of(body(documents=[{"name": "a.pdf", "content": content}]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account": None}, "account"),
        ({"title": ""}, "title"),
        ({"documents": []}, "documents"),
        ({"participants": []}, "participants"),
        ({"deadlin": "2030-01-01T00:00:00Z"}, "deadlin"),
        ({"deadline": "soon"}, "deadline"),
        ({"language": "english"}, "language"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"notify": {}}, "notify.url"),
        ({"documents": [{"name": "../a.pdf", "content": "JVBERi0="}]}, "documents[0].name"),
        ({"documents": [{"name": "..", "content": "JVBERi0="}]}, "documents[0].name"),
        (
            {"documents": [{"name": "A.pdf", "content": "JVBERi0="}, {"name": "a.pdf", "content": "JVBERi0="}]},
            "documents[1].name",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], field: str) -> None:
    assert field in fields_of(body(**changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "ada@"}, "participants[0].email"),
        ({"email": "ada @example.org"}, "participants[0].email"),
        ({"role": "witness"}, "participants[0].role"),
        ({"givenName": ""}, "participants[0].givenName"),
        ({"placements": [{"document": 2, "text": "x"}]}, "participants[0].placements[0].document"),
        ({"deadline": "soon"}, "participants[0].deadline"),
    ],
)
def test_what_does_not_fit_a_participant_is_named(changes: dict[str, Any], field: str) -> None:
    person = body()["participants"][0] | changes
    assert field in fields_of(body(participants=[person]))


def test_all_problems_are_named_at_once() -> None:
    assert fields_of({"account": "pki"}).keys() == {"title", "documents", "participants"}


def test_the_key_comes_from_the_header_or_the_body() -> None:
    assert read(body(), "from-header").idempotency_key == "from-header"
    assert read(body(idempotencyKey="from-body")).idempotency_key == "from-body"
    assert read(body(idempotencyKey="the same"), "the same").idempotency_key == "the same"
    assert read(body(), " ").idempotency_key is None


def test_a_header_and_a_body_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read(body(idempotencyKey="one"), "two")
    assert [item.field for item in refusal.value.fields] == ["idempotencyKey"]
    with pytest.raises(InvalidRequest) as refusal:
        read(body(), "x" * 256)
    assert [item.field for item in refusal.value.fields] == ["Idempotency-Key"]


def test_a_fingerprint_tells_orders_apart_but_not_keys() -> None:
    same = read(body(), "one").fingerprint()
    assert read(body(), "two").fingerprint() == same
    assert read(body(title="Lease 2026-18"), "one").fingerprint() != same
    other = [{"name": "lease.pdf", "content": base64.b64encode(PDF + b"!").decode()}]
    assert read(body(documents=other), "one").fingerprint() != same


@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_start_request(content)


def test_a_document_may_lie_in_blob_storage() -> None:
    wish = body(documents=[{"name": "a.pdf", "blob": "inbox/a.pdf"}])
    assert blobs_of(parse_start_request(json.dumps(wish).encode())) == {0: "inbox/a.pdf"}
    assert read(wish).documents[0].content == PDF


@pytest.mark.parametrize(
    "document",
    [
        {"blob": "signed/pki/2026/11/x/signed.zip"},
        {"blob": "staging/x/1"},
        {"blob": "https://account.blob.example/inbox/a.pdf?sig=token"},
        {"blob": "file:///inbox/a.pdf"},
        {"blob": "inbox/../signed/a.pdf"},
        {"blob": "inbox/"},
        {"blob": "inbox/../signed/pki/2026/11/x/signed.zip"},
        {"blob": "inbox/a/../../staging/x/1"},
        {"blob": "inbox/./a.pdf"},
        {"blob": "inbox//a.pdf"},
        {"blob": "inbox/a.pdf", "content": "JVBERi0="},
        {},
    ],
)
def test_a_document_is_either_sent_or_in_the_inbox(document: dict[str, str]) -> None:
    assert any(field.startswith("documents[0]") for field in fields_of(body(documents=[document | {"name": "a.pdf"}])))


def test_the_hash_of_a_file_is_checked_when_it_is_given() -> None:
    digest = hashlib.sha256(PDF).hexdigest()
    for said in (digest, digest.upper()):
        assert read(body(documents=[{"name": "a.pdf", "blob": "inbox/a.pdf", "sha256": said}])).documents[0].content
    sent = {"name": "a.pdf", "content": base64.b64encode(PDF + b"!").decode()}
    assert "documents[0].sha256" in fields_of(body(documents=[sent | {"sha256": digest}]))
    assert "documents[0].sha256" in fields_of(body(documents=[sent | {"sha256": digest[1:]}]))


@pytest.mark.parametrize("content", [b"PDF", b"<html>", b" %PDF-1.7", b"\x89PNG\r\n", b"MZ"])
def test_a_file_that_nobody_could_sign_is_named(content: bytes) -> None:
    sent = {"name": "lease.pdf", "content": base64.b64encode(content).decode()}
    problems = fields_of(body(documents=[{"name": "good.pdf", "blob": "inbox/a.pdf"}, sent]))
    assert problems.keys() == {"documents[1].content"}
    assert "neither a PDF" in problems["documents[1].content"]


def test_a_blob_that_nobody_could_sign_is_named() -> None:
    parsed = parse_start_request(json.dumps(body(documents=[{"name": "a.pdf", "blob": "inbox/a.pdf"}])).encode())
    with pytest.raises(InvalidRequest) as refusal:
        to_command(parsed, None, {"inbox/a.pdf": b"no PDF"})
    assert [one.field for one in refusal.value.fields] == ["documents[0].blob"]


def test_a_file_that_was_encoded_twice_is_called_so() -> None:
    twice = base64.b64encode(base64.b64encode(PDF)).decode()
    problems = fields_of(body(documents=[{"name": "lease.pdf", "content": twice}]))
    assert problems == {"documents[0].content": "is base64 of base64: encode the file once"}


def test_document_bytes_are_not_in_a_repr() -> None:
    assert "%PDF" not in repr(read(body()))
