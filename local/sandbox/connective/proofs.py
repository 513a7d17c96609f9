"""Audit proofs, and proofs from elsewhere (spec connective 2.19, 6). The XML's outer form is a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from aiohttp import web

from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.connective.platform import Platform
from local.sandbox.connective.render import moment
from local.sandbox.connective.wire import ExternalProof, Status
from local.sandbox.faults import FaultKind
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.connective.state import Document, Location, Package


@dataclass
class Proofs:
    platform: Platform

    def operations(self) -> list[Operation]:
        root = f"{self.platform.options.prefix}/v3"
        one = f"{root}/packages/{{packageId}}/auditproof"
        related = "/{correlationId}/auditproof/download"
        table = [
            ("PackageAuditProof", "GET", f"{one}/download", self.of_package),
            ("PackageAuditProofDoc", "GET", f"{one}/download/{{documentId}}", self.of_document),
            ("PackageCorrelationAuditProof", "GET", f"{root}/packagecorrelations{related}", self.of_packages),
            ("DocumentCorrelationAuditProof", "GET", f"{root}/documentcorrelations{related}", self.of_documents),
            ("ProofExternalSource", "POST", f"{one}/proofs", self.add),
        ]
        return [Operation(name, method, path, self.platform.guarded(run)) for name, method, path, run in table]

    async def of_package(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        self._require_finished(package, "PackageAuditProof")
        return _answer([(package, package.documents)])

    async def of_document(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        document_id = request.match_info["documentId"]
        document = package.document(document_id.lower())
        if document is None:
            raise self.platform.not_found("Document", document_id)
        self._require_finished(package, "PackageAuditProofDoc")
        return _answer([(package, [document])])

    async def of_packages(self, request: web.Request) -> web.Response:
        wanted = request.match_info["correlationId"]
        found = [one for one in self.platform.state.packages.values() if one.correlation_id == wanted]
        return self._related(wanted, [(one, one.documents) for one in found], "PackageCorrelationAuditProof")

    async def of_documents(self, request: web.Request) -> web.Response:
        wanted = request.match_info["correlationId"]
        pairs = [
            (package, [one for one in package.documents if one.correlation_id == wanted])
            for package in self.platform.state.packages.values()
        ]
        return self._related(wanted, [pair for pair in pairs if pair[1]], "DocumentCorrelationAuditProof")

    def _related(self, wanted: str, pairs: list[tuple[Package, list[Document]]], operation: str) -> web.Response:
        if not pairs:
            raise self.platform.not_found("Correlation", wanted)
        for package, _ in pairs:
            self._require_finished(package, operation)
        return _answer(pairs)

    def _require_finished(self, package: Package, operation: str) -> None:
        if package.status is not Status.FINISHED or not self.platform.options.audit_proofs:
            raise Conflict("Package.InvalidStatus", "There is no audit proof (yet).")
        if self.platform.faults.late(operation, FaultKind.LATE_SEAL, package.changed_at) is not None:
            raise Conflict("Package.InvalidStatus", "The audit proof is being made.")

    async def add(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        body = await self.platform.read(ExternalProof, request)
        pair = package.document_of(body.LocationId.lower())
        if pair is None:
            raise self.platform.not_found("Location", body.LocationId)
        pair[1].proofs.append(body)
        return web.Response(status=204)


def _answer(pairs: Sequence[tuple[Package, Sequence[Document]]]) -> web.Response:
    root = Element("Content")
    for package, documents in pairs:
        attributes = {"packageId": package.id}
        if package.correlation_id:
            attributes["packageCorrelationId"] = package.correlation_id
        uploads = SubElement(root, "uploads", attributes)
        for document in documents:
            upload = SubElement(uploads, "upload")
            SubElement(upload, "start").text = moment(package.created)
            SubElement(upload, "end").text = moment(document.created)
            for location in document.locations:
                _signatures(upload, location)
    body = tostring(root, encoding="utf-8", xml_declaration=True)
    return web.Response(body=body, headers={"Content-Type": "application/xml; charset=utf-8"})


def _signatures(upload: Element, location: Location) -> None:
    node = SubElement(upload, "signatures", {"locationId": location.id})
    proofs = SubElement(node, "proofs")
    if location.signed_at is not None:
        _proof(proofs, "Signature", location.used_type or "unknown", "127.0.0.1", moment(location.signed_at) or "")
    for one in location.proofs:
        _proof(proofs, one.Name, one.Type, one.IpAddress or "", one.Content)


def _proof(proofs: Element, name: str, kind: str, address: str, content: str) -> None:
    proof = SubElement(proofs, "proof", {"ipAddress": address})
    SubElement(proof, "name").text = name
    SubElement(proof, "type").text = kind
    SubElement(proof, "content").text = content
