"""A plain HTTP client for the simulated Dokobit, written from the contract."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx

from local.sandbox.dokobit import DokobitSandbox
from local.sandbox.pdf import sample_contract

CONTRACT = sample_contract("Lease", ["Ona Jonaite"])
JsonObject = dict[str, Any]


def file(name: str = "lease.pdf", content: bytes = CONTRACT, **more: str) -> JsonObject:
    return {"name": name, "content": base64.b64encode(content).decode()} | more


def digested(name: str = "lease.pdf", content: bytes = CONTRACT) -> JsonObject:
    return file(name, content, digest=hashlib.sha256(content).hexdigest())


def person(number: int = 1, **more: object) -> JsonObject:
    names = {"name": "Ona", "surname": f"Jonaite{number}", "email": f"ona{number}@example.org"}
    return {"external_id": f"p-{number}", **names, **more}


def external(*people: JsonObject, **more: object) -> JsonObject:
    return {"type": "pdf", "name": "Lease", "files": [file()], "signers": list(people) or [person()]} | more


def internal(*people: JsonObject, **more: object) -> JsonObject:
    given = list(people) or [{"external_id": "p-1"}]
    common = {"type": "pdf", "name": "Lease", "files": [file()], "redirect_uri": "https://app.example.org/back"}
    return common | {"signers": given} | more


class Client:
    """Talks to the connector surface; the other one by `universal`."""

    def __init__(self, sandbox: DokobitSandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.AsyncClient(
            base_url=sandbox.connector_url,
            headers={"X-Access-Token": sandbox.access_token},
            timeout=10,
            trust_env=False,
        )

    async def post(self, path: str, body: object = None) -> httpx.Response:
        return await self.http.post(path, json=body) if body is not None else await self.http.post(path)

    async def created(self, body: JsonObject | None = None, flow: str = "external") -> JsonObject:
        answer = await self.post(
            f"/signing-{flow}/create.json", body or (external() if flow == "external" else internal())
        )
        answer.raise_for_status()
        return dict(answer.json())

    async def status(self, token: str, flow: str = "external") -> JsonObject:
        return dict((await self.http.get(f"/signing-{flow}/{token}/status.json")).raise_for_status().json())
