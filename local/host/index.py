"""What the app consists of: loads `function_app.py` and lists its functions, or says why the host must not start."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from azure.functions.decorators.function_app import Function, FunctionRegister

from local.host import environment
from local.host.keys import Level
from local.host.ncrontab import Schedule, ScheduleError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_LEVELS: dict[str, Level] = {"anonymous": "anonymous", "function": "function", "admin": "admin"}


class IndexingError(Exception):
    """The app cannot be hosted; in Azure it would show no functions at all."""


@dataclass(frozen=True)
class HttpTrigger:
    route: str
    methods: frozenset[str] | None
    level: Level


@dataclass(frozen=True)
class QueueTrigger:
    queue: str
    connection_string: str


@dataclass(frozen=True)
class TimerTrigger:
    schedule: Schedule
    run_on_startup: bool


@dataclass(frozen=True)
class IndexedFunction:
    name: str
    call: Callable[..., Any]
    parameter: str  # the trigger's own
    wants_context: bool
    trigger: HttpTrigger | QueueTrigger | TimerTrigger

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.call)


def index_app(app_dir: Path) -> list[IndexedFunction]:
    """Every enabled function of `app_dir`/function_app.py. Raises IndexingError; errors of the app's own import
    escape as they are."""
    app = _find_app(_load(app_dir))
    functions: dict[str, IndexedFunction] = {}
    for declared in app.get_functions():
        function = _index(declared)
        if function.name.lower() in functions:
            raise IndexingError(f"Two functions are called {function.name!r}.")
        functions[function.name.lower()] = function
    if not functions:
        raise IndexingError(f"{app_dir / 'function_app.py'} declares no functions.")
    return [function for function in functions.values() if not environment.is_disabled(function.name)]


def _load(app_dir: Path) -> ModuleType:
    path = app_dir / "function_app.py"
    if not path.is_file():
        raise IndexingError(f"{path} does not exist.")
    sys.path.insert(0, str(app_dir))
    spec = importlib.util.spec_from_file_location("function_app", path)
    if spec is None or spec.loader is None:
        raise IndexingError(f"{path} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    spec.loader.exec_module(module)
    return module


def _find_app(module: ModuleType) -> FunctionRegister:
    apps = {id(value): value for value in vars(module).values() if isinstance(value, FunctionRegister)}
    if len(apps) != 1:
        raise IndexingError(f"function_app.py must hold exactly one FunctionApp, not {len(apps)}.")
    return next(iter(apps.values()))


def _index(declared: Function) -> IndexedFunction:
    name = str(declared.get_function_name())
    if not _NAME.fullmatch(name) or name.lower() == "host":
        raise IndexingError(f"{name!r} is not a function name.")
    trigger = declared.get_trigger()
    if trigger is None:
        raise IndexingError(f"{name} has no trigger.")
    binding: dict[str, Any] = trigger.get_dict_repr()
    others = [other.get_dict_repr() for other in declared.get_bindings() if other is not trigger]
    if any(other["type"] != "http" or other["name"] != "$return" for other in others):
        raise IndexingError(f"{name}: the local host has no other bindings than the trigger and the HTTP response.")
    call = declared.get_user_function()
    parameters = set(inspect.signature(call).parameters)
    if parameters - {"context"} != {binding["name"]} - {"context"}:
        raise IndexingError(f"{name}: the parameters must be {binding['name']!r} and, if wanted, 'context'.")
    try:
        return IndexedFunction(name, call, binding["name"], "context" in parameters, _trigger(binding))
    except (environment.SettingsError, ScheduleError, IndexingError) as error:
        raise IndexingError(f"{name}: {error}") from error


def _trigger(binding: dict[str, Any]) -> HttpTrigger | QueueTrigger | TimerTrigger:
    match binding["type"]:
        case "httpTrigger":
            return _http_trigger(binding)
        case "queueTrigger":
            connection = environment.connection_string(binding.get("connection") or "")
            return QueueTrigger(environment.resolve(binding["queueName"]), connection)
        case "timerTrigger":
            schedule = Schedule.parse(environment.resolve(binding["schedule"]))
            return TimerTrigger(schedule, bool(binding.get("runOnStartup")))
        case other:
            raise IndexingError(f"the local host does not know the trigger {other!r}.")


def _http_trigger(binding: dict[str, Any]) -> HttpTrigger:
    route = str(binding["route"]).removeprefix("/")
    if route.lower().startswith(("admin", "runtime")):  # a prefix of the text: "administrators" is refused too
        raise IndexingError(f"the route {route!r} begins with a word that belongs to the host.")
    methods = binding.get("methods")
    names = frozenset(str(method.value).upper() for method in methods) if methods else None
    level = _LEVELS[str(getattr(binding["authLevel"], "value", binding["authLevel"])).lower()]
    return HttpTrigger(route, names, level)
