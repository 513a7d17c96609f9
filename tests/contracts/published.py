"""What the vendors publish about their APIs, and whether an exchange over the wire is what they say.

The definitions lie beside the repository where they are at hand (the vendors' own files are not ours to ship). The
schemas are judged by `jsonschema`, so neither our client nor our simulators mark their own work here.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from jsonschema import Draft4Validator

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "specs"
FILES = {
    "pkisigning": "connectors/pkisigning.swagger.json",
    "dokobit": "connectors/dokobit.swagger.json",
    "connective": "connectors/connective.swagger.json",
    "signicat": "signicat.openapi.json",
}


def load(provider: str) -> dict[str, Any] | None:
    """The published definition, or None away from the place where those are kept."""
    path = FOLDER / FILES[provider]
    return json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else None


@dataclass(frozen=True)
class Exchange:
    """One call and its answer. `path` is below the API's base path; header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_type: str
    answer: bytes


@dataclass
class Recorder:
    """Stands between a client and a simulator, passes everything on, and keeps it."""

    target: str
    base_url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, self.target + request.path_qs, data=body or None, headers=headers, allow_redirects=False
            ) as answer,
        ):
            content = await answer.read()
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            query = dict(request.query)
            self.exchanges.append(
                Exchange(request.method, request.path, query, headers, body, answer.status, kind, content)
            )
            kept = {name: answer.headers[name] for name in ("Content-Type", "Location") if name in answer.headers}
            return web.Response(status=answer.status, body=content, headers=kept)


@asynccontextmanager
async def recording(target: str) -> AsyncIterator[Recorder]:
    recorder = Recorder(target)
    application = web.Application(client_max_size=64 * 2**20)
    application.router.add_route("*", "/{path:.*}", recorder._pass_on)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        recorder.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield recorder
    finally:
        await runner.cleanup()


# ------------------------------------------------------------------------------------------------------ judging


def operation_of(definition: Mapping[str, Any], method: str, path: str) -> Mapping[str, Any] | None:
    """The published operation behind a call; where several paths fit, the one with the fewest placeholders."""
    fitting = []
    for template, verbs in definition["paths"].items():
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template))
        if method.lower() in verbs and re.fullmatch(pattern, unquote(path)):
            fitting.append((template.count("{"), verbs, template))
    if not fitting:
        return None
    _, verbs, template = min(fitting, key=lambda item: item[0])
    operation = dict(verbs[method.lower()])
    operation["parameters"] = [*verbs.get("parameters", ()), *operation.get("parameters", ())]
    return operation | {"template": template}


def mistakes(definition: Mapping[str, Any], exchange: Exchange, base_path: str) -> Iterator[str]:
    """All that does not agree with the definition, as sentences."""
    path = exchange.path.removeprefix(base_path)
    operation = operation_of(definition, exchange.method, path)
    if operation is None:
        yield f"{exchange.method} {path} is not published"
        return
    name = operation.get("operationId", operation["template"])
    parameters = [_resolved(definition, one) for one in operation["parameters"]]
    for place, given in (("query", exchange.query), ("header", exchange.headers)):
        yield from _parameter_mistakes(name, place, parameters, given)
    yield from _body_mistakes(definition, name, operation, parameters, exchange)
    yield from _answer_mistakes(definition, name, operation, exchange)


def _parameter_mistakes(
    name: str, place: str, parameters: list[Mapping[str, Any]], given: Mapping[str, str]
) -> Iterator[str]:
    declared = {one["name"].lower(): one for one in parameters if one["in"] == place}
    present = {key.lower() for key in given}
    for key, one in declared.items():
        if one.get("required") and key not in present:
            yield f"{name}: {place} parameter {key} is missing"
    if place == "query":
        yield from (f"{name}: {place} parameter {key} is not published" for key in present - declared.keys())


def _body_mistakes(
    definition: Mapping[str, Any],
    name: str,
    operation: Mapping[str, Any],
    parameters: list[Mapping[str, Any]],
    exchange: Exchange,
) -> Iterator[str]:
    sent_type = exchange.headers.get("content-type", "").partition(";")[0]
    schema = _body_schema(definition, operation, parameters, sent_type)
    if any(one["in"] == "formData" for one in parameters):
        if sent_type != "multipart/form-data":
            yield f"{name}: the body is no form"
    elif exchange.body and schema is None and "requestBody" not in operation:
        yield f"{name}: a body that nobody asked for"
    elif schema is not None and sent_type == "application/json":
        yield from _schema_mistakes(definition, name, schema, json.loads(exchange.body))


def _body_schema(
    definition: Mapping[str, Any], operation: Mapping[str, Any], parameters: list[Mapping[str, Any]], sent_type: str
) -> Mapping[str, Any] | None:
    if "requestBody" in operation:
        content = _resolved(definition, operation["requestBody"])["content"]
        found: Mapping[str, Any] | None = content.get(sent_type, {}).get("schema")
        return found
    return next((one["schema"] for one in parameters if one["in"] == "body"), None)


def _answer_mistakes(
    definition: Mapping[str, Any], name: str, operation: Mapping[str, Any], exchange: Exchange
) -> Iterator[str]:
    responses = operation["responses"]
    published = responses.get(str(exchange.status))
    if published is None:
        if exchange.status < 400:
            yield f"{name}: status {exchange.status} is not published"
        return
    published = _resolved(definition, published)
    schema = published.get("schema") or published.get("content", {}).get("application/json", {}).get("schema")
    is_file = schema is not None and (schema.get("type") == "file" or schema.get("format") == "binary")
    if schema is not None and not is_file and exchange.answer_type == "application/json":
        value = json.loads(exchange.answer)
        yield from _schema_mistakes(definition, f"{name} answered", schema, value, is_answer=True)


def _schema_mistakes(
    definition: Mapping[str, Any], name: str, schema: Mapping[str, Any], value: object, *, is_answer: bool = False
) -> Iterator[str]:
    # References of both kinds of definition start at the root, so the schema is judged as if it stood there.
    roots = {key: _plain(definition[key], is_answer) for key in ("definitions", "components") if key in definition}
    for error in Draft4Validator({**_plain(schema, is_answer), **roots}).iter_errors(value):
        yield f"{name}: {'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:200]}"


def _plain(schema: Any, is_answer: bool) -> Any:
    """JSON Schema as it is meant: what is marked nullable may be null, and in an answer also what is not required (the
    definitions were made from classes whose empty members are written as null)."""
    if isinstance(schema, list):
        return [_plain(one, is_answer) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _plain(value, is_answer) for key, value in schema.items()}
    if str(made.get("x-nullable") or made.get("nullable")).lower() == "true":
        made = {"anyOf": [made, {"type": "null"}]}
    if is_answer and isinstance(made.get("properties"), dict):
        needed = made.get("required", ())
        made["properties"] = {
            name: one if name in needed else {"anyOf": [one, {"type": "null"}]}
            for name, one in made["properties"].items()
        }
    return made


def _resolved(definition: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in one:
        return one
    found: Any = definition
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Mapping[str, Any] = found
    return resolved
