"""Everything about the simulated service that a caller may choose; changeable while it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    """Rows of the contract's section 6 that a switch makes sense for."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    access_token: str | None = None
    """For a run that must keep its configuration; made up when left out."""
    unauthorised: Literal[401, 403] = 403
    unknown_token: Literal[400, 404] = 404
    omit_optional: bool = False
    """Leave the optional fields out of read-backs."""
    unknown_signer_status: bool = False
    error_in_success: bool = False
    """Downloads answer 200 with a JSON error in place of the file."""
    several_pdfs: bool = False
    max_document_bytes: NonNegative = 100 * 1024**2
    validation_polls: NonNegative = 1
    """How many report calls answer "still in progress"."""
    validation_wait_status: Literal[200, 400] = 200
    validation_allowed: bool = True
    seal_certificate: bool = True
    visible_signatures: bool = True
    callback_base: str | None = None
    """Send postbacks to this scheme, host and port instead of the ones in the address given."""
    seed: int = 0


class CallbackKnobs(BaseModel):
    """How postbacks are told and delivered."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    form: Literal["full", "bare"] = "full"
    """`bare` carries only what is evidenced for this product: action, and file on completion."""
    foreign_file: bool = False
    """The `file` address leads to a host that is not ours: a forgery."""
    before_answer: bool = False
    """`signing_created` arrives before the create call is answered."""
    copies: Annotated[int, Field(ge=1)] = 1
    delay_seconds: Seconds = 0
    drop: bool = False
    reorder: NonNegative = 0
    """Hold postbacks back until that many wait, then send them last first."""
    clock_scale: Seconds = 1e-5
    """Repeats after 5 minutes, 1 hour and 24 hours, times this."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10
