"""Serves the throw-away PKI's revocation lists and OCSP over HTTP, with switches that make it fail."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from local.sandbox.pki import SandboxPki


@dataclass
class Responder:
    """Routes for an aiohttp application. `served` counts requests by kind (`crl`, `ocsp`), failed ones included.

    Switches: `down` answers 503, `ocsp_down` makes OCSP alone answer 404, `slow_seconds` waits first, `garbage` answers
    200 with other bytes, `redirect_to` answers 302.
    """

    pki: SandboxPki
    down: bool = False
    ocsp_down: bool = False
    slow_seconds: float = 0
    garbage: bool = False
    redirect_to: str | None = None
    served: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.served.total()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/pki/crl/{name}.crl", self.get_crl),
            web.post("/pki/ocsp", self.post_ocsp),
            web.get("/pki/ocsp/{request:.+}", self.get_ocsp),
        ]

    async def get_crl(self, request: web.Request) -> web.Response:
        self.served["crl"] += 1
        return await self._answer(self.pki.crl_by_name(request.match_info["name"]), "application/pkix-crl")

    async def post_ocsp(self, request: web.Request) -> web.Response:
        self.served["ocsp"] += 1
        return await self._answer(self._ocsp(await request.read()), "application/ocsp-response")

    async def get_ocsp(self, request: web.Request) -> web.Response:
        self.served["ocsp"] += 1
        try:
            body = base64.b64decode(unquote(request.match_info["request"]), validate=True)
        except binascii.Error:
            return web.Response(status=400)
        return await self._answer(self._ocsp(body), "application/ocsp-response")

    def _ocsp(self, body: bytes) -> bytes | None:
        try:
            return None if self.ocsp_down else self.pki.ocsp_response(body)
        except ValueError:
            return None

    async def _answer(self, body: bytes | None, content_type: str) -> web.Response:
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        if self.down:
            return web.Response(status=503)
        if self.redirect_to is not None:
            return web.Response(status=302, headers={"Location": self.redirect_to})
        if body is None:
            return web.Response(status=404)
        if self.garbage:
            body = b"<html>maintenance</html>"
        return web.Response(body=body, content_type=content_type)
