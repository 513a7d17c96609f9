"""Operations 17 to 22: e-delivery, and validation with its four reports (spec dokobit 1.3, 3.8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import pdf
from local.sandbox.dokobit import render, wire
from local.sandbox.dokobit.containers import count_signatures
from local.sandbox.dokobit.platform import Platform, both, check_digest, decoded, failed
from local.sandbox.dokobit.state import Delivery, Validation, new_token, utc_now

if TYPE_CHECKING:
    from local.sandbox.server import Operation

_REPORT = "http://uri.etsi.org/19102/v1.2.1#"
_KINDS = ("asice", "asics", "sce", "bdoc", "edoc", "pdf", "p7s", "xml")


@dataclass
class Services:
    platform: Platform

    def operations(self) -> list[Operation]:
        reports = "/validation/{token}/download"
        return [
            *both("eDelivery", "POST", "/e-delivery/create.json", self.deliver),
            *both("Validation", "POST", "/validation/upload.json", self.upload),
            *both("ValidationDetailedPDFReport", "GET", f"{reports}/detailed-report-pdf", self.pdf_report),
            *both("ValidationXMLDiagnosticData", "GET", f"{reports}/diagnostic-data-xml", self.diagnostic_data),
            *both("ValidationPDFReport", "GET", f"{reports}/report-pdf", self.pdf_report),
            *both("ValidationXMLReport", "GET", f"{reports}/report-xml", self.xml_report),
        ]

    async def deliver(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.Deliver, request)
        await self.platform.take_in(request, body.files, body.type)
        recipients = [(new_token(), one) for one in body.recipients]
        delivery = Delivery(new_token(), body.name, recipients, body.postback_url)
        self.platform.state.deliveries[delivery.token] = delivery
        return web.json_response(render.delivery_created(delivery))

    async def upload(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.Upload, request)
        if not self.platform.options.validation_allowed:
            raise failed("Validation is not part of the contract")
        kind = body.file.name.rpartition(".")[2].lower()
        if kind not in _KINDS:
            raise failed("This kind of file cannot be validated", field="file.name")
        check_digest(request, body.file, "file")
        content = decoded(body.file, "file")
        signatures = await asyncio.to_thread(_signatures, kind, content)
        polls = self.platform.options.validation_polls
        validation = Validation(new_token(), body.file.name, content, signatures, polls)
        self.platform.state.validations[validation.token] = validation
        return web.json_response({"status": "ok", "token": validation.token})

    async def pdf_report(self, request: web.Request) -> web.Response:
        validation = self._ready(request)
        line = pdf.AuditLine(_indication(validation), "main indication", utc_now())
        content = await asyncio.to_thread(pdf.audit_trail, "Validation report", [line], [])
        return web.Response(body=content, content_type="application/pdf")

    async def xml_report(self, request: web.Request) -> web.Response:
        indication = f"urn:etsi:019102:mainindication:{_indication(self._ready(request))}"
        report = f'<ValidationReport xmlns="{_REPORT}"><MainIndication>{indication}</MainIndication></ValidationReport>'
        return _xml(report)

    async def diagnostic_data(self, request: web.Request) -> web.Response:
        return _xml(f"<DiagnosticData><Signatures>{self._ready(request).signatures}</Signatures></DiagnosticData>")

    def _ready(self, request: web.Request) -> Validation:
        self.platform.check_token(request)
        found = self.platform.state.validations.get(request.match_info["token"])
        if found is None:
            raise self.platform.unknown()
        if found.polls_left:
            found.polls_left -= 1
            raise failed("Validation is still in progress", status=self.platform.options.validation_wait_status)
        return found


def _signatures(kind: str, content: bytes) -> int:
    try:
        if kind == "pdf":
            return pdf.inspect_pdf(content).signatures
        return count_signatures(content) if kind in {"asice", "bdoc", "edoc", "sce"} else 1
    except (pdf.NotAPdf, pdf.ProtectedPdf, ValueError) as error:
        raise failed("The file cannot be read", field="file.content") from error


def _indication(validation: Validation) -> str:
    return "totalPassed" if validation.signatures else "noSignatureFound"


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', content_type="application/xml")
