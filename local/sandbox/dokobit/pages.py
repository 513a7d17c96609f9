"""What an invitation or a signing link leads to: plain pages for a person, usable without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.answers import Problem
from local.sandbox.dokobit.platform import Platform, failed
from local.sandbox.server import Operation

if TYPE_CHECKING:
    from local.sandbox.dokobit.control import Stage
    from local.sandbox.dokobit.state import Person, Signing

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f4f6f8; margin: 0 }
main { max-width: 46rem; margin: 2.5rem auto; padding: 2rem; background: #fff; border: 1px solid #d9dfe5;
  border-radius: 8px }
h1 { font-size: 1.4rem; margin-top: 0 } h2 { font-size: 1.05rem; margin-bottom: .3rem } form { display: inline }
button { font: inherit; padding: .5rem 1.4rem; border-radius: 6px; border: 1px solid #0b5cad; background: #0b5cad;
  color: #fff; cursor: pointer } button.quiet { background: #fff; color: #8a1f1f; border-color: #8a1f1f }
.muted { color: #5d6b79 } .done { background: #e8f5ec; border: 1px solid #9bcfab; padding: .8rem 1rem;
  border-radius: 6px }
"""


@dataclass
class Pages:
    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        one = "/sign/{token}/{person}"
        return [
            Operation("_page_overview", "GET", "/", self.overview),
            Operation("_page_sign", "GET", one, self.show),
            Operation("_page_act", "POST", one, self.submit),
            Operation("_page_file", "GET", f"{one}/files/{{number}}", self.file),
        ]

    async def overview(self, _: web.Request) -> web.Response:
        signings = list(self.platform.state.signings.values())
        return _page(
            "Signings at the simulated Dokobit",
            "".join(map(_entry, reversed(signings))) or "<p>Nothing has been created yet.</p>",
        )

    async def show(self, request: web.Request) -> web.Response:
        signing, person = self._found(request)
        comment = f"<p>{escape(signing.comment)}</p>" if signing.comment else ""
        greeting = f"<p>Hello {escape(person.full_name)},</p>{comment}"
        return _page(signing.name, greeting + _files(signing, person) + _choices(signing, person))

    async def submit(self, request: web.Request) -> web.Response:
        """Act; then back to the same page, or, in an internal signing, to the address that its maker gave."""
        signing, person = self._found(request)
        form = await request.post()
        if form.get("choice") == "decline":
            await self.stage.decline(signing.token, person.token)
        else:
            await self.stage.sign(signing.token, person.token)
        back = signing.redirect_uri or f"/sign/{signing.token}/{person.token}"
        return web.Response(status=303, headers={"Location": back})

    async def file(self, request: web.Request) -> web.Response:
        signing, _ = self._found(request)
        number = request.match_info["number"]
        if not number.isdecimal() or int(number) >= len(signing.files):
            raise Problem(404, "There is no such file.")
        return web.Response(body=signing.files[int(number)].content, content_type="application/octet-stream")

    def _found(self, request: web.Request) -> tuple[Signing, Person]:
        signing = self.stage.found(request.match_info["token"])
        person = signing.person(request.match_info["person"])
        if person is None:
            raise failed("Unknown participant", status=404)
        return signing, person


def _entry(signing: Signing) -> str:
    people = "".join(
        f'<li><a href="/sign/{signing.token}/{one.token}">{escape(one.full_name)}</a> '
        f'<span class="muted">{one.body.role}, {one.state}</span></li>'
        for one in signing.people
    )
    return f'<h2>{escape(signing.name)} <span class="muted">{signing.state}</span></h2><ul>{people}</ul>'


def _files(signing: Signing, person: Person) -> str:
    items = "".join(
        f'<li><a href="/sign/{signing.token}/{person.token}/files/{at}">{escape(one.name)}</a></li>'
        for at, one in enumerate(signing.files)
    )
    return f"<h2>Documents</h2><ul>{items}</ul>"


def _choices(signing: Signing, person: Person) -> str:
    if person.state == "signed":
        return '<p class="done">You have signed this. Thank you; nothing more is asked of you.</p>'
    if person not in signing.in_line():
        return '<p class="muted">There is nothing for you to do here now.</p>'
    return (
        '<form method="post"><button name="choice" value="accept">Sign</button></form> '
        '<form method="post"><button class="quiet" name="choice" value="decline">Decline</button></form>'
    )


def _page(title: str, body: str) -> web.Response:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body><main><h1>{escape(title)}</h1>{body}</main></body>'
    return web.Response(text=text + "</html>", content_type="text/html")
