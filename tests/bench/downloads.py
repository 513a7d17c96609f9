"""Download to stored, beside the bare loop: speed and peak memory with an archive of a gibibyte."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from local.azurite import Azurite
from local.sandbox.pdf import sample_contract
from local.sandbox.pkisigning import PkisigningSandbox
from local.stack import ROOT, V1_ACCOUNT, app_settings
from shared import settings as settings_module
from shared.api import signings
from shared.bootstrap import build
from shared.domain.messages import ProviderEvent
from shared.domain.states import Source
from shared.flow import apply
from tests.bench.in_process import order_body
from tests.bench.table import Figure, ratio_figure

_ROUNDS = 3


async def measure(size_bytes: int) -> list[Figure]:
    """Azurite keeps a gibibyte on disk here: in memory it would hold a copy of it for every round."""
    with (
        tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder,
        Azurite.start(location=Path(folder)) as azurite,
    ):
        async with PkisigningSandbox.start() as sandbox:
            return await _rounds(azurite, sandbox, size_bytes)


async def _rounds(azurite: Azurite, sandbox: PkisigningSandbox, size_bytes: int) -> list[Figure]:
    sandbox.options.rate_limit = 1_000_000
    settings = app_settings(azurite, sandbox, 1)
    deployment = build(settings_module.read(settings))
    await deployment.clients.ensure_layout()
    floors, products = [], []
    for _ in range(_ROUNDS):
        signing_id, url, token = await _completed(deployment, sandbox)
        await sandbox.bulk_download(size_bytes, "stored")
        floors.append(
            await _child({"mode": "floor", "connection_string": azurite.connection_string, "url": url, "token": token})
        )
        products.append(await _child({"mode": "product", "settings": settings, "signing_id": signing_id}))
        await sandbox.bulk_download(0)
    await deployment.aclose()
    pairs = [
        tuple(run["size"] / run["seconds"] / 2**20 for run in (product, floor))
        for product, floor in zip(products, floors, strict=True)
    ]
    grown = max(one["grown_mib"] for one in products)
    name = f"download to stored, {size_bytes / 2**30:.2g} GiB zip"
    return [
        ratio_figure(name, [(product, floor) for product, floor in pairs], " MiB/s", 0.85),
        Figure("  its peak memory above the imported app", f"{grown:.0f} MiB", "-", "<= 64 MiB", grown <= 64),
    ]


async def _completed(deployment: Any, sandbox: PkisigningSandbox) -> tuple[str, str, str]:
    """A signing in state completed, and where and how its archive is fetched."""
    body = order_body(sample_contract("Lease", ["Ada Jansen"]), V1_ACCOUNT, "http://127.0.0.1:9/none")
    answer = await signings.start(deployment.app, body, {})
    signing_id, theirs = str(answer.body["id"]), str(answer.body["providerSigningId"])
    await sandbox.complete(theirs)
    event = ProviderEvent(account=V1_ACCOUNT, source=Source.OPERATOR, signing_id=signing_id)
    await apply.run(deployment.app, event, redelivered=False)
    async with httpx.AsyncClient(trust_env=False) as client:
        form = {
            "grant_type": "client_credentials",
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "scope": "pkisigning.platform",
        }
        token = (await client.post(sandbox.token_url, data=form)).json()["access_token"]
    return signing_id, f"{sandbox.base_url}/requests/{theirs}/Download", token


async def _child(order: dict[str, Any]) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.download_child",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps(order).encode())
    if process.returncode != 0:
        raise RuntimeError(err.decode()[-3000:])
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    return result
