"""Where a signing address leads: plain pages for a person, usable without JavaScript."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from local.sandbox.server import Operation
from local.sandbox.signicat.platform import Platform, problem
from local.sandbox.signicat.state import Order, Status, Task

if TYPE_CHECKING:
    from local.sandbox.signicat.wire import TaskDocument

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f4f6f8; margin: 0 }
main { max-width: 46rem; margin: 2.5rem auto; padding: 2rem; background: #fff; border: 1px solid #d9dfe5;
  border-radius: 8px }
h1 { font-size: 1.4rem; margin-top: 0 } ul { padding-left: 1.2rem } form { margin-top: 1.2rem }
button { font: inherit; padding: .5rem 1.4rem; border-radius: 6px; border: 1px solid #0b5cad; background: #0b5cad;
  color: #fff; cursor: pointer } button.quiet { background: #fff; color: #8a1f1f; border-color: #8a1f1f }
input { font: inherit; padding: .4rem; width: 100%; max-width: 26rem; margin-bottom: .6rem; box-sizing: border-box }
.muted { color: #5d6b79 } .done { background: #e8f5ec; border: 1px solid #9bcfab; padding: .8rem 1rem;
  border-radius: 6px }
"""


@dataclass
class Pages:
    platform: Platform

    def operations(self) -> list[Operation]:
        one = "/sign/{orderId}/{taskId}"
        return [
            Operation("_page_overview", "GET", "/", self.overview),
            Operation("_page_sign", "GET", one, self.show),
            Operation("_page_act", "POST", one, self.submit),
            Operation("_page_document", "GET", f"{one}/documents/{{documentId}}", self.document),
        ]

    async def overview(self, _: web.Request) -> web.Response:
        orders = reversed(list(self.platform.state.orders.values()))
        body = "".join(self._entry(order) for order in orders)
        return _page("Orders at the simulated Signicat", body or "<p>Nothing has been ordered yet.</p>")

    async def show(self, request: web.Request) -> web.Response:
        order, task = self._found(request)
        self.platform.open(order, task)
        return _page("To be signed", _documents(order, task) + _choices(order, task))

    async def submit(self, request: web.Request) -> web.Response:
        order, task = self._found(request)
        form = await request.post()
        choice, body = form.get("choice"), task.body
        if choice == "reject":
            self.platform.reject(order, task, str(form.get("reason") or "No reason given"))
            return _back(order, task, body.onTaskReject)
        if choice == "postpone":
            return _back(order, task, body.onTaskPostpone)
        await self.platform.complete(order, task)
        return _back(order, task, body.onTaskComplete)

    async def document(self, request: web.Request) -> web.Response:
        _, task = self._found(request)
        wanted = request.match_info["documentId"]
        shown: TaskDocument | None = next((one for one in task.body.documents if one.id == wanted), None)
        content = self.platform.state.uploads.get(shown.documentRef or "") if shown else None
        if content is None:
            raise problem(404, "Not Found", "There is no such document.")
        return web.Response(body=content, content_type="application/pdf")

    def _found(self, request: web.Request) -> tuple[Order, Task]:
        """Whoever has the key is the signer."""
        order, task = self.platform.task(request)
        if not secrets.compare_digest(request.query.get("key", "").encode(), task.key.encode()):
            raise problem(404, "Not Found", "There is no such task.")
        return order, task

    def _entry(self, order: Order) -> str:
        tasks = "".join(
            f'<li><a href="{escape(self.platform.desk.signing_url(order, one))}">{escape(one.id)}</a> '
            f'<span class="muted">{one.status.value}</span></li>'
            for one in order.tasks
        )
        return f"<h2>{escape(order.body.clientReference or order.id)}</h2><ul>{tasks}</ul>"


def _back(order: Order, task: Task, address: str | None) -> web.Response:
    """To where the order wants the browser to go, else to the page itself."""
    wanted = address or f"/sign/{order.id}/{quote(task.id)}?key={task.key}"
    expanded = wanted.replace("${requestId}", order.id).replace("${taskId}", quote(task.id))
    return web.Response(status=303, headers={"Location": expanded})


def _documents(order: Order, task: Task) -> str:
    items = "".join(
        f'<li><a href="/sign/{order.id}/{escape(quote(task.id))}/documents/{escape(quote(one.id))}?key={task.key}">'
        f'{escape(one.description or one.id)}</a> <span class="muted">{one.action.lower()}</span></li>'
        for one in task.body.documents
    )
    return f"<ul>{items}</ul>"


def _choices(order: Order, task: Task) -> str:
    if task.status is not Status.CREATED:
        return f'<p class="done">This task is {task.status.value.lower()}. Nothing more is asked of you.</p>'
    if not order.may_act(task):
        return '<p class="muted">Others have to act before you.</p>'
    return (
        '<form method="post"><button name="choice" value="sign">Sign</button> '
        '<button class="quiet" name="choice" value="postpone">Later</button></form>'
        '<form method="post"><label for="reason">Or reject, and say why:</label> '
        '<input id="reason" name="reason" maxlength="500" required>'
        '<br><button class="quiet" name="choice" value="reject">Reject</button></form>'
    )


def _page(title: str, body: str) -> web.Response:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return web.Response(text=html, content_type="text/html")
