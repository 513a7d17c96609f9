"""Dokobit's Universal API (spec dokobit): configuration, capabilities, and how an account is built. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from shared.domain.capabilities import Action, Calls, Capabilities, PlacementKind
from shared.domain.signing import ResultFormat, Role

if TYPE_CHECKING:
    from shared.ports import SigningProvider, TokenStore
    from shared.providers.checks import SupportedBy
    from shared.providers.circuit import Circuit

NAME = "dokobit"

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

Surface = Literal["connector", "universal"]
Flow = Literal["external", "internal"]

CAPABILITIES = Capabilities(
    roles=frozenset({Role.SIGNER, Role.OBSERVER}),
    placements=frozenset({PlacementKind.COORDINATES}),
    media_types=frozenset({PDF, DOCX}),
    languages=frozenset({"en", "lt", "lv", "et", "is", "no", "nb", "nn", "fr", "sv", "de", "fi", "da", "nl"}),
    ordered=True,
    several_documents=True,
    deadline=True,
    participant_message=False,
    phone_required=False,
    strong_identity=False,
    signed_callbacks=False,
    title_length=(1, 255),
    options=frozenset(
        {
            "allow_document_saving",
            "allow_video_identification",
            "allowed_signing_methods",
            "annotation_personal_code",
            "annotation_position",
            "flatten_pdf",
            "flow",
            "hard_deadline",
            "page_size",
            "participants",
            "redirect_uri",
        }
    ),
    formats=frozenset(ResultFormat),
    message=True,
    qualified_only=True,
    evidence=True,
    actions=frozenset(Action),
    download_calls=Calls(1, per_document=3),
)
"""Of both flows together; see `capabilities_of`. `limits.check` knows the rest of what only one of them can do (spec
1.3, differences of operation 9)."""

_ACTIONS: Mapping[Flow, frozenset[Action]] = {
    "external": CAPABILITIES.actions - {Action.LINKS},
    "internal": frozenset({Action.CANCEL, Action.REMOVE_PARTICIPANT, Action.LINKS, Action.DELETE}),
}

# Spec 1.1. CONFIRMED is the connector's production address alone; the others are INFERRED, hence `api_url`.
_API_URLS: Mapping[tuple[Surface, str], str] = {
    ("connector", "production"): "https://app.dokobit.com/api/connector",
    ("connector", "sandbox"): "https://beta.dokobit.com/api/connector",
    ("universal", "production"): "https://app.dokobit.com/api",
    ("universal", "sandbox"): "https://beta.dokobit.com/api",
}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or is_local) or "@" in parts.netloc:
        raise ValueError("expected an https address (http only on this machine)")
    return value


def _base_url(value: str) -> str:
    parts = urlsplit(_web_address(value))
    if parts.query or parts.fragment:
        raise ValueError("expected an address without a query")
    return value.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Config(BaseModel):
    """One account at Dokobit. Only `shared/settings.py` fills it.

    `surface` is the one switch between the connector's API (token in a header) and the plain Universal API (token in
    the query, a digest beside each file). `flow` None lets each signing choose; one that does not is external, so that
    Dokobit invites, where everybody can be reached, and else internal, so that its links are the caller's to hand out.
    `redirect_uri` is where browsers return to in an internal signing, unless that says otherwise.
    `several_pdfs` lifts the rule of one file per PDF signing, on which the sources disagree (spec 3.1).
    `validation_reports` are the evidence; a file larger than `validation_max_bytes` gets none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    surface: Surface = "connector"
    environment: Literal["production", "sandbox"] = "production"
    api_url: BaseUrl | None = None
    access_token: Annotated[SecretStr, Field(min_length=1)]
    flow: Flow | None = None
    redirect_uri: WebAddress | None = None
    hard_deadline: bool = True
    several_pdfs: bool = False
    validation_reports: bool = True
    validation_max_bytes: Annotated[int, Field(ge=0)] = 32 * 1024 * 1024
    calls_per_minute: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.access_token.get_secret_value().isprintable():
            raise ValueError("access_token must be one line of printable text")
        return self

    @property
    def api_base_url(self) -> str:
        return self.api_url or _API_URLS[self.surface, self.environment]


def capabilities_of(config: Config) -> Capabilities:
    can = replace(CAPABILITIES, evidence=config.validation_reports)
    if config.flow is None:
        return can
    is_external = config.flow == "external"
    return replace(
        can,
        actions=_ACTIONS[config.flow],
        ordered=is_external,
        deadline=is_external,
        message=is_external,
        options=CAPABILITIES.options - {"flow", "redirect_uri"} if is_external else CAPABILITIES.options - {"flow"},
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
    """The provider of one account. No network. `tokens` is not needed: the access token is a fixed one."""
    from shared.providers.dokobit.provider import DokobitProvider  # noqa: PLC0415  (keeps settings light)

    return DokobitProvider.configured(account, config, now, supported_by, circuit=circuit)
