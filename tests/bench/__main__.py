"""`make bench`. `--small` uses a 64 MiB archive instead of 1 GiB."""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys

from local.azurite import Azurite
from tests.bench import callbacks, calls, downloads, imports, reconciling, starts
from tests.bench.table import Figure, show


async def run(*, small: bool) -> list[Figure]:
    figures: list[Figure] = []
    print("imports ...", flush=True)
    figures += imports.measure()
    with Azurite.start() as azurite:
        print("callbacks ...", flush=True)
        figures += await callbacks.measure(azurite)
        figures += await callbacks.measure_unsigned(azurite)
        print("starts ...", flush=True)
        figures += await starts.measure(azurite)
    # A fresh one: the callbacks above have left thousands of messages behind.
    with Azurite.start() as azurite:
        print("storage calls ...", flush=True)
        counted, lines = await calls.measure(azurite)
        figures += counted
    with Azurite.start() as few, Azurite.start() as many:
        print("reconcile ...", flush=True)
        counted, breakdown = await reconciling.measure(few, many)
        figures += counted
        lines += breakdown
    print("downloads ...", flush=True)
    figures += await downloads.measure(64 * 2**20 if small else 2**30)
    print(f"\nPython {platform.python_version()}, shared cores: compare the ratios only\n")
    show(figures)
    print("", *lines, sep="\n")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--small", action="store_true")
    logging.disable(logging.WARNING)
    figures = asyncio.run(run(small=parser.parse_args().small))
    return 0 if all(one.holds is not False for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
