"""Packages: create, list, status, process, deadline, reminders, removal (spec connective 2.1 to 2.3, 2.6 to 2.14)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.connective import lifecycle, people, render
from local.sandbox.connective.documents import check_correlation, new_document
from local.sandbox.connective.platform import Platform, json_answer
from local.sandbox.connective.state import Package, new_id
from local.sandbox.connective.wire import (
    CreateInstant,
    CreatePackage,
    PackageFields,
    ProcessRequest,
    ProcessRequestV31,
    SetExpiry,
    SetStatus,
    Status,
)
from local.sandbox.faults import FaultKind
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Packages:
    platform: Platform

    def operations(self) -> list[Operation]:
        root = self.platform.options.prefix
        base, one = f"{root}/v3/packages", f"{root}/v3/packages/{{packageId}}"
        table = [
            ("CreateInstantPackage", "POST", f"{base}/instant", self.create_instant),
            ("PackageList", "GET", base, self.list_page),
            ("CreatePackage", "POST", base, self.create),
            ("GetPackageStatus", "GET", f"{one}/status", self.status),
            ("SetPackageStatus", "PUT", f"{one}/status", self.set_status),
            ("SkipSigners", "POST", f"{one}/skipsigners", self.skip),
            ("ExpiryTimeStamp", "PUT", f"{one}/expirytimestamp", self.set_expiry),
            ("SendPackageReminders", "POST", f"{one}/reminders", self.remind),
            ("DeletePackage", "DELETE", one, self.delete),
            ("SetProcessInformation", "PUT", f"{one}/process", self.process),
            ("SetProcessInformationV31", "PUT", f"{root}/v3.1/packages/{{packageId}}/process", self.process_v31),
        ]
        return [Operation(name, method, path, self.platform.guarded(run)) for name, method, path, run in table]

    async def create(self, request: web.Request) -> web.Response:
        body = await self.platform.read(CreatePackage, request)
        package = self._new(body, body.PackageName)
        return json_answer({"PackageId": package.id, "CreationTimestamp": render.moment(package.created)}, 201)

    async def create_instant(self, request: web.Request) -> web.Response:
        body = await self.platform.read(CreateInstant, request)
        self._check(body)
        actors = [actor for person in body.Stakeholders for actor in person.Actors]
        fields = [field for actor in actors for field in actor.SigningFields]
        document = await new_document(self.platform, body, "application/pdf", fields, body.CorrelationId)
        package = self._new(body, body.DocumentName)
        package.documents.append(document)
        ids = iter([one.id for one in document.locations])
        places = [(one, [next(ids) for _ in one.SigningFields]) for one in actors]
        people.set_instant(self.platform, package, places, body)
        self.platform.send(package)
        if self.platform.options.instant_answer == "short":
            return json_answer({"PackageId": package.id, "CreationTimestamp": render.moment(package.created)})
        return json_answer(render.instant_package(self.platform, package))

    def _new(self, body: PackageFields, name: str) -> Package:
        self._check(body)
        state = self.platform.state
        package = Package(
            new_id(),
            name,
            body.Initiator,
            state.now(),
            state.next_sequence(),
            body.ExternalPackageReference,
            body.CallBackUrl,
            body.NotificationCallBackUrl,
            body.CorrelationId,
            body.DocumentGroupCode or "00001",
            body.ExpiryTimestamp,
        )
        state.packages[package.id] = package
        return package

    def _check(self, body: PackageFields) -> None:
        users = self.platform.options.portal_users
        if users is not None and body.Initiator not in users:
            raise self.platform.refusal(400, f"User.NotFound:{body.Initiator}", "The initiator is no portal user.")
        if body.ExpiryTimestamp is not None and body.ExpiryTimestamp <= self.platform.state.now():
            raise self._invalid("ExpiryTimestamp")
        check_correlation(self.platform, body.CorrelationId)

    async def list_page(self, request: web.Request) -> web.Response:
        """An opaque token goes from page to page; the last one comes without."""
        query = {name.lower(): value for name, value in request.query.items()}
        size = self._size(query.get("maxquantity"))
        token, state = query.get("continuationtoken", ""), self.platform.state
        if token and token not in state.list_tokens:
            raise self._invalid("ContinuationToken")
        ids = state.list_tokens[token] if token else self._matching(query)
        shown = [state.packages[one] for one in ids[:size] if one in state.packages]
        rest, following = ids[size:], None
        if rest:
            following = secrets.token_urlsafe(12)
            state.list_tokens[following] = rest
        return json_answer(
            {
                "ContinuationToken": following,
                "MaxQuantity": size,
                "Total": len(self._matching(query)),
                "Items": [render.list_item(one) for one in shown],
            }
        )

    def _matching(self, query: Mapping[str, str]) -> list[str]:
        after, before = self._date(query, "createdafterdate"), self._date(query, "createdbeforedate")
        status = query.get("status", "").lower()
        if status and status not in {one.value.lower() for one in Status}:
            raise self._invalid("Status")
        order = query.get("sortorder", "ASC").upper()
        if order not in {"ASC", "DESC"}:
            raise self._invalid("SortOrder")
        found = [
            one
            for one in self.platform.state.packages.values()
            if (after is None or one.created >= after)
            and (before is None or one.created <= before)
            and status in {"", one.status.value.lower()}
        ]
        return [one.id for one in sorted(found, key=lambda one: one.sequence, reverse=order == "DESC")]

    def _size(self, text: str | None) -> int:
        if text is None:
            return self.platform.options.page_size
        if not text.isdecimal() or int(text) < 1:
            raise self._invalid("MaxQuantity")
        return int(text)

    def _date(self, query: Mapping[str, str], name: str) -> datetime | None:
        if not query.get(name):
            return None
        try:
            moment = datetime.fromisoformat(query[name])
        except ValueError as error:
            raise self._invalid(name) from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    async def status(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        late = self.platform.faults.late("GetPackageStatus", FaultKind.LATE_STATUS, package.changed_at)
        shown = package.previous_status if late is not None else None
        return json_answer(render.package_status(self.platform, package, shown))

    async def set_status(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        body = await self.platform.read(SetStatus, request)
        if body.Status == "Pending":
            self.platform.send(package)
        else:
            lifecycle.revoke(package)
            self.platform.announce_end(package)
        return json_answer(render.package_status(self.platform, package))

    async def skip(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        lifecycle.skip(self.platform.state, package)
        self.platform.announce(package)
        return web.Response(status=200)

    async def set_expiry(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        body = await self.platform.read(SetExpiry, request)
        if body.ExpiryTimestamp <= self.platform.state.now():
            raise self._invalid("ExpiryTimestamp")
        lifecycle.extend(package, body.ExpiryTimestamp)
        return web.Response(status=200)

    async def remind(self, request: web.Request) -> web.Response:
        """An unknown package is 400 here, unlike anywhere else (spec connective 2.12)."""
        package = self.platform.package(request, missing=400)
        if package.status is not Status.PENDING:
            raise lifecycle.Conflict("Package.NotPending", f"The package is {package.status}.")
        self.platform.state.reminders[package.id] += 1
        return web.Response(status=200)

    async def delete(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        lifecycle.require_deletable(package)
        self.platform.state.deleted.append(self.platform.state.packages.pop(package.id))
        return web.Response(status=200)

    async def process(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        lifecycle.require_draft(package)
        people.set_process(self.platform, package, await self.platform.read(ProcessRequest, request))
        return web.Response(status=200)

    async def process_v31(self, request: web.Request) -> web.Response:
        package = self.platform.package(request)
        lifecycle.require_draft(package)
        people.set_process_v31(self.platform, package, await self.platform.read(ProcessRequestV31, request))
        return web.Response(status=200)

    def _invalid(self, name: str) -> Exception:
        return self.platform.refusal(400, f"Request.InvalidParameter:{name}", f"{name} is invalid.")
