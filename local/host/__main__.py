"""`python -m local.host`: run a function app here. Exit code 0 after a stop, 1 when the app cannot be hosted."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import traceback
from pathlib import Path

from local.host import environment, logs
from local.host.config import ConfigError
from local.host.environment import SettingsError, apply_settings_file
from local.host.index import IndexingError
from local.host.keys import Keys
from local.host.lifecycle import Options, serve
from local.host.routes import RouteError


def main(arguments: list[str]) -> int:
    parsed = _parser().parse_args(arguments)
    logs.set_up()
    try:
        if parsed.settings is not None:
            apply_settings_file(parsed.settings)
        asyncio.run(serve(_options(parsed)))
    except (IndexingError, RouteError, ConfigError, SettingsError, OSError) as error:
        print(f"The host cannot start: {error}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        print("The host cannot start: function_app.py failed to load.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    add = parser.add_argument
    add("--app-dir", type=Path, default=Path(), help="folder of function_app.py and host.json")
    add("--port", type=int, default=7071, help="0 takes a free one")
    add("--settings", type=Path, help="a local.settings.json; variables that are set already win")
    add("--function-key", help="host key (default: LOCAL_FUNCTIONS_KEY, else a random one)")
    add("--master-key", help="master key (default: LOCAL_FUNCTIONS_MASTER_KEY, else a random one)")
    add("--invisibility-seconds", type=float, default=600.0, help="how long a taken queue message is hidden")
    add("--max-polling-seconds", type=float, help="look at idle queues at least this often, whatever host.json says")
    add("--ready-file", type=Path, help="written with the host's address once it listens")
    add("--preload", metavar="MODULE", help="import this before function_app.py, with the app's settings in force")
    add("--end-with-stdin", action="store_true", help="stop when stdin closes")
    return parser


def _options(parsed: argparse.Namespace) -> Options:
    return Options(
        app_dir=parsed.app_dir.resolve(),
        port=parsed.port,
        keys=Keys(
            function=_key(parsed.function_key, "LOCAL_FUNCTIONS_KEY"),
            master=_key(parsed.master_key, "LOCAL_FUNCTIONS_MASTER_KEY"),
        ),
        invisibility_seconds=parsed.invisibility_seconds,
        max_polling_seconds=parsed.max_polling_seconds,
        ready_file=parsed.ready_file,
        end_with_stdin=parsed.end_with_stdin,
        preload=parsed.preload,
    )


def _key(given: str | None, variable: str) -> str:
    """A key that nobody chose is shown, as nobody could use it otherwise; it dies with the host."""
    chosen = given or environment.setting(variable)
    if chosen is not None:
        return chosen
    made = secrets.token_urlsafe(24)
    print(f"{variable}={made}", flush=True)
    return made


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
