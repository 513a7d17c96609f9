"""Operations 1 to 16: signings of both kinds, and the seal (spec dokobit 1.2 to 1.4)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.dokobit import containers, lifecycle, render, wire
from local.sandbox.dokobit.platform import Platform, both, failed
from local.sandbox.dokobit.state import Flow, Person, Signing, new_token
from local.sandbox.faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.dokobit.control import Stage
    from local.sandbox.server import Operation


@dataclass
class Signings:
    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        external, internal = "/signing-external/{token}", "/signing-internal/{token}"
        return [
            *both("CreateExternalSigning", "POST", "/signing-external/create.json", self.create_external),
            *both("CheckExternalSigningStatus", "GET", f"{external}/status.json", self.status),
            *both("DownloadDocumentExternal", "GET", f"{external}/download", self.download),
            *both("Reminder", "POST", f"{external}/remind.json", self.remind),
            *both("AddExternalSigner", "POST", f"{external}/signers/add.json", self.add_external),
            *both("DeleteExternalSigner", "POST", f"{external}/signers/delete.json", self.take_out),
            *both("DeleteExternalSigning", "POST", f"{external}/delete.json", self.delete),
            *both("UpdateExternalSigning", "POST", f"{external}/update.json", self.update_external),
            *both("CreateInternalSigning", "POST", "/signing-internal/create.json", self.create_internal),
            *both("CheckInternalSigningStatus", "GET", f"{internal}/status.json", self.status),
            *both("DownloadDocumentInternal", "GET", f"{internal}/download", self.download),
            *both("AddInternalSigner", "POST", f"{internal}/signers/add.json", self.add_internal),
            *both("DeleteInternalSigner", "POST", f"{internal}/signers/delete.json", self.take_out),
            *both("DeleteInternalSigning", "POST", f"{internal}/delete.json", self.delete),
            *both("UpdateInternalSigning", "POST", f"{internal}/update.json", self.update_internal),
            *both("SealSigning", "POST", "/signing/{token}/seal.json", self.seal),
        ]

    async def create_external(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.CreateExternal, request)
        signing = await self._created(request, "external", body, body.signers)
        signing.comment, signing.deadline = body.comment, body.deadline
        signing.hard_deadline = body.hard_deadline
        for person, asked in zip(signing.people, body.signers, strict=True):
            person.sequence = asked.sequence or 0
        await self._open(signing)
        return web.json_response(render.external_created(signing))

    async def create_internal(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.CreateInternal, request)
        signing = await self._created(request, "internal", body, body.signers)
        signing.redirect_uri = body.redirect_uri
        await self._open(signing)
        return web.json_response(render.internal_created(signing, self.platform.base_url))

    async def status(self, request: web.Request) -> web.Response:
        signing = self._found(request)
        late = self.platform.faults.late(_operation(request), FaultKind.LATE_STATUS, signing.changed_at)
        shown = signing.previous_state if late else signing.state
        return web.json_response(render.signing_status(signing, shown, self.platform.options, self.platform.base_url))

    async def download(self, request: web.Request) -> web.Response:
        """Works before completion too, with the signatures so far (spec dokobit 1.6)."""
        signing = self._found(request)
        late = self.platform.faults.late(_operation(request), FaultKind.LATE_SEAL, signing.changed_at)
        if self.platform.options.error_in_success:
            raise failed("The document is not available", status=200)
        if late is not None and late.seal == "conflict":
            raise failed("The document is being prepared")
        content = await asyncio.to_thread(_result, signing, "" if late is None else late.seal)
        name = f"{signing.name}.{containers.SUFFIXES.get(signing.type, signing.type)}".encode("ascii", "replace")
        return web.Response(
            body=content,
            content_type=containers.MEDIA_TYPES[signing.type],
            headers={"Content-Disposition": f'attachment; filename="{name.decode()}"'},
        )

    async def remind(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.Remind, request)
        signing = self._found(request)
        lifecycle.remind(self.platform.state, signing, _person(signing, body.signer, "signer"))
        return _ok()

    async def add_external(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.AddExternal, request)
        signing = self._found(request)
        added = self._added(signing, body.signers)
        lifecycle.invite(self.platform.state, signing, added)
        return web.json_response({"status": "ok", "signers": [render.added(one) for one in added]})

    async def add_internal(self, request: web.Request) -> web.Response:
        """The definition gives no link for somebody who comes late, so there is none here either."""
        body = await self.platform.body(wire.AddInternal, request)
        added = self._added(self._found(request), body.signers)
        return web.json_response({"status": "ok", "signers": [render.added(one) for one in added]})

    async def take_out(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.DeletePeople, request)
        signing = self._found(request)
        people = [_person(signing, one.token, f"signers[{at}].token") for at, one in enumerate(body.signers)]
        for one in people:
            lifecycle.take_out(signing, one)
        if people and lifecycle.settle(signing):
            await self.stage.announce_completion(signing)
        return _ok()

    async def delete(self, request: web.Request) -> web.Response:
        signing = self._found(request)
        self.platform.state.deleted.append(self.platform.state.signings.pop(signing.token))
        return _ok()

    async def update_external(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.UpdateExternal, request)
        lifecycle.update(self._found(request), {name: getattr(body, name) for name in body.model_fields_set})
        return _ok()

    async def update_internal(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.UpdateInternal, request)
        lifecycle.update(self._found(request), body.model_dump(exclude_unset=True))
        return _ok()

    async def seal(self, request: web.Request) -> web.Response:
        body = await self.platform.body(wire.Seal, request)
        signing = self.platform.signing(request)
        if not self.platform.options.seal_certificate:
            raise failed("The account has no sealing certificate")
        await self.stage.seal(signing, body)
        return _ok()

    async def _created(
        self,
        request: web.Request,
        flow: Flow,
        body: wire.Create,
        people: Sequence[wire.LatePerson | wire.InternalPerson],
    ) -> Signing:
        files = await self.platform.take_in(request, body.files, body.type)
        policy = body.model_dump(include=set(wire.Policy.model_fields), exclude_unset=True)
        signing = Signing(
            new_token(), flow, body.type, body.name, files, [], postback_url=body.postback_url, policy=policy
        )
        self._added(signing, people)
        return signing

    def _added(self, signing: Signing, people: Sequence[wire.LatePerson | wire.InternalPerson]) -> list[Person]:
        taken = {one.body.external_id for one in signing.people}
        for at, one in enumerate(people):
            if one.external_id in taken:
                raise failed("This external_id is taken", field=f"signers[{at}].external_id")
            taken.add(one.external_id)
        added = [Person(new_token(), one) for one in people]
        signing.people += added
        return added

    async def _open(self, signing: Signing) -> None:
        self.platform.state.signings[signing.token] = signing
        lifecycle.open_for(self.platform.state, signing)
        await self.platform.postbacks.announce(signing, "signing_created")

    def _found(self, request: web.Request) -> Signing:
        """By the path's own kind: whether the two kinds share their tokens is not published."""
        return self.platform.signing(request, "external" if "/signing-external/" in request.path else "internal")


def _result(signing: Signing, seal: str) -> bytes:
    """`seal` "unsigned" gives the originals, "incomplete" leaves the last file out."""
    if not signing.is_pdf or len(signing.files) > 1:
        return containers.container(signing, signed=seal != "unsigned", complete=seal != "incomplete")
    file = signing.files[0]
    if seal == "incomplete":
        return file.content[: len(file.content) // 2]
    return file.original if seal == "unsigned" else file.content


def _operation(request: web.Request) -> str:
    kind = "External" if "/signing-external/" in request.path else "Internal"
    deed = "DownloadDocument{}" if request.path.endswith("/download") else "Check{}SigningStatus"
    return "DokobitUniversalAPI" + deed.format(kind)


def _person(signing: Signing, token: str, field: str) -> Person:
    found = signing.person(token)
    if found is None:
        raise failed("Unknown participant", field=field)
    return found


def _ok() -> web.Response:
    return web.json_response({"status": "ok"})
