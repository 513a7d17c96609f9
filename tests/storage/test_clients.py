from __future__ import annotations

import subprocess
import sys

import pytest

from shared.storage.clients import Endpoints, StorageClients


def test_storage_needs_to_know_where_it_is() -> None:
    with pytest.raises(ValueError, match="connection string or endpoints"):
        StorageClients.from_settings()


def test_an_account_name_gives_three_addresses() -> None:
    assert Endpoints.of_account("acme") == Endpoints(
        "https://acme.blob.core.windows.net",
        "https://acme.queue.core.windows.net",
        "https://acme.table.core.windows.net",
    )


@pytest.mark.parametrize("client_id", [None, "11111111-2222-3333-4444-555555555555"])
async def test_an_identity_is_used_and_closed(client_id: str | None) -> None:
    clients = StorageClients.from_settings(endpoints=Endpoints.of_account("acme"), client_id=client_id)
    await clients.aclose()


def test_azure_identity_is_not_imported_for_a_connection_string() -> None:
    look = "import sys, shared.storage.clients; sys.exit('azure.identity' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
