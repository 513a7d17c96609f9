"""What the simulated Dokobit refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from local.sandbox.dokobit import DokobitSandbox
from tests.local.sandbox.dokobit.client import CONTRACT, Client, digested, external, file, internal, person

CREATE = "/signing-external/create.json"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Lease", "files": [file()]}, "type"),
        ({"type": "pdf", "files": [file()]}, "name"),
        ({"type": "pdf", "name": "Lease"}, "files"),
        (external(files=[]), "files"),
        (external(type="PDF"), "type"),
        (external(annotation_position="middle"), "annotation_position"),
        (external(hard_deadline="true"), "hard_deadline"),
        (external(deadline="2030-01-31T12:00:00"), "deadline"),
        (external(singers=[]), "singers"),
        (external(files=[file(), file("b.pdf")]), "files"),
        (external(files=[{"name": "a.pdf", "content": "%%%"}]), "files[0].content"),
        (external(files=[file(content=b"hello")]), "files[0].content"),
        (external(files=[digested()]), "files[0].digest"),
        (external(person(code="3990")), "signers[0]"),
        (external(person(country_code="PL")), "signers[0].country_code"),
        (external({"external_id": "p-1"}), "signers[0]"),
        (external(person(role="approver")), "signers[0].role"),
        (external(person(), person()), "signers[1].external_id"),
        (external(person(annotation={"page": 1})), "signers[0].annotation.page"),
        (external(allowed_signing_methods=["nemid"]), "allowed_signing_methods[0]"),
    ],
)
async def test_a_bad_signing_is_refused_naming_the_field(
    sandbox: DokobitSandbox, client: Client, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(CREATE, body)
    error = answer.json()
    assert (answer.status_code, error["status"]) == (400, "error")
    assert [one["field"] for one in error["errors"]] == [field]
    assert (sandbox.state.signings, sandbox.state.mails) == ({}, [])


async def test_an_internal_signing_has_other_fields(client: Client) -> None:
    for bad in (internal(deadline="2030-01-31T12:00:00Z"), internal(person()), internal(comment="x")):
        assert (await client.post("/signing-internal/create.json", bad)).status_code == 400
    without = internal()
    del without["redirect_uri"]
    assert (await client.post("/signing-internal/create.json", without)).status_code == 400
    poland = internal({"external_id": "p", "code": "1", "country_code": "PL"})
    assert (await client.post("/signing-internal/create.json", poland)).status_code == 200


async def test_the_token_has_one_place_on_each_surface(sandbox: DokobitSandbox, client: Client) -> None:
    path, token = "/signing-external/create.json", sandbox.access_token
    universal = external(files=[digested()])
    http = client.http
    answers = [
        await http.post(path, json=external(), headers={"X-Access-Token": "wrong"}),
        await http.post(f"{path}?access_token={token}", json=external(), headers={"X-Access-Token": ""}),
        await http.post(f"{sandbox.universal_url}{path}", json=universal),
        await http.post(f"{sandbox.universal_url}{path}?access_token={token}", json=universal),
        await http.post(f"{sandbox.universal_url}{path}?access_token={token}", json=external()),
    ]
    assert [one.status_code for one in answers] == [403, 403, 403, 200, 400]
    sandbox.options.unauthorised = 401
    assert (await http.post(path, headers={"X-Access-Token": "wrong"})).status_code == 401


async def test_tokens_are_long_differ_and_have_no_fixed_length(client: Client) -> None:
    made = [await client.created() for _ in range(12)]
    tokens = {one["token"] for one in made} | {one["signers"][0]["token"] for one in made}
    assert len(tokens) == 24
    assert min(map(len, tokens)) >= 32
    assert len({len(one) for one in tokens}) > 1


async def test_an_unknown_token_is_a_404_or_a_400(sandbox: DokobitSandbox, client: Client) -> None:
    token = (await client.created(flow="internal"))["token"]
    paths = [
        f"/signing-external/{token}/status.json",
        "/signing-external/nobody/download",
        "/validation/x/download/report-xml",
    ]
    for code in (404, 400):
        sandbox.options.unknown_token = code
        assert {(await client.http.get(path)).status_code for path in paths} == {code}
    assert (await client.http.get(f"/signing-internal/{token}/status.json")).status_code == 200


async def test_reminders_and_removals_are_for_those_who_have_not_signed(
    sandbox: DokobitSandbox, client: Client
) -> None:
    made = await client.created(external(person(1), person(2), person(3, role="viewer")))
    base, (first, second, viewer) = f"/signing-external/{made['token']}", [one["token"] for one in made["signers"]]
    await sandbox.sign(made["token"], first)
    reminded = [
        (await client.post(f"{base}/remind.json", {"signer": one})).status_code for one in (first, second, viewer, "x")
    ]
    assert reminded == [400, 200, 400, 400]
    assert (await client.post(f"{base}/remind.json")).status_code == 400
    removed = [
        (await client.post(f"{base}/signers/delete.json", {"signers": [{"token": one}]})).status_code
        for one in (first, second)
    ]
    assert removed == [400, 200]
    assert (await client.status(made["token"]))["status"] == "completed"


async def test_the_service_can_lack_a_seal_or_validation(sandbox: DokobitSandbox, client: Client) -> None:
    token = (await client.created())["token"]
    sandbox.options.seal_certificate = sandbox.options.validation_allowed = False
    assert (await client.post(f"/signing/{token}/seal.json", {})).status_code == 400
    assert (await client.post("/validation/upload.json", {"file": file()})).status_code == 400
    sandbox.options.validation_allowed = True
    for bad in (file("lease.docx"), file(content=b"hello"), file("x.asice"), file(digest="00")):
        assert (await client.post("/validation/upload.json", {"file": bad})).status_code == 400
    assert (await client.post("/validation/upload.json", {"file": file("x.xml", b"<x/>")})).status_code == 200


async def test_a_delivery_is_for_known_countries_and_reachable_people(sandbox: DokobitSandbox, client: Client) -> None:
    recipient = {"external_id": "r", "code": "1", "country_code": "lt", "email": "o@example.org"}
    good = {"type": "pdf", "name": "Notice", "files": [file(content=CONTRACT)], "recipients": [recipient]}
    assert (await client.post("/e-delivery/create.json", good)).status_code == 200
    for bad in ({"country_code": "LT"}, {"email": None}, {"code": None}):
        body = good | {"recipients": [recipient | bad]}
        assert (await client.post("/e-delivery/create.json", body)).status_code == 400
    assert (await client.post("/e-delivery/create.json", good | {"type": "asice"})).status_code == 400
    assert len(sandbox.state.deliveries) == 1


async def test_only_json_is_read(client: Client) -> None:
    answer = await client.http.post(CREATE, data={"type": "pdf"})
    assert (answer.status_code, answer.json()["message"]) == (400, "The body must be application/json")
