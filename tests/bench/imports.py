"""How long a cold start spends on imports."""

from __future__ import annotations

import statistics
import subprocess
import sys

from local.stack import ROOT
from tests.bench.table import Figure

_FLOOR = (
    "import azure.functions, httpx, pydantic, azure.storage.blob.aio, azure.storage.queue.aio, azure.data.tables.aio"
)
_PRODUCT = "import function_app"
_RUNS = 7


def measure() -> list[Figure]:
    """Fresh processes in turn, so that a noisy moment hits both alike; the medians are compared."""
    _seconds(_FLOOR), _seconds(_PRODUCT)
    pairs = [(_seconds(_FLOOR), _seconds(_PRODUCT)) for _ in range(_RUNS)]
    floor, product = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = product / floor
    return [
        Figure(
            "import of function_app", f"{ratio:.2f} x ({product:.2f} s)", f"{floor:.2f} s", "<= 1.35 x", ratio <= 1.35
        )
    ]


def _seconds(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    return float(done.stdout.splitlines()[-1])
