"""The account's settings, and that nothing secret or heavy hangs on to them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from shared.domain.capabilities import Action
from shared.domain.signing import Role
from shared.providers.connective import Config, build, capabilities_of
from tests.providers.stand_ins import MemoryTokens

GOOD = {"host": "esig.example.org", "username": "api", "password": "hidden-1", "initiator": "sender@example.org"}


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://esig.example.org/webportalapi"),
        ({"host": "esig.example.org:8443"}, "https://esig.example.org:8443/webportalapi"),
        ({"path_prefix": "/esig/webportalapi/"}, "https://esig.example.org/esig/webportalapi"),
        ({"path_prefix": ""}, "https://esig.example.org"),
        ({"host": "http://127.0.0.1:7081"}, "http://127.0.0.1:7081/webportalapi"),
    ],
)
def test_the_address_is_made_of_host_and_prefix(changes: dict[str, str], url: str) -> None:
    config = Config.model_validate(GOOD | changes)
    assert config.base_url == url
    assert "hidden" not in repr(config)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "http://esig.example.org"}, "expected a host name"),
        ({"host": "https://esig.example.org"}, "expected a host name"),
        ({"host": "esig.example.org/webportalapi"}, "expected a host name"),
        ({"host": "user@esig.example.org"}, "expected a host name"),
        ({"host": "esig example"}, "expected a host name"),
        ({"host": ""}, "expected a host name"),
        ({"path_prefix": "webportalapi"}, "expected a path"),
        ({"path_prefix": "/a/../b"}, "expected a path"),
        ({"path_prefix": "/a?x"}, "expected a path"),
        ({"username": ""}, "username"),
        ({"password": ""}, "password"),
        ({"initiator": "nobody"}, "initiator"),
        ({"process": "v4"}, "v3.1"),
        ({"signing_types": []}, "signing_types"),
        ({"signing_types": " , "}, "signing_types"),
        ({"page_size": "A0"}, "expected one of"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_no_secret(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(GOOD | changes)
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_signing_types_may_be_written_as_text() -> None:
    config = Config.model_validate(GOOD | {"signing_types": "Manual, MailOtp", "qualified_signing_types": ""})
    assert (config.signing_types, config.qualified_signing_types) == (("Manual", "MailOtp"), ())
    assert not capabilities_of(config).strong_identity


def test_v3_can_do_less() -> None:
    can = capabilities_of(Config.model_validate(GOOD | {"process": "v3"}))
    assert can.roles == {Role.SIGNER, Role.OBSERVER}
    assert can.actions == {Action.CANCEL, Action.REMIND, Action.EXTEND, Action.LINKS, Action.DELETE}


async def test_an_account_is_built_without_a_network() -> None:
    provider = build("main", Config.model_validate(GOOD), MemoryTokens(), lambda: datetime.now(UTC))
    assert (provider.name, provider.account, provider.account_webhook_wanted) == ("connective", "main", False)
    await provider.aclose()


def test_importing_the_package_is_light() -> None:
    heavy = "{'httpx', 'cryptography', 'shared.providers.connective.wire'}"
    code = f"import sys, shared.providers.connective; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
