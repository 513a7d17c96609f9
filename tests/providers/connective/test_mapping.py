"""Words and shapes both ways, as tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.errors import CreditsExhausted, ProviderError, ProviderNotFound, Rejected, Unauthorised, Unavailable
from shared.domain.signing import Participant, Placement, Progress, Signing
from shared.domain.states import EventKind
from shared.providers.answers import UnreadableAnswer
from shared.providers.connective import mapping, operations, wire
from shared.providers.connective.limits import Wishes
from tests.providers.connective.samples import (
    ACCOUNT,
    NOW,
    SIGNING_ID,
    approver,
    document,
    observer,
    signer,
    signing,
)

STATUSES = {
    "Draft": (None, False),
    "Pending": (EventKind.ACCEPTED, True),
    "InProgress": (EventKind.ACCEPTED, True),
    "Ending": (EventKind.ACCEPTED, True),
    "Finished": (EventKind.ALL_SIGNED, True),
    "Archived": (EventKind.ALL_SIGNED, True),
    "Rejected": (EventKind.DECLINED, True),
    "Revoked": (EventKind.CANCELLED, True),
    "Expired": (EventKind.EXPIRED, True),
    "Failed": (EventKind.FAILED, True),
}
AT = "2030-01-05T09:30:00+00:00"


def package(status: str | None = "Pending", *people: dict[str, Any], **more: Any) -> wire.PackageStatus:
    values = {"PackageStatus": status, "Stakeholders": list(people)}
    return wire.PackageStatus.model_validate_json(json.dumps(values | more))


def person(number: int, *actors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ExternalStakeholderReference": f"{SIGNING_ID}-p{number}", "Actors": list(actors), **more}


def actor(status: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Signer", "ActorStatus": status, **more}


def wishes(*people: Participant, **changes: Any) -> Wishes:
    return Wishes(signing(*people, **changes), ACCOUNT)


def dumped(body: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body.model_dump_json(exclude_none=True))
    return found


@pytest.mark.parametrize(("status", "meaning"), STATUSES.items())
@pytest.mark.parametrize("spell", [str, str.upper, str.lower])
def test_each_documented_status_has_a_meaning(
    status: str, meaning: tuple[EventKind | None, bool | None], spell: Any
) -> None:
    found = mapping.status_of(package(spell(status)))
    assert (found.provider_status, found.kind, found.known) == (status, meaning[0], True)
    assert mapping.was_sent(spell(status)) is meaning[1]


def test_the_tables_have_every_documented_status_and_no_other() -> None:
    assert set(mapping.STATUSES) == {*wire.PackageState} == set(STATUSES)
    assert set(mapping.ACTOR_STATUSES) == {*wire.ActorState}


@pytest.mark.parametrize(
    ("status", "shown"), [("Sleeping", "Sleeping"), ("", "unknown"), (None, "unknown"), (" ", "unknown")]
)
def test_a_status_never_seen_before_moves_nothing(status: str | None, shown: str) -> None:
    found = mapping.status_of(package(status))
    assert (found.provider_status, found.kind, found.known) == (shown, None, False)
    assert mapping.was_sent(status) is None


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ([], None),
        ([person(1, actor("Finished", Reason="fine"), actor("Rejected", Reason="Not mine"))], "Not mine"),
        ([person(1, actor("Available", Reason="withdrawn by office"))], "withdrawn by office"),
        ([person(1, actor("Skipped")), person(2, actor("skipped"))], "2 skipped"),
    ],
)
def test_the_reason_is_that_of_the_one_who_ended_it(people: list[dict[str, Any]], reason: str | None) -> None:
    assert mapping.status_of(package("Rejected", *people)).reason == reason


@pytest.mark.parametrize(
    ("actors", "progress"),
    [
        ([], None),
        ([actor("")], None),
        ([actor("Draft")], None),
        ([actor("Waiting")], None),
        ([actor("Skipped")], None),
        ([actor("Failed")], None),
        ([actor("Somewhere")], None),
        ([actor("Available")], Progress.INVITED),
        ([actor("Inprogress")], Progress.VIEWED),
        ([actor("Finished"), actor("Available")], Progress.VIEWED),
        ([actor("Finished"), actor("Finished")], Progress.SIGNED),
        ([actor("Finished"), actor("Rejected")], Progress.DECLINED),
    ],
)
def test_progress_of_a_signer(actors: list[dict[str, Any]], progress: Progress | None) -> None:
    found = mapping.progress_of(signing(), package("Pending", person(1, *actors), person(9, actor("Finished"))))
    assert [one.progress for one in found] == ([progress] if progress else [])


def test_done_means_what_the_role_was_asked_for() -> None:
    people = signing(approver(1), signer(2, order=2), observer(3))
    done = actor("Finished", CompletedTimestamp=AT)
    found = mapping.progress_of(people, package("Finished", person(1, done), person(2, done), person(3, done)))
    assert [one.progress for one in found] == [Progress.APPROVED, Progress.SIGNED, Progress.RECEIVED]
    assert {one.at for one in found} == {datetime(2030, 1, 5, 9, 30, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-05T09:30:00Z", datetime(2030, 1, 5, 9, 30, tzinfo=UTC)),
        ("2030-01-05T10:30:00.1234567+01:00", datetime(2030, 1, 5, 9, 30, 0, 123456, tzinfo=UTC)),
        ("2030-01-05T09:30:00", datetime(2030, 1, 5, 9, 30, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_read_leniently(text: str | None, moment: datetime | None) -> None:
    assert mapping.read_moment(text) == moment


def test_links_are_for_those_whose_turn_it_is() -> None:
    people = signing(signer(1), signer(2), signer(3), signer(4))
    found = mapping.links_of(
        people,
        package(
            "Pending",
            person(1, actor("Available", ActionUrl="https://x/1")),
            person(2, actor("Finished", ActionUrl="https://x/2")),
            person(3, actor("Available", ActionUrl=None, ActionUrls=[{"EmailAddress": "a", "Url": "https://x/3"}])),
            person(4, actor("Waiting", ActionUrl="https://x/4")),
        ),
    )
    assert [(one.number, one.url) for one in found] == [(1, "https://x/1"), (3, "https://x/3")]
    assert "https://x" not in repr(found)


def test_slips_of_the_published_examples_are_read() -> None:
    """A lone object for a list, null for an empty one, another spelling, an empty status (spec connective 2.1, 2.6)."""
    lone = actor("", ActionUrls=None, Locations={"Id": "1", "UserSigningType": "BeId"})
    found = package("PENDING", {"Actors": lone}, packagename="x", PackageDocuments=None, Extra=1)
    assert (found.PackageName, found.PackageDocuments) == ("x", [])
    (one,) = found.Stakeholders[0].Actors
    assert (one.ActorStatus, one.ActionUrls, one.Locations[0].UserSigningType) == ("", [], "BeId")
    assert wire.PackageStatus.model_validate({}).Stakeholders == []


def test_files_go_by_our_names_and_nothing_is_lost() -> None:
    of = signing(
        documents=(document(1, name="Lease A&B.pdf"), document(2, name="lease a&b"), document(3, name="n.pdf"))
    )
    listed = [
        {"DocumentId": "x", "DocumentName": "Annex: 1", "DocumentType": "application/pdf"},
        {"DocumentId": "b", "ExternalDocumentReference": f"{SIGNING_ID}-d2"},
        {"DocumentId": "a", "ExternalDocumentReference": f"{SIGNING_ID}-d1"},
        {"DocumentId": "y", "DocumentName": "data.xml", "DocumentType": "application/xml"},
    ]
    found = mapping.deliverables_of(of, package("Finished", PackageDocuments=listed), with_proof=True)
    assert [(one.name, one.kind, one.media_type, dict(one.facts)) for one in found] == [
        ("Lease A&B.pdf", "document", "application/pdf", {"document_id": "a"}),
        ("lease a&b (2).pdf", "document", "application/pdf", {"document_id": "b"}),
        ("Annex- 1.pdf", "document", "application/pdf", {"document_id": "x"}),
        ("data.xml", "evidence", "application/xml", {"document_id": "y"}),
        ("audit-proof.xml", "evidence", "application/xml", {}),
    ]
    without = mapping.deliverables_of(of, package("Finished"), with_proof=False)
    assert without == []


def test_a_signer_is_sent_as_the_provider_wants_it() -> None:
    one = signer(1, family_name_prefix="van", language="fr")
    of = wishes(
        one, observer(2), language="de", options={"redirect_url": "https://a.example/x", "legal_notice_text": "N"}
    )
    first, second = dumped(mapping.to_wire_process(of, {1: ["l1", "l2"], 2: []}))["Stakeholders"]
    assert first == {
        "Type": "Person",
        "EmailAddress": "ada1@example.org",
        "FirstName": "Ada",
        "LastName": "van Jansen1",
        "Language": "fr",
        "ExternalStakeholderReference": f"{SIGNING_ID}-p1",
        "Actors": [
            {
                "Type": "Signer",
                "OrderIndex": 1,
                "SigningTypes": [{"SigningType": "Manual"}],
                "PhoneNumber": "+31600000000",
                "RedirectUrl": "https://a.example/x",
                "SendNotifications": True,
                "LegalNoticeText": "N",
                "Locations": [{"Id": "l1"}, {"Id": "l2"}],
            }
        ],
    }
    assert (second["Language"], second["Actors"]) == ("de", [{"Type": "Receiver", "SendNotifications": True}])


def test_v3_sends_location_ids() -> None:
    of = Wishes(signing(), ACCOUNT.model_copy(update={"process": "v3"}))
    (only,) = dumped(mapping.to_wire_process(of, {1: ["l1"]}))["Stakeholders"]
    assert "Type" not in only
    assert only["Actors"][0]["LocationIds"] == ["l1"]


def test_a_document_is_sent_with_its_places() -> None:
    places = (
        Placement(field="Sig1"),
        Placement(page=2, x=50, y=25, width=20, height=10),
        Placement(document=2, text="elsewhere"),
    )
    of = wishes(signer(1, placements=places), documents=(document(1), document(2)), options={"page_size": "200x400"})
    sent = dumped(mapping.to_wire_document(of, of.signing.documents[0], b"%PDF"))
    assert sent == {
        "Document": "JVBERg==",
        "DocumentLanguage": "en",
        "DocumentName": "lease-1",
        "DocumentType": "application/pdf",
        "ExternalDocumentReference": f"{SIGNING_ID}-d1",
        "SigningFields": [
            {"Label": "p1-1", "MarkerOrFieldId": "Sig1"},
            {"Label": "p1-2", "PageNumber": 2, "Left": "100", "Top": "100", "Width": "40", "Height": "40"},
        ],
    }


def test_an_instant_package_is_named_after_the_signing() -> None:
    of = wishes(signer(1), deadline=NOW + timedelta(days=1), options={"instant": True, "signing_template_code": "T"})
    sent = dumped(mapping.to_wire_instant(of, b"%PDF", "https://app.example.org/cb"))
    assert sent["DocumentName"] == "Lease 2030-17"
    assert sent["ExternalPackageReference"] == SIGNING_ID
    assert sent["ExpiryTimestamp"] == (NOW + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert sent["Stakeholders"][0]["Actors"][0]["SigningFields"] == [{"Label": "p1-1", "MarkerOrFieldId": "_signer1_"}]


@pytest.mark.parametrize(
    ("changes", "strict", "types"),
    [
        ({}, False, ("Manual",)),
        ({}, True, ("BeId",)),
        ({"options": {"signing_types": ["MailOtp", "BeId"]}}, False, ("MailOtp", "BeId")),
        ({"options": {"signing_types": ["MailOtp", "BeId"]}}, True, ("BeId",)),
        ({"options": {"signing_types": ["MailOtp"]}, "qualified_only": True}, False, ("BeId",)),
    ],
)
def test_strong_wishes_leave_strong_ways_to_sign(changes: dict[str, Any], strict: bool, types: tuple[str, ...]) -> None:
    one = signer(1, strong_identity=strict)
    assert wishes(one, **changes).signing_types(one) == types


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Lease.pdf", "Lease"),
        ("a/b:c.PDF", "a-b-c"),
        ("Lease v1.2", "Lease v1.2"),
        ("x" * 200, "x" * 150),
        ("...", "..."),
        (".pdf", "document"),
    ],
)
def test_names_lose_what_the_provider_wants_avoided(name: str, plain: str) -> None:
    assert mapping.plain_name(name) == plain


NOT_FOUND = {"Errors": [{"ErrorCode": "Package.NotFound:1234", "Message": "gone"}]}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, NOT_FOUND, ProviderNotFound),
        (409, {"ErrorCode": "Package.NotSigned:1", "Message": "no"}, Rejected),
        (400, {"errors": [{"errorcode": "Request.X"}]}, Rejected),
        (401, NOT_FOUND, Unauthorised),
        (402, NOT_FOUND, CreditsExhausted),
        (503, NOT_FOUND, Unavailable),
        (200, NOT_FOUND, UnreadableAnswer),
    ],
)
def test_their_errors_are_read_in_each_form(status: int, body: dict[str, object], kind: type[ProviderError]) -> None:
    verdict = mapping.judge(lambda: NOW)(operations.GET_PACKAGE_STATUS, status, body)
    assert type(verdict) is kind


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, NOT_FOUND), (200, {"PackageStatus": "Draft"}), (200, {"Errors": []}), (404, {"title": "Not Found"})],
)
def test_what_is_no_error_of_theirs_is_left_to_the_common_rules(status: int, body: dict[str, object]) -> None:
    assert mapping.judge(lambda: NOW)(operations.GET_PACKAGE_STATUS, status, body) is None


def test_words_of_an_error_carry_no_variable_part() -> None:
    listed = {"Errors": [{"ErrorCode": "User.NotFound:ada@example.org"}, {"Message": "Second"}, "junk"]}
    assert mapping.error_words(listed) == "User.NotFound; Second"


def test_bodies_are_strict_and_keep_values_out_of_errors_and_logs() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden") as caught:
        wire.SetStatusBody.model_validate({"Status": "Pending", "Reason": "secret words"})
    assert "secret words" not in str(caught.value)
    body = mapping.to_wire_document(wishes(), document(), b"%PDF secret")
    assert "secret" not in repr(body)


def test_an_unknown_place_is_a_lookup_error() -> None:
    of: Signing = signing()
    located = {1: wire.LocatedDocument(DocumentId="d", Locations=[wire.Location(Id="1", Label="other")])}
    with pytest.raises(LookupError, match="placement 1 of participant 1"):
        mapping.locations_of(of, located)
