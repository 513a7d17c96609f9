"""Everything about the simulated platform that a caller may choose; changeable while it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from local.sandbox.pki import DEFAULT_DOMAIN, TimestampFormat

NonNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    """Credentials for a run that must keep its configuration; made up when left out."""
    credits: NonNegative = 100
    rate_limit: NonNegative = 100
    rate_window_seconds: Annotated[float, Field(gt=0)] = 60
    token_seconds: Seconds = 3600
    rotate_refresh_tokens: bool = True
    allow_client_credentials: bool = True
    pdf_polls: NonNegative = 0
    """How many status reads of an uploaded PDF answer 202; above 0 the upload itself answers 202."""
    docx_polls: NonNegative = 2
    max_document_bytes: NonNegative = 100 * 1024**2
    visible_signatures: bool = True
    zip_form: Literal["deflate", "stored", "data_descriptor"] = "deflate"
    audit_trail: bool = True
    bare_pdf: bool = False
    """Answer a download of a single document with the PDF itself."""
    start_answer: Literal["pkisId", "dossierId", "requestId", "id", "string"] = "pkisId"
    """The form of StartSignFlow's answer, which is not public (spec pkisigning 2.2)."""
    callback_base: str | None = None
    """Send callbacks to this scheme, host and port instead of the ones in the address registered."""
    seed: int = 0


class CallbackKnobs(BaseModel):
    """How callbacks are signed and delivered; the defaults are the most probable reading (3.4) delivered once (3.5)."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    chain_length: Annotated[int, Field(ge=1, le=3)] = 2
    shuffle: bool = False
    bare: bool = False
    pem: bool = False
    timestamp_format: TimestampFormat = "iso7"
    clock_offset_seconds: float = 0
    wrong_order: bool = False
    """Concatenate timestamp and body instead of body and timestamp."""
    certificate: Literal["good", "wrong_key", "wrong_domain", "expired", "revoked", "untrusted"] = "good"
    domain: str = DEFAULT_DOMAIN
    missing_header: str | None = None
    unsigned: bool = False
    corrupt_body: bool = False
    """Change one byte after signing."""
    copies: Annotated[int, Field(ge=1)] = 1
    delay_seconds: Seconds = 0
    drop: bool = False
    reorder: NonNegative = 0
    """Hold callbacks back until that many wait, then send them last first."""
    retries: NonNegative = 0
    """Further attempts, a quarter of a second apart and growing, until one is answered 2xx."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10
