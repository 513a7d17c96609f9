"""What is refused before any call, and under which name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.errors import InvalidRequest, UnsupportedFeature
from shared.domain.signing import Placement, ResultFormat, Role, Signing
from shared.providers.pkisigning import DOCX, Config
from shared.providers.pkisigning.limits import check
from tests.providers.pkisigning.samples import NOW, document, observer, signer, signing

V2 = Config(client_id="id", client_secret="secret", refresh_token="r", trust_anchors="-----BEGIN x")
V1 = V2.model_copy(update={"api": "v1"})
LATER = NOW + timedelta(days=2)


@pytest.mark.parametrize(
    ("wish", "config", "field"),
    [
        (signing(message="Hello"), V2, "message"),
        (signing(signer(1, message="Hello")), V2, "participants[0].message"),
        (signing(documents=(document(1, "image/png"),)), V2, "documents[0].media_type"),
        (signing(documents=(document(1), document(2, DOCX))), V1, "documents[1].media_type"),
        (signing(signer(1), signer(2, role=Role.APPROVER, placements=())), V1, "participants[1].role"),
        (signing(signer(1, placements=(Placement(page=1, x=1, y=1),))), V2, "participants[0].placements[0]"),
        (signing(format=ResultFormat.ASIC_E), V2, "format"),
        (signing(qualified_only=True), V2, "qualified_only"),
        (signing(options={"owner": "boss@example.org"}), V2, "options.owner"),
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
        (signing(title="abc"), ["title"]),
        (signing(title="x" * 501), ["title"]),
        (signing(signer(1, phone=None)), ["participants[0].phone"]),
        (signing(signer(1), observer(2, phone=" ")), ["participants[1].phone"]),
        (signing(observer(1, placements=(Placement(text="a"),))), ["participants[0].placements"]),
        (signing(signer(1, placements=(Placement(text="a", field="b"),))), ["participants[0].placements[0]"]),
        (signing(signer(1, placements=(Placement(),))), ["participants[0].placements[0]"]),
        (signing(signer(1, document=2)), ["participants[0].placements[0].document"]),
        (signing(signer(1, placements=()), observer(2)), ["participants[0].placements"]),
        (signing(signer(1, given_name=" ", email="")), ["participants[0].given_name", "participants[0].email"]),
        (
            signing(signer(1, placements=(Placement(text="a"),)), signer(2, placements=(Placement(text="a"),))),
            ["participants[1].placements[0]"],
        ),
        (signing(documents=(document(1), document(2))), ["documents[1]"]),
        (signing(options={"clearance_level": "high"}), ["options.clearance_level"]),
        (signing(options={"workgroup_id": "sales"}), ["options.workgroup_id"]),
        (signing(signer(1, deadline=LATER), signer(2, order=2, deadline=LATER)), []),
        (
            signing(signer(1, order=1, deadline=LATER), signer(2, order=2, deadline=NOW)),
            ["participants[1].deadline"],
        ),
        (signing(signer(1), signer(2, deadline=LATER)), ["participants[1].deadline"]),
    ],
)
def test_what_is_missing_or_wrong_is_named(wish: Signing, fields: list[str]) -> None:
    found: list[str] = []
    try:
        check(wish, V2)
    except InvalidRequest as error:
        found = [one.field for one in error.fields]
    assert found == fields


@pytest.mark.parametrize("config", [V1, V2])
def test_an_ordinary_signing_passes(config: Config) -> None:
    people = (signer(1), signer(2, order=2), observer(3, order=3, language="de"))
    check(signing(*people, options={"clearance_level": 2}, deadline=LATER), config)
    if config.api == "v1":
        check(signing(message="A note to the signers"), config)
