"""`python -m local.sandbox --port 7080`: the simulated platform in the foreground, until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from local.sandbox.pkisigning import Options, PkisigningSandbox


async def run(port: int, options: Options, trust_file: Path | None) -> None:
    async with PkisigningSandbox.start(port=port, options=options) as sandbox:
        if trust_file is not None:
            trust_file.write_bytes(sandbox.trust_bundle_pem)
        sys.stdout.write(_banner(sandbox))
        sys.stdout.flush()
        await asyncio.Event().wait()


def _banner(sandbox: PkisigningSandbox) -> str:
    """Throw-away secrets of a simulator on loopback, printed because the person at the terminal needs them."""
    lines = {
        "pages for signers": f"{sandbox.base_url}/",
        "API": sandbox.base_url,
        "token": sandbox.token_url,
        "client id": sandbox.client_id,
        "client secret": sandbox.client_secret,
        "refresh token": sandbox.refresh_token,
        "trust bundle": f"{sandbox.base_url}/_sandbox/trust.pem",
        "control": f"{sandbox.base_url}/_sandbox/requests",
    }
    return "".join(f"{name:>18}  {value}\n" for name, value in lines.items())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=7080)
    parser.add_argument("--public-callback", metavar="URL", help="send callbacks to this scheme, host and port")
    parser.add_argument("--trust-file", type=Path, help="write the root certificate here")
    parser.add_argument("--client-id")
    parser.add_argument("--client-secret")
    parser.add_argument("--refresh-token")
    parser.add_argument("--credits", type=int, default=100)
    parser.add_argument("--token-seconds", type=float, default=3600)
    given = parser.parse_args()
    options = Options(
        callback_base=given.public_callback,
        client_id=given.client_id,
        client_secret=given.client_secret,
        refresh_token=given.refresh_token,
        credits=given.credits,
        token_seconds=given.token_seconds,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(given.port, options, given.trust_file))


if __name__ == "__main__":
    main()
