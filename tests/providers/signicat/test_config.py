"""The account's settings, and that nothing secret or heavy hangs on to them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from shared.providers.signicat import Config, build, capabilities_of
from tests.providers.signicat.samples import utc_now
from tests.providers.stand_ins import MemoryTokens

GOOD = {"client_id": "app", "client_secret": "hidden-1", "signature_methods": "nbid-sign:SIGNED_STATEMENT,sbid-sign"}


def test_the_current_platform_is_the_default() -> None:
    config = Config.model_validate(GOOD)
    assert config.api_url == "https://api.signicat.com/enterprise/sign"
    assert config.token_url == "https://api.signicat.com/auth/open/connect/token"
    assert (config.scope, config.client_auth) == ("signicat-api", "basic")
    assert config.trusted_hosts == ("https://api.signicat.com",)
    assert config.signature_methods == ("nbid-sign:SIGNED_STATEMENT", "sbid-sign")
    assert "hidden" not in repr(config)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"signature_methods": ""}, "signature_methods"),
        ({"signature_methods": "nbid-sign:WAX"}, "expected a name, or name:TYPE"),
        ({"signature_methods": ":THIRD_PARTY"}, "expected a name, or name:TYPE"),
        ({"api_url": "http://example.org/sign"}, "expected an https address"),
        ({"token_url": "https://example.org/token?x=1"}, "without a query"),
        ({"trusted_hosts": "https://files.example.org, http://example.org"}, "expected an https address"),
        ({"client_auth": "jwt"}, "client_auth"),
        ({"invitations": "pigeon"}, "invitations"),
        ({"days_until_deletion": "31"}, "days_until_deletion"),
        ({"days_to_live": "0"}, "days_to_live"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_no_secret(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(GOOD | changes)
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_what_an_account_can_do_depends_on_its_settings() -> None:
    plain = capabilities_of(Config.model_validate(GOOD))
    assert (plain.strong_identity, plain.phone_required, plain.message) == (False, False, True)
    by_sms = capabilities_of(Config.model_validate(GOOD | {"authentication_methods": "nbid,ftn", "invitations": "sms"}))
    assert (by_sms.strong_identity, by_sms.phone_required) == (True, True)
    silent = capabilities_of(Config.model_validate(GOOD | {"invitations": "none"}))
    assert (silent.message, silent.participant_message) == (False, False)


async def test_the_provider_is_built_without_a_network() -> None:
    provider = build("main", Config.model_validate(GOOD), MemoryTokens(), utc_now)
    assert (provider.name, provider.account, provider.account_webhook_wanted) == ("signicat", "main", False)
    await provider.aclose()


def test_importing_the_package_is_light() -> None:
    heavy = "{'httpx', 'cryptography', 'shared.providers.signicat.wire'}"
    code = f"import sys, shared.providers.signicat; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
