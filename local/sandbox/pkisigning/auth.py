"""The identity server: tokens, rotation, scopes, and the call limit per token (spec pkisigning 1.2, 5).

Refresh tokens are good for one use; the answer carries the next one. Using an old one gives `invalid_grant`.
"""

from __future__ import annotations

import base64
import binascii
import math
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from local.sandbox.answers import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.pkisigning.options import Options

PLATFORM = "pkisigning.platform"
IMPERSONATE = "ImpersonateOwner"
OFFLINE = "offline_access"
_IDENTITY_SCOPES = frozenset({"openid", "profile", OFFLINE})
ALL_SCOPES = _IDENTITY_SCOPES | {PLATFORM, IMPERSONATE}


@dataclass
class AccessToken:
    scopes: frozenset[str]
    user: str | None
    """None for client credentials."""
    expires_at: float
    calls: deque[float] = field(default_factory=deque)


@dataclass(frozen=True)
class Grant:
    scopes: frozenset[str]
    user: str | None
    refresh_token: str | None


@dataclass
class IdentityServer:
    options: Options
    user: str = "owner@sandbox.example.org"
    monotonic: Callable[[], float] = time.monotonic
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    refresh_tokens: dict[str, frozenset[str]] = field(default_factory=dict)
    codes: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client_id = self.options.client_id or f"client-{secrets.token_hex(4)}"
        self.client_secret = self.options.client_secret or secrets.token_urlsafe(24)
        self.first_refresh_token = self.options.refresh_token or secrets.token_urlsafe(24)
        self.refresh_tokens[self.first_refresh_token] = ALL_SCOPES

    def consent(self, scopes: frozenset[str] = ALL_SCOPES) -> str:
        """What a user's one-time consent leaves with the app: a refresh token."""
        token = secrets.token_urlsafe(24)
        self.refresh_tokens[token] = scopes
        return token

    def check(self, request: web.Request) -> AccessToken:
        """1 bearer present, 2 known and not expired, 3 within the call limit, 4 platform scope."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:  # 1
            raise _unauthorised("Bearer")
        token = self.access_tokens.get(value.strip())
        if token is None or token.expires_at <= self.monotonic():  # 2
            raise _unauthorised('Bearer error="invalid_token"')
        self._count(token)  # 3
        if PLATFORM not in token.scopes:  # 4
            raise Problem(403, f"The scope {PLATFORM} is missing.")
        return token

    def expire_tokens(self) -> None:
        """Every access token handed out so far stops working."""
        for token in self.access_tokens.values():
            token.expires_at = self.monotonic()

    def _count(self, token: AccessToken) -> None:
        now, window = self.monotonic(), self.options.rate_window_seconds
        while token.calls and token.calls[0] <= now - window:
            token.calls.popleft()
        if len(token.calls) >= self.options.rate_limit:
            wait = max(1, math.ceil(token.calls[0] + window - now))
            raise Problem(429, "Rate limit is exceeded.", headers={"Retry-After": str(wait)})
        token.calls.append(now)

    async def authorize(self, request: web.Request) -> web.Response:
        """A user who always agrees: straight back to the redirect address with a code."""
        query = request.query
        redirect, scopes = query.get("redirect_uri", ""), frozenset(query.get("scope", "").split())
        if query.get("client_id") != self.client_id or urlsplit(redirect).scheme not in {"http", "https"}:
            raise Problem(400, "Unknown client or redirect address.")
        answer = {"state": query["state"]} if "state" in query else {}
        if query.get("response_type") != "code":
            answer["error"] = "unsupported_response_type"
        elif not scopes or not scopes <= ALL_SCOPES:
            answer["error"] = "invalid_scope"
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self.codes[answer["code"]] = (redirect, scopes)
        joiner = "&" if urlsplit(redirect).query else "?"
        return web.Response(status=302, headers={"Location": f"{redirect}{joiner}{urlencode(answer)}"})

    async def token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            raise _oauth("invalid_request")
        text = (await request.read()).decode("utf-8", "replace")
        form = {name: values[0] for name, values in parse_qs(text).items()}
        self._check_client(request, form)
        grants = {
            "refresh_token": self._by_refresh_token,
            "authorization_code": self._by_code,
            "client_credentials": self._by_client,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise _oauth("unsupported_grant_type")
        return web.json_response(self._issue(grant(form)), headers={"Cache-Control": "no-store"})

    def _check_client(self, request: web.Request, form: dict[str, str]) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise _oauth("invalid_client") from error
        if client_id != self.client_id or not secrets.compare_digest(secret.encode(), self.client_secret.encode()):
            raise _oauth("invalid_client")

    def _by_refresh_token(self, form: dict[str, str]) -> Grant:
        token = form.get("refresh_token", "")
        granted = self.refresh_tokens.get(token)
        if granted is None:
            raise _oauth("invalid_grant")
        scopes = self._narrowed(form, granted)
        if self.options.rotate_refresh_tokens:
            del self.refresh_tokens[token]
            token = self.consent(granted)
        return Grant(scopes, self.user, token)

    def _by_code(self, form: dict[str, str]) -> Grant:
        redirect, scopes = self.codes.pop(form.get("code", ""), ("", frozenset()))
        if not scopes or form.get("redirect_uri") != redirect:
            raise _oauth("invalid_grant")
        return Grant(scopes, self.user, self.consent(scopes) if OFFLINE in scopes else None)

    def _by_client(self, form: dict[str, str]) -> Grant:
        if not self.options.allow_client_credentials:
            raise _oauth("unauthorized_client")
        scopes = frozenset(form.get("scope", PLATFORM).split())
        if scopes & _IDENTITY_SCOPES or not scopes <= ALL_SCOPES:
            raise _oauth("invalid_scope")  # no user, so neither identity nor offline access (1.2)
        return Grant(scopes, None, None)

    def _narrowed(self, form: dict[str, str], granted: frozenset[str]) -> frozenset[str]:
        asked = frozenset(form["scope"].split()) if form.get("scope") else granted
        if not asked <= granted:
            raise _oauth("invalid_scope")
        return asked

    def _issue(self, grant: Grant) -> dict[str, str | int]:
        token = secrets.token_urlsafe(24)
        seconds = self.options.token_seconds
        self.access_tokens[token] = AccessToken(grant.scopes, grant.user, self.monotonic() + seconds)
        answer: dict[str, str | int] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(seconds),
            "scope": " ".join(sorted(grant.scopes)),
        }
        if grant.refresh_token is not None:
            answer["refresh_token"] = grant.refresh_token
        return answer


def _unauthorised(challenge: str) -> Problem:
    return Problem(401, "Unauthorized", headers={"WWW-Authenticate": challenge}, empty=True)


def _oauth(error: str) -> Problem:
    return Problem(400, error, body={"error": error})
