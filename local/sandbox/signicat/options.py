"""Everything about the simulated platform that a caller may choose; changeable while it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    client_id: str | None = None
    client_secret: str | None = None
    """Credentials for a run that must keep its configuration; made up when left out."""
    token_seconds: Seconds = 3600
    permission: bool = True
    """Whether the API client has the permission for the Signature API."""
    max_document_bytes: NonNegative = 50 * 1024**2
    packaging_seconds: Seconds = 1.0
    packaging_fails: bool = False
    delivery: Literal["direct", "same_host", "archive", "foreign_host"] = "direct"
    """Where results come from: the answer itself, or an address that it redirects to (spec signicat 1.5)."""
    status_override: str | None = None
    """Shown as the status of every task that is still open."""
    event_case: Literal["kebab", "upper_snake"] = "kebab"
    event_offset: Literal["Z", "+00:00", "+0000"] = "Z"
    created_status: Literal[200, 201, 202] = 201
    """The success code of uploads and orders, which is not public (spec signicat 1.3)."""
    callback_base: str | None = None
    """Send callbacks to this scheme, host and port instead of the ones in the address given."""
    seed: int = 0


class CallbackKnobs(BaseModel):
    """How URL notifications are delivered; the defaults are the most probable reading (2.2), once."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    method: Literal["GET", "POST"] = "GET"
    bare: bool = False
    """Add no parameters of our own to the address."""
    copies: Annotated[int, Field(ge=1)] = 1
    delay_seconds: Seconds = 0
    drop: bool = False
    reorder: NonNegative = 0
    """Hold calls back until that many wait, then send them last first."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10
