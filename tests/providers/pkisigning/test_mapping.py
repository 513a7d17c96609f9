"""Words and shapes both ways, as tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.signing import Placement, Progress, Role
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress
from shared.providers.pkisigning import DOCX, Config, mapping, wire
from tests.providers.pkisigning.samples import NOW, document, observer, signer, signing

REQUEST_ID = "6f0d1c1e-0000-4000-8000-000000000001"
DOCUMENT_ID = "91aa1c1e-0000-4000-8000-000000000002"
CONFIG = Config(client_id="id", client_secret="secret", refresh_token="r", trust_anchors="-----BEGIN x")

STATUSES = {
    "New": (None, False),
    "Processing": (EventKind.ACCEPTED, None),
    "Active": (EventKind.ACCEPTED, True),
    "PendingApproval": (EventKind.ACCEPTED, True),
    "PendingSignature": (EventKind.ACCEPTED, True),
    "PendingDownload": (EventKind.ACCEPTED, True),
    "PendingDetermination": (EventKind.ACCEPTED, True),
    "PendingSbrNexus": (EventKind.ACCEPTED, True),
    "PendingDigipoort": (EventKind.ACCEPTED, True),
    "Filing": (EventKind.ACCEPTED, True),
    "Completed": (EventKind.ALL_SIGNED, True),
    "Declined": (EventKind.DECLINED, True),
    "Withdrawn": (EventKind.CANCELLED, True),
    "InvitationExpired": (EventKind.EXPIRED, True),
    "Elapsed": (EventKind.EXPIRED, True),
    "Expired": (EventKind.EXPIRED, True),
    "Error": (EventKind.FAILED, True),
}


def request_model(status: str = "PendingSignature", *actors: dict[str, Any], **more: Any) -> wire.RequestModel:
    values = {"id": REQUEST_ID, "status": status, "dossierType": "PDF", "myDossier": True, "actors": list(actors)}
    return wire.RequestModel.model_validate_json(json.dumps(values | more))


def actor(email: str, *, action: str = "Sign", signed: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "firstname": "A",
        "lastname": "B",
        "email": email,
        "mobile": "1",
        "deadline": "2030-01-08T12:00:00Z",
        "hasSigned": signed is not None,
        "signingDate": signed,
        "documentId": DOCUMENT_ID,
        **more,
    }


@pytest.mark.parametrize(("status", "meaning"), STATUSES.items())
def test_each_documented_status_has_a_meaning(status: str, meaning: tuple[EventKind | None, bool | None]) -> None:
    found = mapping.status_of(request_model(status, reasons="because"))
    assert (found.provider_status, found.kind, found.known, found.reason) == (status, meaning[0], True, "because")
    assert mapping.was_sent(status) is meaning[1]


def test_the_table_has_every_documented_status_and_no_other() -> None:
    assert set(mapping.STATUSES) == {*wire.DossierStatus, *wire.DocumentStatus} == set(STATUSES)


def test_a_status_never_seen_before_moves_nothing() -> None:
    found = mapping.status_of(request_model("PendingFiling"))
    assert (found.provider_status, found.kind, found.known) == ("PendingFiling", None, False)
    assert mapping.was_sent("PendingFiling") is None


def test_a_signer_is_sent_as_the_platform_wants_it() -> None:
    person = signer(1, family_name_prefix="van", language="nl", strong_identity=True, deadline=NOW + timedelta(days=2))
    (sent,) = mapping.to_wire_actors(signing(person), document())
    assert json.loads(sent.model_dump_json(exclude_none=True)) == {
        "action": "Sign",
        "firstname": "Ada",
        "prefix": "van",
        "lastname": "Jansen1",
        "email": "ada1@example.org",
        "mobile": "+31600000000",
        "deadline": (NOW + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "language": "NL",
        "validateRealIdentity": True,
        "placeholder": "_signer1_",
        "sigFieldX": 0,
        "sigFieldY": 0,
        "sigFieldH": 0,
        "sigFieldW": 0,
    }


def test_each_person_becomes_an_actor_on_each_of_their_documents() -> None:
    field = Placement(document=2, field="Signature1")
    people = signing(
        signer(1, placements=(Placement(document=1, text="a"), Placement(document=1, text="b"), field)),
        signer(2, role=Role.APPROVER, placements=()),
        observer(3),
        documents=(document(1), document(2)),
    )
    found = [
        [(one.action, one.placeholder, one.fieldName) for one in mapping.to_wire_actors(people, of)]
        for of in people.documents
    ]
    assert found == [
        [("Sign", "a", None), ("Sign", "b", None), ("Approve", None, None), ("Download", None, None)],
        [("Sign", None, "Signature1"), ("Approve", None, None), ("Download", None, None)],
    ]


def test_order_becomes_rising_deadlines_up_to_the_wished_one() -> None:
    wish = signing(
        signer(1, order=5),
        signer(2, order=1),
        signer(3, order=5),
        observer(4, order=9),
        deadline=NOW + timedelta(days=3),
    )
    last = NOW + timedelta(days=3)
    minute = timedelta(minutes=1)
    assert mapping.due_dates(wish) == {1: last - minute, 2: last - 2 * minute, 3: last - minute, 4: last}
    assert [one.email for one in mapping.to_wire_actors(wish, document())] == [
        "ada2@example.org",
        "ada1@example.org",
        "ada3@example.org",
        "ada4@example.org",
    ]


def test_without_a_wish_the_deadline_is_a_week_away() -> None:
    assert mapping.due_dates(signing()) == {1: NOW + timedelta(days=7)}


@pytest.mark.parametrize(
    ("wished", "sent"),
    [("nl", "NL"), ("NL", "NL"), ("nl-BE", "NL"), ("en", "EN"), ("de", "EN"), (None, "NL")],
)
def test_languages_fall_back_to_english(wished: str | None, sent: str) -> None:
    assert mapping.language_of(wished) == sent


@pytest.mark.parametrize(
    ("existing", "missing"),
    [
        ([], ["a", "b", "c"]),
        ([actor("X@example.org")], ["b", "c"]),
        ([actor("x@example.org"), actor("x@example.org")], ["c"]),
        ([actor("x@example.org", action="Download")], ["a", "b", "c"]),
        ([actor("y@example.org"), actor("x@example.org"), actor("x@example.org")], []),
    ],
)
def test_only_missing_actors_are_created(existing: list[dict[str, Any]], missing: list[str]) -> None:
    places = (Placement(text="a"), Placement(text="b"))
    people = signing(
        signer(1, email="x@example.org", placements=places),
        signer(2, email="y@example.org", placements=(Placement(text="c"),)),
    )
    wanted = mapping.to_wire_actors(people, document())
    found = mapping.missing_actors(wanted, request_model("New", *existing).actors or [])
    assert [one.placeholder for one in found] == missing


def test_progress_counts_people_who_did_all_they_were_asked() -> None:
    people = signing(signer(1), signer(2), observer(3), signer(4, role=Role.APPROVER, placements=()))
    done = "2030-01-05T09:30:00.1234567Z"
    request = request_model(
        "PendingSignature",
        actor("ADA1@example.org", signed=done),
        actor("ada1@example.org", signed="2030-01-05T09:00:00Z"),
        actor("ada2@example.org", signed=done),
        actor("ada2@example.org"),
        actor("ada3@example.org", action="Download", signed=done),
        actor("ada4@example.org", action="Approve", signed=done),
    )
    at = datetime(2030, 1, 5, 9, 30, 0, 123456, tzinfo=UTC)
    assert mapping.status_of(request, people).participants == (
        ParticipantProgress(1, Progress.SIGNED, at),
        ParticipantProgress(3, Progress.RECEIVED, at),
        ParticipantProgress(4, Progress.APPROVED, at),
    )
    assert mapping.status_of(request).participants == ()


def test_two_signers_at_one_address_are_told_apart_by_their_places() -> None:
    people = signing(signer(1, email="office@example.org"), signer(2, email="office@example.org"))
    request = request_model(
        "PendingSignature",
        actor("office@example.org", placeholder="_signer1_"),
        actor("office@example.org", placeholder="_signer2_", signed="2030-01-05T09:00:00Z"),
    )
    assert [one.number for one in mapping.progress_of(people, request)] == [2]


def test_two_observers_at_one_address_are_done_together() -> None:
    people = signing(observer(1, email="o@example.org"), observer(2, email="o@example.org"))
    acted = actor("o@example.org", action="Download", signed="2030-01-05T09:00:00Z")
    waiting = actor("o@example.org", action="Download")
    assert mapping.progress_of(people, request_model("Active", acted, waiting)) == ()
    assert [one.number for one in mapping.progress_of(people, request_model("Active", acted, acted))] == [1, 2]


def test_v1_has_one_body_for_everything() -> None:
    people = signing(signer(1, order=1), observer(2, order=4), message="Note", language="en")
    body = mapping.to_wire_start_sign_flow(people, CONFIG, {1: b"%PDF"}, "https://app.example.org/cb")
    sent = json.loads(body.model_dump_json(exclude_none=True))
    (of,) = sent.pop("documents")
    assert sent == {
        "callbackUrl": "https://app.example.org/cb",
        "dossierName": "Lease 2030-17",
        "signatureNote": "Note",
        "clearanceLevel": 1,
    }
    ((first,), (second,)) = of.pop("signers"), of.pop("recipients")
    assert of == {
        "contents": "JVBERg==",
        "filename": "lease-1.pdf",
        "name": "lease-1.pdf",
        "mimeType": 1,
        "documentType": 1,
    }
    assert (first["ordinal"], first["placeholder"], first["language"]) == (1, "_signer1_", "en")
    assert (second["ordinal"], "placeholder" in second, second["email"]) == (4, False, "ada2@example.org")


@pytest.mark.parametrize(
    "answer",
    [
        f'{{"pkisId": "{REQUEST_ID}"}}',
        f'{{"PkisID": "{REQUEST_ID.upper()}"}}',
        f'{{"dossierId": "{REQUEST_ID}"}}',
        f'{{"requestId": "{REQUEST_ID}"}}',
        f'{{"id": 5, "requestId": "{REQUEST_ID}"}}',
        f'"{REQUEST_ID}"',
        f" {REQUEST_ID}\r\n",
    ],
)
def test_the_answer_of_v1_is_read_in_every_probable_form(answer: str) -> None:
    assert mapping.pkis_id_from(answer) == REQUEST_ID


@pytest.mark.parametrize("answer", ["", "<html>", "{}", "[]", "7", '{"id": "x"}', '{"pkisId": null}'])
def test_an_answer_without_an_id_gives_none(answer: str) -> None:
    assert mapping.pkis_id_from(answer) is None


def test_the_file_name_tells_the_kind() -> None:
    assert mapping.to_wire_file(document(1, name="Lease"), b"x").name == "Lease.pdf"
    assert mapping.to_wire_file(document(1, name="Lease.PDF"), b"x").name == "Lease.PDF"
    assert mapping.to_wire_file(document(1, DOCX, name="Lease.pdf"), b"x").name == "Lease.pdf.docx"


def test_options_go_before_the_account() -> None:
    chosen = signing(options={"workgroup_id": REQUEST_ID, "clearance_level": 0})
    sent = mapping.to_wire_request(chosen, CONFIG.model_copy(update={"clearance_level": 4, "owner": "o@example.org"}))
    assert (str(sent.workgroupId), sent.clearancelevel, sent.owner) == (REQUEST_ID, 0, "o@example.org")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-05T09:30:00.1234567Z", datetime(2030, 1, 5, 9, 30, 0, 123456, tzinfo=UTC)),
        ("2030-01-05T09:30:00", datetime(2030, 1, 5, 9, 30, tzinfo=UTC)),
        ("2030-01-05T09:30:00+01:00", datetime(2030, 1, 5, 8, 30, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_dates_are_read_leniently(text: str, moment: datetime) -> None:
    assert request_model("New", expires=text).expires == moment


def test_answers_are_read_without_regard_to_case_and_unknown_names() -> None:
    body = {"PkisId": REQUEST_ID, "dossierstatus": "Completed", "authenticationKey": "k", "New": 1, "REASON": None}
    read = wire.WebhookNotification.model_validate(body)
    assert (str(read.PkisId), read.DossierStatus, read.Reason, read.AuthenticationKey) == (
        REQUEST_ID,
        "Completed",
        None,
        "k",
    )
    assert "'k'" not in repr(read)


def test_bodies_are_strict_and_keep_values_out_of_errors() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden") as caught:
        wire.CreateDossierModel.model_validate({"name": "Lease", "dossierName": "secret words"})
    assert "secret words" not in str(caught.value)
    hook = wire.WebhookRequestModel(Config=wire.WebhookRequestConfig(url="https://app.example.org"))
    assert json.loads(hook.model_dump_json()) == {
        "Events": ["status"],
        "Config": {"url": "https://app.example.org"},
        "Active": True,
    }
