from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.inbox import inbox_address

AZURE = "https://acme.blob.core.windows.net/inbox"
EMULATOR = "http://127.0.0.1:10000/devstoreaccount1/inbox?sv=token"


@pytest.mark.parametrize(
    ("written", "container", "address"),
    [
        ("inbox/a/b c.pdf", AZURE, "inbox/a/b c.pdf"),
        (f"{AZURE}/a/b%20c.pdf", AZURE, "inbox/a/b c.pdf"),
        ("https://ACME.blob.core.windows.net/inbox/été.pdf", AZURE, "inbox/été.pdf"),
        ("http://127.0.0.1:10000/devstoreaccount1/inbox/a.pdf", EMULATOR, "inbox/a.pdf"),
        ("http://127.0.0.1:10000/inbox/a.pdf", EMULATOR, None),
        ("https://acme-secondary.blob.core.windows.net/inbox/a.pdf", AZURE, None),
        ("https://acme.blob.core.windows.net.evil.example/inbox/a.pdf", AZURE, None),
        ("https://u:p@acme.blob.core.windows.net/inbox/a.pdf", AZURE, None),
        (f"{AZURE}/a.pdf?sv=token", AZURE, None),
        (f"{AZURE}/a.pdf#part", AZURE, None),
        (f"{AZURE}/a%3Fb.pdf", AZURE, None),
        (f"{AZURE}/%2e%2e/signed/a.pdf", AZURE, None),
        (f"{AZURE}/..%2Fsigned/a.pdf", AZURE, None),
        (AZURE, AZURE, None),
        (f"{AZURE}/", AZURE, None),
        ("signed/a.pdf", AZURE, None),
        ("inbox/a\\..\\b", AZURE, None),
        ("", AZURE, None),
    ],
)
def test_only_blobs_of_our_own_inbox_have_an_address(written: str, container: str, address: str | None) -> None:
    assert inbox_address(written, container) == address


@given(st.text() | st.text().map(AZURE.__add__) | st.text().map("inbox/".__add__))
def test_whatever_is_written_nothing_leads_out_of_the_inbox(written: str) -> None:
    found = inbox_address(written, AZURE)
    if found is not None:
        container, _, path = found.partition("/")
        assert container == "inbox"
        assert path
        assert not {".", ".."} & set(path.split("/"))
