"""Orders and packaging tasks: rows 6 to 10 of spec signicat 1.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.sandbox.faults import FaultKind
from local.sandbox.server import Operation
from local.sandbox.signicat.platform import Platform, problem
from local.sandbox.signicat.results import API, Counter
from local.sandbox.signicat.state import Order, Packaging, Status, Task, new_artifact, new_id
from local.sandbox.signicat.wire import faults_between, invalid, read_order

_PDF = "application/pdf"


@dataclass
class Orders:
    platform: Platform
    counter: Counter

    def operations(self) -> list[Operation]:
        one = f"{API}/orders/{{orderId}}"
        package = f"{one}/packaging-tasks/{{packagingTaskId}}"
        return [
            Operation("createSigningOrder", "POST", f"{API}/orders", self.create),
            Operation("getSigningOrder", "GET", one, self.get),
            Operation("deleteSigningOrder", "DELETE", one, self.delete),
            Operation("getPackagingTaskStatus", "GET", f"{package}/status", self.packaging_status),
            Operation("getPackagingTaskResult", "GET", f"{package}/result", self.packaging_result),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """A clientReference that was used before is not refused (spec signicat 4)."""
        self.platform.tokens.check(request)
        raw, state = await request.read(), self.platform.state
        if request.content_type != "application/json":
            raise problem(415, "Unsupported Media Type", "Only application/json is taken.")
        body = read_order(raw)
        if violations := list(faults_between(body, set(state.uploads))):
            raise invalid(violations)
        now = state.now()
        tasks = [Task(one, now) for one in body.tasks]
        for task in tasks:
            if task.body.authentication is not None and task.body.authentication.artifact:
                task.artifact = new_artifact()
        order = Order(new_id(now), body, now, tasks, [Packaging(one) for one in body.packagingTasks or ()])
        self.platform.begin(order)
        return web.json_response(self._model(order), status=self.platform.options.created_status)

    async def get(self, request: web.Request) -> web.Response:
        self.platform.tokens.check(request)
        return web.json_response(self._model(self.platform.order(request)))

    async def delete(self, request: web.Request) -> web.Response:
        self.platform.tokens.check(request)
        self.platform.remove(self.platform.order(request))
        return web.Response(status=204)

    async def packaging_status(self, request: web.Request) -> web.Response:
        self.platform.tokens.check(request)
        order, packaging = self.platform.package(request)
        answer = {
            "orderId": order.id,
            "packagingTaskId": packaging.id,
            "packagingTaskStatus": packaging.status.value,
        }
        if packaging.status is Status.COMPLETED:
            path = f"/orders/{order.id}/packaging-tasks/{packaging.id}/result"
            answer["packagingTaskResultUri"] = f"{self.counter.base_url}{API}{path}"
        return web.json_response(answer)

    async def packaging_result(self, request: web.Request) -> web.Response:
        self.platform.tokens.check(request)
        _, packaging = self.platform.package(request)
        late = self.platform.faults.late("getPackagingTaskResult", FaultKind.LATE_SEAL, packaging.changed_at)
        if packaging.result is None or (late is not None and late.seal == "conflict"):
            raise problem(404, "Not Found", "There is no result yet.")
        if late is None:
            return self.counter.answer(packaging.result, _PDF, packaging.archive_id)
        content = packaging.original if late.seal == "unsigned" else packaging.result[: len(packaging.result) // 2]
        return web.Response(body=content, content_type=_PDF)

    def _model(self, order: Order) -> dict[str, Any]:
        """What was sent, with the id, the artifact and the addresses for signing."""
        model: dict[str, Any] = order.body.model_dump(mode="json", exclude_none=True)
        model["id"] = order.id
        model["tasks"] = [
            one.body.model_dump(mode="json", exclude_none=True)
            | {"signingUrl": self.platform.desk.signing_url(order, one)}
            for one in order.tasks
        ]
        artifact = next((one.artifact for one in order.tasks if one.artifact), None)
        return model if artifact is None else model | {"artifact": artifact}
