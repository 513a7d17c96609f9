"""The HTTP side of the host: route, key, body, function, response (host guide C1)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiohttp import web

from local.host import convert
from local.host.index import HttpTrigger, IndexedFunction
from local.host.invoke import Invoker
from local.host.keys import Keys
from local.host.routes import Route, RouteTable, Template

logger = logging.getLogger("host.http")

# The server computes these itself.
_NOT_THE_FUNCTIONS = frozenset({"content-length", "transfer-encoding", "connection"})


class HttpFunctions:
    """Answers every request outside `/admin`. Raises RouteError for templates that the host would refuse."""

    def __init__(
        self, functions: Iterable[IndexedFunction], invoker: Invoker, keys: Keys, prefix: str, body_limit: int
    ) -> None:
        self._invoker = invoker
        self._keys = keys
        self._body_limit = body_limit
        self._routes = RouteTable(
            Route(Template.parse(f"{prefix}/{trigger.route}"), trigger.methods, (function, trigger))
            for function in functions
            if isinstance(trigger := function.trigger, HttpTrigger)
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        found = self._routes.match(request.method, request.rel_url.raw_path)
        if found is None:
            return web.Response(status=404)
        (function, trigger), route_values = found
        query = joined(request.query.items())
        if not self._keys.allow(trigger.level, request.headers, query):
            return web.Response(status=401)
        length = request.content_length or 0
        if length > self._body_limit:
            return web.Response(status=413)
        # Without Content-Length (chunked) the real host does not hand the body to the worker at all.
        body = await request.read() if length else b""
        argument = convert.http_request(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
            headers=joined(request.headers.items()),
            query={name: value for name, value in query.items() if value},
            route=route_values,
            body=body,
        )
        return await self._answer(function, argument, request.headers)

    async def _answer(
        self, function: IndexedFunction, argument: object, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        try:
            result = await self._invoker.call(
                function, argument, headers.get("traceparent", ""), headers.get("tracestate", "")
            )
        except Exception:
            return web.Response(status=500)
        try:
            response = convert.http_response(result)
        except NotImplementedError:
            logger.warning("unusable_result", extra={"function": function.name, "result_type": type(result).__name__})
            return web.Response(status=500)
        return _to_wire(response)


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Repeated names become one value joined with commas, as the platform hands them over. Case does not matter."""
    first_spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(first_spelling.setdefault(name.lower(), name), []).append(value)
    return {name: ",".join(given) for name, given in values.items()}


def _to_wire(response: convert.Response) -> web.Response:
    answer = web.Response(status=response.status, body=response.body)
    # A response without a body still names its type on this platform.
    answer.headers.popall("Content-Type", None)
    for name, value in response.headers:
        if name.lower() not in _NOT_THE_FUNCTIONS:
            answer.headers.add(name, value)
    return answer
