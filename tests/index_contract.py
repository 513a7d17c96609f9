"""Loads function_app.py with `azure-functions-runtime` and invokes a function through it. Run by `make index-contract`.

Not a pytest module: the runtime needs Python 3.13 and an environment of its own (it selects the platform's version when
it stands in requirements.txt), and it keeps one app per process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

EXPECTED = {
    "start_signing": "httpTrigger",
    "get_signing": "httpTrigger",
    "get_signing_history": "httpTrigger",
    "cancel_signing": "httpTrigger",
    "remind_signing": "httpTrigger",
    "extend_signing": "httpTrigger",
    "add_participant": "httpTrigger",
    "remove_participant": "httpTrigger",
    "get_signing_links": "httpTrigger",
    "delete_signing": "httpTrigger",
    "confirm_start": "httpTrigger",
    "restart_start": "httpTrigger",
    "replay_signing": "httpTrigger",
    "list_dead_letters": "httpTrigger",
    "get_dead_letter": "httpTrigger",
    "replay_dead_letters": "httpTrigger",
    "replay_dead_letter": "httpTrigger",
    "discard_dead_letter": "httpTrigger",
    "get_providers": "httpTrigger",
    "get_accounts": "httpTrigger",
    "run_operation": "httpTrigger",
    "health": "httpTrigger",
    "receive_callback": "httpTrigger",
    "run_start": "queueTrigger",
    "apply_event": "queueTrigger",
    "download_documents": "queueTrigger",
    "notify_caller": "queueTrigger",
    "take_in_orders": "queueTrigger",
    "poison_start": "queueTrigger",
    "poison_event": "queueTrigger",
    "poison_download": "queueTrigger",
    "poison_notification": "queueTrigger",
    "poison_orders": "queueTrigger",
    "reconcile_signings": "timerTrigger",
    "housekeeping": "timerTrigger",
}


class _BindingInfo:
    """The enum values that the runtime takes from its host's protobuf module; nothing else of it is needed."""

    undefined, inout, out = 0, 2, 1


def index() -> tuple[dict[str, str], dict[str, Any]]:
    """Trigger types and the platform's own records, both by function name, validated as the platform does at load.

    Raises the platform's FunctionLoadError."""
    from azure_functions_runtime import handle_event, start_threadpool_executor  # noqa: PLC0415
    from azure_functions_runtime.bindings.meta import load_binding_registry  # noqa: PLC0415
    from azure_functions_runtime.loader import index_function_app  # noqa: PLC0415

    handle_event.protos = types.SimpleNamespace(BindingInfo=_BindingInfo)
    sys.path.insert(0, str(ROOT))
    load_binding_registry()
    start_threadpool_executor()
    functions = index_function_app(str(ROOT / "function_app.py"))
    kinds = {function.get_function_name(): function.get_trigger().type for function in functions}
    records = {
        function.get_function_name(): handle_event._functions.add_indexed_function(
            function=function, protos=handle_event.protos
        )
        for function in functions
    }
    return kinds, records


async def invoke_health(info: Any) -> int:
    """Health answers through the runtime: 503 naming the settings that this bare process does not have."""
    from azure_functions_runtime.bindings.datumdef import Datum  # noqa: PLC0415
    from azure_functions_runtime.native_invocation import invocation_request_native  # noqa: PLC0415

    request = {
        "method": Datum("GET", "string"),
        "url": Datum("http://127.0.0.1/api/health", "string"),
        "headers": {},
        "params": {},
        "query": {},
        "body": Datum(b"", "bytes"),
    }
    ok, answer, _, error, _ = await invocation_request_native(
        "index-contract", info.function_id, [("req", Datum(request, "http"))], {}
    )
    if not ok:
        raise SystemExit(f"health could not be invoked: {error}")
    return int(answer.value["status_code"].value)


def main() -> None:
    for name in [name for name in os.environ if "__" in name or name.startswith("Countersign")]:  # noqa: TID251
        del os.environ[name]  # noqa: TID251
    kinds, records = index()
    if kinds != EXPECTED:
        raise SystemExit(f"functions differ: {sorted(set(kinds.items()) ^ set(EXPECTED.items()))}")
    status = asyncio.run(invoke_health(records["health"]))
    if status != 503:
        raise SystemExit(f"health answered {status} without any settings, not 503")
    print(
        f"index contract: {len(kinds)} functions load under the platform's runtime on Python {sys.version.split()[0]}"
    )


if __name__ == "__main__":
    main()
