"""What the invitation e-mail links to: plain pages for a person, usable without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.pkisigning.platform import Platform
from local.sandbox.pkisigning.state import PENDING, Actor, Document, SignRequest
from local.sandbox.pkisigning.wire import Action
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from local.sandbox.pkisigning.control import Stage
    from local.sandbox.pkisigning.lifecycle import Deed

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f4f6f8; margin: 0 }
main { max-width: 46rem; margin: 2.5rem auto; padding: 2rem; background: #fff; border: 1px solid #d9dfe5;
  border-radius: 8px }
h1 { font-size: 1.4rem; margin-top: 0 } h2 { font-size: 1.05rem; margin-bottom: .3rem }
ul { padding-left: 1.2rem } form { margin-top: 1.2rem } label { display: block; margin-bottom: .3rem }
button { font: inherit; padding: .5rem 1.4rem; border-radius: 6px; border: 1px solid #0b5cad; background: #0b5cad;
  color: #fff; cursor: pointer } button.quiet { background: #fff; color: #8a1f1f; border-color: #8a1f1f }
input { font: inherit; padding: .4rem; width: 100%; max-width: 26rem; margin-bottom: .6rem; box-sizing: border-box }
.muted { color: #5d6b79 } .done { background: #e8f5ec; border: 1px solid #9bcfab; padding: .8rem 1rem;
  border-radius: 6px }
"""
_VERBS: dict[Action, tuple[Deed, str, str]] = {
    Action.SIGN: ("sign", "Sign", "signed"),
    Action.APPROVE: ("approve", "Approve", "approved"),
    Action.DOWNLOAD: ("download", "Confirm receipt", "received"),
}


@dataclass
class Pages:
    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        one = "/sign/{requestId}/{actorId}"
        return [
            Operation("_page_overview", "GET", "/", self.overview),
            Operation("_page_sign", "GET", one, self.show),
            Operation("_page_act", "POST", one, self.submit),
            Operation("_page_document", "GET", f"{one}/documents/{{documentId}}", self.document),
        ]

    async def overview(self, _: web.Request) -> web.Response:
        requests = list(self.platform.state.requests.values())
        body = "".join(_request_entry(request) for request in reversed(requests))
        return _page("Signings at the simulated PKIsigning", body or "<p>Nothing has been sent yet.</p>")

    async def show(self, web_request: web.Request) -> web.Response:
        request, actor = self._found(web_request)
        return _page(request.name, _greeting(request, actor) + _documents(request, actor) + _choices(request, actor))

    async def submit(self, web_request: web.Request) -> web.Response:
        """Act on all documents that wait for this person; afterwards show the same page with what happened."""
        request, actor = self._found(web_request)
        form = await web_request.post()
        if form.get("choice") == "decline":
            await self.stage.act(request.id, "decline", actor.id, str(form.get("reason") or "No reason given"))
        else:
            for one in _same_visit(request, actor):
                if not one.has_acted:
                    await self.stage.act(request.id, _VERBS[one.action][0], one.id)
        return web.Response(status=303, headers={"Location": f"/sign/{request.id}/{actor.id}"})

    async def document(self, web_request: web.Request) -> web.Response:
        request, actor = self._found(web_request)
        document = request.document(web_request.match_info["documentId"])
        if document is None or document not in _visible_documents(request, actor):
            raise Problem(404, "There is no such document.")
        return web.Response(body=document.content, content_type="application/pdf")

    def _found(self, web_request: web.Request) -> tuple[SignRequest, Actor]:
        request = self.platform.request_by_id(web_request.match_info["requestId"].lower())
        actor = request.actor(web_request.match_info["actorId"].lower())
        if actor is None:
            raise Problem(404, "There is no such invitation.")
        return request, actor


def _same_visit(request: SignRequest, actor: Actor) -> list[Actor]:
    """The invitation's actor first, then the same person's other documents that are due at the same moment."""
    in_line = request.in_line()
    return [actor, *(one for one in in_line if one is not actor)] if actor in in_line else [actor]


def _visible_documents(request: SignRequest, actor: Actor) -> list[Document]:
    mine = {one.document_id for one in request.actors if one.body.email.lower() == actor.body.email.lower()}
    return [document for document in request.documents if document.id in mine]


def _request_entry(request: SignRequest) -> str:
    actors = "".join(
        f'<li><a href="/sign/{request.id}/{actor.id}">{escape(actor.full_name)}</a> '
        f'<span class="muted">{_VERBS[actor.action][2] if actor.has_acted else "to " + actor.action.value.lower()}'
        "</span></li>"
        for actor in sorted(request.actors, key=lambda one: one.turn)
    )
    return f'<h2>{escape(request.name)} <span class="muted">{request.status.value}</span></h2><ul>{actors}</ul>'


def _greeting(request: SignRequest, actor: Actor) -> str:
    note = f"<p>{escape(request.signer_note)}</p>" if request.signer_note else ""
    message = f"<p>{escape(actor.body.message)}</p>" if actor.body.message else ""
    return f"<p>Hello {escape(actor.full_name)},</p>{note}{message}"


def _documents(request: SignRequest, actor: Actor) -> str:
    items = "".join(
        f'<li><a href="/sign/{request.id}/{actor.id}/documents/{document.id}">{escape(document.name)}</a> '
        f'<span class="muted">PDF, {document.facts.pages} page(s)</span></li>'
        for document in _visible_documents(request, actor)
    )
    return f"<h2>Documents</h2><ul>{items}</ul>"


def _choices(request: SignRequest, actor: Actor) -> str:
    _, verb, past = _VERBS[actor.action]
    if actor.has_acted:
        return f'<p class="done">You have {past} this. Thank you; nothing more is asked of you.</p>'
    if request.status not in PENDING:
        return f'<p class="muted">This request is {request.status.value}; there is nothing to do.</p>'
    if actor not in request.in_line():
        return '<p class="muted">It is not your turn yet. You will be invited when it is.</p>'
    return (
        f'<form method="post"><button name="choice" value="accept">{verb}</button></form>'
        '<form method="post"><label for="reason">Or decline, and say why:</label>'
        '<input id="reason" name="reason" maxlength="500" required>'
        '<br><button class="quiet" name="choice" value="decline">Decline</button></form>'
    )


def _page(title: str, body: str) -> web.Response:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return web.Response(text=html, content_type="text/html")
