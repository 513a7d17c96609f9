"""The second look, at what is already stored."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import ArchiveNotReady
from shared.evidence.archive import ArchiveLimits
from shared.evidence.reading import confirm_stored, read_archive, require_same
from tests.evidence.samples import HONEST, HOSTILE, LIMITS
from tests.evidence.test_inspector import EXPECTED, contents
from tests.evidence.zips import FILES, SIGNED_PDF, central, inspect, make, patched
from tests.fakes.storage import MemoryRandomAccess

UNFOLLOWED = make(method=zipfile.ZIP_STORED, streamed=True)
ALL = {**HONEST, "stored, streamed": UNFOLLOWED}


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
async def test_the_directory_lists_what_went_by(content: bytes) -> None:
    inspector = inspect(content)
    blob = MemoryRandomAccess(content)
    listed = await read_archive(blob)
    assert blob.reads == 2
    require_same(inspector.members, listed)
    assert {member.sha256 for member in listed} == {None}


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
async def test_reading_everything_finds_what_the_inspector_finds(content: bytes) -> None:
    members = await read_archive(MemoryRandomAccess(content), verify_all=True)
    assert contents(tuple(members)) == EXPECTED
    assert [member.signed for member in members] == [True, False, False]


async def test_a_bare_pdf_is_read_through() -> None:
    [member] = await read_archive(MemoryRandomAccess(SIGNED_PDF))
    assert member == inspect(SIGNED_PDF).members[0]


async def test_a_directory_far_longer_than_the_end_is_fetched_whole() -> None:
    content = make({f"{'n' * 200}{number}.pdf": b"" for number in range(700)})
    assert len(await read_archive(MemoryRandomAccess(content))) == 700


@pytest.mark.parametrize(("reason", "build"), HOSTILE.values(), ids=HOSTILE)
async def test_what_the_inspector_refuses_is_refused_here_too(reason: str, build: Callable[[], bytes]) -> None:
    with pytest.raises(ArchiveNotReady) as refused:
        await read_archive(MemoryRandomAccess(build()), LIMITS, verify_all=True)
    # Both look at different things first, so that the word may be another.
    assert refused.value.reason == reason or reason not in {"encrypted", "unsafe_name", "special_file", "bomb"}


async def test_damage_in_an_unfollowed_archive_is_found() -> None:
    damaged = UNFOLLOWED.replace(b"page page", b"page PAGE", 1)
    assert inspect(damaged).followed is False
    with pytest.raises(ArchiveNotReady) as refused:
        await read_archive(MemoryRandomAccess(damaged), verify_all=True)
    assert refused.value.reason == "crc_mismatch"


@given(st.integers(0, len(UNFOLLOWED) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
async def test_a_changed_byte_in_an_unfollowed_archive_is_refused_or_harmless(at: int, change: int) -> None:
    content = bytearray(UNFOLLOWED)
    content[at] ^= change
    try:
        members = await read_archive(MemoryRandomAccess(bytes(content)), verify_all=True)
    except ArchiveNotReady:
        return
    assert contents(tuple(members)) == EXPECTED


@pytest.mark.parametrize("length", [0, 3, 30, 200, len(UNFOLLOWED) - 30, len(UNFOLLOWED) - 1])
async def test_a_truncated_archive_is_refused(length: int) -> None:
    with pytest.raises(ArchiveNotReady):
        await read_archive(MemoryRandomAccess(UNFOLLOWED[:length]))
    with pytest.raises(ArchiveNotReady):
        inspect(UNFOLLOWED[:length])


async def test_a_directory_that_claims_to_start_anywhere_is_not_fetched() -> None:
    at = UNFOLLOWED.rindex(b"PK\x05\x06") + 16
    for offset in (0xFFFFFFFE, len(UNFOLLOWED)):
        wrong = patched(UNFOLLOWED, at, struct.pack("<L", offset))
        with pytest.raises(ArchiveNotReady):
            inspect(wrong)
        with pytest.raises(ArchiveNotReady):
            await read_archive(MemoryRandomAccess(wrong))
    far = make({"a.bin": bytes(range(256)) * 40_000}, method=zipfile.ZIP_STORED)
    wrong = patched(far, far.rindex(b"PK\x05\x06") + 16, struct.pack("<L", 0))
    blob = MemoryRandomAccess(wrong)
    with pytest.raises(ArchiveNotReady):
        await read_archive(blob, ArchiveLimits(max_directory_bytes=1000))
    assert blob.reads == 2


async def test_another_listing_is_not_the_same() -> None:
    members = inspect(make()).members
    other = inspect(make({**FILES, "leeg.txt": b"x"})).members
    for listed in (members[:2], other, members[::-1]):
        with pytest.raises(ArchiveNotReady) as refused:
            require_same(members, listed)
        assert refused.value.reason == "directory_mismatch"


@pytest.mark.parametrize("content", [*ALL.values(), SIGNED_PDF], ids=[*ALL, "a bare PDF"])
async def test_what_is_stored_is_confirmed_with_its_content_known(content: bytes) -> None:
    members = await confirm_stored(inspect(content), MemoryRandomAccess(content))
    assert members[0].signed
    assert members[0].sha256 == EXPECTED["contract.pdf"][2]


@pytest.mark.parametrize("stored", [make({**FILES, "leeg.txt": b"x"}), make()[:-1], SIGNED_PDF])
async def test_something_else_than_what_went_by_is_not_confirmed(stored: bytes) -> None:
    for went_by in (make(), UNFOLLOWED, SIGNED_PDF + b"%%EOF"):
        with pytest.raises(ArchiveNotReady):
            await confirm_stored(inspect(went_by), MemoryRandomAccess(stored))


async def test_content_hidden_between_members_is_refused() -> None:
    content = make({"a.pdf": SIGNED_PDF}, method=zipfile.ZIP_STORED)
    start = central(content)
    hidden = content[:start] + b"x" * 13 + content[start:]
    moved = patched(hidden, hidden.rindex(b"PK\x05\x06") + 16, struct.pack("<L", start + 13))
    assert zlib.crc32(SIGNED_PDF) == (await read_archive(MemoryRandomAccess(moved)))[0].crc32
    with pytest.raises(ArchiveNotReady):
        await read_archive(MemoryRandomAccess(moved), verify_all=True)
