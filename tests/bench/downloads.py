"""Download to stored, beside the bare loop: speed and peak memory with an archive of a gibibyte."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx

from local.azurite import Azurite
from local.players import V1_ACCOUNT
from local.sandbox.pdf import sample_contract
from shared.domain.messages import ProviderEvent
from shared.domain.states import Source
from shared.flow import apply
from tests.bench.child import run_child
from tests.bench.in_process import InProcess, running_in_process
from tests.bench.table import Figure, ratio_figure

_ROUNDS = 3


async def measure(size_bytes: int) -> list[Figure]:
    """Azurite keeps a gibibyte on disk here: in memory it would hold a copy of it for every round."""
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder, Azurite.start(Path(folder)) as azurite:
        async with running_in_process(azurite) as product:
            return await _rounds(product, size_bytes)


async def _rounds(product: InProcess, size_bytes: int) -> list[Figure]:
    pairs, grown = [], 0.0
    for _ in range(_ROUNDS):
        signing_id, url, token = await _completed(product)
        await product.sandbox.bulk_download(size_bytes, "stored")
        connection_string = product.azurite.connection_string
        floor = await run_child(
            "download_child", {"mode": "floor", "connection_string": connection_string, "url": url, "token": token}
        )
        order = {"mode": "product", "settings": product.settings, "signing_id": signing_id}
        measured = await run_child("download_child", order)
        await product.sandbox.bulk_download(0)
        pairs.append((_speed(measured), _speed(floor)))
        grown = max(grown, measured["grown_mib"])
    name = f"download to stored, {size_bytes / 2**30:.2g} GiB zip"
    return [
        ratio_figure(name, pairs, " MiB/s", 0.85),
        Figure("  its peak memory above the imported app", f"{grown:.0f} MiB", "-", "<= 64 MiB", grown <= 64),
    ]


def _speed(run: dict[str, Any]) -> float:
    return float(run["size"]) / float(run["seconds"]) / 2**20


async def _completed(product: InProcess) -> tuple[str, str, str]:
    """A signing in state completed, and where and how its archive is fetched."""
    sandbox, app = product.sandbox, product.deployment.app
    signing = await product.start(sample_contract("Lease", ["Ada Jansen"]), V1_ACCOUNT)
    theirs = signing["providerSigningId"]
    await sandbox.complete(theirs)
    event = ProviderEvent(account=V1_ACCOUNT, source=Source.OPERATOR, signing_id=signing["id"])
    await apply.run(app, event, redelivered=False)
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "scope": "pkisigning.platform",
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        token = (await client.post(sandbox.token_url, data=form)).json()["access_token"]
    return signing["id"], f"{sandbox.base_url}/requests/{theirs}/Download", token
