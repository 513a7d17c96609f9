"""The pages a person opens from the invitation."""

from __future__ import annotations

from local.sandbox.pkisigning import PkisigningSandbox
from tests.local.sandbox.client import Client, signer


async def test_a_person_reads_signs_and_sees_a_confirmation(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent(signer(1, firstname="<b>Ada"), signer(2))
    first, second = sandbox.state.requests[request_id].actors
    page = (await client.http.get(f"/sign/{request_id}/{first.id}")).text
    assert "&lt;b&gt;Ada" in page
    assert "<b>Ada" not in page
    document = sandbox.state.requests[request_id].documents[0]
    link = f"/sign/{request_id}/{first.id}/documents/{document.id}"
    assert link in page
    shown = await client.http.get(link)
    assert (shown.headers["content-type"], shown.content[:5]) == ("application/pdf", b"%PDF-")
    assert "not your turn" in (await client.http.get(f"/sign/{request_id}/{second.id}")).text
    early = await client.http.post(f"/sign/{request_id}/{second.id}", data={"choice": "accept"})
    assert early.status_code == 409
    done = await client.http.post(f"/sign/{request_id}/{first.id}", data={"choice": "accept"}, follow_redirects=True)
    assert "You have signed" in done.text
    overview = (await client.http.get("/")).text
    assert f"/sign/{request_id}/{second.id}" in overview
    assert "PendingSignature" in overview


async def test_a_person_declines_with_a_reason(sandbox: PkisigningSandbox, client: Client) -> None:
    request_id = await client.sent()
    actor = sandbox.state.requests[request_id].actors[0]
    answer = await client.http.post(
        f"/sign/{request_id}/{actor.id}", data={"choice": "decline", "reason": "Too late"}, follow_redirects=True
    )
    assert "Declined" in answer.text
    assert sandbox.state.requests[request_id].reasons == "Too late"
    assert (await client.http.get(f"/sign/{request_id}/nobody")).status_code == 404
