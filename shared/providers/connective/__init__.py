"""Connective eSignatures (spec connective), API v3: configuration, capabilities, how an account is built. Light to
import."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from shared.domain.capabilities import Action, Calls, Capabilities, PlacementKind
from shared.domain.signing import Role

if TYPE_CHECKING:
    from shared.ports import SigningProvider, TokenStore
    from shared.providers.checks import SupportedBy
    from shared.providers.circuit import Circuit

NAME = "connective"

PDF = "application/pdf"

CAPABILITIES = Capabilities(
    roles=frozenset(Role),
    placements=frozenset(PlacementKind),
    media_types=frozenset({PDF}),
    languages=frozenset({"en", "nl", "de", "fr", "es"}),
    ordered=True,
    several_documents=True,
    deadline=True,
    participant_message=False,
    phone_required=False,
    strong_identity=True,
    signed_callbacks=False,
    reads_callback_body=False,
    title_length=(1, 150),
    options=frozenset(
        {
            "action_url_expiration_days",
            "correlation_id",
            "document_group_code",
            "document_language",
            "download_unsigned_files",
            "instant",
            "legal_notice_code",
            "legal_notice_text",
            "page_size",
            "pdf_error_handling",
            "reassign_enabled",
            "redirect_url",
            "send_notifications",
            "signature_policy_id",
            "signing_template_code",
            "signing_types",
            "target_type",
            "theme_code",
        }
    ),
    qualified_only=True,
    evidence=True,
    actions=frozenset({Action.CANCEL, Action.REMIND, Action.EXTEND, Action.LINKS, Action.DELETE}),
    download_calls=Calls(2, per_document=1),
)
"""Of an account with v3.1's process call. Other kinds of file than PDF can be uploaded, but how they are declared is
not published, and a signed XML is nothing that the archive reader knows (spec 4.3). See `capabilities_of` too."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _host(value: str) -> str:
    """`host` or `host:port` (spec 1); a whole address is taken for http on this machine only."""
    has_scheme = "://" in value
    parts = urlsplit(value if has_scheme else f"https://{value}")
    is_local = has_scheme and parts.scheme == "http" and parts.hostname in _LOOPBACK
    extra = parts.path or parts.query or parts.fragment or parts.username or parts.password
    if not parts.hostname or (has_scheme and not is_local) or extra or any(one.isspace() for one in value):
        raise ValueError("expected a host name, with a port if need be, without scheme and path")
    return value


def _prefix(value: str) -> str:
    path = value.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path) or ".." in path:
        raise ValueError("expected a path such as /webportalapi")
    return path


# Width and height in points (1/72 inch). Coordinates are percentages here and points there, and nothing at the
# provider tells the size of a page, so it is an option.
PAGE_SIZES: Mapping[str, tuple[float, float]] = {
    "A3": (842, 1191),
    "A4": (595, 842),
    "A5": (420, 595),
    "LETTER": (612, 792),
    "LEGAL": (612, 1008),
}
_PAGE_SIZE = re.compile(r"(\d{2,5}(?:\.\d+)?)X(\d{2,5}(?:\.\d+)?)")


def page_size_of(text: str) -> tuple[float, float]:
    """`A4`, `A4-landscape` or `595x842`. Raises ValueError."""
    name, _, turned = text.strip().upper().partition("-")
    size = PAGE_SIZES.get(name)
    if size is None and not turned and (match := _PAGE_SIZE.fullmatch(name)):
        size = (float(match[1]), float(match[2]))
    if size is None or turned not in ("", "LANDSCAPE"):
        raise ValueError(f"expected one of {', '.join(PAGE_SIZES)}, with -landscape if need be, or 595x842 (points)")
    return (size[1], size[0]) if turned else size


def _page_size(text: str) -> str:
    page_size_of(text)
    return text


def _listed(value: object) -> object:
    """Settings hold text: `Manual, MailOtp`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


PageSize = Annotated[str, AfterValidator(_page_size)]
SigningTypes = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
ConfiguredTypes = Annotated[SigningTypes, BeforeValidator(_listed)]


class Config(BaseModel):
    """One account: an environment and its API user. Only `shared/settings.py` fills it.

    `initiator` is the e-mail address of a registered portal user, in whose name signings are made. `path_prefix` is
    /esig/webportalapi on newer installations (INFERRED, spec 1). `process` chooses how participants are described:
    v3.1, which the vendor recommends, or v3, which knows no approvers. `audit_proof` must be off where the environment
    has audit proofs disabled: that cannot be told from "not ready yet" (spec 6). `qualified_signing_types` are those
    that a signing is limited to when only qualified signatures, or a strong identity check, will do. `page_size` is the
    page that coordinates are percentages of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    host: Annotated[str, AfterValidator(_host)]
    path_prefix: Annotated[str, AfterValidator(_prefix)] = "/webportalapi"
    username: Annotated[str, Field(min_length=1)]
    password: Annotated[SecretStr, Field(min_length=1)]
    initiator: Annotated[str, Field(min_length=3, pattern="^[^@\\s]+@[^@\\s]+$")]
    process: Literal["v3", "v3.1"] = "v3.1"
    instant: bool = False
    signing_types: Annotated[ConfiguredTypes, Field(min_length=1)] = ("Manual",)
    qualified_signing_types: ConfiguredTypes = ("BeId",)
    send_notifications: bool = True
    audit_proof: bool = True
    document_group_code: str | None = None
    theme_code: str | None = None
    page_size: PageSize = "A4"
    calls_per_minute: Annotated[int, Field(ge=1)] = 100

    @property
    def base_url(self) -> str:
        scheme = "" if "://" in self.host else "https://"
        return f"{scheme}{self.host}{self.path_prefix}"


def capabilities_of(config: Config) -> Capabilities:
    can_be_strong = bool(config.qualified_signing_types)
    roles = CAPABILITIES.roles if config.process == "v3.1" else CAPABILITIES.roles - {Role.APPROVER}
    return replace(
        CAPABILITIES,
        roles=roles,
        strong_identity=can_be_strong,
        qualified_only=can_be_strong,
        evidence=config.audit_proof,
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
    """The provider of one account. No network. `tokens` is not used: Basic credentials do not expire."""
    from shared.providers.connective.provider import ConnectiveProvider  # noqa: PLC0415  (keeps settings light)

    return ConnectiveProvider.configured(account, config, now, supported_by, circuit=circuit)
