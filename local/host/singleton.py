"""One holder of a name among all hosts on one storage account: a blob lease, as the platform keeps it (guide C3)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from pathlib import Path

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobLeaseClient, ContainerClient

from local.host import environment

logger = logging.getLogger("host.singleton")

CONTAINER = "azure-webjobs-hosts"
LEASE_SECONDS = 60
RECOVERY_SECONDS = 60.0


def host_id(app_dir: Path) -> str:
    """Hosts with the same id are instances of one app."""
    chosen = environment.setting("AzureFunctionsWebHost__hostid")
    return chosen or hashlib.sha256(str(app_dir.resolve()).encode()).hexdigest()[:32]


def lock_blob(app_dir: Path, function: str) -> str:
    """The name of the blob on which the lease for a function's listener lies."""
    return f"locks/{host_id(app_dir)}/Host.Functions.{function}.Listener"


class Singleton:
    """Keeps asking for the lease on one blob. Between `keep` and its end, `is_held` says whether this host has it."""

    def __init__(self, connection_string: str, blob: str, recovery_seconds: float = RECOVERY_SECONDS) -> None:
        # Short retries: the loop itself comes back.
        self._container = ContainerClient.from_connection_string(connection_string, CONTAINER, retry_total=0)
        self._blob = self._container.get_blob_client(blob)
        self._recovery_seconds = recovery_seconds
        self._lease: BlobLeaseClient | None = None
        self._held_until = 0.0

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

    async def keep(self, stopping: asyncio.Event) -> None:
        """Take the lease when it is free and renew it at half-life, until `stopping`; then give it back."""
        while not stopping.is_set():
            await self._take_or_renew()
            pause = self._recovery_seconds if self._lease is None else LEASE_SECONDS / 2
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stopping.wait()
        await self._give_back()

    async def _take_or_renew(self) -> None:
        asked_at = time.monotonic()
        try:
            if self._lease is None:
                self._lease = await self._take()
                logger.info("lock_taken", extra={"blob": self._blob.blob_name})
            else:
                await self._lease.renew()
            self._held_until = asked_at + LEASE_SECONDS
        except HttpResponseError:  # somebody else's, at least from now on
            self._lease, self._held_until = None, 0.0
        except AzureError as error:  # no answer: what was granted stands until its time is up
            logger.warning("lock_unreachable", extra={"blob": self._blob.blob_name, "error": type(error).__name__})

    async def _take(self) -> BlobLeaseClient:
        try:
            return await self._blob.acquire_lease(LEASE_SECONDS)
        except ResourceNotFoundError:
            await self._create()
            return await self._blob.acquire_lease(LEASE_SECONDS)

    async def _create(self) -> None:
        with contextlib.suppress(ResourceExistsError):
            await self._container.create_container()
        with contextlib.suppress(ResourceExistsError):
            await self._blob.upload_blob(b"")

    async def _give_back(self) -> None:
        with contextlib.suppress(AzureError):
            if self._lease is not None:
                await self._lease.release()
        self._lease, self._held_until = None, 0.0
        await self._blob.close()
        await self._container.close()
