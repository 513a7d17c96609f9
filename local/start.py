"""`make start`: the whole local stack in the foreground, on fixed ports, until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json

from local.players import PLAYERS
from local.stack import ROOT, Ports, running_stack

PORTS = Ports(app=7071, sandboxes=7080, receiver=7090, azurite=(10000, 10001, 10002))


def say(text: str) -> None:
    print(f"starting {text}", flush=True)


async def run(instances: int) -> None:
    async with running_stack(providers=tuple(PLAYERS), say=say, ports=PORTS, instances=instances) as stack:
        settings_file = ROOT / "local" / ".state" / "local.settings.json"
        settings_file.parent.mkdir(exist_ok=True)
        settings_file.write_text(json.dumps({"IsEncrypted": False, "Values": dict(stack.settings)}, indent=2))
        pages = "".join(f"signing pages  {one.base_url}/      ({name})\n" for name, one in stack.sandboxes.items())
        processes = "".join(f"app process    {host.base_url}\n" for host in stack.hosts if instances > 1)
        print(
            f"""
app            {stack.base_url}/api      (accounts: GET /api/accounts)
function key   {stack.function_key}      (header x-functions-key)
{pages}{processes}notifications  {stack.receiver.url}      (what arrives is printed here)
storage        UseDevelopmentStorage=true
app settings   {settings_file}
Ctrl-C ends it all.
""",
            flush=True,
        )
        seen = 0
        while True:
            for delivery in stack.receiver.deliveries[seen:]:
                print(f"{delivery.event['time']}  {delivery.event['type']}  {delivery.event['subject']}", flush=True)
            seen = len(stack.receiver.deliveries)
            await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make start", description=__doc__)
    parser.add_argument("--instances", type=int, default=1, help="so many app processes behind one address")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(max(given.instances, 1)))


if __name__ == "__main__":
    main()
