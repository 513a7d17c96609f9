"""What is refused before any call, and under which name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.errors import InvalidRequest, UnsupportedFeature
from shared.domain.signing import Placement, ResultFormat, Role, Signing
from shared.providers.dokobit import DOCX, Config
from shared.providers.dokobit.limits import check
from tests.providers.dokobit.samples import NOW, RETURN_URL, document, internal, observer, placed, signer, signing

ACCOUNT = Config(access_token="t")
LATER = NOW + timedelta(days=2)
ASIC_E = ResultFormat.ASIC_E


def about(**person: str) -> dict[str, object]:
    return {"participants": {"1": person}}


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (signing(signer(1, role=Role.APPROVER)), "participants[0].role"),
        (signing(signer(1, message="Hello")), "participants[0].message"),
        (signing(signer(1, deadline=LATER)), "participants[0].deadline"),
        (signing(signer(1, strong_identity=True)), "participants[0].strong_identity"),
        (signing(signer(1, placements=(Placement(text="x"),))), "participants[0].placements[0]"),
        (signing(signer(1, placements=(Placement(page=1), Placement(page=2)))), "participants[0].placements[1]"),
        (signing(placed(), format=ASIC_E), "participants[0].placements[0]"),
        (signing(documents=(document(1), document(2))), "documents"),
        (signing(documents=(document(1, DOCX),)), "documents[0].media_type"),
        (signing(documents=(document(1, "image/png"),), format=ASIC_E), "documents[0].media_type"),
        (signing(options={"flatten_pdf": True}, format=ASIC_E), "options.flatten_pdf"),
        (signing(options={"colour": "blue"}), "options.colour"),
        (signing(options={"redirect_uri": RETURN_URL}), "options.redirect_uri"),
        (internal(deadline=LATER), "deadline"),
        (internal(message="Hello"), "message"),
        (internal(signer(1), signer(2, order=2)), "participants[0].order"),
        (internal(options={"hard_deadline": True}), "options.hard_deadline"),
        (internal(options={"allow_document_saving": True}), "options.allow_document_saving"),
        (internal(options=about(company="Acme")), "options.participants.1.company"),
    ],
)
def test_unsupported_wishes_are_named(wish: Signing, field: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check(wish, ACCOUNT, lambda name: (f"acme for {name}",))
    assert caught.value.field == field
    assert caught.value.supported_by == (f"acme for {field}",)


@pytest.mark.parametrize(
    ("wish", "fields"),
    [
        (signing(title=""), ["title"]),
        (signing(title="x" * 256), ["title"]),
        (signing(observer(1)), ["participants"]),
        (signing(signer(1, email=" "), options={"flow": "external"}), ["participants[0].email"]),
        (signing(options={"flow": "internal"}), ["options.redirect_uri"]),
        (signing(signer(1, email="")), ["options.redirect_uri"]),
        (internal(options={"redirect_uri": "ftp://x"}), ["options.redirect_uri"]),
        (signing(options={"flow": "sideways"}), ["options.flow"]),
        (signing(options=about(code="3990")), ["options.participants.1.country_code"]),
        (signing(options=about(code="3990", country_code="PL")), ["options.participants.1.country_code"]),
        (signing(options=about(nickname="Oni")), ["options.participants.1.nickname"]),
        (signing(options={"participants": {"7": {}}}), ["options.participants.7"]),
        (signing(options={"annotation_position": "middle"}), ["options.annotation_position"]),
        (signing(options={"page_size": "Foolscap"}), ["options.page_size"]),
        (signing(observer(1, placements=(Placement(page=1),)), signer(2)), ["participants[0].placements"]),
        (signing(signer(1, placements=(Placement(document=2, page=1),))), ["participants[0].placements[0].document"]),
    ],
)
def test_what_is_missing_or_wrong_is_named(wish: Signing, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(wish, ACCOUNT)
    assert [one.field for one in caught.value.fields] == fields


@pytest.mark.parametrize(
    "wish",
    [
        signing(placed(), signer(2, order=2), observer(3), deadline=LATER, message="Hi", qualified_only=True),
        signing(documents=(document(1), document(2, DOCX)), format=ASIC_E),
        signing(signer(1, email="", phone="+37060000000"), options={"flow": "external"}),
        signing(options=about(code="3990", country_code="lt")),
        internal(options=about(code="3990", country_code="PL", custom_reason="Agreed")),
        internal(signer(1, email="")),
    ],
)
def test_an_ordinary_signing_passes(wish: Signing) -> None:
    check(wish, ACCOUNT)


def test_the_rule_of_one_pdf_can_be_lifted() -> None:
    check(signing(documents=(document(1), document(2))), Config(access_token="t", several_pdfs=True))


def test_an_account_of_one_flow_takes_no_other() -> None:
    for flow in ("external", "internal"):
        config = Config.model_validate({"access_token": "t", "flow": flow, "redirect_uri": RETURN_URL})
        check(signing(), config)
        with pytest.raises(UnsupportedFeature) as caught:
            check(signing(options={"flow": "internal"}), config)
        assert caught.value.field == "options.flow"
