"""How a finished file is handed out: as the answer, or from an address that the answer leads to (spec signicat 1.5)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.server import loopback_socket

if TYPE_CHECKING:
    from local.sandbox.signicat.options import Options
    from local.sandbox.signicat.state import State

API = "/enterprise/sign"


@dataclass
class ForeignHost:
    """A storage service on an origin of its own. It wants no token and notes whether it was shown one."""

    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    authorizations: list[str | None] = field(default_factory=list)
    """The Authorization header of each call."""
    base_url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/files/{key}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        listener = loopback_socket(0)
        await web.SockSite(self._runner, listener).start()
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _file(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        found = self.files.get(request.match_info["key"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found[0], content_type=found[1])


@dataclass
class Counter:
    """The desk where files are collected."""

    state: State
    options: Options
    base_url: str
    foreign: ForeignHost = field(default_factory=ForeignHost)
    kept: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """Files at the second address on the same host, by key."""

    def answer(self, content: bytes, media_type: str, archive_id: str | None = None) -> web.Response:
        key, delivery = secrets.token_hex(8), self.options.delivery
        if delivery == "archive" and archive_id is not None:
            return _see_other(f"{self.base_url}{API}/archive-documents/{archive_id}")
        if delivery == "same_host":
            self.kept[key] = (content, media_type)
            return _see_other(f"{API}/_collect/{key}")
        if delivery == "foreign_host":
            self.foreign.files[key] = (content, media_type)
            return _see_other(f"{self.foreign.base_url}/files/{key}")
        return web.Response(body=content, content_type=media_type)


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})
