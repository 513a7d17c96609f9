"""One walk through every operation of the table, by the real client, over HTTP, against the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from aiohttp import web

from local.sandbox.connective import ConnectiveSandbox, Options
from shared.providers.connective import operations as table
from shared.providers.connective.provider import ConnectiveProvider
from shared.providers.http import ProviderClient
from shared.providers.operation import Operation
from tests.contracts.through_the_app import ClientThroughTheApp
from tests.providers.connective.samples import NOW, PDF_BYTES, provider_at
from tests.providers.stand_ins import ScriptedServer

PERSON = {"EmailAddress": "ada@example.org", "FirstName": "Ada", "LastName": "Jansen", "Language": "nl"}
SIGNER = {
    "Type": "Signer",
    "OrderIndex": 1,
    "SigningTypes": [{"SigningType": "BeId", "MandatedSignerValidation": "MatchId", "MandatedSignerIds": ["1"]}],
    "PhoneNumber": "+31600000000",
    "RedirectUrl": "https://app.example.org/back",
    "SendNotifications": True,
    "UserRoles": ["Notary"],
    "LegalNoticeCode": "LEGALNOTICE1",
}
PACKAGE = {
    "Initiator": "sender@example.org",
    "CallBackUrl": "http://127.0.0.1:9/cb",
    "NotificationCallBackUrl": "http://127.0.0.1:9/link",
    "CorrelationId": "lease-corr",
    "DocumentGroupCode": "00001",
    "ThemeCode": "00002",
    "DownloadUnsignedFiles": True,
    "ReassignEnabled": False,
    "ActionUrlExpirationPeriodInDays": 14,
    "ExpiryTimestamp": NOW + timedelta(days=20),
    "ExternalPackageReference": "our-42",
    "F2FRedirectUrl": "https://app.example.org/f2f",
}


@dataclass(frozen=True)
class Exchange:
    """One call as it went over the wire, and what came back."""

    operation_id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes
    answer_type: str


@dataclass
class Tour:
    """`values` holds what each operation gave, as the client reads it."""

    sandbox: ConnectiveSandbox
    client: ProviderClient | ClientThroughTheApp
    exchanges: list[Exchange] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    async def call(self, operation: Operation, body: Mapping[str, Any] | None = None, **named: object) -> Any:
        before = len(self.sandbox.calls)
        if operation.is_download:
            async with self.client.stream(operation, named) as reply:
                value: Any = b"".join([chunk async for chunk in reply.chunks])
        else:
            value = (await self.client.call(operation, named, body=body)).value
        assert {one.operation for one in self.sandbox.calls[before:]} == {operation.id}
        self.values[operation.id] = value
        return value

    async def run(self) -> None:
        package_id = (await self.call(table.CREATE_PACKAGE, {"PackageName": "Lease 42", **PACKAGE})).PackageId
        await self._documents(package_id)
        document = self.values["GetSigningLocations"].Documents[0]
        first, second = (one.Id for one in document.Locations)
        people = [
            {**PERSON, "BirthDate": "1990-01-31", "ExternalStakeholderReference": "p1", "Actors": [actor]}
            for actor in ({**SIGNER, "LocationIds": [first]}, {**SIGNER, "OrderIndex": 2, "LocationIds": [second]})
        ]
        receiver = {**PERSON, "Actors": [{"Type": "Receiver", "SendNotifications": True}]}
        await self.call(table.SET_PROCESS_INFORMATION, {"Stakeholders": [*people, receiver]}, id=package_id)
        await self._process_v31(package_id, first, second)
        await self.call(table.SET_PACKAGE_STATUS, {"Status": "Pending"}, Id=package_id)
        await self._while_pending(package_id, first)
        await self.sandbox.sign(package_id)  # the approver
        await self.sandbox.sign(package_id)
        await self.call(table.SKIP_SIGNERS, PackageId=package_id)
        await self.call(table.GET_PACKAGE_STATUS, Id=package_id)
        await self._when_finished(package_id, document.DocumentId)

    async def _documents(self, package_id: str) -> None:
        fields = [
            {"MarkerOrFieldId": "_signer1_", "Label": "one"},
            {"PageNumber": -1, "Width": "170", "Height": "60.5", "Left": "50", "Top": "600", "Label": "two"},
        ]
        body = {
            "Document": PDF_BYTES,
            "DocumentLanguage": "nl",
            "DocumentName": "lease",
            "SigningFields": fields,
            "CorrelationId": "lease-doc",
            "DocumentType": "application/pdf",
            "ExternalDocumentReference": "d1",
            "PdfErrorHandling": "DetectWarn",
            "Representation": PDF_BYTES,
            "RepresentationType": "application/pdf",
            "TargetType": "Pdf",
        }
        await self.call(table.ADD_DOCUMENT_TO_PACKAGE, body, PackageId=package_id)
        other = {"Document": PDF_BYTES, "DocumentLanguage": "en", "DocumentName": "annex"}
        added = await self.call(table.ADD_DOCUMENT_TO_PACKAGE, other, PackageId=package_id)
        ids: dict[str, Any] = {"packageId": package_id, "documentId": added.DocumentId}
        await self.call(table.DELETE_DOCUMENT_FROM_PACKAGE, **ids)
        await self.call(table.GET_SIGNING_LOCATIONS, Id=package_id)

    async def _process_v31(self, package_id: str, first: str, second: str) -> None:
        group = {
            "Type": "PersonGroup",
            "PersonGroupName": "Board",
            "Persons": [PERSON, {**PERSON, "EmailAddress": "bob@example.org"}],
            "Actors": [{**SIGNER, "Locations": [{"Id": first, "LegalNoticeText": "Read this"}], "OrderIndex": 2}],
        }
        person = {**PERSON, "Actors": [{**SIGNER, "Locations": [{"Id": second}], "OrderIndex": 3}]}
        approver = {**PERSON, "Actors": [{"Type": "Approver", "OrderIndex": 1, "RedirectType": "AfterDelay"}]}
        contacts = {"Type": "ContactGroup", "ContactGroupCode": "007", "Actors": [{"Type": "Receiver"}]}
        people = [group, person, approver, contacts]
        await self.call(table.SET_PROCESS_INFORMATION_V31, {"Stakeholders": people}, id=package_id)

    async def _while_pending(self, package_id: str, location_id: str) -> None:
        search: dict[str, Any] = {
            "ContinuationToken": "",
            "MaxQuantity": 2,
            "SortField": "CreationTimestamp",
            "SortOrder": "DESC",
            "CreatedBeforeDate": NOW + timedelta(days=1),
            "createdAfterDate": NOW - timedelta(days=1),
            "Status": "Pending",
        }
        await self.call(table.PACKAGE_LIST, **search)
        await self.call(table.SEND_PACKAGE_REMINDERS, PackageId=package_id)
        await self.call(table.EXPIRY_TIMESTAMP, {"ExpiryTimestamp": NOW + timedelta(days=30)}, id=package_id)
        proof = {
            "Content": "seen on screen",
            "LocationId": location_id,
            "Name": "Video",
            "Type": "video-ident",
            "Description": "A call",
            "IpAddress": "192.0.2.7",
        }
        await self.call(table.PROOF_EXTERNAL_SOURCE, proof, packageId=package_id)

    async def _when_finished(self, package_id: str, document_id: str) -> None:
        await self.call(table.DOWNLOAD_PACKAGE, id=package_id)
        await self.call(table.DOWNLOAD_DOCUMENT_FROM_PACKAGE, id=package_id, documentId=document_id)
        await self.call(table.PACKAGE_AUDIT_PROOF, packageId=package_id)
        await self.call(table.PACKAGE_AUDIT_PROOF_DOC, packageId=package_id, documentId=document_id)
        await self.call(table.PACKAGE_CORRELATION_AUDIT_PROOF, correlationId="lease-corr")
        await self.call(table.DOCUMENT_CORRELATION_AUDIT_PROOF, correlationId="lease-doc")
        await self.call(table.DELETE_PACKAGE, id=package_id)
        place = {"PageNumber": 1, "Width": "100", "Height": "40", "Left": "10", "Top": "10", "Label": "x"}
        instant = {
            **PACKAGE,
            "Document": PDF_BYTES,
            "DocumentLanguage": "fr",
            "DocumentName": "Instant",
            "ExternalDocumentReference": "d9",
            "PdfErrorHandling": "Ignore",
            "SigningTemplateCode": "T1",
            "TargetType": "PdfA2A",
            "Stakeholders": [{**PERSON, "Actors": [{**SIGNER, "SigningFields": [place]}]}],
        }
        await self.call(table.CREATE_INSTANT_PACKAGE, instant)


@asynccontextmanager
async def touring() -> AsyncIterator[Tour]:
    """A tour that is ready to run. A relay between client and simulator keeps what goes by."""
    exchanges: list[Exchange] = []
    options = Options(rate_limit=10_000, visible_signatures=False)
    async with (
        ConnectiveSandbox.start(options=options) as sandbox,
        ScriptedServer.start() as relay,
        httpx.AsyncClient(trust_env=False) as onward,
        provider_at(sandbox, host=relay.base_url) as provider,
    ):

        async def pass_on(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            url = f"{sandbox.base_url}{request.raw_path}"
            answer = await onward.request(request.method, url, content=body, headers=headers)
            exchanges.append(_exchange(sandbox, request, body, answer))
            kept = {"Content-Type": answer.headers["Content-Type"]} if "Content-Type" in answer.headers else {}
            return web.Response(status=answer.status_code, body=answer.content, headers=kept)

        relay.handler = pass_on
        yield Tour(sandbox, client_of(provider), exchanges)


def _exchange(sandbox: ConnectiveSandbox, request: web.Request, body: bytes, answer: httpx.Response) -> Exchange:
    headers = {name.lower(): value for name, value in request.headers.items()}
    kind = answer.headers.get("Content-Type", "")
    operation_id = sandbox.calls[-1].operation
    query = dict(request.query)
    return Exchange(
        operation_id, request.method, request.path, query, headers, body, answer.status_code, answer.content, kind
    )


def client_of(provider: ConnectiveProvider) -> ProviderClient:
    return provider._client
