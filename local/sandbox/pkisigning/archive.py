"""The download: a ZIP with every document as it was signed, and the audit trail (spec pkisigning 1.5 op. 5, 7)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import pdf
from local.sandbox.answers import Problem, StreamedAnswer
from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning.state import SignRequest
from local.sandbox.pkisigning.wire import Action, Status

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from local.sandbox.pkisigning.bulk import BulkArchive
    from local.sandbox.pkisigning.platform import Platform

_DEEDS = {Action.SIGN: "signed", Action.APPROVE: "approved", Action.DOWNLOAD: "downloaded"}


class Unseekable(io.RawIOBase):
    """Collects writes and refuses to seek, so that zipfile writes data descriptors behind the members."""

    def __init__(self) -> None:
        self.collected = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        piece = bytes(data)
        self.collected += piece
        return len(piece)


async def answer(
    platform: Platform, request: SignRequest, bulk: BulkArchive | None, operation: str = "Requests_Download"
) -> web.StreamResponse:
    """Raises Problem 409 before completion, and while the seal is late."""
    if request.status is not Status.COMPLETED:
        raise Problem(409, f"The request is {request.status.value}; the download is available once it is Completed.")
    late = platform.faults.late(operation, FaultKind.LATE_SEAL, request.changed_at)
    if late is not None and late.seal == "conflict":
        raise Problem(409, "The documents are being sealed.")
    files = await asyncio.to_thread(_files, platform, request, "" if late is None else late.seal)
    if bulk is not None:
        headers = {"Content-Type": "application/zip", "Content-Disposition": _disposition(request, "zip")}
        return StreamedAnswer(bulk.chunks(files), bulk.length(files), headers)
    if platform.options.bare_pdf and len(request.documents) == 1:
        return web.Response(
            body=files[0][1], content_type="application/pdf",
            headers={"Content-Disposition": _disposition(request, "pdf")},
        )  # fmt: skip
    body = await asyncio.to_thread(zipped, files, platform.options.zip_form)
    return web.Response(
        body=body, content_type="application/zip", headers={"Content-Disposition": _disposition(request, "zip")}
    )


def zipped(files: list[tuple[str, bytes]], form: str) -> bytes:
    method = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
    if form == "data_descriptor":
        sink = Unseekable()
        with zipfile.ZipFile(sink, "w", method) as archive:
            _write(archive, files)
        return bytes(sink.collected)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        _write(archive, files)
    return buffer.getvalue()


def _write(archive: zipfile.ZipFile, files: list[tuple[str, bytes]]) -> None:
    for name, content in files:
        archive.writestr(name, content)


def _files(platform: Platform, request: SignRequest, seal: str) -> list[tuple[str, bytes]]:
    """Names as uploaded, made unique. `seal` "unsigned" gives the originals, "incomplete" leaves the last one out."""
    files: list[tuple[str, bytes]] = []
    for document in request.documents:
        content = document.original if seal == "unsigned" else document.content
        files.append((_unique(document.filename, [name for name, _ in files]), content))
    trail = _audit_trail(request, files)
    if seal == "incomplete":
        files = files[:-1]
    if platform.options.audit_trail:
        files.append((_unique("Audit trail.pdf", [name for name, _ in files]), trail))
    return files


def _audit_trail(request: SignRequest, files: list[tuple[str, bytes]]) -> bytes:
    acted = sorted((actor for actor in request.actors if actor.acted_at), key=lambda actor: actor.turn)
    lines = [pdf.AuditLine(one.full_name, _DEEDS[one.action], one.acted_at) for one in acted if one.acted_at]
    return pdf.audit_trail(
        request.name, lines, [(name, hashlib.sha256(content).hexdigest()) for name, content in files]
    )


def _unique(name: str, taken: list[str]) -> str:
    stem, dot, suffix = name.rpartition(".")
    candidate, number = name, 2
    while candidate in taken:
        candidate = f"{stem} ({number}){dot}{suffix}"
        number += 1
    return candidate


def _disposition(request: SignRequest, suffix: str) -> str:
    return f'attachment; filename="{request.id}.{suffix}"'
