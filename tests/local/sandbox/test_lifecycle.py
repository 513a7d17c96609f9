"""Order of acting, reminders, deadlines, and the other ends of a request; paths in any case; the call log."""

from __future__ import annotations

import pytest

from local.sandbox.answers import Problem
from local.sandbox.pkisigning import PkisigningSandbox
from tests.local.sandbox.client import Client, deadline, signer, start_body


async def test_actors_act_in_order_of_deadline(sandbox: PkisigningSandbox, client: Client) -> None:
    late, early = signer(2, action="Approve", placeholder=None), signer(1)
    request_id = await client.sent(late, early)
    actors = {actor.body.lastname: actor.id for actor in sandbox.state.requests[request_id].actors}
    with pytest.raises(Problem, match="turn"):
        await sandbox.approve(request_id, actors["Jansen 2"])
    with pytest.raises(Problem, match="asked to Sign"):
        await sandbox.approve(request_id, actors["Jansen 1"])
    await sandbox.sign(request_id, actors["Jansen 1"])
    assert await client.status(request_id) == "PendingApproval"
    await sandbox.approve(request_id)
    assert await client.status(request_id) == "Completed"
    with pytest.raises(Problem, match="nobody can act"):
        await sandbox.sign(request_id, "everyone")


async def test_v1_ordinals_break_ties_of_deadlines(sandbox: PkisigningSandbox, client: Client) -> None:
    body, same = start_body(), deadline(3)
    first = body["documents"][0]["signers"][0] | {"deadline": same}
    second = first | {"ordinal": 0, "email": "eve@example.org", "placeholder": "_signer2_"}
    body["documents"][0]["signers"] = [first, second]
    request_id = (await client.http.post("/api/share/startsignflow", json=body)).json()["pkisId"]
    assert [actor.body.email for actor in sandbox.state.requests[request_id].in_line()] == ["eve@example.org"]


async def test_one_invitation_for_one_person_with_two_documents(sandbox: PkisigningSandbox, client: Client) -> None:
    body = signer()
    request_id, _ = await client.prepared(body)
    second = (await client.upload(request_id, name="annex.pdf")).json()["id"]
    (await client.add(request_id, second, body)).raise_for_status()
    (await client.http.post(f"/requests/{request_id}/Send")).raise_for_status()
    await sandbox.sign(request_id)
    statuses = (await client.http.get(f"/requests/{request_id}")).json()["documents"]
    assert [one["documentstatus"] for one in statuses] == ["Completed", "PendingSignature"]
    await sandbox.sign(request_id)
    assert sandbox.invitations_sent(request_id) == 1
    assert await client.status(request_id) == "Completed"


async def test_decline_carries_the_reason(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    await sandbox.decline(request_id, reason="The rent is wrong")
    answer = (await client.http.get(f"/requests/{request_id}")).json()
    assert (answer["status"], answer["reasons"]) == ("Declined", "The rent is wrong")


async def test_an_expired_invitation_is_revived_by_a_later_deadline(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, document_id = await client.prepared()
    one = f"/requests/{request_id}"
    (await client.http.post(f"{one}/Send")).raise_for_status()
    assert (await client.http.post(f"{one}/Actors/ResendCurrentInvite")).status_code == 204
    sandbox.expire(request_id)
    assert await client.status(request_id) == "InvitationExpired"
    assert (await client.http.post(f"{one}/Actors/ResendCurrentInvite")).status_code == 409
    actor = (await client.http.get(f"{one}/Actors")).json()[0]
    fields = ("action", "firstname", "lastname", "email", "mobile", "language", "validateRealIdentity")
    body = {name: actor[name] for name in fields} | {"deadline": deadline()}
    path = f"{one}/documents/{document_id}/Actors/{actor['id']}"
    assert (await client.http.put(path, json=body | {"email": "eve@example.org"})).status_code == 409
    assert (await client.http.put(path, json=body)).status_code == 200
    assert (await client.http.post(f"{one}/Actors/ResendCurrentInvite")).status_code == 204
    assert await client.status(request_id) == "PendingSignature"
    assert sandbox.invitations_sent(request_id) == 1
    assert sandbox.state.reminders_sent(request_id) == 2


async def test_expired_twice_is_the_end_and_failing_is_one_too(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, other_id = await client.sent(), await client.sent()
    sandbox.expire(request_id)
    sandbox.expire(request_id)
    sandbox.fail(other_id)
    assert [await client.status(request_id), await client.status(other_id)] == ["Expired", "Error"]
    with pytest.raises(Problem):
        sandbox.fail(other_id)


async def test_control_by_http(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent(signer(1), signer(2))
    control = f"/_sandbox/requests/{request_id}"
    actor = sandbox.state.requests[request_id].actors[1].id
    assert (await client.http.post(f"{control}/sign", json={"actor": actor})).status_code == 409
    assert (await client.http.post(f"{control}/approve")).status_code == 409
    assert (await client.http.post(f"{control}/sign", json={"actor": "next"})).status_code == 204
    assert (await client.http.post(f"{control}/sign", json={"actor": "everyone"})).status_code == 204
    listed = (await client.http.get("/_sandbox/requests")).json()
    assert [(one["status"], one["invitationsSent"], one["startCalls"]) for one in listed] == [("Completed", 2, 1)]
    other = await client.sent()
    assert (await client.http.post(f"/_sandbox/requests/{other}/decline", json={"reason": "No"})).status_code == 204
    third, fourth, fifth = await client.sent(), await client.sent(), await client.sent()
    for one, verb in ((third, "expire"), (fourth, "fail"), (fifth, "withdraw")):
        assert (await client.http.post(f"/_sandbox/requests/{one}/{verb}")).status_code == 204
    ends = [await client.status(one) for one in (other, third, fourth, fifth)]
    assert ends == ["Declined", "InvitationExpired", "Error", "Withdrawn"]
    assert (await client.http.post("/_sandbox/credits", json={"total": 7})).json()["total"] == 7


async def test_paths_match_in_any_case_and_calls_are_logged(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    sandbox.calls.clear()
    for path in (f"/REQUESTS/{request_id.upper()}/actors", f"/requests/{request_id}/aCTORS"):
        assert (await client.http.get(path)).status_code == 200
    assert (await client.http.get("/organisations/CURRENT")).status_code == 200
    assert (await client.http.get("/requests/7")).status_code == 400
    logged = [(call.operation, call.status) for call in sandbox.calls]
    assert logged == [
        ("Actors_RequestActors", 200),
        ("Actors_RequestActors", 200),
        ("Organisations_GetOrganisationOfCurrentUser", 200),
        ("Requests_Get", 400),
    ]


async def test_the_rest_of_the_23_operations(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id, document_id = await client.prepared()
    one, document = f"/requests/{request_id}", f"/requests/{request_id}/documents/{document_id}"
    renamed = await client.http.put(one, json={"name": "Other name", "clearancelevel": 2})
    assert (renamed.json()["dossierName"], renamed.json()["clearancelevel"]) == ("Other name", 2)
    changed = await client.http.put(document, json={"name": "Annex", "documentType": "RegularPdf"})
    assert changed.json()["name"] == "Annex"
    actor = (await client.http.get(f"{document}/Actors")).json()[0]
    assert (await client.http.get(f"{document}/Actors/{actor['id']}")).json() == actor
    assert (await client.http.get(f"{document}/Actors", params={"hasActed": "true"})).json() == []
    [organisation] = (await client.http.get("/Organisations/current")).json()
    path = f"/Organisations/{organisation['id']}/workgroups"
    assert len((await client.http.get(path)).json()) == 2
    known = await client.http.post(path, json={"username": sandbox.identity.user})
    stranger = await client.http.post(path, json={"username": "stranger@example.org"})
    assert (len(known.json()), stranger.json()) == (2, [])
    assert (await client.http.delete(document)).status_code == 204
    assert (await client.http.get(one)).json()["actors"] == []
    assert sandbox.state.credits.available == 100
