"""What the start of a signing with a 10 MiB PDF costs in memory, per provider, from the staged document on."""

from __future__ import annotations

from local.azurite import Azurite
from local.players import PLAYERS
from local.sandbox.pdf import sample_contract
from tests.bench.child import run_child
from tests.bench.in_process import InProcess, running_in_process
from tests.bench.table import Figure

_SIZE = 10 * 2**20
# These take raw or multipart bytes; the others want base64 in JSON.
_RAW = frozenset({"pki", "signicat"})


async def measure(azurite: Azurite) -> list[Figure]:
    figures = []
    for name in PLAYERS:
        async with running_in_process(azurite, name) as product:
            for account in product.player.accounts(product.sandbox):
                figures.append(await _one(product, account))
    return figures


async def _one(product: InProcess, account: str) -> Figure:
    async def staged(content: bytes) -> str:
        answer = await product.start(content, account, prefer="respond-async")
        return str(answer["id"])

    small = sample_contract("Lease", ["Ada Jansen"])
    order = {"settings": product.settings, "warm_up": await staged(small), "signing_id": await staged(large(small))}
    grown = (await run_child("start_child", order))["grown_mib"]
    reach = 32 if account in _RAW else 4 * _SIZE / 2**20
    name = f"start with a 10 MiB PDF, {account}: memory"
    return Figure(name, f"{grown:.0f} MiB", "-", f"<= {reach:.0f} MiB", grown <= reach)


def large(pdf: bytes) -> bytes:
    """The same PDF, ten mebibytes long: a comment behind it, and its end once more."""
    end = b"\n" + pdf[pdf.rindex(b"startxref") :]
    return pdf + b"\n%" + b"x" * (_SIZE - len(pdf) - len(end) - 2) + end
