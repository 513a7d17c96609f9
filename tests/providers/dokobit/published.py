"""The vendor's definition (OpenAPI 2.0), where it lies beside the repository, and a small judge of traffic."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[4] / "shared" / "specs" / "connectors" / "dokobit.swagger.json"
Definition = dict[str, Any]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def definition() -> Definition | None:
    return json.loads(_FILE.read_text()) if _FILE.exists() else None


def operations_of(published: Definition) -> Iterator[tuple[str, str, Definition]]:
    """Method in capitals, path below the base path, and the operation."""
    for path, methods in published["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def operation_for(published: Definition, method: str, path: str) -> Definition:
    """The operation that a request is; raises LookupError when it is none."""
    for known, template, operation in operations_of(published):
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if known == method and re.fullmatch(pattern, path):
            return operation
    raise LookupError(f"no operation {method} {path}")


def body_schema(operation: Definition) -> Definition | None:
    return next((one["schema"] for one in operation.get("parameters", ()) if one["in"] == "body"), None)


def mistakes(schema: Definition, value: object, path: str = "$") -> Iterator[str]:
    """What in `value` does not fit `schema`; names that the schema does not know are mistakes too."""
    if not isinstance(value, _TYPES[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
        yield f"{path} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is none of the listed values"
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from mistakes(schema["items"], item, f"{path}[{at}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in properties:
                yield from mistakes(properties[name], item, f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown"


def property_names(schema: Definition, path: str = "$") -> Iterator[str]:
    """Every property with its path, nested ones and items too."""
    if schema["type"] == "array":
        yield from property_names(schema["items"], f"{path}[]")
    for name, one in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from property_names(one, f"{path}.{name}")
