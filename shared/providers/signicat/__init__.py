"""Signicat Sign API v1 (spec signicat): configuration, capabilities, and how an account is built. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from shared.domain.capabilities import Action, Calls, Capabilities
from shared.domain.signing import Role

if TYPE_CHECKING:
    from shared.ports import SigningProvider, TokenStore
    from shared.providers.checks import SupportedBy
    from shared.providers.circuit import Circuit

NAME = "signicat"

PDF = "application/pdf"

CAPABILITIES = Capabilities(
    roles=frozenset({Role.SIGNER, Role.OBSERVER}),
    placements=frozenset(),
    media_types=frozenset({PDF}),
    languages=frozenset({"nb", "en", "fi", "da", "sv"}),
    ordered=True,
    several_documents=True,
    deadline=True,
    participant_message=True,
    phone_required=False,
    strong_identity=True,
    signed_callbacks=False,
    reads_callback_body=False,
    title_length=(1, 255),
    options=frozenset(
        {
            "signature_methods",
            "configuration",
            "profile",
            "days_until_deletion",
            "subject_attributes",
            "on_task_complete",
            "on_task_reject",
            "on_task_postpone",
        }
    ),
    message=True,
    evidence=True,
    actions=frozenset({Action.CANCEL, Action.LINKS, Action.DELETE}),
    status_calls=Calls(1, per_document=1, per_participant=1),
    download_calls=Calls(1, per_document=2, per_participant=3),
)
"""Where a signature appears on the page cannot be chosen. An order cannot be changed, and nobody be reminded, once it
was created (spec 1.3); reminders are scheduled with it, see `Config.reminder_after_days`."""

# Spec 1.1. Sandbox and production share both; the credentials decide.
_API_URL = "https://api.signicat.com/enterprise/sign"
_TOKEN_URL = "https://api.signicat.com/auth/open/connect/token"  # noqa: S105 (an address)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

HANDWRITTEN = "handwritten"
DEFAULT_METHOD_TYPE = "SIGNED_STATEMENT"
METHOD_TYPES = frozenset({"AUTHENTICATION_BASED", DEFAULT_METHOD_TYPE, "THIRD_PARTY"})


def _safe_url(value: str) -> str:
    parts = urlsplit(value)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or is_local) or parts.query or parts.fragment:
        raise ValueError("expected an https address without a query (http only on this machine)")
    return value.rstrip("/")


def _items(value: object) -> object:
    """Settings are text: several values are separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _is_method(value: str) -> str:
    """`name`, `name:TYPE`, or the word `handwritten`: names are those of the account (spec 3.5)."""
    name, mark, kind = value.partition(":")
    if not name or (mark and kind not in METHOD_TYPES):
        raise ValueError(f"expected a name, or name:TYPE with one of {', '.join(sorted(METHOD_TYPES))}")
    return value


BaseUrl = Annotated[str, AfterValidator(_safe_url)]
Items = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_items)]
Method = Annotated[str, AfterValidator(_is_method)]
Methods = Annotated[tuple[Method, ...], BeforeValidator(_items), Field(min_length=1)]


class Config(BaseModel):
    """One account at Signicat. Only `shared/settings.py` fills it.

    `signature_methods` are the names that the account has been given, each with its type behind a colon, such as
    `nbid-sign:SIGNED_STATEMENT`; the signer chooses. `authentication_methods` are asked for where a strong identity is
    wished. `invitations` says whether Signicat tells the signers, and how; without, the caller passes the links on.
    `trusted_hosts` are further addresses of Signicat's own that a download may lead to with the token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    api_url: BaseUrl = _API_URL
    token_url: BaseUrl = _TOKEN_URL
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Annotated[SecretStr, Field(min_length=1)]
    client_auth: Literal["basic", "form"] = "basic"
    scope: Annotated[str, Field(min_length=1)] = "signicat-api"
    trusted_hosts: Annotated[tuple[BaseUrl, ...], BeforeValidator(_items)] = ("https://api.signicat.com",)
    signature_methods: Methods
    authentication_methods: Items = ()
    configuration: str | None = None
    profile: str | None = None
    language: Annotated[str, Field(min_length=2)] = "en"
    invitations: Literal["email", "sms", "none"] = "email"
    sender: str | None = None
    reminder_after_days: Annotated[int | None, Field(ge=1)] = None
    days_to_live: Annotated[int, Field(ge=1)] = 7
    days_until_deletion: Annotated[int, Field(ge=1, le=30)] = 30
    max_document_bytes: Annotated[int, Field(ge=1)] = 10 * 1024 * 1024
    calls_per_minute: Annotated[int, Field(ge=1)] = 100


def capabilities_of(config: Config) -> Capabilities:
    return replace(
        CAPABILITIES,
        strong_identity=bool(config.authentication_methods),
        phone_required=config.invitations == "sms",
        message=config.invitations != "none",
        participant_message=config.invitations != "none",
    )


def build(
    account: str,
    config: Config,
    tokens: TokenStore,
    now: Callable[[], datetime],
    supported_by: SupportedBy | None = None,
    *,
    circuit: Circuit | None = None,
) -> SigningProvider:
    """The provider of one account. No network. Each process has tokens of its own, so `tokens` is not needed."""
    from shared.providers.signicat.provider import SignicatProvider  # noqa: PLC0415  (keeps settings light)

    return SignicatProvider.configured(account, config, now, supported_by, circuit=circuit)
