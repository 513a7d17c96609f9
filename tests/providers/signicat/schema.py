"""As much of JSON Schema as the published definition uses: enough to tell a right body from a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
}


def mistakes(definition: Mapping[str, Any], schema: Mapping[str, Any], value: object, at: str = "$") -> Iterator[str]:
    """Everything about `value` that `schema` does not allow. Members that it does not list are mistakes as well."""
    schema = _resolved(definition, schema)
    expected = _TYPES.get(schema.get("type", ""))
    if expected is not None and (not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)):
        yield f"{at}: not {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value} is not listed"
    for name, holds in _BOUNDS.items():
        if name in schema and not holds(value, schema[name]):
            yield f"{at}: breaks {name}"
    if isinstance(value, dict):
        yield from _member_mistakes(definition, schema, value, at)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from mistakes(definition, schema.get("items", {}), item, f"{at}[{index}]")


def _member_mistakes(
    definition: Mapping[str, Any], schema: Mapping[str, Any], value: Mapping[str, Any], at: str
) -> Iterator[str]:
    members = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}.{name}: missing"
    for name, content in value.items():
        if name not in members:
            yield f"{at}.{name}: unknown"
        else:
            yield from mistakes(definition, members[name], content, f"{at}.{name}")


def _resolved(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = definition
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema
