"""Documents of a package: upload, places to sign, removal, downloads (spec connective 2.4, 2.5, 2.9)."""

from __future__ import annotations

import asyncio
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import pdf
from local.sandbox.connective import render
from local.sandbox.connective.lifecycle import Conflict, require_draft
from local.sandbox.connective.platform import Platform, json_answer
from local.sandbox.connective.state import Document, Location, Package, new_id
from local.sandbox.connective.wire import AddDocument, DocumentFields, SigningFieldBody, Status
from local.sandbox.faults import FaultKind
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.faults import Fault

_XML_CHARACTERS = 2_000_000


@dataclass
class Documents:
    platform: Platform

    def operations(self) -> list[Operation]:
        base = f"{self.platform.options.prefix}/v3/packages/{{packageId}}"
        guarded = self.platform.guarded
        return [
            Operation("AddDocumentToPackage", "POST", f"{base}/documents", guarded(self.add)),
            Operation("DeleteDocumentFromPackage", "DELETE", f"{base}/documents/{{documentId}}", guarded(self.delete)),
            Operation("GetSigningLocations", "GET", f"{base}/locations", guarded(self.locations)),
            Operation("DownloadPackage", "GET", f"{base}/download", guarded(self.download)),
            Operation("DownloadDocumentFromPackage", "GET", f"{base}/download/{{documentId}}", guarded(self.one)),
        ]

    async def add(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        require_draft(package)
        body = await self.platform.read(AddDocument, request)
        document = await new_document(self.platform, body, body.DocumentType, body.SigningFields, body.CorrelationId)
        require_draft(package)  # it may have been sent while the file was read
        package.documents.append(document)
        return json_answer(
            {
                "DocumentId": document.id,
                "CreationTimestamp": render.moment(document.created),
                "Locations": [render.location_model(one) for one in document.locations],
            }
        )

    async def delete(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        require_draft(package)
        package.documents.remove(self._document(package, request))
        return web.Response(status=200)

    async def locations(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        return json_answer({"Documents": [render.document_locations(one) for one in package.documents]})

    async def download(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        late = self._require_finished(package, "DownloadPackage")
        files = [(f"{one.name}{one.suffix}", self._content(one, late)) for one in package.documents]
        if late is not None and late.seal == "incomplete":
            files = files[:-1]
        if self.platform.options.bare_pdf and len(files) == 1:
            return _file(files[0][1], "application/pdf", files[0][0])
        return _file(await asyncio.to_thread(_zipped, files), "application/zip", f"{package.name}.zip")

    async def one(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        document = self._document(package, request)
        late = self._require_finished(package, "DownloadDocumentFromPackage")
        content = self._content(document, late)
        if late is not None and late.seal == "incomplete":
            content = content[: len(content) // 2]
        return _file(content, document.media_type, f"{document.name}{document.suffix}")

    def _content(self, document: Document, late: Fault | None) -> bytes:
        return document.original if late is not None and late.seal == "unsigned" else document.content

    def _require_finished(self, package: Package, operation: str) -> Fault | None:
        if package.status is not Status.FINISHED:
            raise Conflict("Package.InvalidStatus", f"The package is {package.status}, not Finished.")
        late = self.platform.faults.late(operation, FaultKind.LATE_SEAL, package.changed_at)
        if late is not None and late.seal == "conflict":
            raise Conflict("Package.InvalidStatus", "The documents are still being sealed.")
        return late

    def _document(self, package: Package, request: web.Request) -> Document:
        document_id = request.match_info["documentId"]
        found = package.document(document_id.lower())
        if found is None:
            raise self.platform.not_found("Document", document_id)
        return found


async def new_document(
    platform: Platform,
    body: DocumentFields,
    media_type: str,
    fields: Sequence[SigningFieldBody],
    correlation_id: str | None,
) -> Document:
    """Raises Problem 400 for what is no such document, 409 for markers that are not in it."""
    if len(body.Document) > platform.options.max_document_bytes:
        raise platform.refusal(400, "Request.InvalidParameter:Document", "The document is too large.")
    check_correlation(platform, correlation_id)
    if media_type == "application/xml":
        locations = _places_in_xml(platform, body.Document, fields)
    else:
        locations = await _places_in_pdf(platform, body.Document, fields)
    return Document(
        new_id(),
        body.DocumentName,
        media_type,
        body.DocumentLanguage,
        body.Document,
        body.Document,
        platform.state.now(),
        body.ExternalDocumentReference,
        correlation_id,
        locations,
    )


def check_correlation(platform: Platform, correlation_id: str | None) -> None:
    if correlation_id is not None and not platform.options.audit_proofs:
        raise platform.refusal(400, "Request.InvalidParameter:CorrelationId", "Audit proofs are disabled.")


def _places_in_xml(platform: Platform, content: bytes, fields: Sequence[SigningFieldBody]) -> list[Location]:
    if not content.lstrip().startswith(b"<") or len(content) > _XML_CHARACTERS:
        raise platform.refusal(400, "Request.InvalidParameter:Document", "The document is no XML, or too long.")
    return [Location(new_id(), one.Label or "xml", 1) for one in fields]


async def _places_in_pdf(platform: Platform, content: bytes, fields: Sequence[SigningFieldBody]) -> list[Location]:
    try:
        facts = await asyncio.to_thread(pdf.inspect_pdf, content)
    except (pdf.NotAPdf, pdf.ProtectedPdf) as error:
        raise platform.refusal(400, "Request.InvalidParameter:Document", str(error)) from error
    pages_of_fields = {one.name: one.page for one in facts.empty_fields}
    locations = []
    for index, one in enumerate(fields, start=1):
        if one.MarkerOrFieldId is None:
            locations.append(_by_coordinates(platform, one, facts.pages, index))
            continue
        page = pages_of_fields.get(one.MarkerOrFieldId) or await asyncio.to_thread(
            pdf.page_of_text, content, one.MarkerOrFieldId
        )
        if page is None:
            raise platform.refusal(409, "Document.MarkerNotFound", "A marker is not in the document.")
        label = one.Label if platform.options.label_form == "label" and one.Label else one.MarkerOrFieldId
        is_field = one.MarkerOrFieldId in pages_of_fields
        locations.append(Location(new_id(), label, page, one.MarkerOrFieldId, is_field))
    labels = [one.label for one in locations]
    if len(set(labels)) < len(labels):
        raise platform.refusal(400, "Request.InvalidParameter:Label", "Labels have to differ.")
    return locations


def _by_coordinates(platform: Platform, field: SigningFieldBody, pages: int, index: int) -> Location:
    number = field.PageNumber or 1
    page = number if number > 0 else pages + 1 + number
    if not 1 <= page <= pages:
        raise platform.refusal(400, "Request.InvalidParameter:PageNumber", "There is no such page.")
    box = (page, field.Left or 0, field.Top or 0, field.Width or 0, field.Height or 0)
    return Location(new_id(), field.Label or f"Location {index}", page, box=box)


def _zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def _file(content: bytes, media_type: str, name: str) -> web.Response:
    headers = {"Content-Type": media_type, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=content, headers=headers)
