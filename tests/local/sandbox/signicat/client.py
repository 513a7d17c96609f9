"""A plain HTTP client for these tests: the calls a careful integrator would make, with sensible bodies to vary."""

from __future__ import annotations

from typing import Any

import httpx

from local.sandbox.pdf import sample_contract
from local.sandbox.signicat import SignicatSandbox

JsonObject = dict[str, Any]
CONTRACT = sample_contract("Lease 2024-17", ["Ada Jansen", "Bob de Vries"])


def url_notice(name: str, url: str, *triggers: str) -> JsonObject:
    schedule = {"schedule": [{"triggerStatus": one} for one in triggers]} if triggers else {}
    return {"id": name, "recipient": url, "message": "callback", "type": "URL"} | schedule


def task(number: int, document_ref: str, **changes: object) -> JsonObject:
    document = {"id": "doc", "action": "SIGN", "source": "SESSION", "documentRef": document_ref}
    return {
        "id": f"task-{number}",
        "documents": [document],
        "signatureMethods": [{"name": "nbid-sign", "type": "SIGNED_STATEMENT"}],
        "daysToLive": 7,
    } | changes


def order(*tasks: JsonObject, **changes: object) -> JsonObject:
    """An order with one packaging task over the first document of all tasks."""
    parts = [{"taskId": one["id"], "documentIds": [one["documents"][0]["id"]]} for one in tasks]
    package = {"id": "package", "method": "pades", "documents": parts}
    return {"clientReference": "case-1", "tasks": list(tasks), "packagingTasks": [package]} | changes


class Client:
    def __init__(self, sandbox: SignicatSandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.AsyncClient(base_url=sandbox.api_url, timeout=10)

    async def __aenter__(self) -> Client:
        answer = (await self.token()).raise_for_status().json()
        self.http.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def token(self, auth: tuple[str, str] | None = None, **form: str) -> httpx.Response:
        known = (self.sandbox.client_id, self.sandbox.client_secret)
        fields = {"grant_type": "client_credentials", "scope": "signicat-api"} | form
        return await self.http.post(self.sandbox.token_url, data=fields, auth=auth or known)

    async def upload(self, content: bytes = CONTRACT, media_type: str = "application/pdf") -> httpx.Response:
        return await self.http.post("/documents", content=content, headers={"Content-Type": media_type})

    async def uploaded(self) -> str:
        return str((await self.upload()).raise_for_status().json()["documentId"])

    async def ordered(self, body: JsonObject) -> JsonObject:
        made: JsonObject = (await self.http.post("/orders", json=body)).raise_for_status().json()
        return made

    async def status(self, order_id: str, number: int = 1) -> str:
        answer = await self.http.get(f"/orders/{order_id}/tasks/task-{number}/status")
        return str(answer.raise_for_status().json()["taskStatus"])
