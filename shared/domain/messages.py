"""Queue messages: plain JSON, versioned, small. Ids and addresses only, never document bytes.

`signing-requests` is the exception: what lies there was written by others (`shared/api/envelopes.py` reads it).

Storage queues hold 64 KiB a message. The largest message here carries a callback of at most 32 KiB (43.7 KiB as
base64) with its checked headers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.signing import Outage
from shared.domain.states import Source


class Queue(StrEnum):
    """Every queue there is. Each has a `-poison` companion that function_app consumes too."""

    STARTS = "signing-starts"
    EVENTS = "signing-events"
    DOWNLOADS = "document-downloads"
    NOTIFICATIONS = "caller-notifications"
    # Orders from other services, in their words: never one of our own messages.
    REQUESTS = "signing-requests"


POISON_SUFFIX = "-poison"


class Message(BaseModel):
    """Base of all messages: `v` for rolling upgrades, `traceparent` (W3C) so that one trace spans the queues."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: Literal[1] = 1
    traceparent: str | None = None


class RunStart(Message):
    """On `signing-starts`: carry on with the start of this signing, unless it is already done."""

    signing_id: str


class CarriedCallback(BaseModel):
    """The verified callback as it came, so that it can become evidence later."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    received_at: datetime
    headers: Mapping[str, str]
    body_base64: str
    verdicts: Mapping[str, str]
    event_key: str

    @property
    def body(self) -> bytes:
        return base64.b64decode(self.body_base64)


class ProviderEvent(Message):
    """On `signing-events`: something may have changed at the provider; read it back and apply what is true.

    `signing_id` is known when the callback came to a signing's own address, else `provider_signing_id` leads to it.
    `claims_end`: the callback says that it is over, so a read-back that does not show it lags behind.
    `attempt` counts the read-backs that the provider answered; `outage` tells of those that it could not.
    """

    account: str
    source: Source
    signing_id: str | None = None
    provider_signing_id: str | None = None
    access_key: str | None = Field(default=None, repr=False)
    callback: CarriedCallback | None = None
    claims_end: bool = False
    attempt: int = Field(default=1, ge=1)
    outage: Outage | None = None

    @property
    def event_key(self) -> str | None:
        return self.callback.event_key if self.callback else None


class DownloadDocuments(Message):
    """On `document-downloads`: fetch and store what the provider has of this completed signing."""

    signing_id: str


class NotifyCaller(Message):
    """On `caller-notifications`: deliver `event` (a CloudEvent) to `url`. `attempt` counts from 1.

    `seq` names the announcement in the signing that this delivery settles. `replays` is that announcement's at the time
    of sending: a message that an operator's replay has overtaken is left undelivered.
    """

    signing_id: str
    seq: int
    url: str
    event: Mapping[str, Any]
    attempt: int = Field(default=1, ge=1)
    replays: int = 0
