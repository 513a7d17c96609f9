"""The account's settings, and that nothing secret or heavy hangs on to them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from shared.providers.dokobit import CAPABILITIES, NAME, Config, build, capabilities_of
from tests.providers.stand_ins import MemoryTokens

GOOD = {"access_token": "hidden-1"}


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://app.dokobit.com/api/connector"),
        ({"environment": "sandbox"}, "https://beta.dokobit.com/api/connector"),
        ({"surface": "universal"}, "https://app.dokobit.com/api"),
        ({"surface": "universal", "environment": "sandbox"}, "https://beta.dokobit.com/api"),
        ({"api_url": "https://gateway.example.org/x/"}, "https://gateway.example.org/x"),
        ({"api_url": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
    ],
)
def test_the_address_follows_surface_and_environment(changes: dict[str, object], url: str) -> None:
    config = Config.model_validate(GOOD | changes)
    assert config.api_base_url == url
    assert "hidden" not in repr(config)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"access_token": ""}, "access_token"),
        ({"access_token": "hidden\r\nX: y"}, "one line"),
        ({"access_token": None}, "access_token"),
        ({"surface": "portal"}, "connector"),
        ({"environment": "moon"}, "production"),
        ({"api_url": "http://example.org"}, "expected an https address"),
        ({"api_url": "https://user:hidden@example.org"}, "expected an https address"),
        ({"api_url": "https://example.org?x=1"}, "without a query"),
        ({"redirect_uri": "javascript:alert(1)"}, "expected an https address"),
        ({"flow": "sideways"}, "external"),
        ({"validation_max_bytes": -1}, "validation_max_bytes"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_no_secret(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(GOOD | changes)
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_an_account_is_built_without_a_network() -> None:
    provider = build("main", Config.model_validate(GOOD), MemoryTokens(), lambda: datetime.now(UTC))
    assert (provider.name, provider.account, provider.account_webhook_wanted) == (NAME, "main", False)
    assert provider.capabilities == CAPABILITIES == capabilities_of(Config.model_validate(GOOD))
    await provider.aclose()


def test_without_validation_there_is_no_evidence() -> None:
    assert not capabilities_of(Config.model_validate(GOOD | {"validation_reports": False})).evidence


def test_importing_the_package_is_light() -> None:
    heavy = "{'httpx', 'cryptography', 'shared.providers.dokobit.wire', 'shared.providers.dokobit.provider'}"
    code = f"import sys, shared.providers.dokobit; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
