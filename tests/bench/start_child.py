"""The start stage of one staged signing, in a process of its own, so that its peak memory is its own. One JSON line."""

from __future__ import annotations

import asyncio
import json
import sys

import function_app
from shared import settings as settings_module
from shared.bootstrap import build
from shared.domain.messages import RunStart
from shared.flow import start
from tests.bench.memory import peak_mib


async def run(settings: dict[str, str], warm_up: str, signing_id: str) -> float:
    """The first, small signing loads what every start loads; the second is what is measured."""
    deployment = build(settings_module.read(settings))
    try:
        await start.run(deployment.app, RunStart(signing_id=warm_up))
        before = peak_mib()
        await start.run(deployment.app, RunStart(signing_id=signing_id))
        grown = peak_mib() - before
        signing = (await deployment.app.signings.load(signing_id)).signing
        if signing.state.value != "started":
            raise SystemExit(f"not started but {signing.state.value}: {signing.failure}")
        return grown
    finally:
        await deployment.aclose()


def main() -> None:
    if function_app.app is None:
        raise SystemExit("the app has to be imported, as its memory is the base line")
    order = json.load(sys.stdin)
    print(json.dumps({"grown_mib": asyncio.run(run(order["settings"], order["warm_up"], order["signing_id"]))}))


if __name__ == "__main__":
    main()
