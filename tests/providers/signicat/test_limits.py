"""What is refused before any call, and under which name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.errors import InvalidRequest, UnsupportedFeature
from shared.domain.signing import Placement, ResultFormat, Role, Signing
from shared.providers.signicat import Config
from shared.providers.signicat.limits import check
from tests.providers.signicat.samples import NOW, document, observer, signer, signing

PLAIN = Config.model_validate({"client_id": "c", "client_secret": "s", "signature_methods": "nbid-sign"})
STRONG = PLAIN.model_copy(update={"authentication_methods": ("nbid",)})
SMS = PLAIN.model_copy(update={"invitations": "sms"})
SILENT = PLAIN.model_copy(update={"invitations": "none"})


@pytest.mark.parametrize(
    ("wish", "config", "field"),
    [
        (signing(signer(1, placements=(Placement(text="_signer1_"),))), PLAIN, "participants[0].placements[0]"),
        (signing(signer(1, placements=(Placement(page=1, x=1, y=1),))), PLAIN, "participants[0].placements[0]"),
        (signing(signer(1), signer(2, role=Role.APPROVER)), PLAIN, "participants[1].role"),
        (signing(documents=(document(1), document(2, media_type="image/png"))), PLAIN, "documents[1].media_type"),
        (signing(format=ResultFormat.ASIC_E), PLAIN, "format"),
        (signing(qualified_only=True), PLAIN, "qualified_only"),
        (signing(signer(1, strong_identity=True)), PLAIN, "participants[0].strong_identity"),
        (signing(message="Hello"), SILENT, "message"),
        (signing(signer(1, message="Hello")), SILENT, "participants[0].message"),
        (signing(options={"workgroup_id": "x"}), PLAIN, "options.workgroup_id"),
    ],
)
def test_unsupported_wishes_are_named(wish: Signing, config: Config, field: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check(wish, config, lambda name: (f"acme for {name}",))
    assert caught.value.field == field
    assert caught.value.supported_by == (f"acme for {field}",)


@pytest.mark.parametrize(
    ("wish", "config", "fields"),
    [
        (signing(title=""), PLAIN, ["title"]),
        (signing(title="x" * 256), PLAIN, ["title"]),
        (signing(signer(1, placements=(Placement(),))), PLAIN, ["participants[0].placements[0]"]),
        (signing(signer(1, phone=" ")), SMS, ["participants[0].phone"]),
        (signing(signer(1, email=" ")), PLAIN, ["participants[0].email"]),
        (signing(observer(1)), PLAIN, ["participants"]),
        (signing(documents=(document(1, size=10 * 1024**2 + 1),)), PLAIN, ["documents[0]"]),
        (signing(deadline=NOW), PLAIN, ["deadline"]),
        (signing(signer(1), signer(2, deadline=NOW - timedelta(days=1))), PLAIN, ["participants[1].deadline"]),
        (signing(options={"days_until_deletion": 31}), PLAIN, ["options.days_until_deletion"]),
        (signing(options={"signature_methods": "x:WAX"}), PLAIN, ["options.signature_methods.0"]),
        (signing(options={"on_task_complete": "javascript:alert(1)"}), PLAIN, ["options.on_task_complete"]),
        (signing(options={"subject_attributes": {"2": {"a": "b"}}}), PLAIN, ["options.subject_attributes.2"]),
        (
            signing(options={"subject_attributes": {"1": {"national-id": ""}}}),
            PLAIN,
            ["options.subject_attributes.1.national-id"],
        ),
    ],
)
def test_what_does_not_fit_is_named(wish: Signing, config: Config, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(wish, config)
    assert [one.field for one in caught.value.fields] == fields


@pytest.mark.parametrize(
    ("wish", "config"),
    [
        (signing(), PLAIN),
        (signing(signer(1), observer(2, order=2), message="Hello", deadline=NOW + timedelta(days=1)), PLAIN),
        (signing(signer(1, strong_identity=True)), STRONG),
        (signing(signer(1, phone="+4790000000", email="")), SMS),
        (signing(signer(1, email="")), SILENT),
        (signing(documents=tuple(document(number) for number in range(1, 6))), PLAIN),
        (signing(options={"subject_attributes": {"1": {"national-id": "10109001290"}}}), PLAIN),
    ],
)
def test_what_fits_passes(wish: Signing, config: Config) -> None:
    check(wish, config)


def test_a_personal_value_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(signing(options={"subject_attributes": {"1": {"national-id": ["10109001290"]}}}), PLAIN)
    assert "10109001290" not in str(caught.value.fields)
