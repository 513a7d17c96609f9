"""What a signing link leads to: plain pages for a person, usable without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.connective.platform import Platform
from local.sandbox.connective.state import Actor, Link, Package
from local.sandbox.connective.wire import ActorStatus, Status
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from local.sandbox.connective.control import Stage

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
_VERBS = {"Signer": ("Sign", "signed"), "Approver": ("Approve", "approved"), "Receiver": ("Receive", "received")}


@dataclass
class Pages:
    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        return [
            Operation("_page_overview", "GET", "/", self.overview),
            Operation("_page_sign", "GET", "/signinit", self.show),
            Operation("_page_act", "POST", "/signinit", self.submit),
            Operation("_page_renew", "POST", "/signinit/renew", self.renew),
            Operation("_page_document", "GET", "/signinit/document/{documentId}", self.document),
        ]

    async def overview(self, _: web.Request) -> web.Response:
        packages = reversed(list(self.platform.state.packages.values()))
        body = "".join(self._entry(one) for one in packages)
        return _page("Packages at the simulated Connective", body or "<p>Nothing has been created yet.</p>")

    async def show(self, request: web.Request) -> web.Response:
        """A link opens once; after that a new one has to be asked for (spec connective 3)."""
        link, package, actor = self._found(request)
        if link.opened and not actor.has_acted:
            renew = f'<form method="post" action="/signinit/renew?{escape(request.query_string)}">'
            text = '<p class="muted">This link was used before.</p>'
            return _page(package.name, f"{text}{renew}<button>Request a new link</button></form>")
        link.opened = True
        return _page(package.name, _documents(package, request.query_string) + _choices(package, actor))

    async def submit(self, request: web.Request) -> web.Response:
        _, package, actor = self._found(request)
        form = await request.post()
        try:
            if form.get("choice") == "decline":
                self.stage.reject(package.id, str(form.get("reason") or "No reason given"), actor.id)
            else:
                await self.stage.sign(package.id, actor.id)
        except Conflict as conflict:
            raise Problem(409, str(conflict)) from conflict
        return _page(package.name, _choices(package, actor))

    async def renew(self, request: web.Request) -> web.Response:
        _, package, actor = self._found(request)
        self.stage.ask_for_link(package, actor)
        return _page(package.name, "<p>You will hear from the sender, who has a new link for you.</p>")

    async def document(self, request: web.Request) -> web.Response:
        _, package, _ = self._found(request)
        document = package.document(request.match_info["documentId"])
        if document is None:
            raise Problem(404, "There is no such document.")
        return web.Response(body=document.content, content_type=document.media_type)

    def _found(self, request: web.Request) -> tuple[Link, Package, Actor]:
        link = self.platform.state.links.get(request.query.get("token", ""))
        if link is None:
            raise Problem(404, "There is no such link.")
        package = self.platform.package_by_id(link.package_id)
        return link, package, self.platform.actor_by_id(package, link.actor_id)

    def _entry(self, package: Package) -> str:
        people = "".join(f"<li>{self._name(package, one)}</li>" for one in sorted(package.actors, key=_turn))
        return f'<h2>{escape(package.name)} <span class="muted">{package.status}</span></h2><ul>{people}</ul>'

    def _name(self, package: Package, actor: Actor) -> str:
        name = escape(package.stakeholder_of(actor).name)
        state = f'<span class="muted">{actor.kind}, {actor.status}</span>'
        if actor.status is not ActorStatus.AVAILABLE or actor.token is None:
            return f"{name} {state}"
        return f'<a href="/signinit?token={actor.token}">{name}</a> {state}'


def _turn(actor: Actor) -> tuple[bool, float]:
    return actor.kind == "Receiver", actor.order


def _documents(package: Package, query: str) -> str:
    items = "".join(
        f'<li><a href="/signinit/document/{one.id}?{escape(query)}">{escape(one.name)}</a></li>'
        for one in package.documents
    )
    return f"<h2>Documents</h2><ul>{items}</ul>"


def _choices(package: Package, actor: Actor) -> str:
    verb, past = _VERBS[actor.kind]
    if actor.status is ActorStatus.FINISHED:
        return f'<p class="done">You have {past} this. Thank you; nothing more is asked of you.</p>'
    if package.status is not Status.PENDING or actor.has_acted:
        return f'<p class="muted">This package is {package.status}; there is nothing to do.</p>'
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
