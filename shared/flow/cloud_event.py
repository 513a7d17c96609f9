"""The CloudEvent (1.0, structured JSON) that tells a caller of one change of state. Pure."""

from __future__ import annotations

from typing import Any

from shared.domain.signing import Announcement, Signing, State


def event_id(signing: Signing, owed: Announcement) -> str:
    """Stable: the same move has the same id however often it is delivered."""
    return f"{signing.id}:{owed.seq}"


def cloud_event(signing: Signing, owed: Announcement) -> dict[str, Any]:
    """Thin on purpose: ids, state and blob addresses; no bytes, no names, no links that open anything (claim check)."""
    data: dict[str, Any] = {
        "signingId": signing.id,
        "account": signing.account,
        "provider": signing.provider,
        "providerSigningId": owed.provider_signing_id,
        "reference": signing.reference,
        "metadata": dict(signing.metadata),
        "state": owed.state.value,
        "sequence": owed.seq,
        "providerStatus": owed.provider_status,
        "reason": owed.reason,
        "failure": owed.failure.model_dump() if owed.failure else None,
    }
    if owed.state is State.STORED:
        data["files"] = [
            {
                "blob": file.blob,
                "name": file.name,
                "kind": file.kind,
                "mediaType": file.media_type,
                "size": file.size,
                "sha256": file.sha256,
            }
            for file in signing.download.files
        ]
    return {
        "specversion": "1.0",
        "id": event_id(signing, owed),
        "source": f"/accounts/{signing.account}",
        "type": f"io.countersign.signing.{owed.state.value}.v1",
        "subject": signing.id,
        "time": owed.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }
