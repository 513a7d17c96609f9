"""`make start`: the whole local stack in the foreground, on fixed ports, until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import json

from local.players import PLAYERS
from local.stack import ROOT, Ports, running_stack

PORTS = Ports(app=7071, sandboxes=7080, receiver=7090, azurite=(10000, 10001, 10002))


def say(text: str) -> None:
    print(f"starting {text}", flush=True)


async def run() -> None:
    async with running_stack(providers=tuple(PLAYERS), say=say, ports=PORTS) as stack:
        settings_file = ROOT / "local" / ".state" / "local.settings.json"
        settings_file.parent.mkdir(exist_ok=True)
        settings_file.write_text(json.dumps({"IsEncrypted": False, "Values": dict(stack.settings)}, indent=2))
        pages = "".join(f"signing pages  {one.base_url}/      ({name})\n" for name, one in stack.sandboxes.items())
        print(
            f"""
app            {stack.host.base_url}/api      (accounts: GET /api/accounts)
function key   {stack.host.function_key}      (header x-functions-key)
{pages}notifications  {stack.receiver.url}      (what arrives is printed here)
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
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
