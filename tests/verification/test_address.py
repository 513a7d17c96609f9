from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.verification.address import ACCOUNT_SUBJECT, CallbackAddresses
from tests.domain.make import SIGNING_ID

OLD, NEW = b"o" * 32, b"n" * 32


def token(address: str) -> str:
    """What stands behind provider and account in the path."""
    return "/".join(address.split("/")[-2:])


def test_an_address_leads_back_to_its_signing() -> None:
    addresses = CallbackAddresses("https://app.example/", [NEW])
    url = addresses.for_signing("pkisigning", "main", SIGNING_ID)
    assert url.startswith(f"https://app.example/api/callbacks/pkisigning/main/{SIGNING_ID}/")
    assert addresses.subject_of("pkisigning", "main", token(url)) == SIGNING_ID


def test_an_account_address_leads_to_the_account() -> None:
    addresses = CallbackAddresses("https://app.example", [NEW])
    assert addresses.subject_of("pkisigning", "main", token(addresses.for_account("pkisigning", "main"))) == (
        ACCOUNT_SUBJECT
    )


def test_rotation_keeps_the_old_address_alive_until_its_key_is_gone() -> None:
    old_token = token(CallbackAddresses("https://a.example", [OLD]).for_signing("pkisigning", "main", SIGNING_ID))
    rotated = CallbackAddresses("https://a.example", [NEW, OLD])
    assert rotated.subject_of("pkisigning", "main", old_token) == SIGNING_ID
    assert token(rotated.for_signing("pkisigning", "main", SIGNING_ID)) != old_token
    assert CallbackAddresses("https://a.example", [NEW]).subject_of("pkisigning", "main", old_token) is None


@pytest.mark.parametrize(
    ("provider", "account"), [("dokobit", "main"), ("pkisigning", "other"), ("pkisigningm", "ain")]
)
def test_an_address_is_good_for_its_provider_and_account_only(provider: str, account: str) -> None:
    addresses = CallbackAddresses("https://a.example", [NEW])
    good = token(addresses.for_signing("pkisigning", "main", SIGNING_ID))
    assert addresses.subject_of(provider, account, good) is None


@given(st.text())
def test_no_other_token_is_believed(text: str) -> None:
    assert CallbackAddresses("https://a.example", [NEW]).subject_of("pkisigning", "main", text) is None


@given(st.integers(0, 42), st.characters())
def test_one_changed_character_is_enough(position: int, character: str) -> None:
    addresses = CallbackAddresses("https://a.example", [NEW])
    good = token(addresses.for_signing("pkisigning", "main", SIGNING_ID))
    at = len(SIGNING_ID) + 1 + position
    forged = good[:at] + character + good[at + 1 :]
    if forged != good:
        assert addresses.subject_of("pkisigning", "main", forged) is None


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b"short"]])
def test_weak_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CallbackAddresses("https://a.example", keys)
