"""The account's settings, and that nothing secret or heavy hangs on to them."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from local.sandbox.pki import SandboxPki
from shared.domain.errors import ConfigurationError
from shared.domain.signing import Role
from shared.providers import PROVIDERS
from shared.providers.pkisigning import PDF, Config, build, capabilities_of
from tests.providers.stand_ins import MemoryTokens

PEM = SandboxPki.create("http://127.0.0.1:1").trust_bundle_pem().decode()
GOOD = {"client_id": "app", "client_secret": "hidden-1", "refresh_token": "hidden-2", "trust_anchors": PEM}


def test_production_is_the_default() -> None:
    config = Config.model_validate(GOOD)
    assert config.api_base_url == "https://platformapi.pkisigning.io"
    assert config.token_url == "https://identity.pkisigning.io/connect/token"
    assert config.wants_webhook
    assert "hidden" not in repr(config)


def test_staging_is_one_word_away() -> None:
    config = Config.model_validate(GOOD | {"environment": "staging", "api": "v1"})
    assert config.api_base_url == "https://accplatformapi.pkisigning.io"
    assert config.token_url == "https://accidentity.pkisigning.io/connect/token"
    assert not config.wants_webhook


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"refresh_token": None}, "needs a refresh_token"),
        ({"refresh_token": ""}, "needs a refresh_token"),
        ({"grant": "client_credentials"}, "takes no refresh_token"),
        ({"api_url": "https://example.org"}, "both api_url and identity_url"),
        ({"api_url": "http://example.org", "identity_url": "https://example.org"}, "expected an https address"),
        ({"api_url": "https://example.org?x=1", "identity_url": "https://example.org"}, "without a query"),
        ({"api": "v1", "owner": "boss@example.org"}, "owner can only be set with api v2"),
        ({"api": "v3"}, "v1"),
        ({"client_id": ""}, "client_id"),
        ({"trust_anchors": ""}, "trust_anchors"),
        ({"trust_anchors": "%%%"}, "expected PEM"),
        ({"organisation_id": "mine"}, "organisation_id"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_no_secret(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(GOOD | changes)
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_anchors_may_come_as_base64_of_pem() -> None:
    wrapped = base64.encodebytes(PEM.encode()).decode()
    assert Config.model_validate(GOOD | {"trust_anchors": wrapped}).trust_anchors == PEM


def test_client_credentials_ask_for_no_more_than_they_need() -> None:
    by_client = GOOD | {"grant": "client_credentials", "refresh_token": None}
    assert Config.model_validate(by_client).client_scopes == ("pkisigning.platform",)
    owned = Config.model_validate(by_client | {"owner": "boss@example.org"})
    assert owned.client_scopes == ("pkisigning.platform", "ImpersonateOwner")


def test_v1_can_do_less() -> None:
    can = capabilities_of(Config.model_validate(GOOD | {"api": "v1"}))
    assert can.roles == {Role.SIGNER, Role.OBSERVER}
    assert can.media_types == {PDF}


async def test_the_catalogue_builds_the_provider_without_a_network() -> None:
    entry = PROVIDERS["pkisigning"]
    provider = entry.build("main", entry.config_type.model_validate(GOOD), MemoryTokens(), lambda: datetime.now(UTC))
    assert (provider.name, provider.account, provider.account_webhook_wanted) == ("pkisigning", "main", True)
    await provider.aclose()


def test_anchors_that_are_no_certificates_are_refused_at_start() -> None:
    wrong = Config.model_validate(
        GOOD | {"trust_anchors": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"}
    )
    with pytest.raises(ConfigurationError, match="trust_anchors"):
        build("main", wrong, MemoryTokens(), lambda: datetime.now(UTC))


def test_importing_the_catalogue_is_light() -> None:
    heavy = "{'httpx', 'pyhanko_certvalidator', 'cryptography', 'shared.providers.pkisigning.wire'}"
    code = f"import sys, shared.providers; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
