"""Acting as the people and as the environment: what a test or a visitor of the pages does from outside the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import BaseModel, ConfigDict

from local.sandbox import pdf
from local.sandbox.answers import Problem
from local.sandbox.connective import lifecycle, render
from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.connective.state import Actor, Document, Location, Package
from local.sandbox.connective.wire import ActorStatus, Status
from local.sandbox.pdf_places import Placement
from local.sandbox.pki import sandbox_key
from local.sandbox.server import Operation, validated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.connective.platform import Platform
    from local.sandbox.pki import SandboxPki

NEXT, EVERYONE = "next", "everyone"


class ActBody(BaseModel):
    """Who acts: an actor id, "next", or "everyone"."""

    model_config = ConfigDict(extra="forbid")
    actor: str = NEXT
    reason: str = "No reason given"
    email: str = "other@example.org"


class ClockBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seconds: float


@dataclass
class Stage:
    """The people, and what time and failure do to packages. Every method raises Problem 404 or Conflict."""

    platform: Platform
    pki: SandboxPki
    _identities: dict[str, pdf.Identity] = field(default_factory=dict)

    async def sign(self, package_id: str, who: str = NEXT, *, how: str | None = None) -> None:
        """The one whose turn it is does what was asked. `how` is the signing type used."""
        package = self.platform.package_by_id(package_id)
        async with package.lock:
            if who == EVERYONE:
                self._require_pending(package)
                while package.status is Status.PENDING:
                    await self._perform(package, package.in_line()[0], how)
            else:
                await self._perform(package, self._actor(package, who), how)

    def reject(self, package_id: str, reason: str, who: str = NEXT) -> None:
        package = self.platform.package_by_id(package_id)
        lifecycle.reject(package, self._actor(package, who), reason, self.platform.state.now())
        self.platform.announce(package)

    def reassign(self, package_id: str, email: str, who: str = NEXT) -> None:
        """Somebody else takes over: ids and reference stay, the address changes (spec connective 2.6)."""
        package = self.platform.package_by_id(package_id)
        package.stakeholder_of(self._actor(package, who)).email = email

    def withdraw(self, package_id: str) -> None:
        package = self.platform.package_by_id(package_id)
        lifecycle.revoke(package)
        self.platform.announce_end(package)

    def expire(self, package_id: str) -> None:
        package = self.platform.package_by_id(package_id)
        lifecycle.expire(package)
        package.expiry = self.platform.state.now()
        self.platform.announce_end(package)

    def fail(self, package_id: str, who: str | None = None) -> None:
        """A job in the background goes wrong, for one actor or for nobody in particular."""
        package = self.platform.package_by_id(package_id)
        if who is not None:
            self._actor(package, who).status = ActorStatus.FAILED
        lifecycle.fail(package)
        self.platform.announce_end(package)

    def advance(self, seconds: float) -> None:
        self.platform.state.clock_offset += timedelta(seconds=seconds)
        self.platform.pass_time()

    def ask_for_link(self, package: Package, actor: Actor) -> None:
        """A person wants a new link: the caller is told by the other address (spec connective 3)."""
        actor.token = self.platform.state.new_link(package, actor)
        self.platform.callbacks.announce(package, "notification")

    def _require_pending(self, package: Package) -> None:
        if package.status is not Status.PENDING:
            raise Conflict("Package.NotPending", f"The package is {package.status}; nobody can act.")

    def _actor(self, package: Package, who: str) -> Actor:
        if who != NEXT:
            return self.platform.actor_by_id(package, who)
        self._require_pending(package)
        return package.in_line()[0]

    async def _perform(self, package: Package, actor: Actor, how: str | None) -> None:
        lifecycle.require_turn(package, actor)
        person = package.stakeholder_of(actor)
        used = how or (actor.signing_types[0] if actor.signing_types else None)
        for location_id in actor.location_ids:
            pair = package.document_of(location_id)
            if pair is not None:
                await self._sign_at(*pair, person.name, used)
        self.platform.package_by_id(package.id)  # it may have been deleted or revoked while the signatures were made
        lifecycle.require_turn(package, actor)
        lifecycle.finish(actor, person.name, self.platform.state.now())
        lifecycle.open_turns(self.platform.state, package)
        self.platform.announce(package)

    async def _sign_at(self, document: Document, location: Location, name: str, used: str | None) -> None:
        """XML is not signed for real here: only PDF signatures are looked at by anybody."""
        if document.suffix == ".pdf":
            document.content = await asyncio.to_thread(
                pdf.sign_pdf,
                document.content,
                self._identity(name),
                field_name=location.marker if location.is_field and location.marker else f"Signature-{location.id[:8]}",
                placement=self._place(location),
            )
        location.used_type, location.signed_at = used, self.platform.state.now()

    def _place(self, location: Location) -> Placement:
        if location.is_field:
            return Placement(field_name=location.marker)
        if not self.platform.options.visible_signatures:
            return Placement()
        return Placement(placeholder=location.marker, box_points=location.box)

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
    """The same by HTTP, below `/_sandbox/packages`."""

    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        deeds: dict[str, Callable[[str, ActBody], Awaitable[None]]] = {
            "sign": lambda package_id, body: self.stage.sign(package_id, body.actor),
            "reject": self._reject,
            "reassign": self._reassign,
            "expire": self._expire,
            "withdraw": self._withdraw,
            "fail": self._fail,
        }
        return [
            *(
                Operation(f"_{name}", "POST", f"/_sandbox/packages/{{packageId}}/{name}", self._route(run))
                for name, run in deeds.items()
            ),
            Operation("_packages", "GET", "/_sandbox/packages", self.list_packages),
            Operation("_clock", "POST", "/_sandbox/clock", self.set_clock),
        ]

    def _route(
        self, run: Callable[[str, ActBody], Awaitable[None]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = validated(ActBody, await request.read() or b"{}")
            try:
                await run(request.match_info["packageId"], body)
            except Conflict as conflict:
                raise Problem(409, str(conflict)) from conflict
            return web.Response(status=204)

        return handle

    async def _reject(self, package_id: str, body: ActBody) -> None:
        self.stage.reject(package_id, body.reason, body.actor)

    async def _reassign(self, package_id: str, body: ActBody) -> None:
        self.stage.reassign(package_id, body.email, body.actor)

    async def _expire(self, package_id: str, _: ActBody) -> None:
        self.stage.expire(package_id)

    async def _withdraw(self, package_id: str, _: ActBody) -> None:
        self.stage.withdraw(package_id)

    async def _fail(self, package_id: str, _: ActBody) -> None:
        self.stage.fail(package_id)

    async def list_packages(self, _: web.Request) -> web.Response:
        state = self.platform.state
        return web.json_response(
            [
                render.package_status(self.platform, one) | {"PackageId": one.id, "Openings": state.openings[one.id]}
                for one in state.packages.values()
            ]
        )

    async def set_clock(self, request: web.Request) -> web.Response:
        self.stage.advance(validated(ClockBody, await request.read()).seconds)
        return web.Response(status=204)
