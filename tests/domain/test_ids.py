from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import is_signing_id, signing_id
from tests.domain.make import NOW


@given(st.binary(min_size=10, max_size=10))
def test_a_new_id_is_one(randomness: bytes) -> None:
    assert is_signing_id(signing_id(NOW, randomness))


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10), st.integers(1, 10**9))
def test_ids_sort_by_time(first: bytes, second: bytes, milliseconds: int) -> None:
    later = NOW + timedelta(milliseconds=milliseconds)
    assert signing_id(NOW, first) < signing_id(later, second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "account",
        "0193b0a0-0000-4000-8000-000000000001",
        "0193B0A0-0000-7000-8000-000000000001",
        "{0193b0a0-0000-7000-8000-000000000001}",
        "0193b0a0000070008000000000000001",
        "0193b0a0-0000-7000-8000-000000000001 ",
    ],
)
def test_nothing_else_is_one(text: str) -> None:
    assert not is_signing_id(text)
