from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from shared.domain.signing import StoredFile
from shared.evidence.expected import ExpectedDocument, check_expected
from shared.evidence.manifest import SCHEMA, FileRecord, build_manifest
from tests.evidence.zips import SIGNED_PDF, inspect, make
from tests.storage.samples import NOW, signing


def _record() -> FileRecord:
    members = inspect(make({"map/": b"", "contract 1.pdf": SIGNED_PDF})).members
    stored = StoredFile(
        blob="signed/acme/2026/11/x/archive.zip",
        name="archive.zip",
        kind="archive",
        media_type="application/zip",
        size=900,
        sha256="ab" * 32,
        stored_at=NOW,
    )
    matches = check_expected(members, [ExpectedDocument("Contract 1.pdf", "application/pdf", True)])
    return FileRecord(stored, members, matches, ["whole_archive", "crc32_of_members"])


def test_the_manifest_says_what_was_stored_and_checked() -> None:
    subject = signing(provider_signing_id="p-1", provider_status="Completed", history_seq=7, history_hash="cd")
    manifest = json.loads(build_manifest(subject, [_record()], NOW))
    assert manifest["schema"] == SCHEMA
    assert manifest["written_at"] == NOW.isoformat()
    told = ("id", "account", "provider_signing_id", "provider_status", "reference", "history_seq")
    assert [manifest["signing"][key] for key in told] == [
        subject.id,
        "acme",
        "p-1",
        "Completed",
        "order/7 & co",
        7,
    ]
    [file] = manifest["files"]
    assert (file["sha256"], file["size"], file["checks"]) == ("ab" * 32, 900, ["whole_archive", "crc32_of_members"])
    [member] = file["members"]
    assert member["name"] == "contract 1.pdf"
    assert (member["size"], member["signed"], len(member["sha256"])) == (len(SIGNED_PDF), True, 64)
    assert file["documents"] == [
        {
            "found_as": "contract 1.pdf",
            "must_be_signed": True,
            "recognised_by": "name",
            "sent_as": "Contract 1.pdf",
        }
    ]


def test_the_manifest_names_no_person_and_holds_no_secret() -> None:
    text = build_manifest(signing(message="Dear Zoë", access_key="opaque-secret"), [_record()], NOW).decode()
    for private in ("Zoë", "Jansen", "example.com", "opaque-secret"):
        assert private not in text


def test_the_same_input_gives_the_same_bytes_in_any_time_zone() -> None:
    subject = signing()
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert build_manifest(subject, [_record()], NOW) == build_manifest(subject, [_record()], elsewhere)
    assert build_manifest(subject, [_record()], NOW) != build_manifest(subject, [], datetime(2026, 1, 1, tzinfo=UTC))
