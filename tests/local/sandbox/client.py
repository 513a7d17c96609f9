"""A plain HTTP client for these tests: the calls a careful integrator would make, with sensible bodies to vary."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from local.sandbox.pdf import sample_contract
from local.sandbox.pkisigning import PkisigningSandbox

JsonObject = dict[str, Any]
CONTRACT = sample_contract("Lease 2024-17", ["Ada Jansen", "Bob de Vries"])


def deadline(days: float = 7) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat().replace("+00:00", "Z")


def signer(number: int = 1, **changes: object) -> JsonObject:
    """SignerModel of the number-th signer; rising numbers have rising deadlines."""
    return {
        "action": "Sign", "firstname": "Ada", "lastname": f"Jansen {number}", "email": f"ada{number}@example.org",
        "mobile": "+31600000000", "deadline": deadline(number), "language": "EN", "validateRealIdentity": False,
        "placeholder": f"_signer{number}_", "sigFieldX": 0, "sigFieldY": 0, "sigFieldH": 0, "sigFieldW": 0,
    } | changes  # fmt: skip


def start_body(callback_url: str | None = None, **changes: object) -> JsonObject:
    """StartSignFlow with one document, one signer and one recipient."""
    person = {
        "ordinal": 1, "deadline": deadline(), "firstname": "Bob", "lastname": "Bakker", "mobile": "0612345678",
        "email": "bob@example.org", "language": "nl",
    }  # fmt: skip
    document = {
        "contents": base64.b64encode(CONTRACT).decode(), "filename": "lease.pdf", "name": "Lease", "mimeType": 1,
        "documentType": 1, "signers": [person | {"placeholder": "_signer1_"}],
        "recipients": [person | {"ordinal": 2, "email": "carol@example.org", "deadline": deadline(9)}],
    }  # fmt: skip
    return {"documents": [document], "callbackUrl": callback_url, "dossierName": "Lease of 2024"} | changes


class Client:
    def __init__(self, sandbox: PkisigningSandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.AsyncClient(base_url=sandbox.base_url, timeout=10)

    async def __aenter__(self) -> Client:
        await self.authorise(refresh_token=self.sandbox.refresh_token)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def token(self, grant_type: str = "refresh_token", **form: str) -> httpx.Response:
        known = {"client_id": self.sandbox.client_id, "client_secret": self.sandbox.client_secret}
        return await self.http.post("/connect/token", data={"grant_type": grant_type} | known | form)

    async def authorise(self, grant_type: str = "refresh_token", **form: str) -> JsonObject:
        answer: JsonObject = (await self.token(grant_type, **form)).raise_for_status().json()
        self.http.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return answer

    async def create(self, **changes: object) -> str:
        body = {"name": "Lease 2024-17", "clearancelevel": 1} | changes
        return str((await self.http.post("/requests", json=body)).raise_for_status().json()["id"])

    async def upload(self, request_id: str, content: bytes = CONTRACT, name: str = "lease.pdf") -> httpx.Response:
        return await self.http.post(f"/requests/{request_id}/documents", files={"file": (name, content)})

    async def add(self, request_id: str, document_id: str, body: JsonObject) -> httpx.Response:
        return await self.http.post(f"/requests/{request_id}/documents/{document_id}/Actors", json=body)

    async def prepared(self, *signers: JsonObject, **changes: object) -> tuple[str, str]:
        """A request with one document and the signers (one by default), not sent. Request id and document id."""
        request_id = await self.create(**changes)
        document_id = str((await self.upload(request_id)).raise_for_status().json()["id"])
        for body in signers or (signer(),):
            (await self.add(request_id, document_id, body)).raise_for_status()
        return request_id, document_id

    async def sent(self, *signers: JsonObject) -> str:
        request_id, _ = await self.prepared(*signers)
        (await self.http.post(f"/requests/{request_id}/Send")).raise_for_status()
        return request_id

    async def status(self, request_id: str) -> str:
        return str((await self.http.get(f"/requests/{request_id}")).raise_for_status().json()["status"])


class Receiver:
    """A callback address: keeps what arrives, raw, and answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the receiver is not running")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/callbacks?x=1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head if line)}
        # Reads exactly Content-Length bytes: a chunked body would arrive here as nothing.
        self.arrived.append((headers, await reader.readexactly(int(headers.get("content-length", "0")))))
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
