"""Everything about the simulated environment that a caller may choose; changeable while it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    username: str | None = None
    password: str | None = None
    """Credentials for a run that must keep its configuration; made up when left out."""
    prefix: str = "/webportalapi"
    portal_users: list[str] | None = None
    """Who may be an initiator; everybody when left out."""
    rate_limit: NonNegative = 100
    rate_window_seconds: Annotated[float, Field(gt=0)] = 60
    page_size: Annotated[int, Field(ge=1)] = 20
    max_document_bytes: NonNegative = 30 * 1024**2
    visible_signatures: bool = True
    audit_proofs: bool = True
    """Off: correlation ids are errors, and audit proofs answer 409 for ever (spec connective 6)."""
    bare_pdf: bool = False
    """Answer the download of a package of one document with the PDF itself."""
    instant_answer: Literal["full", "short"] = "full"
    """The whole status, or the two declared fields (spec connective 2.1)."""
    error_form: Literal["wrapped", "single", "array", "html", "empty"] = "wrapped"
    label_form: Literal["label", "marker"] = "label"
    """What comes back as a location's label: the one given, or the marker it was found by."""
    quirks: bool = False
    """The published example's slips: lone objects, empty statuses, null lists (spec connective 2.6)."""
    waiting_status: Literal["Waiting", "Draft"] = "Waiting"
    """What an actor shows before its turn, which is not published (spec connective 4.2)."""
    announce_ends: bool = True
    """Whether expiry, revocation and failure fire the callback too (spec connective 3)."""
    callback_base: str | None = None
    """Send callbacks to this scheme, host and port instead of the ones in the address registered."""
    seed: int = 0


class CallbackKnobs(BaseModel):
    """How callbacks look and travel. Nothing about them is published but the moment (spec connective 3)."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    form: Literal["empty", "json", "form", "get"] = "empty"
    wrong_id: bool = False
    """Name another package than the one it is about."""
    copies: Annotated[int, Field(ge=1)] = 1
    delay_seconds: Seconds = 0
    drop: bool = False
    reorder: NonNegative = 0
    """Hold callbacks back until that many wait, then send them last first."""
    retries: NonNegative = 0
    """Further attempts, a quarter of a second apart and growing, until one is answered 2xx."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10
