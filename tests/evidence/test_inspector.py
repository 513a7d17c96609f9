"""What the inspector lets through, and what it refuses with which word."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import PDF, ArchiveLimits, Member
from shared.evidence.inspector import BARE_PDF_NAME, ArchiveInspector
from tests.evidence.samples import HONEST, HOSTILE, LIMITS
from tests.evidence.zips import (
    FILES,
    PLAIN_PDF,
    SIGNED_PDF,
    inspect,
    make,
    with_descriptor,
)

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def contents(members: tuple[Member, ...]) -> dict[str, tuple[int, int, str | None]]:
    return {member.name: (member.size, member.crc32, member.sha256) for member in members}


EXPECTED = {name: (len(c), zlib.crc32(c), hashlib.sha256(c).hexdigest()) for name, c in FILES.items()}


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST)
def test_an_honest_archive_is_followed_whole(content: bytes) -> None:
    inspector = inspect(content)
    assert inspector.followed
    assert contents(inspector.members) == EXPECTED
    assert [(member.media_type, member.signed) for member in inspector.members] == [
        (PDF, True),
        (PDF, False),
        (None, False),
    ]
    assert [member.offset for member in inspector.members] == [
        info.header_offset for info in zipfile.ZipFile(BytesIO(content)).infolist()
    ]


@given(st.sampled_from(sorted(HONEST)), st.lists(st.integers(0, 400), max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_sizes_of_the_blocks_make_no_difference(form: str, sizes: list[int]) -> None:
    assert inspect(HONEST[form], sizes).members == inspect(HONEST[form]).members


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST)
def test_one_byte_at_a_time_is_the_same(content: bytes) -> None:
    assert inspect(content, [1] * len(content)).members == inspect(content).members


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("signature", [False, True])
def test_each_form_of_data_descriptor_is_understood(signature: bool, wide: bool) -> None:
    [member] = inspect(with_descriptor(SIGNED_PDF, signature=signature, wide=wide)).members
    assert (member.size, member.crc32, member.signed) == (len(SIGNED_PDF), zlib.crc32(SIGNED_PDF), True)


def test_a_stored_member_of_unannounced_length_is_left_to_the_second_reading() -> None:
    inspector = inspect(make(method=STORED, streamed=True))
    assert not inspector.followed
    assert {member.name: (member.size, member.crc32) for member in inspector.members} == {
        name: (size, crc) for name, (size, crc, _) in EXPECTED.items()
    }
    assert {member.signed for member in inspector.members} == {None}


def test_an_empty_stored_member_of_unannounced_length_can_be_followed() -> None:
    inspector = inspect(make({"leeg.txt": b""}, method=STORED, streamed=True))
    assert inspector.followed
    assert [member.size for member in inspector.members] == [0]


def test_folders_are_members_without_content() -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.mkdir("map")
        target.writestr("map/contract.pdf", SIGNED_PDF)
    folder, contract = inspect(archive.getvalue()).members
    assert folder.is_directory
    assert not contract.is_directory


def test_a_bare_pdf_is_an_archive_of_one() -> None:
    [member] = inspect(SIGNED_PDF, [1, 3, 200]).members
    assert member.name == BARE_PDF_NAME
    assert (member.size, member.media_type, member.signed) == (len(SIGNED_PDF), PDF, True)
    assert member.sha256 == hashlib.sha256(SIGNED_PDF).hexdigest()
    [member] = inspect(PLAIN_PDF).members
    assert member.signed is False


@pytest.mark.parametrize("gap", range(0, 11))
def test_a_signature_is_seen_across_two_blocks(gap: int) -> None:
    at = SIGNED_PDF.index(b"/ByteRange") + gap
    assert inspect(SIGNED_PDF, [at]).members[0].signed
    assert inspect(SIGNED_PDF, [at, 1, 1, 1]).members[0].signed


def test_hashing_members_can_be_left_out() -> None:
    inspector = ArchiveInspector(hash_members=False)
    inspector.feed(memoryview(make()))
    inspector.finish()
    assert {member.sha256 for member in inspector.members} == {None}
    assert [member.signed for member in inspector.members] == [True, False, False]


def test_a_legitimate_file_may_start_with_what_compresses_well() -> None:
    """The ratio counts for a whole member, not for its first bytes."""
    content = bytes(200_000) + hashlib.shake_256(b"noise").digest(80_000)
    [member] = inspect(make({"scan.pdf": content}, streamed=True), limits=LIMITS).members
    assert member.size == 280_000


@pytest.mark.parametrize(("reason", "build"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(reason: str, build: Callable[[], bytes]) -> None:
    content = build()
    for sizes in ([], [7] * 60):
        with pytest.raises(ArchiveNotReady) as refused:
            inspect(content, sizes, LIMITS)
        assert refused.value.reason == reason


def test_a_directory_beyond_the_limit_is_refused_before_it_fills_memory() -> None:
    limits = ArchiveLimits(max_directory_bytes=100)
    content = make({f"{'n' * 200}{number}.pdf": b"" for number in range(400)})
    with pytest.raises(ArchiveNotReady) as refused:
        inspect(content, limits=limits)
    assert refused.value.reason == "directory_too_large"


def test_a_refusal_stays() -> None:
    inspector = ArchiveInspector()
    with pytest.raises(ArchiveNotReady):
        inspector.feed(memoryview(b"<html>"))
    inspector.feed(memoryview(make()))
    for _ in range(2):
        with pytest.raises(ArchiveNotReady) as refused:
            inspector.finish()
        assert refused.value.reason == "not_an_archive"
    assert inspector.members == ()


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST)
def test_every_truncation_is_refused(content: bytes) -> None:
    for length in range(len(content)):
        with pytest.raises(ArchiveNotReady):
            inspect(content[:length])


@given(st.sampled_from(sorted(HONEST)), st.data())
@settings(max_examples=600, deadline=None)
def test_a_changed_byte_is_refused_or_harmless(form: str, data: st.DataObject) -> None:
    content = bytearray(HONEST[form])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        inspector = inspect(bytes(content))
    except ArchiveNotReady:
        return
    if inspector.followed:
        assert contents(inspector.members) == EXPECTED


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"%PDF-", b"PK\x05\x06"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(content: bytes, start: bytes) -> None:
    try:
        inspector = inspect(start + content)
    except ArchiveNotReady:
        return
    assert inspector.members
