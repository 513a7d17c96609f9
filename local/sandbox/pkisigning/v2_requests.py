"""V2 operations 1 to 6 and 17 to 23: requests, invitations, organisation, webhooks (spec pkisigning 1.5, 3.6)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.faults import FaultKind
from local.sandbox.pkisigning import archive, lifecycle, render
from local.sandbox.pkisigning.platform import Platform, check_owner, guid_of, workgroup_model
from local.sandbox.pkisigning.state import SignRequest, Webhook, new_id
from local.sandbox.pkisigning.wire import CreateDossier, CreateWebhook, UserId
from local.sandbox.server import Operation, validated

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.pkisigning.bulk import BulkArchive


@dataclass
class Requests:
    platform: Platform
    bulk: Callable[[SignRequest], BulkArchive | None]

    def operations(self) -> list[Operation]:
        one = "/requests/{requestId}"
        organisation = "/organisations/{organisationId}"
        return [
            Operation("Requests_Create", "POST", "/requests", self.create),
            Operation("Requests_Get", "GET", one, self.get),
            Operation("Requests_Update", "PUT", one, self.update),
            Operation("Requests_Delete", "DELETE", one, self.delete),
            Operation("Requests_Download", "GET", f"{one}/Download", self.download),
            Operation("Requests_Send", "POST", f"{one}/Send", self.send),
            Operation("Actors_RequestActors", "GET", f"{one}/Actors", self.actors),
            Operation("Actors_ResendCurrentInvite", "POST", f"{one}/Actors/ResendCurrentInvite", self.resend),
            Operation("Actors_WithdrawCurrentInvite", "POST", f"{one}/Actors/WithdrawCurrentInvite", self.withdraw),
            Operation("Organisations_GetOrganisationOfCurrentUser", "GET", "/Organisations/current", self.current),
            Operation("Organisations_GetWorkgroups", "GET", f"{organisation}/workgroups", self.workgroups),
            Operation(
                "Organisations_GetWorkgroupsByUser", "POST", f"{organisation}/workgroups", self.workgroups_of_user
            ),
            Operation("Webhooks_CreateWebhook", "POST", f"{organisation}/webhooks", self.create_webhook),
            Operation(
                "Webhooks_DeleteWebhook", "DELETE", f"{organisation}/webhooks/{{webhookId}}", self.delete_webhook
            ),
        ]

    async def create(self, web_request: web.Request) -> web.Response:
        token = self.platform.identity.check(web_request)
        body = await self._dossier(web_request)
        check_owner(token, body.owner)
        workgroup = self.platform.workgroup_for(body.workgroupId, body.clearancelevel)
        mine = token.user is not None and body.owner in {None, token.user}
        request = SignRequest(new_id(), body.name, body.clearancelevel, workgroup, body.owner or token.user, mine)
        self.platform.state.requests[request.id] = request
        return web.json_response(render.request_model(self.platform.state, request), status=201)

    async def get(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        key = web_request.query.get("callbackAuthenticationKey")
        if key is not None and not any(secrets.compare_digest(key, known) for known in request.authentication_keys):
            raise Problem(403, "The callback key does not belong to this request.")
        late = self.platform.faults.late("Requests_Get", FaultKind.LATE_STATUS, request.changed_at)
        status = request.previous_status if late else None
        return web.json_response(render.request_model(self.platform.state, request, status))

    async def update(self, web_request: web.Request) -> web.Response:
        token = self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        body = await self._dossier(web_request)
        check_owner(token, body.owner)
        lifecycle.require_new(request)
        request.workgroup_id = self.platform.workgroup_for(body.workgroupId, body.clearancelevel)
        request.name, request.clearance_level = body.name, body.clearancelevel
        request.owner = body.owner or request.owner
        return web.json_response(render.request_model(self.platform.state, request))

    async def delete(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        self.platform.remove_request(self.platform.request(web_request))
        return web.Response(status=204)

    async def download(self, web_request: web.Request) -> web.StreamResponse:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        return await archive.answer(self.platform, request, self.bulk(request))

    async def send(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        self.platform.announce(request, changed=lifecycle.start(self.platform.state, request))
        return web.Response(status=204)

    async def actors(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        actors = [actor for actor in request.actors if has_acted_filter(web_request) in {None, actor.has_acted}]
        return web.json_response([render.actor_model(self.platform.state, request, actor) for actor in actors])

    async def resend(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        self.platform.announce(request, changed=lifecycle.remind(self.platform.state, request))
        return web.Response(status=204)

    async def withdraw(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        request = self.platform.request(web_request)
        self.platform.announce(request, changed=lifecycle.withdraw(request))
        return web.Response(status=204)

    async def current(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        state = self.platform.state
        return web.json_response([{"id": state.organisation_id, "name": state.organisation_name}])

    async def workgroups(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        self._check_organisation(web_request)
        return web.json_response([workgroup_model(group) for group in self.platform.state.workgroups])

    async def workgroups_of_user(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        self._check_organisation(web_request)
        user = validated(UserId, await web_request.read())
        known = user.username.lower() == self.platform.identity.user
        groups = self.platform.state.workgroups if known else []
        return web.json_response([workgroup_model(group) for group in groups])

    async def create_webhook(self, web_request: web.Request) -> web.Response:
        self.platform.identity.check(web_request)
        self._check_organisation(web_request)
        body = validated(CreateWebhook, await web_request.read())
        webhook = Webhook(new_id(), body.Config.url, body.Active)
        self.platform.state.webhooks.append(webhook)
        return web.json_response(render.webhook_model(webhook))

    async def delete_webhook(self, web_request: web.Request) -> web.Response:
        """Not in the definition; the most probable form of spec pkisigning 3.6."""
        self.platform.identity.check(web_request)
        self._check_organisation(web_request)
        webhook_id, webhooks = guid_of(web_request, "webhookId"), self.platform.state.webhooks
        found = next((webhook for webhook in webhooks if webhook.id == webhook_id), None)
        if found is None:
            raise Problem(404, "There is no such webhook.")
        webhooks.remove(found)
        return web.Response(status=204)

    def _check_organisation(self, web_request: web.Request) -> None:
        if guid_of(web_request, "organisationId") != self.platform.state.organisation_id:
            raise Problem(404, "There is no such organisation.")

    async def _dossier(self, web_request: web.Request) -> CreateDossier:
        return validated(CreateDossier, await web_request.read())


def has_acted_filter(web_request: web.Request) -> bool | None:
    text = web_request.query.get("hasActed")
    if text is None:
        return None
    if text.lower() not in {"true", "false"}:
        raise Problem(400, "Not a boolean.", errors={"hasActed": ["The value is neither true nor false."]})
    return text.lower() == "true"
