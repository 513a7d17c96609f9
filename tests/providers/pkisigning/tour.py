"""One walk through every operation of the table, by the real client, over HTTP, against the simulator."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from local.sandbox.pkisigning import PkisigningSandbox
from shared.ports import OperationFile, SigningProvider
from tests.contracts.through_the_app import ThroughTheApp
from tests.providers.pkisigning.samples import DOCX_BYTES, NOW, PDF_BYTES

Operator = SigningProvider | ThroughTheApp

PERSON = {
    "action": "Sign",
    "firstname": "Ada",
    "prefix": "van",
    "lastname": "Jansen",
    "email": "ada@example.org",
    "mobile": "+31600000000",
    "deadline": NOW + timedelta(days=7),
    "language": "EN",
    "validateRealIdentity": False,
}
PLACE = {"placeholder": "_signer1_", "sigFieldX": 0, "sigFieldY": 0, "sigFieldH": 0, "sigFieldW": 0}


async def run(provider: Operator, name: str, **arguments: object) -> Any:
    async with provider.operate(name, arguments) as answer:
        if answer.download is not None:
            return b"".join([chunk async for chunk in answer.download.chunks])
        return answer.content


async def tour_v2(provider: Operator, sandbox: PkisigningSandbox) -> None:
    body = {"name": "Lease 2030-17", "clearancelevel": 1}
    request_id = (await run(provider, "Requests_Create", body=body))["id"]
    await run(provider, "Requests_Update", requestId=request_id, body=body | {"name": "Lease 2030-18"})
    await _documents(provider, request_id)
    await _actors(provider, request_id)
    await run(provider, "Requests_Send", requestId=request_id)
    await run(provider, "Requests_Get", requestId=request_id)
    await run(provider, "Actors_RequestActors", requestId=request_id, hasActed=False)
    await run(provider, "Actors_ResendCurrentInvite", requestId=request_id)
    await sandbox.complete(request_id)
    assert (await run(provider, "Requests_Download", requestId=request_id)).startswith(b"PK")
    await run(provider, "Requests_Delete", requestId=request_id)
    await _organisation(provider)


async def _documents(provider: Operator, request_id: str) -> None:
    file = OperationFile("lease.docx", "application/octet-stream", DOCX_BYTES)
    converted = (await run(provider, "Documents_Create", requestId=request_id, file=file))["id"]
    ids = {"requestId": request_id, "documentId": converted}
    await run(provider, "Documents_GetDocumentStatus", **ids)
    await run(provider, "Documents_Delete", **ids)
    pdf = OperationFile("lease.pdf", "application/pdf", PDF_BYTES)
    document = (await run(provider, "Documents_Create", requestId=request_id, file=pdf))["id"]
    ids = {"requestId": request_id, "documentId": document}
    await run(provider, "Documents_Get", **ids)
    change = {"name": "Lease", "filename": "lease.pdf", "documentType": "RegularPdf"}
    await run(provider, "Documents_Update", **ids, body=change)


async def _actors(provider: Operator, request_id: str) -> None:
    request = await run(provider, "Requests_Get", requestId=request_id)
    ids = {"requestId": request_id, "documentId": request["documents"][0]["id"]}
    actor = (await run(provider, "Actors_Create", **ids, body=PERSON | PLACE))["id"]
    await run(provider, "Actors_Get", **ids, actorId=actor)
    await run(provider, "Actors_Update", **ids, actorId=actor, body=PERSON | {"lastname": "Visser"})
    surplus = PERSON | {"action": "Download", "sigFieldX": 0, "sigFieldY": 0, "sigFieldH": 0, "sigFieldW": 0}
    other = (await run(provider, "Actors_Create", **ids, body=surplus))["id"]
    await run(provider, "Actors_Delete", **ids, actorId=other)
    await run(provider, "Actors_List", **ids, hasActed=False)


async def _organisation(provider: Operator) -> None:
    organisation = (await run(provider, "Organisations_GetOrganisationOfCurrentUser"))[0]["id"]
    await run(provider, "Organisations_GetWorkgroups", organisationId=organisation)
    user = {"username": "ada@example.org"}
    await run(provider, "Organisations_GetWorkgroupsByUser", organisationId=organisation, body=user)
    webhook = {"Events": ["status"], "Config": {"url": "http://127.0.0.1:9/cb"}, "Active": True}
    await run(provider, "Webhooks_CreateWebhook", organisationId=organisation, body=webhook)
    withdrawn = (await run(provider, "Requests_Create", body={"name": "Withdrawn", "clearancelevel": 1}))["id"]
    file = OperationFile("lease.pdf", "application/pdf", PDF_BYTES)
    document = (await run(provider, "Documents_Create", requestId=withdrawn, file=file))["id"]
    await run(provider, "Actors_Create", requestId=withdrawn, documentId=document, body=PERSON | PLACE)
    await run(provider, "Requests_Send", requestId=withdrawn)
    await run(provider, "Actors_WithdrawCurrentInvite", requestId=withdrawn)


async def tour_v1(provider: Operator, sandbox: PkisigningSandbox) -> None:
    """The three calls whose wire form is not public go as the table has them (spec pkisigning 2.3 to 2.5)."""
    started = await run(provider, "Share_StartSignFlow", body=_flow())
    pkis_id = str(started).split('"')[3] if '"' in str(started) else str(started)
    await run(provider, "Share_GetWorkgroupWithClearanceLevel")
    await sandbox.complete(pkis_id)
    assert (await run(provider, "Share_RetrieveDocument", pkisId=pkis_id)).startswith(b"PK")
    await run(provider, "Share_RemoveDocument", pkisId=pkis_id)


def _flow() -> dict[str, Any]:
    signer = {
        "ordinal": 1,
        "deadline": NOW + timedelta(days=7),
        "firstname": "Ada",
        "lastname": "Jansen",
        "mobile": "0600000000",
        "email": "ada@example.org",
        "placeholder": "_signer1_",
        "extendedIdentityVerification": False,
        "language": "nl",
    }
    document = {
        "contents": base64.b64encode(PDF_BYTES).decode(),
        "filename": "lease.pdf",
        "name": "Lease",
        "mimeType": 1,
        "documentType": 1,
        "signers": [signer],
    }
    return {"documents": [document], "dossierName": "Lease 2030-17", "callbackUrl": "http://127.0.0.1:9/cb"}
