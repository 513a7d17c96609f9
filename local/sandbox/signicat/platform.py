"""What the operations share: finding things or answering 404, and everything that moves a task (spec signicat 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from local.sandbox.answers import Problem
from local.sandbox.signicat.state import Forward, Happening, Order, Packaging, State, Status, Task

if TYPE_CHECKING:
    from aiohttp import web

    from local.sandbox.faults import FaultPlan
    from local.sandbox.signicat.auth import Tokens
    from local.sandbox.signicat.callbacks import CallbackDesk
    from local.sandbox.signicat.options import Options
    from local.sandbox.signicat.packaging import Packer


def problem(status: int, title: str, detail: str) -> Problem:
    """ClientProblem (spec signicat 1.4)."""
    return Problem(status, title, body={"status": status, "type": "about:blank", "title": title, "detail": detail})


@dataclass
class Platform:
    state: State
    options: Options
    tokens: Tokens
    desk: CallbackDesk
    faults: FaultPlan
    packer: Packer

    def order(self, request: web.Request) -> Order:
        return self.order_by_id(request.match_info["orderId"])

    def order_by_id(self, order_id: str) -> Order:
        found = self.state.orders.get(order_id)
        if found is None:
            raise problem(404, "Not Found", "There is no such order.")
        return found

    def task(self, request: web.Request) -> tuple[Order, Task]:
        order = self.order(request)
        found = order.task(request.match_info["taskId"])
        if found is None:
            raise problem(404, "Not Found", "There is no such task in this order.")
        return order, found

    def package(self, request: web.Request) -> tuple[Order, Packaging]:
        order = self.order(request)
        found = order.package(request.match_info["packagingTaskId"])
        if found is None:
            raise problem(404, "Not Found", "There is no such packaging task in this order.")
        return order, found

    # -------------------------------------------------------------------------------------------- what happens

    def begin(self, order: Order) -> None:
        self.state.orders[order.id] = order
        self.state.ever.append(order)
        for task in order.tasks:
            sent_before = len(order.mails)
            self._happened(task, "task-created")
            self.desk.task_is(order, task, "CREATED")
            if len(order.mails) > sent_before:
                self._happened(task, "notification-sent")
        for packaging in order.packaging:
            self.desk.packaging_is(order, packaging, "CREATED")

    def open(self, order: Order, task: Task) -> None:
        """The signer opens the address: an event and a trigger, but no status of its own."""
        if task.started or task.status is not Status.CREATED:
            return
        task.started = True
        self._happened(task, "task-started")
        self.desk.task_is(order, task, "STARTED")

    def require_turn(self, order: Order, task: Task) -> None:
        """Raises Problem 409 when this person cannot act (any more, or yet)."""
        if task.status is not Status.CREATED:
            raise problem(409, "Conflict", f"The task is {task.status}.")
        if not order.may_act(task):
            raise problem(409, "Conflict", "The task waits for others.")

    async def complete(self, order: Order, task: Task) -> None:
        self.require_turn(order, task)
        self.open(order, task)
        statements = await self.packer.statements(task)
        self.require_turn(order, task)  # others may have been faster while the signature was made
        task.statements, task.completed = statements, self.state.now()
        for document in task.body.documents:
            self._happened(task, "document-signed" if document.action == "SIGN" else "document-viewed", document.id)
        self.end(order, task, Status.COMPLETED)
        self.packer.look_after(order)
        if all(one.status is Status.COMPLETED for one in order.tasks) and not order.told_completed:
            order.told_completed = True
            self.desk.order_completed(order)

    def reject(self, order: Order, task: Task, reason: str) -> None:
        self.require_turn(order, task)
        task.reject_reason = reason
        self.end(order, task, Status.REJECTED)

    def end(self, order: Order, task: Task, status: Status) -> None:
        """Any of the final statuses. EXPIRED, DELETED and FAILED leave no event that is known."""
        task.move(status)
        if status in {Status.COMPLETED, Status.REJECTED}:
            self._happened(task, f"task-{status.lower()}", task.reject_reason)
        self.desk.task_is(order, task, status.value)

    def forward(self, order: Order, task: Task, recipient: str, *, left_as: Status) -> Task:
        """Somebody hands their task over: another one appears. What becomes of theirs is not public."""
        self.require_turn(order, task)
        body = task.body.model_copy(update={"id": f"forwarded-{len(order.tasks) + 1}", "notifications": None})
        successor = Task(body, self.state.now(), forward=Forward(task.id, "The first signer", recipient))
        order.tasks.append(successor)
        self.desk.task_is(order, task, "FORWARDED")
        task.move(left_as)
        return successor

    def remove(self, order: Order) -> None:
        """Session documents go, archived ones stay."""
        del self.state.orders[order.id]
        for task in order.tasks:
            for document in task.body.documents:
                self.state.uploads.pop(document.documentRef or "", None)

    def advance(self, by: timedelta) -> None:
        """Time passes: reminders go out, tasks expire, orders that nobody keeps are removed."""
        self.state.offset += by
        self.desk.catch_up()
        now = self.state.now()
        for order in list(self.state.orders.values()):
            for task in order.tasks:
                if task.status is Status.CREATED and task.expires <= now:
                    self.end(order, task, Status.EXPIRED)
            if order.deletion is not None and order.deletion <= now:
                self.remove(order)

    def _happened(self, task: Task, kind: str, data: str | None = None) -> None:
        task.events.append(Happening(kind, self.state.now(), data))
