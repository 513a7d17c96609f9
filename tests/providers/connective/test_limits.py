"""What is refused before any call, and under which name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.errors import InvalidRequest, UnsupportedFeature
from shared.domain.signing import Placement, ResultFormat, Signing
from shared.providers.connective import CAPABILITIES, Config, capabilities_of, page_size_of
from shared.providers.connective.limits import MAX_DOCUMENT_BYTES, Options, Wishes, check
from tests.providers.connective.samples import ACCOUNT, NOW, approver, document, observer, signer, signing

V3 = ACCOUNT.model_copy(update={"process": "v3"})
WEAK = ACCOUNT.model_copy(update={"qualified_signing_types": ()})
BOX = Placement(page=1, x=10, y=10)


@pytest.mark.parametrize(
    ("wish", "config", "field"),
    [
        (signing(message="Hello"), ACCOUNT, "message"),
        (signing(signer(1, message="Hello")), ACCOUNT, "participants[0].message"),
        (signing(signer(1, deadline=NOW)), ACCOUNT, "participants[0].deadline"),
        (signing(documents=(document(1, "application/xml"),)), ACCOUNT, "documents[0].media_type"),
        (signing(approver(1), signer(2, order=2)), V3, "participants[0].role"),
        (signing(format=ResultFormat.ASIC_E), ACCOUNT, "format"),
        (signing(qualified_only=True), WEAK, "qualified_only"),
        (signing(signer(1, strong_identity=True)), WEAK, "participants[0].strong_identity"),
        (signing(options={"workgroup": "x"}), ACCOUNT, "options.workgroup"),
    ],
)
def test_unsupported_wishes_are_named(wish: Signing, config: Config, field: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check(wish, config, lambda name: (f"acme for {name}",))
    assert caught.value.field == field
    assert caught.value.supported_by == (f"acme for {field}",)


@pytest.mark.parametrize(
    ("wish", "fields"),
    [
        (signing(title=""), ["title"]),
        (signing(title="x" * 151), ["title"]),
        (signing(signer(1, given_name=" ", email="")), ["participants[0].given_name", "participants[0].email"]),
        (signing(signer(1, placements=())), ["participants[0].placements"]),
        (signing(observer(1)), ["participants"]),
        (signing(signer(1), approver(2, order=1)), ["participants[1].order"]),
        (signing(signer(1, document=2)), ["participants[0].placements[0].document"]),
        (signing(signer(1), signer(2, placements=(Placement(text="_signer1_"),))), ["participants[1].placements[0]"]),
        (signing(signer(1, placements=(Placement(page=1, x=10),))), ["participants[0].placements[0]"]),
        (signing(signer(1, placements=(Placement(page=1, x=90, y=1, width=20),))), ["participants[0].placements[0]"]),
        (signing(signer(1, placements=(BOX,) * 31)), ["documents[0]"]),
        (signing(documents=(document(1, size=MAX_DOCUMENT_BYTES + 1),)), ["documents[0]"]),
        (signing(signer(1, phone=" "), options={"signing_types": ["smsotp"]}), ["participants[0].phone"]),
        (signing(options={"instant": "perhaps"}), ["options.instant"]),
        (signing(options={"page_size": "A0"}), ["options.page_size"]),
        (signing(options={"legal_notice_code": "LEGALNOTICE9"}), ["options.legal_notice_code"]),
        (
            signing(options={"legal_notice_code": "LEGALNOTICE1", "legal_notice_text": "x"}),
            ["options.legal_notice_text"],
        ),
        (signing(options={"redirect_url": "javascript:alert(1)"}), ["options.redirect_url"]),
        (signing(options={"signing_types": []}), ["options.signing_types"]),
        (signing(options={"signing_types": ["Server"]}), ["options.signing_types"]),
        (signing(options={"signing_types": ["Server", "Manual"], "instant": True}), ["options.signing_types"]),
        (signing(options={"signing_types": ["Server"], "instant": True}), []),
        (
            signing(options={"signing_types": ["Itsme"]}),
            ["options.target_type", "options.signature_policy_id"],
        ),
        (
            signing(options={"signing_types": ["Itsme"], "target_type": "PdfA2A", "signature_policy_id": "1.2"}),
            [],
        ),
        (signing(options={"signing_template_code": "T"}), ["options.signing_template_code"]),
        (
            signing(documents=(document(1), document(2)), options={"instant": True}),
            ["options.instant"],
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(wish: Signing, fields: list[str]) -> None:
    found: list[str] = []
    try:
        check(wish, ACCOUNT)
    except InvalidRequest as error:
        found = [one.field for one in error.fields]
    assert found == fields


@pytest.mark.parametrize(
    ("wished", "preferred", "documents", "is_instant"),
    [
        (None, False, 1, False),
        (None, True, 1, True),
        (None, True, 2, False),
        (False, True, 1, False),
        (True, False, 1, True),
    ],
)
def test_instant_is_a_wish_or_a_preference(
    wished: bool | None, preferred: bool, documents: int, is_instant: bool
) -> None:
    of = signing(
        documents=tuple(document(one + 1) for one in range(documents)),
        options={} if wished is None else {"instant": wished},
    )
    assert Wishes(of, ACCOUNT.model_copy(update={"instant": preferred})).is_instant is is_instant


def test_an_ordinary_signing_passes() -> None:
    people = (approver(1), signer(2, order=2, placements=(BOX,)), signer(3, order=3), observer(4, order=4))
    check(signing(*people, deadline=NOW + timedelta(days=2), qualified_only=True), ACCOUNT)
    check(signing(signer(1, phone=None)), V3)


def test_the_options_are_those_of_the_capabilities() -> None:
    assert CAPABILITIES.options == set(Options.model_fields)
    assert not capabilities_of(ACCOUNT.model_copy(update={"audit_proof": False})).evidence


@pytest.mark.parametrize(
    ("text", "size"),
    [("A4", (595, 842)), ("a4-landscape", (842, 595)), (" Letter ", (612, 792)), ("600x900.5", (600, 900.5))],
)
def test_page_sizes(text: str, size: tuple[float, float]) -> None:
    assert page_size_of(text) == size


@pytest.mark.parametrize("text", ["", "A4-portrait", "600x900-landscape", "x", "1x1"])
def test_page_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        page_size_of(text)
