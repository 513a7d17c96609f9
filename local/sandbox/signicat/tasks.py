"""Tasks and their documents: rows 11 to 17 of spec signicat 1.3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from local.sandbox.faults import FaultKind
from local.sandbox.server import Operation
from local.sandbox.signicat.platform import Platform, problem
from local.sandbox.signicat.results import API, Counter
from local.sandbox.signicat.state import Happening, Order, Status, Task, new_artifact
from local.sandbox.signicat.wire import TaskDocument

_PDF = "application/pdf"
_SDO = "application/x-ltv-sdo"


@dataclass
class Tasks:
    platform: Platform
    counter: Counter

    def operations(self) -> list[Operation]:
        one = f"{API}/orders/{{orderId}}/tasks/{{taskId}}"
        document = f"{one}/documents/{{documentId}}"
        return [
            Operation("createTaskArtifact", "POST", f"{one}/artifact", self.artifact),
            Operation("getTaskDocumentOriginal", "GET", f"{document}/original", self.original),
            Operation("getTaskDocumentGenerated", "GET", f"{document}/generated", self.original),
            Operation("getTaskDocumentResult", "GET", f"{document}/result", self.result),
            Operation("getTaskEvents", "GET", f"{one}/events", self.events),
            Operation("getTaskForwards", "GET", f"{one}/forwards", self.forwards),
            Operation("getTaskStatus", "GET", f"{one}/status", self.status),
        ]

    async def artifact(self, request: web.Request) -> web.Response:
        """A new one; the old one ends."""
        order, task = self._found(request)
        task.artifact = new_artifact()
        url = f"{self.platform.desk.signing_url(order, task)}&artifact={task.artifact}"
        return web.json_response({"artifact": task.artifact, "orderId": order.id, "taskId": task.id, "signingUrl": url})

    async def original(self, request: web.Request) -> web.Response:
        """What is shown is what was uploaded: PDF is not converted here."""
        _, task = self._found(request)
        content = self.platform.state.uploads.get(_document(request, task).documentRef or "")
        if content is None:
            raise problem(404, "Not Found", "The document is no longer stored.")
        return self.counter.answer(content, _PDF)

    async def result(self, request: web.Request) -> web.Response:
        _, task = self._found(request)
        content = task.statements.get(_document(request, task).id)
        if content is None:
            raise problem(404, "Not Found", "There is no result yet.")
        return self.counter.answer(content, _SDO)

    async def events(self, request: web.Request) -> web.Response:
        _, task = self._found(request)
        return web.json_response([self._event(one) for one in task.events])

    async def forwards(self, request: web.Request) -> web.Response:
        order, task = self._found(request)
        if task.forward is None:
            return web.json_response([])
        details = {
            "orderId": order.id,
            "taskId": task.id,
            "originalTaskId": task.forward.original_task_id,
            "forwarderName": task.forward.forwarder,
            "recipientEmail": task.forward.recipient,
        }
        return web.json_response([details])

    async def status(self, request: web.Request) -> web.Response:
        order, task = self._found(request)
        late = self.platform.faults.late("getTaskStatus", FaultKind.LATE_STATUS, task.changed_at)
        status = (task.previous_status if late else task.status).value
        if status == Status.CREATED and self.platform.options.status_override:
            status = self.platform.options.status_override
        answer: dict[str, Any] = {
            "orderId": order.id,
            "taskId": task.id,
            "taskStatus": status,
            "documents": [self._document(order, task, one) for one in task.body.documents],
        }
        answer |= {} if order.body.clientReference is None else {"clientReference": order.body.clientReference}
        answer |= {} if task.reject_reason is None else {"rejectReason": task.reject_reason}
        return web.json_response(answer)

    def _found(self, request: web.Request) -> tuple[Order, Task]:
        self.platform.tokens.check(request)
        return self.platform.task(request)

    def _document(self, order: Order, task: Task, document: TaskDocument) -> dict[str, Any]:
        base = f"{self.counter.base_url}{API}/orders/{order.id}/tasks/{task.id}/documents/{document.id}"
        model = {"id": document.id, "originalUri": f"{base}/original", "generatedUri": f"{base}/generated"}
        return model | ({"resultUri": f"{base}/result"} if document.id in task.statements else {})

    def _event(self, happening: Happening) -> dict[str, str]:
        options, kind = self.platform.options, happening.type
        name = kind if options.event_case == "kebab" else kind.upper().replace("-", "_")
        model = {"eventType": name, "eventTime": _time(happening.at) + options.event_offset}
        return model if happening.data is None else model | {"data": happening.data}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def _document(request: web.Request, task: Task) -> TaskDocument:
    wanted = request.match_info["documentId"]
    found = next((one for one in task.body.documents if one.id == wanted), None)
    if found is None:
        raise problem(404, "Not Found", "There is no such document in this task.")
    return found
