"""Whether an archive holds the documents that were sent for signing, and signed where they must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import Member

# What an audit trail is called is as little documented as the other names in a provider's archive: INFERRED.
_AUDIT_TRAIL = re.compile(r"audit|trail|evidence", re.IGNORECASE)
_CONTAINER_SIGNATURE = re.compile(r"META-INF/[^/]*signature[^/]*\.(xml|p7s)", re.IGNORECASE)


@dataclass(frozen=True)
class ExpectedDocument:
    """A document as the caller named it. A DOCX may come back as a PDF."""

    name: str
    media_type: str
    must_be_signed: bool
    size: int = 0
    """Of the file as it was sent. Every signature appends to it, so a member of this very size is the unsigned
    original, whatever signatures of others it brought along."""


@dataclass(frozen=True)
class Match:
    """`rule` says how the member was recognised: `name` or `position`."""

    expected: ExpectedDocument
    member: Member
    rule: str


Rule = Callable[[Sequence[ExpectedDocument], Sequence[Member]], list[Match]]


def by_name(wanted: Sequence[ExpectedDocument], free: Sequence[Member]) -> list[Match]:
    """The same file name without folder and extension, in whatever case."""
    matches: list[Match] = []
    left = list(free)
    for expected in wanted:
        alike = [member for member in left if _stem(member.name) == _stem(expected.name)]
        if alike:
            best = min(alike, key=_rank)
            left.remove(best)
            matches.append(Match(expected, best, "name"))
    return matches


def by_position(wanted: Sequence[ExpectedDocument], free: Sequence[Member]) -> list[Match]:
    """The PDFs that are no audit trail, in the order of the archive. Where there are more of them than documents
    wanted, signed ones go first."""
    pdfs = [member for member in free if member.is_pdf and not _is_audit_trail(member)]
    if len(pdfs) > len(wanted):
        pdfs.sort(key=lambda member: not member.signed)
    return [Match(expected, member, "position") for expected, member in zip(wanted, pdfs, strict=False)]


# Names inside PKIsigning's ZIP are not documented (spec pkisigning, operation 5): INFERRED. This is the one place to
# change when they become known.
RULES: tuple[Rule, ...] = (by_name, by_position)


def check_expected(members: Sequence[Member], expected: Sequence[ExpectedDocument]) -> list[Match]:
    """One member for each expected document, in their order.

    Raises ArchiveNotReady: `documents_missing` when one has no counterpart, `signature_missing` when one that must be
    signed carries no signature (or its content was never read).
    """
    matches: list[Match] = []
    for rule in RULES:
        found = [match.expected for match in matches]
        used = [match.member for match in matches]
        wanted = _without(expected, found)
        free = [member for member in members if not member.is_directory and member not in used]
        matches += rule(wanted, free)
    if len(matches) < len(expected):
        raise ArchiveNotReady("documents_missing", f"The archive holds {len(matches)} of {len(expected)} documents.")
    in_container = any(is_container_signature(member) for member in members)
    unsigned = [match for match in matches if match.expected.must_be_signed and not (in_container or _is_signed(match))]
    if unsigned:
        raise ArchiveNotReady("signature_missing", f"{len(unsigned)} of {len(matches)} documents carry no signature.")
    return sorted(matches, key=lambda match: expected.index(match.expected))


def is_container_signature(member: Member) -> bool:
    """An ASiC container signs the files beside it, which themselves stay as they were (EN 319 162-1, annex A)."""
    return _CONTAINER_SIGNATURE.fullmatch(member.name) is not None


def _is_signed(match: Match) -> bool:
    return match.member.signed is True and match.member.size != match.expected.size


def _without(expected: Sequence[ExpectedDocument], found: list[ExpectedDocument]) -> list[ExpectedDocument]:
    """What is still wanted; documents that look the same count one by one."""
    left = list(expected)
    for document in found:
        left.remove(document)
    return left


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def _rank(member: Member) -> tuple[bool, bool, bool]:
    """Of several with one name: rather a signed PDF than any PDF than another file, rather no audit trail."""
    return _is_audit_trail(member), not member.is_pdf, not member.signed


def _is_audit_trail(member: Member) -> bool:
    return _AUDIT_TRAIL.search(member.name) is not None
