"""PKIsigning (spec pkisigning): configuration, capabilities, and how an account is built. Light to import."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from shared.domain.capabilities import Action, Calls, Capabilities, PlacementKind
from shared.domain.signing import Role

if TYPE_CHECKING:
    from shared.ports import SigningProvider, TokenStore
    from shared.providers.checks import SupportedBy
    from shared.providers.circuit import Circuit

NAME = "pkisigning"

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

CAPABILITIES = Capabilities(
    roles=frozenset(Role),
    placements=frozenset({PlacementKind.TEXT, PlacementKind.FIELD}),
    media_types=frozenset({PDF, DOCX}),
    languages=frozenset({"nl", "en"}),
    ordered=True,
    several_documents=True,
    deadline=True,
    participant_message=False,
    phone_required=True,
    strong_identity=True,
    signed_callbacks=True,
    title_length=(4, 500),
    options=frozenset({"workgroup_id", "clearance_level"}),
    evidence=True,
    actions=frozenset({Action.CANCEL, Action.REMIND, Action.EXTEND, Action.DELETE}),
    download_calls=Calls(),
)
"""Of V2. There the notes to participants can only be read (spec 6.1), and actors only be changed before sending. V1
takes a note, but has no published approver, and only PDF has a known number (spec 2.2, 4.2): see `capabilities_of`."""

# Spec 1.1. Tokens of one environment do not work in the other.
_API_URLS = {
    "production": "https://platformapi.pkisigning.io",
    "staging": "https://accplatformapi.pkisigning.io",
}
_IDENTITY_URLS = {
    "production": "https://identity.pkisigning.io",
    "staging": "https://accidentity.pkisigning.io",
}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _pem(value: object) -> object:
    """A PEM bundle, or base64 of one: line breaks do not survive every place where settings are kept."""
    if not isinstance(value, str) or "-----BEGIN" in value or not value.strip():
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("expected PEM certificates, or base64 of them") from None


def _safe_url(value: str) -> str:
    parts = urlsplit(value)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or is_local) or parts.query or parts.fragment:
        raise ValueError("expected an https address without a query (http only on this machine)")
    return value.rstrip("/")


Pem = Annotated[str, BeforeValidator(_pem)]
BaseUrl = Annotated[str, AfterValidator(_safe_url)]


class Config(BaseModel):
    """One account at PKIsigning. Only `shared/settings.py` fills it.

    `webhook` None means: register the organisation's webhook for V2, where no callback address can be given per
    request, and not for V1. `verdict_cap_seconds` bounds how long a revocation of the callback's certificate may go
    unnoticed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    api: Literal["v1", "v2"] = "v2"
    environment: Literal["production", "staging"] = "production"
    api_url: BaseUrl | None = None
    identity_url: BaseUrl | None = None
    grant: Literal["refresh_token", "client_credentials"] = "refresh_token"
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Annotated[SecretStr, Field(min_length=1)]
    refresh_token: SecretStr | None = None
    organisation_id: UUID | None = None
    workgroup_id: UUID | None = None
    clearance_level: int = 1
    owner: str | None = None
    trust_anchors: Annotated[Pem, Field(min_length=1)]
    intermediates: Pem = ""
    revocation: Literal["hard", "soft"] = "hard"
    callback_window_seconds: Annotated[float, Field(gt=0)] = 300
    verdict_cap_seconds: Annotated[float, Field(ge=0)] = 3600
    unsafe_accept_unsigned: bool = False
    webhook: bool | None = None
    calls_per_minute: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        has_token = self.refresh_token is not None and self.refresh_token.get_secret_value() != ""
        if self.grant == "refresh_token" and not has_token:
            raise ValueError("grant refresh_token needs a refresh_token: a person consents once to get one")
        if self.grant == "client_credentials" and has_token:
            raise ValueError("grant client_credentials takes no refresh_token; leave one of the two out")
        if (self.api_url is None) != (self.identity_url is None):
            raise ValueError("give both api_url and identity_url, or neither: tokens fit one environment only")
        if self.api == "v1" and self.owner is not None:
            raise ValueError("owner can only be set with api v2")
        return self

    @property
    def api_base_url(self) -> str:
        return self.api_url or _API_URLS[self.environment]

    @property
    def token_url(self) -> str:
        return f"{self.identity_url or _IDENTITY_URLS[self.environment]}/connect/token"

    @property
    def client_scopes(self) -> tuple[str, ...]:
        """For client credentials: no user, hence neither identity scopes nor offline access (spec 1.2)."""
        return ("pkisigning.platform", "ImpersonateOwner") if self.owner else ("pkisigning.platform",)

    @property
    def wants_webhook(self) -> bool:
        return self.api == "v2" if self.webhook is None else self.webhook


def capabilities_of(config: Config) -> Capabilities:
    if config.api == "v2":
        return CAPABILITIES
    roles = CAPABILITIES.roles - {Role.APPROVER}
    return replace(CAPABILITIES, roles=roles, media_types=frozenset({PDF}), message=True)


def build(
    account: str,
    config: Config,
    tokens: TokenStore,
    now: Callable[[], datetime],
    supported_by: SupportedBy | None = None,
    *,
    circuit: Circuit | None = None,
) -> SigningProvider:
    """The provider of one account. No network. Raises ConfigurationError for certificates that cannot be used."""
    from shared.providers.pkisigning.provider import PkisigningProvider  # noqa: PLC0415  (keeps settings light)

    return PkisigningProvider.configured(account, config, tokens, now, supported_by, circuit=circuit)
