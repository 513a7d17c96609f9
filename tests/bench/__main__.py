"""`make bench`. `--small` uses a 64 MiB archive instead of 1 GiB; `--only backlog` measures that one group."""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping

from local.azurite import Azurite
from tests.bench import backlog, callbacks, calls, downloads, imports, reconciling, starts
from tests.bench.table import Figure, show

# Figures, and lines of detail to print below the table.
Measured = tuple[list[Figure], list[str]]
_ARCHIVE_BYTES = 2**30


async def _imports() -> Measured:
    return imports.measure(), []


async def _callbacks() -> Measured:
    with Azurite.start() as azurite:
        return [*await callbacks.measure(azurite), *await callbacks.measure_unsigned(azurite)], []


async def _starts() -> Measured:
    with Azurite.start() as azurite:
        return await starts.measure(azurite), []


async def _calls() -> Measured:
    with Azurite.start() as azurite:
        return await calls.measure(azurite)


async def _reconcile() -> Measured:
    with Azurite.start() as few, Azurite.start() as many:
        return await reconciling.measure(few, many)


async def _backlog() -> Measured:
    with Azurite.start() as azurite:
        return await backlog.measure(azurite), []


def _groups(archive_bytes: int) -> Mapping[str, Callable[[], Awaitable[Measured]]]:
    """Each has an emulator of its own: it slows down with what others leave behind."""

    async def _downloads() -> Measured:
        return await downloads.measure(archive_bytes), []

    return {
        "imports": _imports,
        "callbacks": _callbacks,
        "starts": _starts,
        "calls": _calls,
        "reconcile": _reconcile,
        "backlog": _backlog,
        "downloads": _downloads,
    }


async def run(*, small: bool, only: str | None) -> list[Figure]:
    figures, lines = list[Figure](), list[str]()
    for name, measure in _groups(64 * 2**20 if small else _ARCHIVE_BYTES).items():
        if only in (None, name):
            print(f"{name} ...", flush=True)
            found, detail = await measure()
            figures += found
            lines += detail
    print(f"\nPython {platform.python_version()}, shared cores: compare the ratios only\n")
    show(figures)
    print("", *lines, sep="\n")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=_groups(_ARCHIVE_BYTES))
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    figures = asyncio.run(run(small=given.small, only=given.only))
    return 0 if all(one.holds is not False for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
