"""A wrong client fails here: every refusal of the contract, by status."""

from __future__ import annotations

import io
import zipfile
from uuid import uuid4

import pytest

from local.sandbox.pkisigning import Options, PkisigningSandbox
from local.sandbox.pkisigning.auth import ALL_SCOPES
from tests.local.sandbox.client import CONTRACT, Client, deadline, signer, start_body


async def test_401_without_a_token_or_with_an_expired_one(sandbox: PkisigningSandbox, client: Client) -> None:
    sandbox.identity.expire_tokens()
    expired = await client.http.get("/Organisations/current")
    assert (expired.status_code, expired.content) == (401, b"")
    assert expired.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    del client.http.headers["Authorization"]
    missing = await client.http.get("/Organisations/current")
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")


async def test_tokens_expire_after_the_time_announced() -> None:
    async with PkisigningSandbox.start(options=Options(token_seconds=30)) as sandbox, Client(sandbox) as client:
        assert (await client.http.get("/Organisations/current")).status_code == 200
        later = sandbox.identity.monotonic() + 31
        sandbox.identity.monotonic = lambda: later
        assert (await client.http.get("/Organisations/current")).status_code == 401


async def test_refresh_tokens_are_good_for_one_use(sandbox: PkisigningSandbox, client: Client) -> None:
    old = sandbox.refresh_token
    assert (await client.token(refresh_token=old)).json() == {"error": "invalid_grant"}
    first = await client.authorise(refresh_token=sandbox.consent(), scope="pkisigning.platform")
    assert first["scope"] == "pkisigning.platform"
    second = await client.authorise(refresh_token=first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert set(second["scope"].split()) == ALL_SCOPES


async def test_authorization_code_grant(sandbox: PkisigningSandbox, client: Client) -> None:
    redirect = "http://127.0.0.1/return"
    query = {"response_type": "code", "client_id": sandbox.client_id, "redirect_uri": redirect, "state": "s"}
    sent_back = await client.http.get("/connect/authorize", params=query | {"scope": "openid pkisigning.platform"})
    assert sent_back.status_code == 302
    assert sent_back.next_request is not None
    code = sent_back.next_request.url.params["code"]
    answer = await client.authorise("authorization_code", code=code, redirect_uri=redirect)
    assert "refresh_token" not in answer
    again = await client.token("authorization_code", code=code, redirect_uri=redirect)
    assert again.json() == {"error": "invalid_grant"}


async def test_client_credentials_get_no_identity_scopes(client: Client) -> None:
    answer = await client.authorise("client_credentials", scope="pkisigning.platform ImpersonateOwner")
    assert "refresh_token" not in answer
    refused = await client.token("client_credentials", scope="pkisigning.platform offline_access")
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_scope"})


async def test_wrong_client_and_grant(client: Client) -> None:
    wrong = await client.token(client_secret="guess", refresh_token="x")
    assert (wrong.status_code, wrong.json()) == (400, {"error": "invalid_client"})
    assert (await client.token("password")).json() == {"error": "unsupported_grant_type"}
    assert (await client.token(refresh_token="guess")).json() == {"error": "invalid_grant"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    unreadable = await client.http.post("/connect/token", content=b"\xff\xfe", headers=form)
    assert unreadable.json() == {"error": "invalid_client"}


async def test_403_for_missing_scopes(sandbox: PkisigningSandbox, client: Client) -> None:
    body = {"name": "Lease", "clearancelevel": 1, "owner": "other@example.org"}
    assert (await client.http.post("/requests", json=body)).json()["myDossier"] is False
    await client.authorise(refresh_token=sandbox.consent(frozenset({"pkisigning.platform"})))
    assert (await client.http.post("/requests", json=body)).status_code == 403
    await client.authorise(refresh_token=sandbox.consent(frozenset({"openid"})))
    assert (await client.http.get("/Organisations/current")).status_code == 403


async def test_clearance_above_the_workgroup_is_403(sandbox: PkisigningSandbox, client: Client) -> None:
    group = sandbox.state.workgroups[1]
    body = {"name": "Lease", "clearancelevel": 2, "workgroupId": group.id}
    assert (await client.http.post("/requests", json=body)).status_code == 403
    assert (await client.http.post("/requests", json=body | {"workgroupId": str(uuid4())})).status_code == 400
    created = await client.http.post("/requests", json=body | {"clearancelevel": 1})
    assert created.json()["workgroup"] == group.id


@pytest.mark.parametrize(
    "change",
    [
        {"name": "abc"},
        {"name": "x" * 501},
        {"clearancelevel": "1"},
        {"clearanceLevel": 1},
        {"owner": "nobody"},
        {"workgroupId": "7"},
    ],
)
async def test_400_for_a_bad_request_body(client: Client, change: dict[str, object]) -> None:
    answer = await client.http.post("/requests", json={"name": "Lease", "clearancelevel": 1} | change)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert list(answer.json()["errors"]) == list(change)


@pytest.mark.parametrize(
    "change",
    [
        {"placeholder": None},
        {"fieldName": "Lessee"},
        {"sigFieldX": 5},
        {"sigFieldW": 5, "sigFieldH": 5},
        {"language": "nl"},
        {"action": "sign"},
        {"mobile": ""},
        {"deadline": "2030-01-08T12:00:00"},
        {"deadline": deadline(-1)},
        {"validateRealIdentity": "false"},
        {"sigFieldY": None},
        {"firstName": "Ada"},
    ],
)
async def test_400_for_a_bad_actor(client: Client, change: dict[str, object]) -> None:
    request_id, document_id = await client.prepared()
    assert (await client.add(request_id, document_id, signer(2, **change))).status_code == 400


async def test_400_when_two_signers_share_a_placeholder(client: Client) -> None:
    request_id, document_id = await client.prepared(signer(1))
    again = await client.add(request_id, document_id, signer(2, placeholder="_signer1_"))
    assert (again.status_code, list(again.json()["errors"])) == (400, ["placeholder"])
    approver = signer(2, action="Approve", placeholder=None)
    assert (await client.add(request_id, document_id, approver)).status_code == 201


async def test_an_approver_cannot_become_a_signer_without_a_place(client: Client) -> None:
    approver = signer(1, action="Approve", placeholder=None)
    request_id, document_id = await client.prepared(approver)
    actor = (await client.http.get(f"/requests/{request_id}/Actors")).json()[0]
    place = ("placeholder", "sigFieldX", "sigFieldY", "sigFieldH", "sigFieldW")
    body = {name: value for name, value in approver.items() if name not in place}
    path = f"/requests/{request_id}/documents/{document_id}/Actors/{actor['id']}"
    assert (await client.http.put(path, json=approver)).status_code == 400
    assert (await client.http.put(path, json=body | {"action": "Sign"})).status_code == 400
    changed = await client.http.put(path, json=body | {"action": "Download", "firstname": "Eve"})
    assert (changed.json()["action"], changed.json()["fullName"]) == ("Download", "Eve Jansen 1")


async def test_404_405_and_bad_ids(client: Client) -> None:
    for path in ("/requests/{}", "/requests/{}/Actors", "/requests/{}/Download"):
        assert (await client.http.get(path.format(uuid4()))).status_code == 404
        assert (await client.http.get(path.format("7"))).status_code == 400
    assert (await client.http.get("/dossiers")).status_code == 404
    assert (await client.http.patch("/requests")).status_code == 405
    assert (await client.http.get(f"/Organisations/{uuid4()}/workgroups")).status_code == 404


async def test_409_for_steps_that_do_not_fit_the_state(client: Client) -> None:
    request_id, document_id = await client.prepared()
    actor_id = (await client.http.get(f"/requests/{request_id}/Actors")).json()[0]["id"]
    one, document = f"/requests/{request_id}", f"/requests/{request_id}/documents/{document_id}"
    for path in ("Actors/ResendCurrentInvite", "Actors/WithdrawCurrentInvite"):
        assert (await client.http.post(f"{one}/{path}")).status_code == 409
    assert (await client.http.get(f"{one}/Download")).status_code == 409
    assert (await client.http.post(f"{one}/Send")).status_code == 204
    body = {"name": "Other name", "clearancelevel": 1}
    refused = [
        await client.http.post(f"{one}/Send"),
        await client.http.get(f"{one}/Download"),
        await client.http.put(one, json=body),
        await client.upload(request_id),
        await client.http.put(document, json={"documentType": "RegularPdf"}),
        await client.http.delete(document),
        await client.add(request_id, document_id, signer(2)),
        await client.http.delete(f"{document}/Actors/{actor_id}"),
    ]
    assert [answer.status_code for answer in refused] == [409] * len(refused)
    assert (await client.http.post(f"{one}/Actors/WithdrawCurrentInvite")).status_code == 204
    assert await client.status(request_id) == "Withdrawn"
    assert (await client.http.post(f"{one}/Actors/WithdrawCurrentInvite")).status_code == 409


async def test_a_request_without_documents_or_actors_cannot_be_sent(client: Client) -> None:
    request_id = await client.create()
    assert (await client.http.post(f"/requests/{request_id}/Send")).status_code == 400
    await client.upload(request_id)
    assert (await client.http.post(f"/requests/{request_id}/Send")).status_code == 400


async def test_uploads_that_are_not_taken(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.create()
    path = f"/requests/{request_id}/documents"
    assert (await client.upload(request_id, b"hello", "a.txt")).status_code == 415
    assert (await client.upload(request_id, CONTRACT, "a.docx")).status_code == 415
    assert (await client.upload(request_id, b"%PDF-1.7\nnothing more", "a.pdf")).status_code == 400
    assert (await client.http.post(path, content=CONTRACT)).status_code == 415
    assert (await client.http.post(path, files={"document": ("a.pdf", CONTRACT)})).status_code == 400
    assert (await client.http.post(path, files={"file": (None, CONTRACT)})).status_code == 400
    two = [("file", ("a.pdf", CONTRACT)), ("file", ("b.pdf", CONTRACT))]
    assert (await client.http.post(path, files=two)).status_code == 400
    assert (await client.upload(request_id, _protected(), "a.pdf")).status_code == 422
    sandbox.options.max_document_bytes = len(CONTRACT) - 1
    assert (await client.upload(request_id)).status_code == 413
    assert sandbox.state.requests[request_id].documents == []


def _protected() -> bytes:
    from fpdf import FPDF  # noqa: PLC0415

    document = FPDF()
    document.add_page()
    document.set_encryption(owner_password="owner")
    return bytes(document.output())


async def test_a_docx_is_converted_while_the_client_polls(client: Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    request_id = await client.create()
    uploaded = await client.upload(request_id, packed.getvalue(), "letter.docx")
    assert (uploaded.status_code, uploaded.json()["status"]) == (202, "Processing")
    document_id, location = uploaded.json()["id"], uploaded.headers["location"]
    assert (await client.add(request_id, document_id, signer())).status_code == 409
    polls = [await client.http.get(location) for _ in range(3)]
    assert [answer.status_code for answer in polls] == [202, 202, 200]
    assert polls[0].content == b""
    assert polls[2].json()["status"] == "New"
    assert (await client.http.get(f"/requests/{request_id}/documents/{document_id}")).status_code == 200


async def test_credits_are_reserved_charged_and_given_back(sandbox: PkisigningSandbox, client: Client) -> None:
    sandbox.set_credits(2)
    request_id, document_id = await client.prepared(signer(1), signer(2))
    assert (await client.add(request_id, document_id, signer(3))).status_code == 402
    assert (await client.http.post("/api/share/startsignflow", json=start_body())).status_code == 402
    assert len(sandbox.state.requests) == 1
    last = (await client.http.get(f"/requests/{request_id}/Actors")).json()[1]["id"]
    path = f"/requests/{request_id}/documents/{document_id}/Actors/{last}"
    assert (await client.http.delete(path)).status_code == 204
    assert sandbox.state.credits.available == 1
    (await client.http.post(f"/requests/{request_id}/Send")).raise_for_status()
    await sandbox.sign(request_id)
    await client.http.delete(f"/requests/{request_id}")
    assert sandbox.state.credits.available == 1


async def test_a_v1_start_that_is_refused_costs_nothing(sandbox: PkisigningSandbox, client: Client) -> None:
    body = start_body()
    body["documents"][0]["signers"].append(body["documents"][0]["signers"][0])
    assert (await client.http.post("/api/share/startsignflow", json=body)).status_code == 400
    assert sandbox.state.credits.available == 100
    assert sandbox.invitations_total == 0


@pytest.mark.parametrize(
    "change",
    [
        {"dossierName": "abc"},
        {"documents": []},
        {"callbackUrl": "callbacks"},
        {"signers": []},
        {"documents": [{**start_body()["documents"][0], "mimeType": "1"}]},
        {"documents": [{**start_body()["documents"][0], "documentType": 2}]},
        {"documents": [{**start_body()["documents"][0], "contents": "%%%"}]},
        {"documents": [{**start_body()["documents"][0], "signers": [], "recipients": []}]},
    ],
)
async def test_400_for_a_bad_v1_start(client: Client, change: dict[str, object]) -> None:
    assert (await client.http.post("/api/share/startsignflow", json=start_body() | change)).status_code == 400


async def test_429_with_retry_after_per_token() -> None:
    async with PkisigningSandbox.start(options=Options(rate_limit=3)) as sandbox, Client(sandbox) as client:
        codes = [(await client.http.get("/Organisations/current")) for _ in range(4)]
        assert [answer.status_code for answer in codes] == [200, 200, 200, 429]
        assert 1 <= int(codes[3].headers["retry-after"]) <= 60
        await client.authorise(refresh_token=sandbox.consent())
        assert (await client.http.get("/Organisations/current")).status_code == 200
        later = sandbox.identity.monotonic() + 61
        sandbox.identity.monotonic = lambda: later
        assert (await client.http.get("/Organisations/current")).status_code == 200


async def test_the_callback_key_must_belong_to_the_request(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    key = sandbox.state.requests[request_id].authentication_keys[0]
    path = f"/requests/{request_id}"
    assert (await client.http.get(path, params={"callbackAuthenticationKey": key})).status_code == 200
    assert (await client.http.get(path, params={"callbackAuthenticationKey": "guess"})).status_code == 403
