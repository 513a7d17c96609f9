"""What a scenario does and sees: as a caller, as the signers, and as someone who looks into storage."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import secrets
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from azure.storage.blob.aio import BlobServiceClient

from local.players import V2_ACCOUNT
from local.sandbox.pdf import sample_contract
from local.stack import Stack

# Only a failing test waits so long: machines that run the tests may be slow and busy.
PATIENCE_SECONDS = 90.0
CONTRACT = sample_contract("Lease 2026-17", ["Ada Jansen", "Ben de Vries"])


def person(number: int = 1, **changes: Any) -> dict[str, Any]:
    names = {1: ("Ada", "Jansen"), 2: ("Ben", "Vries")}
    given, family = names[number]
    made = {
        "givenName": given,
        "familyName": family,
        "email": f"{given.lower()}@example.org",
        "phone": f"+3160000000{number}",
        "order": number,
        "placements": [{"text": f"_signer{number}_"}],
    }
    return made | changes


@dataclass
class Play:
    stack: Stack
    client: httpx.AsyncClient

    def order(self, account: str = V2_ACCOUNT, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "account": account,
            "title": "Lease 2026-17",
            # The same reference with the same document would be the same order.
            "reference": f"lease-{secrets.token_hex(6)}",
            "documents": [{"name": "lease.pdf", "content": base64.b64encode(CONTRACT).decode()}],
            "participants": [person()],
            "notify": {"url": self.stack.receiver.url},
        }
        return made | changes

    async def post(self, content: object, **headers: str) -> httpx.Response:
        return await self.client.post("/api/signings", json=content, headers=headers)

    async def start(self, account: str = V2_ACCOUNT, **changes: Any) -> dict[str, Any]:
        """A signing that was taken in; its state is whatever the answer said."""
        answer = await self.post(self.order(account, **changes))
        assert answer.status_code == 201, answer.text
        signing: dict[str, Any] = answer.json()
        return signing

    async def put_into_inbox(self, path: str, content: bytes = CONTRACT) -> str:
        """As a caller does; the address of the blob."""
        assert (await self.client.get("/api/health")).status_code == 200  # the first use makes the containers
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as blobs:
            await blobs.get_blob_client("inbox", path).upload_blob(content, overwrite=True)
        return f"inbox/{path}"

    async def clear_from_inbox(self, path: str) -> None:
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as blobs:
            await blobs.get_blob_client("inbox", path).delete_blob()

    async def get(self, signing_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/signings/{signing_id}")
        assert answer.status_code == 200, answer.text
        signing: dict[str, Any] = answer.json()
        return signing

    async def history(self, signing_id: str) -> list[dict[str, Any]]:
        """The entries; that their chain of hashes holds is checked on the way."""
        answer = (await self.client.get(f"/api/signings/{signing_id}/history")).json()
        assert answer["intact"]
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    async def until(self, signing_id: str, state: str) -> dict[str, Any]:
        """The signing once it is in that state."""
        return await self.until_it(signing_id, lambda signing: bool(signing["state"] == state))

    async def until_it(self, signing_id: str, condition: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            signing = await self.get(signing_id)
            if condition(signing):
                return signing
            assert time.monotonic() < deadline, f"{signing}\n{self.stack.host.log_text()[-5000:]}"
            await asyncio.sleep(0.1)

    async def told(self, signing_id: str, *states: str) -> None:
        """Waits until the caller knows exactly these states, in any order (queues do not keep one)."""
        with contextlib.suppress(TimeoutError):
            await self.stack.receiver.wait_for(
                lambda: len(self.stack.receiver.states(signing_id)) >= len(states), PATIENCE_SECONDS
            )
        assert sorted(self.stack.receiver.states(signing_id)) == sorted(states)

    async def reconcile(self) -> None:
        assert await self.stack.host.run_function("reconcile_signings")

    async def reconcile_while_started(self, signing_id: str) -> None:
        """Reconcile looks at what is due: that takes its time, and a signing may be looked at more than once."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (await self.get(signing_id))["state"] == "started":
            assert time.monotonic() < deadline, self.stack.host.log_text()[-5000:]
            await self.reconcile()
            await asyncio.sleep(0.5)

    async def keep_house(self) -> None:
        assert await self.stack.host.run_function("housekeeping")

    async def blob(self, address: str) -> bytes:
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as blobs:
            container, _, path = address.partition("/")
            content: bytes = await (await blobs.get_blob_client(container, path).download_blob()).readall()
            return content

    async def blobs_of(self, signing_id: str, container: str) -> list[str]:
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as blobs:
            names = [item.name async for item in blobs.get_container_client(container).list_blobs()]
        return [name for name in names if signing_id in name]

    async def check_no_pdf_is_refused(self, order: dict[str, Any], made: Callable[[], int]) -> None:
        """A file that is none is named, and neither we nor the provider (`made` counts there) know of the order after
        that: its key is still free for the right file."""
        key = {"Idempotency-Key": secrets.token_hex(8)}
        wrong = {"name": "lease.pdf", "content": base64.b64encode(b"<html>Sign in first</html>").decode()}
        before = made(), self._taken_in()
        answer = await self.post(order | {"documents": [wrong]}, **key)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "invalid_request")
        assert [one["field"] for one in problem["errors"]] == ["documents[0].content"]
        assert "neither a PDF" in problem["errors"][0]["message"]
        assert "signingId" not in problem
        assert (made(), self._taken_in()) == before
        right = await self.post(order, **key)
        assert right.status_code == 201, right.text
        assert "idempotency-replayed" not in right.headers
        assert self._taken_in() == before[1] + 1

    def _taken_in(self) -> int:
        return self.stack.log_text().count('"event": "signing_requested"')

    async def check_stored(self, signing: dict[str, Any]) -> None:
        """An archive and a manifest, with the sizes and hashes they are said to have, and nothing staged any more."""
        assert {file["kind"] for file in signing["files"]} == {"archive", "manifest"}
        for file in signing["files"]:
            content = await self.blob(file["blob"])
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
            if file["kind"] == "archive":
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    assert archive.testzip() is None
                    assert any(b"/ByteRange" in archive.read(name) for name in archive.namelist())
        assert len(await self.blobs_of(signing["id"], "signed")) == 2
        assert await self.blobs_of(signing["id"], "staging") == []

    def invitations(self, signing: dict[str, Any]) -> int:
        return self.stack.sandbox.invitations_sent(signing["providerSigningId"])
