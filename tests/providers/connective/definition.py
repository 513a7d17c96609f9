"""The vendor's published definition (Swagger 2.0), where it lies beside the repository, and a small checker for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[3].parent / "shared" / "specs" / "connectors" / "connective.swagger.json"
BASE_PATH = "/webportalapi/v3"

Json = dict[str, Any]


def load() -> Json | None:
    """None where the definition is not there. Its own slips are put right (spec connective 2.4, 2.14)."""
    if not PATH.exists():
        return None
    found: Json = json.loads(PATH.read_text("utf-8"))
    document = _body(found, "/packages/{PackageId}/documents", "post")
    document["properties"]["PdfErrorHandling"] = {"type": "string"}
    process = _body(found, "/packages/{id}/process", "put")
    actor = process["properties"]["Stakeholders"]["items"]["properties"]["Actors"]["items"]["properties"]
    actor["OrderIndex"] = {"type": "integer"}
    actor["UserRoles"] = {"type": "array", "items": {"type": "string"}}
    return found


def _body(definition: Json, path: str, method: str) -> Json:
    parameters = definition["paths"][path][method]["parameters"]
    schema: Json = next(one["schema"] for one in parameters if one["in"] == "body")
    return schema


def operations(definition: Json) -> Iterator[tuple[str, str, Json]]:
    """Method, path and description of each operation."""
    for path, methods in definition["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def find(definition: Json, method: str, path: str) -> Json | None:
    """The operation that a call goes to; longer literal paths win over parameters."""
    hits = []
    for verb, pattern, operation in operations(definition):
        expression = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern))
        if verb == method and re.fullmatch(expression, path):
            hits.append((pattern.count("{"), operation))
    return min(hits, key=lambda hit: hit[0])[1] if hits else None


def problems(schema: Json, value: Any, definition: Json, at: str = "$", *, may_be_null: bool = False) -> list[str]:
    """What does not fit. Nulls count in answers only: the examples have them although the schemas do not."""
    if "$ref" in schema:
        schema = definition["definitions"][schema["$ref"].rpartition("/")[2]]
    if value is None and may_be_null:
        return []
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        known = schema.get("properties", {})
        inside = [
            problems(known[name], one, definition, f"{at}.{name}", may_be_null=may_be_null)
            for name, one in value.items()
            if name in known
        ]
        missing = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
        return missing + [one for found in inside for one in found]
    if kind == "array":
        if not isinstance(value, list):
            return [f"{at} is no list"]
        items = [problems(schema["items"], one, definition, f"{at}[]", may_be_null=may_be_null) for one in value]
        return [one for found in items for one in found]
    return _scalar_problems(schema, value, at)


_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _scalar_problems(schema: Json, value: Any, at: str) -> list[str]:
    wanted = schema.get("type")
    if wanted in _SCALARS and (not isinstance(value, _SCALARS[wanted]) or (value is True and wanted != "boolean")):
        return [f"{at} is no {wanted}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at} is none of {schema['enum']}"]
    return []


def undocumented(schema: Json, value: Any, definition: Json, at: str = "$") -> list[str]:
    """Names that the definition does not have, in whatever case (spec connective 1)."""
    if "$ref" in schema:
        schema = definition["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        return [one for item in value for one in undocumented(schema.get("items", {}), item, definition, f"{at}[]")]
    if not isinstance(value, dict):
        return []
    known = {name.lower(): inner for name, inner in schema.get("properties", {}).items()}
    found = [f"{at}.{name}" for name in value if name.lower() not in known]
    for name, one in value.items():
        found += undocumented(known.get(name.lower(), {}), one, definition, f"{at}.{name}") if one is not None else []
    return found
