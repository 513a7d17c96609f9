"""`manifest.json`: what was stored for one signing and what was checked before it was called stored.

It states checks and their outcome. It does not say that a signature is legally valid, and it names no person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.signing import Signing, StoredFile
from shared.evidence.archive import Member
from shared.evidence.expected import Match

NAME = "manifest.json"
MEDIA_TYPE = "application/json"
SCHEMA = "countersign.manifest/1"
_STATEMENT = (
    "These are the files as they were received and the checks that were made on them. "
    "No statement is made about the legal validity of any signature."
)


@dataclass(frozen=True)
class FileRecord:
    """One stored file, what was found in it, and which checks it passed (stable words)."""

    stored: StoredFile
    members: Sequence[Member] = ()
    matches: Sequence[Match] = ()
    checks: Sequence[str] = ()


def build_manifest(signing: Signing, files: Sequence[FileRecord], written_at: datetime) -> bytes:
    """The same input gives the same bytes."""
    content = {
        "schema": SCHEMA,
        "statement": _STATEMENT,
        "written_at": _time(written_at),
        "signing": _signing(signing),
        "files": [_file(record) for record in files],
    }
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def lists_exactly(content: bytes, files: Sequence[StoredFile]) -> bool:
    """Whether a manifest speaks of these very files and no others."""
    listed = json.loads(content)["files"]
    return {(one["blob"], one["sha256"]) for one in listed} == {(file.blob, file.sha256) for file in files}


def _signing(signing: Signing) -> dict[str, Any]:
    return {
        "id": signing.id,
        "account": signing.account,
        "provider": signing.provider,
        "provider_signing_id": signing.provider_signing_id,
        "provider_status": signing.provider_status,
        "reference": signing.reference,
        "created_at": _time(signing.created_at),
        "history_hash": signing.history_hash,
        "history_seq": signing.history_seq,
        "documents_sent": [
            {
                "number": sent.number,
                "name": sent.name,
                "media_type": sent.media_type,
                "size": sent.size,
                "sha256": sent.sha256,
            }
            for sent in signing.documents
        ],
    }


def _file(record: FileRecord) -> dict[str, Any]:
    stored = record.stored
    return {
        "blob": stored.blob,
        "name": stored.name,
        "kind": stored.kind,
        "media_type": stored.media_type,
        "size": stored.size,
        "sha256": stored.sha256,
        "stored_at": _time(stored.stored_at),
        "checks": list(record.checks),
        "members": [_member(member) for member in record.members if not member.is_directory],
        "documents": [
            {
                "sent_as": match.expected.name,
                "found_as": match.member.name,
                "recognised_by": match.rule,
                "must_be_signed": match.expected.must_be_signed,
            }
            for match in record.matches
        ],
    }


def _member(member: Member) -> Mapping[str, Any]:
    facts: dict[str, Any] = {"name": member.name, "size": member.size, "crc32": f"{member.crc32:08x}"}
    optional = {"sha256": member.sha256, "media_type": member.media_type, "signed": member.signed}
    return {**facts, **{name: value for name, value in optional.items() if value is not None}}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
