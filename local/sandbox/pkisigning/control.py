"""Acting as the people and as the platform: what a test or a visitor of the pages does from outside the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import BaseModel, ConfigDict, Field

from local.sandbox import pdf
from local.sandbox.answers import Problem
from local.sandbox.pdf_places import Placement
from local.sandbox.pki import sandbox_key
from local.sandbox.pkisigning import lifecycle, render
from local.sandbox.pkisigning.lifecycle import Deed
from local.sandbox.pkisigning.state import PENDING, Actor, SignRequest, utc_now
from local.sandbox.pkisigning.wire import Action
from local.sandbox.server import Operation, validated

if TYPE_CHECKING:
    from local.sandbox.pki import SandboxPki
    from local.sandbox.pkisigning.platform import Platform

NEXT, EVERYONE = "next", "everyone"
_OWN_DEED: dict[Action, Deed] = {Action.SIGN: "sign", Action.APPROVE: "approve", Action.DOWNLOAD: "download"}


class ActBody(BaseModel):
    """Who acts: an actor id, "next", or "everyone" (each does what they were asked for)."""

    model_config = ConfigDict(extra="forbid")
    actor: str = NEXT
    reason: str = "No reason given"


class CreditsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    total: int = Field(ge=0)


@dataclass
class Stage:
    """The people, and what time and failure do to requests. Every method raises Problem 404 or 409."""

    platform: Platform
    pki: SandboxPki
    _identities: dict[str, pdf.Identity] = field(default_factory=dict)

    async def act(self, request_id: str, deed: Deed, who: str = NEXT, reason: str = "") -> None:
        request = self.platform.request_by_id(request_id)
        async with request.lock:
            if who == EVERYONE and deed != "decline":
                await self._everyone(request)
                return
            actor = self._actor(request, who)
            lifecycle.require_turn(request, actor, deed)
            if deed == "decline":
                self.platform.announce(request, changed=lifecycle.decline(request, actor, reason))
            else:
                await self._perform(request, actor)

    def withdraw(self, request_id: str) -> None:
        request = self.platform.request_by_id(request_id)
        self.platform.announce(request, changed=lifecycle.withdraw(request))

    def expire(self, request_id: str) -> None:
        request = self.platform.request_by_id(request_id)
        self.platform.announce(request, changed=lifecycle.expire_invitation(request))

    def extend(self, request_id: str, by: timedelta) -> None:
        """The owner gives the actor in line more time and invites them again."""
        request = self.platform.request_by_id(request_id)
        for actor in request.in_line():
            actor.body = actor.body.model_copy(update={"deadline": datetime.now(UTC) + by})
        self.platform.announce(request, changed=lifecycle.remind(self.platform.state, request))

    def fail(self, request_id: str, reason: str) -> None:
        request = self.platform.request_by_id(request_id)
        self.platform.announce(request, changed=lifecycle.fail(request, reason))

    def _actor(self, request: SignRequest, who: str) -> Actor:
        if who in {NEXT, EVERYONE}:
            in_line = request.in_line()
            if not in_line:
                raise Problem(409, "Everybody has acted.")
            return in_line[0]
        actor = request.actor(who)
        if actor is None:
            raise Problem(404, "There is no such actor.")
        return actor

    async def _everyone(self, request: SignRequest) -> None:
        if request.status not in PENDING:
            raise Problem(409, f"The request is {request.status.value}; nobody can act.")
        while request.status in PENDING:
            await self._perform(request, request.in_line()[0])

    async def _perform(self, request: SignRequest, actor: Actor) -> None:
        signed = await self._signed(request, actor) if actor.action is Action.SIGN else None
        self.platform.request_by_id(request.id)  # it may have been deleted or withdrawn while the signature was made
        lifecycle.require_turn(request, actor)
        document = request.document(actor.document_id)
        if document is not None and signed is not None:
            field_name, document.content, document.facts = signed
            document.updated = utc_now()
            document.signatures.append((actor, document.updated, field_name))
        self.platform.announce(request, changed=lifecycle.perform(self.platform.state, request, actor))

    async def _signed(self, request: SignRequest, actor: Actor) -> tuple[str, bytes, pdf.PdfFacts] | None:
        """The field that was signed, the signed document and what it now contains; nothing is changed yet."""
        document, placement = request.document(actor.document_id), actor.placement
        if document is None or placement is None:
            return None
        field_name = placement.fieldName or f"Signature-{actor.id[:8]}"
        identity = self._identity(actor.full_name)
        content = await asyncio.to_thread(
            pdf.sign_pdf, document.content, identity, field_name=field_name, placement=self._place(actor)
        )
        return field_name, content, await asyncio.to_thread(pdf.inspect_pdf, content)

    def _place(self, actor: Actor) -> Placement:
        body = actor.placement
        if body is None or body.fieldName is not None or not self.platform.options.visible_signatures:
            return Placement(field_name=body.fieldName if body else None)
        box = (body.sigFieldX, body.sigFieldY, body.sigFieldW, body.sigFieldH)
        return Placement(placeholder=body.placeholder, box_percent=box if body.has_coordinates else None)

    def _identity(self, name: str) -> pdf.Identity:
        """A certificate with the signer's name. All share one key: making keys is slow and proves nothing here."""
        if name not in self._identities:
            issued = self.pki.issue(common_name=name[:64], dns_names=None, key=sandbox_key("signer"), server_auth=False)
            if not isinstance(issued.key, RSAPrivateKey):
                raise TypeError("the signer's key is an RSA key")
            chain = (self.pki.issuing.certificate, self.pki.root.certificate)
            self._identities[name] = pdf.Identity(issued.certificate, issued.key, chain)
        return self._identities[name]


@dataclass
class StageRoutes:
    """The same by HTTP, below `/_sandbox/requests`."""

    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        one = "/_sandbox/requests/{requestId}"
        deeds = [Operation(f"_{deed}", "POST", f"{one}/{deed}", self.act) for deed in get_args(Deed)]
        return [
            *deeds,
            Operation("_requests", "GET", "/_sandbox/requests", self.list_requests),
            Operation("_expire", "POST", f"{one}/expire", self.expire),
            Operation("_fail", "POST", f"{one}/fail", self.fail),
            Operation("_withdraw", "POST", f"{one}/withdraw", self.withdraw),
            Operation("_credits", "POST", "/_sandbox/credits", self.set_credits),
        ]

    async def act(self, web_request: web.Request) -> web.Response:
        body = validated(ActBody, await web_request.read() or b"{}")
        deed = next(one for one in get_args(Deed) if web_request.path.lower().rstrip("/").endswith(f"/{one}"))
        await self.stage.act(_request_id(web_request), deed, body.actor, body.reason)
        return web.Response(status=204)

    async def list_requests(self, _: web.Request) -> web.Response:
        state = self.platform.state
        return web.json_response(
            [
                render.request_model(state, one)
                | {"invitationsSent": state.invitations_sent(one.id), "startCalls": state.start_calls[one.id]}
                for one in state.requests.values()
            ]
        )

    async def expire(self, web_request: web.Request) -> web.Response:
        self.stage.expire(_request_id(web_request))
        return web.Response(status=204)

    async def fail(self, web_request: web.Request) -> web.Response:
        body = validated(ActBody, await web_request.read() or b"{}")
        self.stage.fail(_request_id(web_request), body.reason)
        return web.Response(status=204)

    async def withdraw(self, web_request: web.Request) -> web.Response:
        self.stage.withdraw(_request_id(web_request))
        return web.Response(status=204)

    async def set_credits(self, web_request: web.Request) -> web.Response:
        credit = self.platform.state.credits
        credit.total = validated(CreditsBody, await web_request.read()).total
        return web.json_response({"total": credit.total, "available": credit.available})


def _request_id(web_request: web.Request) -> str:
    return web_request.match_info["requestId"].lower()
