"""`make chaos SEEDS=20`: that many runs, each from its own seed. Exit code 0 when all of them came out clean, and every
named point was reached in one of them at least (a single run may miss some: what it does depends on the machine)."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.plan import make_plan
from tests.chaos.run import Report, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="so many runs, with seeds one after the other")
    parser.add_argument("--seed", type=int, help="the first seed (default: a random one)")
    parser.add_argument("--signings", type=int, default=200)
    given = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # callers that die are what this is about
    first = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    reports = {seed: _run(seed, given.signings) for seed in range(first, first + given.seeds)}
    failed = [seed for seed, report in reports.items() if report.problems]
    never = set.intersection(*(set(report.missed) for report in reports.values()))
    print(f"\n{given.seeds - len(failed)} of {given.seeds} runs are clean." + (f" Not: {failed}" if failed else ""))
    print("".join(f"reached in no run: {name}\n" for name in sorted(never)), end="")
    return 1 if failed or (never and given.seeds > 1) else 0


def _run(seed: int, signings: int) -> Report:
    print(f"\n== seed {seed}: {signings} signings", flush=True)
    report = asyncio.run(run(make_plan(seed, signings), lambda line: print(f"   {line}", flush=True)))
    for line in report.lines():
        print(f"   {line}")
    log = Path(tempfile.gettempdir()) / f"countersign-chaos-{seed}.log"
    log.write_text(report.log, encoding="utf-8")
    again = f"again: python -m tests.chaos --seed {seed} --signings {signings}"
    print(f"   {'NOT CLEAN' if report.problems else 'clean'}; log: {log}; {again}", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
