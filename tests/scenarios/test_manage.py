"""Managing signings, the catalogue, and raw operations, over HTTP."""

from __future__ import annotations

import base64
import io
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob.aio import BlobServiceClient

from local.players import V2_ACCOUNT
from tests.scenarios.play import CONTRACT, Play

NO_REQUEST = "6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e11"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cancel_ends_a_signing(play: Play) -> None:
    signing = await play.start()
    answer = await play.client.post(f"/api/signings/{signing['id']}/cancel", json={"reason": "typing error"})
    assert answer.status_code == 200, answer.text
    await play.until(signing["id"], "cancelled")
    again = await play.client.post(f"/api/signings/{signing['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


async def test_remind_and_extend(play: Play) -> None:
    signing = await play.start()
    assert (await play.client.post(f"/api/signings/{signing['id']}/remind")).status_code == 200
    assert play.stack.sandbox.state.reminders_sent(signing["providerSigningId"]) == 1
    deadline = (datetime.now(UTC) + timedelta(days=60)).isoformat()
    answer = await play.client.post(f"/api/signings/{signing['id']}/extend", json={"deadline": deadline})
    assert answer.status_code == 200, answer.text
    assert datetime.fromisoformat(answer.json()["deadline"]) == datetime.fromisoformat(deadline)
    past = await play.client.post(f"/api/signings/{signing['id']}/extend", json={"deadline": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (400, "deadline")


async def test_what_pkisigning_cannot_do_says_who_can(play: Play) -> None:
    signing = await play.start()
    answer = await play.client.get(f"/api/signings/{signing['id']}/links")
    assert (answer.status_code, answer.json()["code"]) == (422, "unsupported_feature")
    refused = await play.post(play.order(message="please sign"))
    assert (refused.status_code, refused.json()["field"]) == (422, "message")


async def test_the_catalogue_lists_every_operation_with_its_schema(play: Play) -> None:
    providers = (await play.client.get("/api/providers")).json()["providers"]
    pkisigning = next(one for one in providers if one["name"] == "pkisigning")
    operations = {one["id"]: one for one in pkisigning["operations"]}
    assert len(operations) == 27
    assert operations["Requests_Create"]["body"]["properties"]["name"]["minLength"] == 4
    assert "cancel" in pkisigning["capabilities"]["actions"]


async def test_accounts_are_listed_without_secrets(play: Play) -> None:
    answer = await play.client.get("/api/accounts")
    assert {one["account"]: one["reachable"] for one in answer.json()["accounts"]}[V2_ACCOUNT] is True
    assert play.stack.sandbox.client_secret not in answer.text


async def run(play: Play, operation: str, arguments: object = None, query: str = "") -> tuple[int, object]:
    answer = await play.client.post(f"/api/accounts/{V2_ACCOUNT}/operations/{operation}{query}", json=arguments or {})
    is_json = answer.headers["content-type"].endswith("json")
    return answer.status_code, answer.json() if is_json else answer.content


async def test_raw_operations_run_with_typed_arguments_and_answers(play: Play) -> None:
    status, created = await run(play, "Requests_Create", {"body": {"name": "By hand", "clearancelevel": 1}})
    assert status == 200
    assert isinstance(created, dict)
    request_id = created["answer"]["id"]
    file = {"name": "lease.pdf", "content": base64.b64encode(CONTRACT).decode()}
    status, uploaded = await run(play, "Documents_Create", {"requestId": request_id, "file": file})
    assert (status, uploaded["status"]) == (200, 201)  # type: ignore[index]
    async with BlobServiceClient.from_connection_string(play.stack.azurite.connection_string) as blobs:
        await blobs.get_blob_client("inbox", "annex.pdf").upload_blob(CONTRACT, overwrite=True)
    annex = {"name": "annex.pdf", "blob": "inbox/annex.pdf"}
    status, uploaded = await run(play, "Documents_Create", {"requestId": request_id, "file": annex})
    assert (status, uploaded["status"]) == (200, 201)  # type: ignore[index]
    assert (await run(play, "Requests_Delete", {"requestId": request_id}))[0] == 200
    status, gone = await run(play, "Requests_Get", {"requestId": request_id})
    assert (status, gone["code"]) == (422, "provider_not_found")  # type: ignore[index]


@pytest.mark.parametrize("mode", ["", "?as=file", "?as=base64", "?as=blob"])
async def test_a_file_comes_back_in_the_wished_form(play: Play, mode: str) -> None:
    signing = await play.start()
    await play.stack.sandbox.complete(signing["providerSigningId"])
    status, answer = await run(play, "Requests_Download", {"requestId": signing["providerSigningId"]}, mode)
    assert status == 200
    if mode == "?as=base64":
        content = base64.b64decode(answer["answer"]["$content"])  # type: ignore[index]
    elif mode == "?as=blob":
        content = await play.blob(answer["answer"]["blob"])  # type: ignore[index]
    else:
        assert isinstance(answer, bytes)
        content = answer
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "lease.pdf" in archive.namelist()
    await play.until(signing["id"], "stored")


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "code"),
    [
        ("No_Such", {}, 404, "not_found"),
        ("Requests_Get", {}, 400, "invalid_request"),
        ("Requests_Get", {"requestId": "not-a-guid"}, 400, "invalid_request"),
        ("Requests_Get", {"requestId": NO_REQUEST, "extra": 1}, 400, "invalid_request"),
        ("Requests_Create", {"body": {"name": "x"}}, 400, "invalid_request"),
        ("Requests_Create", {"body": []}, 400, "invalid_request"),
        ("Requests_Create", {"file": {"name": "a", "content": "aa=="}}, 400, "invalid_request"),
        (
            "Documents_Create",
            {"requestId": NO_REQUEST, "file": {"name": "a", "content": "?"}},
            400,
            "invalid_request",
        ),
        (
            "Documents_Create",
            {"requestId": NO_REQUEST, "file": {"name": "a", "blob": "signed/x"}},
            404,
            "not_found",
        ),
        (
            "Documents_Create",
            {"requestId": "6f0d5c1e-3f0a-4b57-9a53-0c1f2f7d8e11", "file": {"name": "a", "blob": "inbox/../signed/x"}},
            404,
            "not_found",
        ),
    ],
)
async def test_wrong_arguments_are_refused_before_any_call(
    play: Play, operation: str, arguments: dict[str, object], status: int, code: str
) -> None:
    before = len(play.stack.sandbox.calls)
    answered, problem = await run(play, operation, arguments)
    assert (answered, problem["code"]) == (status, code)  # type: ignore[index]
    # The signings of scenarios before this one may still be read back meanwhile.
    made = [one for one in play.stack.sandbox.calls[before:] if one.operation == operation]
    assert [one for one in made if NO_REQUEST in one.path or operation == "Requests_Create"] == []
