"""Runs a module of this package as a process of its own: one JSON object in, one out."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from local.stack import ROOT


async def run_child(module: str, order: dict[str, Any]) -> dict[str, Any]:
    """Raises RuntimeError with the end of its standard error when it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.bench.{module}", cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate(json.dumps(order).encode())
    if process.returncode != 0:
        raise RuntimeError(err.decode()[-3000:])
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result
