"""One download of the simulator's bulk archive into blob storage, in a process of its own, so that its peak memory is
its own. `floor` is the bare loop, `product` is the download stage. Prints one JSON line."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
import uuid

import httpx
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import BlobServiceClient

import function_app
from shared import settings as settings_module
from shared.bootstrap import build
from shared.domain.messages import DownloadDocuments
from shared.flow import download
from tests.bench.memory import peak_mib

BLOCK = 8 * 1024 * 1024


async def floor(connection_string: str, url: str, token: str) -> int:
    """8 MiB blocks, two in flight, one running hash; nothing is checked."""
    digest, size, blocks = hashlib.sha256(), 0, list[BlobBlock]()
    async with (
        BlobServiceClient.from_connection_string(connection_string) as service,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", url, headers={"authorization": f"Bearer {token}"}) as answer,
    ):
        blob = service.get_blob_client("signed", f"floor/{uuid.uuid4()}")
        pending: set[asyncio.Future[object]] = set()
        async for block in answer.aiter_bytes(BLOCK):
            digest.update(block)
            size += len(block)
            block_id = f"{len(blocks):08}"
            blocks.append(BlobBlock(block_id=block_id))
            while len(pending) >= 2:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            pending.add(asyncio.ensure_future(blob.stage_block(block_id, block, len(block))))
        await asyncio.wait(pending)
        await blob.commit_block_list(blocks)
    return size


async def product(settings: dict[str, str], signing_id: str) -> int:
    deployment = build(settings_module.read(settings))
    try:
        await download.run(deployment.app, DownloadDocuments(signing_id=signing_id))
        signing = (await deployment.app.signings.load(signing_id)).signing
        if signing.state.value != "stored":
            raise SystemExit(f"not stored but {signing.state.value}: {signing.download.last_reason}")
        return signing.download.files[0].size
    finally:
        await deployment.aclose()


def main() -> None:
    if function_app.app is None:
        raise SystemExit("the app has to be imported, as its memory is the base line")
    order = json.load(sys.stdin)
    base, began = peak_mib(), time.perf_counter()
    if order["mode"] == "floor":
        size = asyncio.run(floor(order["connection_string"], order["url"], order["token"]))
    else:
        size = asyncio.run(product(order["settings"], order["signing_id"]))
    seconds = time.perf_counter() - began
    print(json.dumps({"size": size, "seconds": seconds, "grown_mib": peak_mib() - base}))


if __name__ == "__main__":
    main()
