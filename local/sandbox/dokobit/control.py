"""Acting as the people and as the service: what a test or a visitor of the pages does from outside the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import BaseModel, ConfigDict

from local.sandbox import pdf
from local.sandbox.dokobit import lifecycle
from local.sandbox.dokobit.containers import signature_xml
from local.sandbox.dokobit.platform import failed
from local.sandbox.dokobit.state import Signature, utc_now
from local.sandbox.pdf_places import Placement
from local.sandbox.pki import sandbox_key
from local.sandbox.server import Operation, validated

if TYPE_CHECKING:
    from datetime import datetime

    from local.sandbox.dokobit.platform import Platform
    from local.sandbox.dokobit.state import Person, Signing
    from local.sandbox.dokobit.wire import Seal, SealAnnotation
    from local.sandbox.pki import SandboxPki

NEXT, EVERYONE = "next", "everyone"
_A4 = (595.0, 842.0)
_MARK_PERCENT = (28.0, 5.0)


class ActBody(BaseModel):
    """Who acts: a participant's token, "next", or "everyone"."""

    model_config = ConfigDict(extra="forbid")
    person: str = NEXT


@dataclass
class Stage:
    """The people, and what time and failure do to signings. Every method raises Problem."""

    platform: Platform
    pki: SandboxPki
    _identities: dict[str, pdf.Identity] = field(default_factory=dict)

    async def sign(self, token: str, who: str = NEXT) -> None:
        signing = self.found(token)
        async with signing.lock:
            if who != EVERYONE:
                await self._sign(signing, self._person(signing, who))
                return
            while signing.state in {"pending", "declined"} and signing.waiting():
                await self._sign(signing, signing.in_line()[0])

    async def decline(self, token: str, who: str = NEXT) -> None:
        signing = self.found(token)
        async with signing.lock:
            person = self._person(signing, who)
            lifecycle.require_turn(signing, person)
            lifecycle.decline(signing, person)
            await self.platform.postbacks.announce(signing, "signer_declined", person)

    async def seal(self, signing: Signing, body: Seal) -> None:
        async with signing.lock:
            await self._put(signing, "Sandbox Organisation", "Seal", body.annotation, body.custom_reason)
            signing.seals.append(body.annotation)
            if lifecycle.settle(signing):
                await self.announce_completion(signing)

    async def archive(self, token: str) -> None:
        signing = self.found(token)
        lifecycle.move(signing, "archived")
        await self.platform.postbacks.announce(signing, "signing_archived", result=signing.files[0].content)

    def expire(self, token: str) -> None:
        """The deadline passes; nobody is told (spec dokobit 2.2)."""
        self.found(token).deadline = utc_now().replace(microsecond=0)

    def fail(self, token: str) -> None:
        lifecycle.move(self.found(token), "failed")

    def remove(self, token: str) -> None:
        """The owner deletes the signing in the web interface."""
        self.found(token)
        self.platform.state.deleted.append(self.platform.state.signings.pop(token))

    async def receive(self, token: str) -> None:
        """Every recipient confirms an e-delivery."""
        delivery = self.platform.state.deliveries.get(token)
        if delivery is None:
            raise failed("Unknown token", status=404)
        for recipient, body in delivery.recipients:
            delivery.received.add(recipient)
            await self.platform.postbacks.announce_receipt(delivery, body.external_id)

    async def announce_completion(self, signing: Signing) -> None:
        await self.platform.postbacks.announce(signing, "signing_completed", result=signing.files[0].content)

    def found(self, token: str) -> Signing:
        signing = self.platform.state.signings.get(token)
        if signing is None:
            raise failed("Unknown token", status=404)
        return signing

    def _person(self, signing: Signing, who: str) -> Person:
        if who == NEXT:
            in_line = signing.in_line()
            if not in_line:
                raise failed("Everybody has acted")
            return in_line[0]
        person = signing.person(who)
        if person is None:
            raise failed("Unknown participant", status=404)
        return person

    async def _sign(self, signing: Signing, person: Person) -> None:
        lifecycle.require_turn(signing, person)
        await self._put(
            signing,
            person.full_name,
            f"Signature-{person.token[:8]}",
            person.body.annotation,
            person.body.custom_reason,
        )
        is_last = lifecycle.signed(self.platform.state, signing, person)
        await self.platform.postbacks.announce(signing, "signer_signed", person)
        if is_last:
            await self.announce_completion(signing)

    async def _put(
        self, signing: Signing, name: str, field_name: str, place: SealAnnotation | None, reason: str | None
    ) -> None:
        """One signature: into each PDF, or one over all files of a container."""
        identity, at = self._identity(name), utc_now()
        if not signing.is_pdf:
            signing.signatures.append(await asyncio.to_thread(_over_all, signing, identity, at))
            return
        for file in signing.files:
            file.content = await asyncio.to_thread(
                pdf.sign_pdf,
                file.content,
                identity,
                field_name=f"{field_name}-{len(signing.seals)}",
                placement=self._placement(place),
                reason=reason,
            )

    def _placement(self, place: SealAnnotation | None) -> Placement:
        if place is None or not self.platform.options.visible_signatures:
            return Placement()
        left, top = min(float(place.left) / _A4[0] * 100, 72.0), min(float(place.top) / _A4[1] * 100, 95.0)
        return Placement(box_percent=(left, top, *_MARK_PERCENT))

    def _identity(self, name: str) -> pdf.Identity:
        """A certificate with the signer's name. All share one key: making keys is slow and proves nothing here."""
        if name not in self._identities:
            issued = self.pki.issue(common_name=name[:64], dns_names=None, key=sandbox_key("signer"), server_auth=False)
            if not isinstance(issued.key, RSAPrivateKey):
                raise TypeError("the signer's key is an RSA key")
            chain = (self.pki.issuing.certificate, self.pki.root.certificate)
            self._identities[name] = pdf.Identity(issued.certificate, issued.key, chain)
        return self._identities[name]


def _over_all(signing: Signing, identity: pdf.Identity, at: datetime) -> Signature:
    return Signature(signature_xml(signing.files, identity, at, number=len(signing.signatures)), at)


@dataclass
class StageRoutes:
    """The same by HTTP, below `/_sandbox/signings`."""

    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        one = "/_sandbox/signings/{token}"
        return [
            Operation("_signings", "GET", "/_sandbox/signings", self.list_signings),
            Operation("_act", "POST", f"{one}/{{deed}}", self.act),
            Operation("_receive", "POST", "/_sandbox/deliveries/{token}/receive", self.receive),
        ]

    async def list_signings(self, _: web.Request) -> web.Response:
        state = self.platform.state
        return web.json_response(
            [
                {
                    "token": one.token, "name": one.name, "flow": one.flow, "type": one.type, "status": one.state,
                    "invitationsSent": state.invitations_sent(one.token),
                    "people": [{"token": person.token, "status": person.state} for person in one.people],
                }
                for one in state.signings.values()
            ]
        )  # fmt: skip

    async def act(self, request: web.Request) -> web.Response:
        token, deed = request.match_info["token"], request.match_info["deed"].lower()
        body = validated(ActBody, await request.read() or b"{}")
        match deed:
            case "sign":
                await self.stage.sign(token, body.person)
            case "decline":
                await self.stage.decline(token, body.person)
            case "expire":
                self.stage.expire(token)
            case "fail":
                self.stage.fail(token)
            case "remove":
                self.stage.remove(token)
            case _:
                raise failed("Unknown deed", status=404)
        return web.Response(status=204)

    async def receive(self, request: web.Request) -> web.Response:
        await self.stage.receive(request.match_info["token"])
        return web.Response(status=204)
