"""Where a download may be led, and who may see our credentials."""

from __future__ import annotations

import pytest

from shared.providers.redirects import Redirects

BASE = "https://api.signicat.example/enterprise/sign"
FROM = f"{BASE}/orders/1/result"


@pytest.mark.parametrize(
    ("location", "url", "trusted"),
    [
        ("/files/1?x=2", "https://api.signicat.example/files/1?x=2", True),
        ("other", f"{BASE}/orders/1/other", True),
        ("https://API.signicat.example:443/f", "https://api.signicat.example/f", True),
        ("https:///f", "https://api.signicat.example/f", True),
        ("https://files.example.org/f", "https://files.example.org/f", True),
        ("https://files.example.org:8443/f", "https://files.example.org:8443/f", False),
        ("https://api.signicat.example:444/f", "https://api.signicat.example:444/f", False),
        ("https://api.signicat.example.evil.example/f", "https://api.signicat.example.evil.example/f", False),
        ("//elsewhere.example/f", "https://elsewhere.example/f", False),
    ],
)
def test_followed_with_or_without_credentials(location: str, url: str, trusted: bool) -> None:
    hop = Redirects(BASE, ["https://files.example.org/base"]).next(FROM, location)
    assert hop is not None
    assert (hop.url, hop.trusted) == (url, trusted)
    assert url not in repr(hop)


@pytest.mark.parametrize(
    "location",
    [
        "http://api.signicat.example/f",
        "http://127.0.0.1/f",
        "ftp://api.signicat.example/f",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://api.signicat.example@evil.example/f",
        "https://user:word@api.signicat.example/f",
        "https://api.signicat.example:99999/f",
        "https://[broken/f",
        "https://evil.example\\@api.signicat.example/f",
        "https://api.signicat.example\\.evil.example/f",
        "https://api.signicat.example/\x00f",
        "https://xn--/f",
        "https:/\\evil.example/f",
        "mailto:someone@example.org",
    ],
)
def test_not_followed(location: str) -> None:
    assert Redirects(BASE).next(FROM, location) is None


@pytest.mark.parametrize(
    ("location", "trusted"),
    [("http://127.0.0.1:8000/f", True), ("http://127.0.0.1:9000/f", False), ("https://example.org/f", False)],
)
def test_plain_http_stays_on_this_machine(location: str, trusted: bool) -> None:
    hop = Redirects("http://127.0.0.1:8000/api").next("http://127.0.0.1:8000/api/x", location)
    assert hop is not None
    assert hop.trusted is trusted
    assert Redirects("http://127.0.0.1:8000").next("http://127.0.0.1:8000", "http://example.org/f") is None
