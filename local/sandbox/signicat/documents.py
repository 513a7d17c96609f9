"""Uploads and the archive: rows 1 to 5 of spec signicat 1.3."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from local.sandbox.server import Operation
from local.sandbox.signicat.platform import Platform, problem
from local.sandbox.signicat.results import API, Counter
from local.sandbox.signicat.state import new_id


@dataclass
class Documents:
    platform: Platform
    counter: Counter

    def operations(self) -> list[Operation]:
        one, archived = f"{API}/documents/{{documentId}}", f"{API}/archive-documents/{{archiveId}}"
        return [
            Operation("uploadSessionDocument", "POST", f"{API}/documents", self.upload),
            Operation("getDocument", "GET", one, self.get),
            Operation("deleteDocument", "DELETE", one, self.delete),
            Operation("getArchivedDocument", "GET", archived, self.get_archived),
            Operation("deleteArchivedDocument", "DELETE", archived, self.delete_archived),
            Operation("_collect", "GET", f"{API}/_collect/{{key}}", self.collect),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        self.platform.tokens.check(request)
        content = await request.read()
        if request.headers.get("Content-Type") != "application/pdf":
            raise problem(400, "Bad Request", "Only application/pdf is taken.")
        if not content.startswith(b"%PDF-"):
            raise problem(400, "Bad Request", "The body is empty or no PDF.")
        if len(content) > self.platform.options.max_document_bytes:
            raise problem(413, "Content Too Large", "The document is too large.")
        document_id = new_id(self.platform.state.now())
        self.platform.state.uploads[document_id] = content
        return web.json_response({"documentId": document_id}, status=self.platform.options.created_status)

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(body=self._upload(request)[1], content_type="application/pdf")

    async def delete(self, request: web.Request) -> web.Response:
        del self.platform.state.uploads[self._upload(request)[0]]
        return web.Response(status=204)

    async def get_archived(self, request: web.Request) -> web.Response:
        return web.Response(body=self._archived(request)[1], content_type="application/pdf")

    async def delete_archived(self, request: web.Request) -> web.Response:
        del self.platform.state.archive[self._archived(request)[0]]
        return web.Response(status=204)

    async def collect(self, request: web.Request) -> web.Response:
        """The second address on the same host, which wants the token like everything here."""
        self.platform.tokens.check(request)
        found = self.counter.kept.get(request.match_info["key"])
        if found is None:
            raise problem(404, "Not Found", "There is nothing to collect.")
        return web.Response(body=found[0], content_type=found[1])

    def _upload(self, request: web.Request) -> tuple[str, bytes]:
        self.platform.tokens.check(request)
        return _found(self.platform.state.uploads, request.match_info["documentId"])

    def _archived(self, request: web.Request) -> tuple[str, bytes]:
        self.platform.tokens.check(request)
        return _found(self.platform.state.archive, request.match_info["archiveId"])


def _found(files: dict[str, bytes], name: str) -> tuple[str, bytes]:
    if name not in files:
        raise problem(404, "Not Found", "There is no such document.")
    return name, files[name]
