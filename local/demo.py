"""`make demo`: the main job with a real PDF, start to finish, on this machine.

A PDF is sent for signing through PKIsigning (simulated), the signer signs, PKIsigning calls back with a genuine
signature, the signed documents are downloaded, checked and stored, and the caller is told. Exit code 0 only if every
line of the summary holds.
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
from dataclasses import dataclass
from typing import Any

import httpx
from azure.storage.blob.aio import BlobServiceClient

from local.sandbox.pdf import sample_contract
from local.stack import V2_ACCOUNT, Stack, running_stack

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


def order(stack: Stack, content: bytes, account: str = V2_ACCOUNT) -> dict[str, Any]:
    """What a flow in Power Automate would send."""
    return {
        "account": account,
        "title": "Lease agreement 2026-17",
        "reference": "lease-2026-17",
        "documents": [{"name": "lease.pdf", "content": base64.b64encode(content).decode()}],
        "participants": [
            {
                "givenName": "Ada",
                "familyName": "Jansen",
                "email": "ada@example.org",
                "phone": "+31600000001",
                "language": "en",
                "placements": [{"text": "_signer1_"}],
            }
        ],
        "notify": {"url": stack.receiver.url},
    }


async def start(client: httpx.AsyncClient, stack: Stack) -> dict[str, Any]:
    content = sample_contract("Lease agreement 2026-17", ["Ada Jansen"])
    say(f"start: POST /api/signings with lease.pdf ({len(content):,} bytes)")
    answer = await client.post(
        "/api/signings", json=order(stack, content), headers={"Idempotency-Key": "demo-lease-2026-17"}
    )
    if answer.status_code != 201:
        raise SystemExit(f"the signing was not started: {answer.status_code} {answer.text}")
    signing: dict[str, Any] = answer.json()
    say(f"signing {signing['id']} is {signing['state']}; PKIsigning knows it as {signing['providerSigningId']}")
    return signing


async def until_stored(client: httpx.AsyncClient, stack: Stack, signing_id: str) -> dict[str, Any]:
    """Follows the signing until it is stored and its caller knows; says each new state."""
    state, deadline = "started", time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        signing: dict[str, Any] = (await client.get(f"/api/signings/{signing_id}")).json()
        if signing["state"] != state:
            state = signing["state"]
            say(f"signing is {state}")
        if state == "stored" and "stored" in stack.receiver.states(signing_id):
            return signing
        await asyncio.sleep(0.2)
    print(stack.host.log_text()[-6000:], file=sys.stderr)
    raise SystemExit(f"the signing is still {state} after {_LIMIT_SECONDS:.0f} s; the end of the app's log is above")


async def verify(stack: Stack, signing: dict[str, Any], history: dict[str, Any]) -> list[Check]:
    """Looks at what really lies in blob storage and what really arrived, not at what the app says of it."""
    checks = [
        Check(
            "the invitation went out exactly once", stack.sandbox.invitations_sent(signing["providerSigningId"]) == 1
        ),
        Check("the callback was verified and answered 200", _callback_answered(stack, signing)),
        Check("the caller was told of started, completed, stored", _told_everything(stack, signing)),
        Check("the history's hash chain is intact", history["intact"]),
        Check("a manifest lies beside the archive", any(file["kind"] == "manifest" for file in signing["files"])),
    ]
    async with BlobServiceClient.from_connection_string(stack.azurite.connection_string) as blobs:
        for file in signing["files"]:
            container, _, path = file["blob"].partition("/")
            content = await (await blobs.get_blob_client(container, path).download_blob()).readall()
            digest = hashlib.sha256(content).hexdigest()
            checks.append(Check(f"{file['name']} in blob storage has its hash", digest == file["sha256"]))
            if file["kind"] == "archive":
                checks.append(Check("lease.pdf in the archive carries a PDF signature", _is_signed(content)))
    return checks


def _callback_answered(stack: Stack, signing: dict[str, Any]) -> bool:
    sent = [one for one in stack.sandbox.callbacks_sent if one.request_id == signing["providerSigningId"]]
    return bool(sent) and all(status == 200 for one in sent for status in one.answers)


def _told_everything(stack: Stack, signing: dict[str, Any]) -> bool:
    return set(stack.receiver.states(signing["id"])) == {"started", "completed", "stored"}


def _is_signed(archive: bytes) -> bool:
    from pyhanko.pdf_utils.reader import PdfFileReader  # noqa: PLC0415 (slow to import, needed once)

    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        name = next(name for name in opened.namelist() if name.startswith("lease"))
        return len(PdfFileReader(io.BytesIO(opened.read(name))).embedded_signatures) == 1


def summary(stack: Stack, signing: dict[str, Any], history: dict[str, Any], checks: list[Check]) -> bool:
    print("\nStates")
    for entry in history["entries"]:
        if entry["kind"] in {"requested", "moved"}:
            print(f"  {entry['at']}  {entry['facts'].get('to', 'requested')}")
    print("\nStored")
    for file in signing["files"]:
        print(f"  {file['blob']}\n    {file['size']:>9,} bytes  sha256 {file['sha256']}")
    print("\nNotifications received")
    for delivery in stack.receiver.deliveries:
        print(f"  {delivery.event['time']}  {delivery.event['type']}")
    print("\nChecks")
    for check in checks:
        print(f"  {'yes' if check.holds else 'NO '}  {check.what}")
    everything = all(check.holds for check in checks)
    print("\nAll of it holds." if everything else "\nSomething does not hold.")
    return everything


async def run(*, keep_open: bool) -> bool:
    say("starting the local stack")
    async with running_stack(say=say) as stack, stack.client() as client:
        signing = await start(client, stack)
        if keep_open:
            return await _leave_open(stack, signing)
        say("Ada Jansen opens the link in her invitation and signs")
        await stack.sandbox.complete(signing["providerSigningId"])
        stored = await until_stored(client, stack, signing["id"])
        await stack.sandbox.settle()
        history = (await client.get(f"/api/signings/{signing['id']}/history")).json()
        return summary(stack, stored, history, await verify(stack, stored, history))


async def _leave_open(stack: Stack, signing: dict[str, Any]) -> bool:
    print("\nEverything is running. Sign as Ada Jansen here, then look at the signing. Ctrl-C ends it all.")
    print(f"  signing page   {stack.sandbox.base_url}/")
    print(
        f"  the signing    curl -H 'x-functions-key: {stack.host.function_key}' "
        f"{stack.host.base_url}/api/signings/{signing['id']}"
    )
    print("  its history    the same address with /history")
    print(f"  storage        {stack.azurite.connection_string}", flush=True)
    await asyncio.Event().wait()
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--open", action="store_true", help="leave everything running and print the addresses")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        return 0 if asyncio.run(run(keep_open=given.open)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
