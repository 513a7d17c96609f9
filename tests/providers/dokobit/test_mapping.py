"""Words and shapes both ways, as tables."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from shared.domain.signing import Placement, Progress, ResultFormat, State
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress
from shared.providers.dokobit import Config, limits, mapping, wire
from tests.providers.dokobit.samples import (
    CALLBACK_URL,
    NOW,
    RETURN_URL,
    document,
    internal,
    observer,
    signer,
    signing,
)

CONFIG = Config(access_token="t")
STATUSES = {
    "pending": EventKind.ACCEPTED,
    "completed": EventKind.ALL_SIGNED,
    "declined": EventKind.DECLINED,
    "archived": EventKind.ALL_SIGNED,
    "failed": EventKind.FAILED,
}


def read(status: str | None = "pending", *people: dict[str, str], **more: str) -> wire.SigningStatus:
    return wire.SigningStatus.model_validate_json(json.dumps({"status": status, "signers": list(people), **more}))


def named(email: str, first_name: str, last_name: str) -> dict[str, str]:
    return {"email": email, "first_name": first_name, "last_name": last_name}


@pytest.mark.parametrize(("word", "kind"), STATUSES.items())
def test_each_documented_status_has_a_meaning(word: str, kind: EventKind) -> None:
    found = mapping.status_of(read(word), NOW, CONFIG)
    assert (found.provider_status, found.kind, found.known) == (word, kind, True)
    assert mapping.status_of(read(word.upper()), NOW, CONFIG).kind is kind
    assert mapping.STATUSES.keys() == STATUSES.keys()


@pytest.mark.parametrize("word", ["expired", "deleted", "", None])
def test_other_words_have_none(word: str | None) -> None:
    found = mapping.status_of(read(word), NOW, CONFIG, signing())
    assert (found.kind, found.known) == (None, False)
    assert found.provider_status


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "kind"),
    [
        (None, None, {}, EventKind.ACCEPTED),
        (-1, None, {}, EventKind.EXPIRED),
        (1, None, {}, EventKind.ACCEPTED),
        (-1, 1, {}, EventKind.ACCEPTED),
        (1, -1, {}, EventKind.EXPIRED),
        (-1, -1, {"hard_deadline": False}, EventKind.ACCEPTED),
    ],
)
def test_a_passed_hard_deadline_is_the_end(
    ours: int | None, theirs: int | None, options: dict[str, bool], kind: EventKind
) -> None:
    deadline = NOW + timedelta(days=ours) if ours else None
    more = {"deadline": (NOW + timedelta(days=theirs)).isoformat()} if theirs else {}
    wish = signing(deadline=deadline, options=options)
    assert mapping.status_of(read("pending", **more), NOW, CONFIG, wish).kind is kind
    assert mapping.status_of(read("completed", **more), NOW, CONFIG, wish).kind is EventKind.ALL_SIGNED


def test_an_internal_signing_without_links_is_a_draft_until_it_is_over() -> None:
    wish = internal()
    assert mapping.status_of(read(), NOW, CONFIG, wish).kind is None
    under_way = wish.model_copy(update={"state": State.STARTED})
    assert mapping.status_of(read(), NOW, CONFIG, under_way).kind is EventKind.ACCEPTED


def test_progress_is_told_by_token_and_else_by_name_and_address() -> None:
    people = signing(signer(1), signer(2), observer(3), signer(4))
    people = people.model_copy(update={"start": people.start.model_copy(update={"facts": {"participant_1": "t1"}})})
    found = mapping.progress_of(
        people,
        read(
            "pending",
            {"token": "t1", "status": "signed", "email": "somebody@example.org"},
            {
                "token": "t2",
                "status": "declined",
                "email": "ONA2@example.org",
                "first_name": "Ona",
                "last_name": "Jonaite2",
            },
            {
                "token": "t3",
                "status": "signed",
                "email": "ona3@example.org",
                "first_name": "Ona",
                "last_name": "Jonaite3",
            },
            {
                "token": "t4",
                "status": "signed",
                "email": "ona4@example.org",
                "first_name": "Other",
                "last_name": "Name",
            },
        ),
    )
    assert found == (
        ParticipantProgress(1, Progress.SIGNED),
        ParticipantProgress(2, Progress.DECLINED),
        ParticipantProgress(3, Progress.RECEIVED),
    )


CORNER = (Placement(page=2, x=100, y=0),)


def test_an_external_signing_in_full() -> None:
    wish = signing(
        signer(
            1, family_name_prefix="van", family_name="Dyk", language="DA", placements=(Placement(page=2, x=100, y=0),)
        ),
        observer(2, order=2, language="et"),
        language="fr",
        message="Please",
        deadline=datetime(2030, 1, 31, 12, tzinfo=UTC),
        qualified_only=True,
        options={"page_size": "Letter", "participants": {1: {"custom_reason": "Agreed", "position": "CFO"}}},
    )
    body = mapping.to_wire_external(wish, CONFIG, {1: b"%PDF"}, CALLBACK_URL)
    assert json.loads(body.model_dump_json(exclude_none=True)) == {
        "type": "pdf",
        "name": "Lease 2030-17",
        "postback_url": CALLBACK_URL,
        "require_qualified_signatures": True,
        "deadline": "2030-01-31T12:00:00Z",
        "hard_deadline": True,
        "comment": "Please",
        "files": [{"name": "lease-1.pdf", "content": "JVBERg=="}],
        "signers": [
            {
                "external_id": f"{wish.id}-1",
                "name": "Ona",
                "surname": "van Dyk",
                "email": "ona1@example.org",
                "role": "signer",
                "position": "CFO",
                "custom_reason": "Agreed",
                "sequence": 1,
                "notifications_language": "dk",
                "annotation": {"page": "2", "top": "1", "left": "612"},
            },
            {
                "external_id": f"{wish.id}-2",
                "name": "Ona",
                "surname": "Jonaite2",
                "email": "ona2@example.org",
                "role": "viewer",
                "sequence": 2,
                "notifications_language": "et",
            },
        ],
    }


def test_an_internal_signing_carries_neither_names_nor_addresses() -> None:
    wish = internal(signer(1, language="sv", placements=(Placement(x=1, y=1),)), format=ResultFormat.PADES)
    body = mapping.to_wire_internal(wish, CONFIG, {1: b"%PDF"}, CALLBACK_URL)
    assert json.loads(body.model_dump_json(exclude_none=True)) == {
        "type": "pdf",
        "name": "Lease 2030-17",
        "postback_url": CALLBACK_URL,
        "redirect_uri": RETURN_URL,
        "files": [{"name": "lease-1.pdf", "content": "JVBERg=="}],
        "signers": [
            {
                "external_id": f"{wish.id}-1",
                "role": "signer",
                "language": "se",
                "annotation": {"page": "1", "top": "8", "left": "6"},
            }
        ],
    }


@pytest.mark.parametrize(("surface", "has_digest"), [("connector", False), ("universal", True)])
def test_the_digest_belongs_to_one_surface(surface: str, has_digest: bool) -> None:
    config = Config.model_validate({"access_token": "t", "surface": surface})
    file = mapping.to_wire_file(document(name="Lease"), b"%PDF-1", config)
    assert (file.name, file.content) == ("Lease.pdf", b"%PDF-1")
    assert file.digest == (hashlib.sha256(b"%PDF-1").hexdigest() if has_digest else None)
    assert ("digest" in file.model_dump(exclude_none=True)) == has_digest


def test_every_format_has_a_type_and_a_result() -> None:
    types = {one: limits.type_of(signing(format=one)) for one in ResultFormat}
    assert types == {
        ResultFormat.PADES: "pdf",
        ResultFormat.ASIC_E: "asice",
        ResultFormat.BDOC: "bdoc",
        ResultFormat.EDOC: "edoc",
        ResultFormat.ADOC: "adoc.cedoc",
    }
    assert set(types.values()) == limits.RESULTS.keys()


@pytest.mark.parametrize(
    ("wished", "sent"), [(None, None), ("nb", "no"), ("nn-NO", "no"), ("SV", "se"), ("et", "et"), ("pt", "en")]
)
def test_languages_that_are_countries_there(wished: str | None, sent: str | None) -> None:
    assert limits.language_of(wished) == sent


def test_bodies_are_strict_and_keep_secrets_out_of_sight() -> None:
    with pytest.raises(ValidationError) as caught:
        wire.File.model_validate({"name": "x", "content": "secret words", "mime": "y"})
    assert "secret" not in str(caught.value)
    file = wire.File(name="x", content=b"ABC")
    assert "ABC" not in repr(file)
    created = wire.InternalCreated.model_validate(
        {"signers": [{"token": "T0K", "redirect_uri": "https://l1nk"}], "x": 1}
    )
    assert "T0K" not in repr(created)
    assert "l1nk" not in repr(created)
