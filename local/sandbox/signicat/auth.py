"""The token endpoint and the check of every call (spec signicat 1.2)."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from local.sandbox.answers import Problem

if TYPE_CHECKING:
    from local.sandbox.signicat.options import Options

SCOPE = "signicat-api"


@dataclass
class Tokens:
    options: Options
    monotonic: Callable[[], float] = time.monotonic
    issued: dict[str, float] = field(default_factory=dict)
    """Until when each token lasts."""

    def __post_init__(self) -> None:
        self.client_id = self.options.client_id or f"sandbox-{secrets.token_hex(4)}"
        self.client_secret = self.options.client_secret or secrets.token_urlsafe(24)

    def check(self, request: web.Request) -> None:
        """1 bearer present, 2 known and not expired, 3 the API client may use the Signature API."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:  # 1
            raise _problem(401, "Unauthorized", "There is no bearer token.")
        if self.issued.get(value.strip(), 0.0) <= self.monotonic():  # 2
            raise _problem(401, "Unauthorized", "The token is unknown or has expired.")
        if not self.options.permission:  # 3
            raise _problem(403, "Forbidden", "The API client lacks the permission Signature API.")

    def expire(self) -> None:
        """Every token handed out so far stops working."""
        self.issued = dict.fromkeys(self.issued, 0.0)

    async def token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            raise _oauth(400, "invalid_request")
        text = (await request.read()).decode("utf-8", "replace")
        form = {name: values[0] for name, values in parse_qs(text).items()}
        client_id, secret = _client(request, form)
        is_known = client_id == self.client_id and secrets.compare_digest(secret.encode(), self.client_secret.encode())
        if not is_known:
            raise _oauth(401, "invalid_client")
        if form.get("grant_type") != "client_credentials":
            raise _oauth(400, "unsupported_grant_type")
        if form.get("scope") != SCOPE:
            raise _oauth(400, "invalid_scope")
        token, seconds = secrets.token_urlsafe(24), self.options.token_seconds
        self.issued[token] = self.monotonic() + seconds
        answer = {"access_token": token, "expires_in": int(seconds), "token_type": "Bearer", "scope": SCOPE}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})


def _client(request: web.Request, form: dict[str, str]) -> tuple[str, str]:
    """Basic, or the form."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _oauth(401, "invalid_client") from error
    return client_id, secret


def _oauth(status: int, error: str) -> Problem:
    return Problem(status, error, body={"error": error, "error_description": f"Refused: {error}"})


def _problem(status: int, title: str, detail: str) -> Problem:
    """The gateway's form (spec signicat 4)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "traceId": secrets.token_hex(8)}
    return Problem(status, title, body=body)
