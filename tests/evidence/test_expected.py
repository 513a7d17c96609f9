from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import PDF, Member
from shared.evidence.expected import ExpectedDocument, check_expected

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def pdf(name: str, signed: bool | None = True) -> Member:
    return Member(name, 10, 10, 0, 0, None, PDF, signed)


def other(name: str) -> Member:
    return Member(name, 10, 10, 0, 0, None, None, False)


def want(name: str, media_type: str = PDF, must_be_signed: bool = True, size: int = 4) -> ExpectedDocument:
    return ExpectedDocument(name, media_type, must_be_signed, size)


FOUND: dict[str, tuple[list[Member], list[ExpectedDocument], list[tuple[str, str]]]] = {
    "by name": ([pdf("b.pdf"), pdf("a.pdf")], [want("a.pdf"), want("b.pdf")], [("a.pdf", "name"), ("b.pdf", "name")]),
    "in a folder and another case": ([pdf("Map/Contract.PDF")], [want("contract.pdf")], [("Map/Contract.PDF", "name")]),
    "a DOCX comes back as PDF": ([pdf("offer.pdf")], [want("offer.docx", DOCX)], [("offer.pdf", "name")]),
    "rather the PDF than the original": (
        [other("offer.docx"), pdf("offer.pdf")],
        [want("offer.docx", DOCX)],
        [("offer.pdf", "name")],
    ),
    "rather the signed one": (
        [pdf("in/a.pdf", False), pdf("out/a.pdf")],
        [want("a.pdf")],
        [("out/a.pdf", "name")],
    ),
    "renamed": ([pdf("1234.pdf"), pdf("audittrail.pdf")], [want("a.pdf")], [("1234.pdf", "position")]),
    "some renamed": (
        [pdf("x.pdf"), pdf("b.pdf"), pdf("Audit trail.pdf", False)],
        [want("a.pdf"), want("b.pdf")],
        [("x.pdf", "position"), ("b.pdf", "name")],
    ),
    "more than wanted": ([pdf("summary.pdf", False), pdf("1.pdf")], [want("a.pdf")], [("1.pdf", "position")]),
    "a document about audits": (
        [pdf("audit.pdf"), pdf("audit trail.pdf", False)],
        [want("audit.pdf")],
        [("audit.pdf", "name")],
    ),
    "two of one name": (
        [pdf("1/a.pdf"), pdf("2/a.pdf")],
        [want("a.pdf"), want("a.pdf")],
        [("1/a.pdf", "name"), ("2/a.pdf", "name")],
    ),
    "unsigned is enough": (
        [pdf("a.pdf", False)],
        [want("a.pdf", must_be_signed=False)],
        [("a.pdf", "name")],
    ),
    "a bare PDF": ([pdf("document.pdf")], [want("contract.pdf")], [("document.pdf", "position")]),
    "nothing expected": ([pdf("a.pdf")], [], []),
}


@pytest.mark.parametrize(("members", "expected", "found"), FOUND.values(), ids=FOUND)
def test_expected_documents_are_found(
    members: Sequence[Member], expected: Sequence[ExpectedDocument], found: list[tuple[str, str]]
) -> None:
    matches = check_expected(members, expected)
    assert [(match.member.name, match.rule) for match in matches] == found
    assert [match.expected for match in matches] == list(expected)


REFUSED: dict[str, tuple[str, list[Member], list[ExpectedDocument]]] = {
    "one is missing": ("documents_missing", [pdf("a.pdf")], [want("a.pdf"), want("b.pdf")]),
    "only the audit trail": ("documents_missing", [pdf("audittrail.pdf")], [want("a.pdf")]),
    "only a folder of that name": ("documents_missing", [other("a/")], [want("a.pdf")]),
    "another kind of file": ("documents_missing", [other("1.txt")], [want("a.pdf")]),
    "one file is not two documents": ("documents_missing", [pdf("a.pdf")], [want("a.pdf"), want("a.pdf")]),
    "not signed yet": ("signature_missing", [pdf("a.pdf", False)], [want("a.pdf")]),
    "the upload itself, which had somebody's signature already": (
        "signature_missing",
        [pdf("a.pdf")],
        [want("a.pdf", size=10)],
    ),
    "content never read": ("signature_missing", [pdf("a.pdf", None)], [want("a.pdf")]),
}


@pytest.mark.parametrize(("reason", "members", "expected"), REFUSED.values(), ids=REFUSED)
def test_an_archive_without_them_is_not_ready(
    reason: str, members: Sequence[Member], expected: Sequence[ExpectedDocument]
) -> None:
    with pytest.raises(ArchiveNotReady) as refused:
        check_expected(members, expected)
    assert refused.value.reason == reason
