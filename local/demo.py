"""`make demo`: the main job with a real PDF, start to finish, on this machine.

A PDF is sent for signing through a provider (simulated), the signer signs, the provider calls back, the signed
documents are downloaded, checked and stored, and the caller is told. Exit code 0 only if every line of the summary
holds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import io
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from azure.storage.blob.aio import BlobServiceClient

from local.players import PLAYERS, Player
from local.sandbox.pdf import sample_contract
from local.stack import Stack, running_stack

_BEGAN = time.monotonic()
_LIMIT_SECONDS = 60.0


def say(text: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - _BEGAN:5.1f} s] {text}", flush=True)


@dataclass(frozen=True)
class Check:
    """One thing that has to hold."""

    what: str
    holds: bool


@dataclass
class Demo:
    """One signing at one provider, from start to stored."""

    stack: Stack
    client: httpx.AsyncClient
    player: Player

    @property
    def sandbox(self) -> Any:
        return self.stack.sandboxes[self.player.name]

    def order(self, content: bytes) -> dict[str, Any]:
        """What a flow in Power Automate would send."""
        person = {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org", "language": "en"}
        return {
            "account": self.player.account,
            "title": "Lease agreement 2026-17",
            "reference": "lease-2026-17",
            "documents": [{"name": "lease.pdf", "content": base64.b64encode(content).decode()}],
            "participants": [person | dict(self.player.participant)],
            "notify": {"url": self.stack.receiver.url},
        }

    async def start(self) -> dict[str, Any]:
        content = sample_contract("Lease agreement 2026-17", ["Ada Jansen"])
        say(f"{self.player.name}: POST /api/signings with lease.pdf ({len(content):,} bytes)")
        headers = {"Idempotency-Key": f"demo-{self.player.name}"}
        answer = await self.client.post("/api/signings", json=self.order(content), headers=headers)
        if answer.status_code != 201:
            raise SystemExit(f"the signing was not started: {answer.status_code} {answer.text}")
        signing: dict[str, Any] = answer.json()
        theirs = signing["providerSigningId"]
        say(f"signing {signing['id']} is {signing['state']}; {self.player.name} knows it as {theirs}")
        return signing

    async def until_stored(self, signing_id: str) -> dict[str, Any]:
        """Follows the signing until it is stored and its caller knows; says each new state."""
        state, deadline = "started", time.monotonic() + _LIMIT_SECONDS
        while time.monotonic() < deadline:
            signing: dict[str, Any] = (await self.client.get(f"/api/signings/{signing_id}")).json()
            if signing["state"] != state:
                state = signing["state"]
                say(f"signing is {state}")
            if state == "stored" and "stored" in self.stack.receiver.states(signing_id):
                return signing
            await asyncio.sleep(0.2)
        print(self.stack.log_text()[-6000:], file=sys.stderr)
        raise SystemExit(f"the signing is still {state} after {_LIMIT_SECONDS:.0f} s; the app's log ends above")

    async def history(self, signing_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/api/signings/{signing_id}/history")).json()
        return found

    async def checks(self, signing: dict[str, Any]) -> list[Check]:
        """Looks at what really lies in blob storage and what really arrived, not at what the app says of it."""
        theirs = signing["providerSigningId"]
        answers = self.player.callback_answers(self.sandbox, theirs)
        told = set(self.stack.receiver.states(signing["id"]))
        contents = await self._contents(signing)
        signed = [name for name, content in contents.items() if is_signed(content)]
        return [
            Check("the signer was invited exactly once", self.sandbox.invitations_sent(theirs) == 1),
            Check("every callback was answered 200", len(answers) > 0 and set(answers) == {200}),
            Check("the caller was told of started, completed, stored", told == {"started", "completed", "stored"}),
            Check("the history's hash chain is intact", (await self.history(signing["id"]))["intact"]),
            Check("a manifest lies beside the documents", "manifest.json" in contents),
            Check("the signed document carries a real signature", bool(signed)),
            *(
                Check(f"{file['name']} in blob storage has its hash", digest(contents[file["name"]]) == file["sha256"])
                for file in signing["files"]
            ),
        ]

    async def _contents(self, signing: dict[str, Any]) -> dict[str, bytes]:
        found = {}
        async with BlobServiceClient.from_connection_string(self.stack.azurite.connection_string) as blobs:
            for file in signing["files"]:
                container, _, path = file["blob"].partition("/")
                found[file["name"]] = await (await blobs.get_blob_client(container, path).download_blob()).readall()
        return found


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_signed(content: bytes) -> bool:
    """A PDF with exactly one signature in it, bare or in an archive."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(is_signed(archive.read(name)) for name in archive.namelist())
    if not content.startswith(b"%PDF"):
        return False
    from pyhanko.pdf_utils.reader import PdfFileReader  # noqa: PLC0415 (slow to import, needed at the end)

    return len(PdfFileReader(io.BytesIO(content)).embedded_signatures) == 1


def summary(stack: Stack, player: Player, signing: dict[str, Any], moves: Sequence[Any], checks: list[Check]) -> bool:
    print(f"\n== {player.name}: states")
    for entry in moves:
        if entry["kind"] in {"requested", "moved"}:
            print(f"  {entry['at']}  {entry['facts'].get('to', 'requested')}")
    print("Stored")
    for file in signing["files"]:
        print(f"  {file['blob']}\n    {file['size']:>9,} bytes  sha256 {file['sha256']}")
    print("Notifications received")
    for delivery in stack.receiver.deliveries:
        if delivery.event["subject"] == signing["id"]:
            print(f"  {delivery.event['time']}  {delivery.event['type']}")
    print("Checks")
    for check in checks:
        print(f"  {'yes' if check.holds else 'NO '}  {check.what}")
    return all(check.holds for check in checks)


async def run_one(demo: Demo) -> bool:
    signing = await demo.start()
    say("Ada Jansen opens the link in her invitation and signs")
    await demo.sandbox.complete(signing["providerSigningId"])
    stored = await demo.until_stored(signing["id"])
    await demo.sandbox.settle()
    moves = (await demo.history(signing["id"]))["entries"]
    return summary(demo.stack, demo.player, stored, moves, await demo.checks(stored))


async def run(names: Sequence[str], *, keep_open: bool, instances: int = 1) -> bool:
    say("starting the local stack")
    async with running_stack(providers=names, say=say, instances=instances) as stack, stack.client() as client:
        demos = [Demo(stack, client, PLAYERS[name]) for name in names]
        if keep_open:
            return await _leave_open(stack, [(demo, await demo.start()) for demo in demos])
        everything = all([await run_one(demo) for demo in demos])
    print("\nAll of it holds." if everything else "\nSomething does not hold.")
    return everything


async def _leave_open(stack: Stack, started: Sequence[tuple[Demo, dict[str, Any]]]) -> bool:
    print("\nEverything is running. Sign as Ada Jansen, then look at the signing. Ctrl-C ends it all.")
    for demo, signing in started:
        print(f"  {demo.player.name}: sign at {demo.sandbox.base_url}/")
        address = f"{stack.base_url}/api/signings/{signing['id']}"
        print(f"    curl -H 'x-functions-key: {stack.function_key}' {address}")
    print("  (add /history to that address for every move)")
    print(f"  storage: {stack.azurite.connection_string}", flush=True)
    await asyncio.Event().wait()
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--open", action="store_true", help="leave everything running and print the addresses")
    parser.add_argument("--provider", default="pkisigning", choices=[*PLAYERS, "all"])
    parser.add_argument("--instances", type=int, default=1, help="so many app processes behind one address")
    given = parser.parse_args()
    names = list(PLAYERS) if given.provider == "all" else [given.provider]
    with contextlib.suppress(KeyboardInterrupt):
        return 0 if asyncio.run(run(names, keep_open=given.open, instances=max(given.instances, 1))) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
