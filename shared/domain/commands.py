"""What a caller can ask for, already validated in shape: plain values, no transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import Field

from shared.domain.signing import Model, Notify, Participant, ResultFormat


class NewDocument(Model):
    """A file as the caller gave it: raw bytes, already decoded."""

    name: str
    media_type: str
    content: bytes = Field(repr=False)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class StartSigning(Model):
    """The order to begin one signing."""

    account: str
    title: str
    documents: tuple[NewDocument, ...]
    participants: tuple[Participant, ...]
    reference: str | None = None
    message: str | None = None
    language: str | None = None
    deadline: datetime | None = None
    metadata: Mapping[str, str] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)
    notify: Notify | None = None
    format: ResultFormat | None = None
    qualified_only: bool = False
    idempotency_key: str | None = None
    # Which action of which workflow run sends this, when the caller is such a platform: the same for its repeats.
    platform_action: str | None = None
    # What tells its repeats when the documents cannot be read again: a digest of the order as it was written.
    receipt: str | None = None

    def fingerprint(self) -> str:
        """SHA-256 over everything that makes two orders the same order; documents count by their hash."""
        content = self.model_dump(mode="json", exclude={"documents", "idempotency_key", "platform_action", "receipt"})
        content["documents"] = [[d.name, d.media_type, d.sha256] for d in self.documents]
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
