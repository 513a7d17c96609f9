"""Acting as the people and as the platform: what a test or a visitor of the pages does from outside the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from local.sandbox.server import Operation, validated
from local.sandbox.signicat.platform import Platform, problem
from local.sandbox.signicat.state import Order, Status, Task

NEXT = "next"


class ActBody(BaseModel):
    """Who acts: a task id, or "next"."""

    model_config = ConfigDict(extra="forbid")
    task: str = NEXT
    reason: str = "No reason given"


class ClockBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    days: float = Field(ge=0)


@dataclass
class Stage:
    """The people, and what time and failure do to orders. Every method raises Problem 404 or 409."""

    platform: Platform

    def task(self, order_id: str, who: str = NEXT) -> tuple[Order, Task]:
        order = self.platform.order_by_id(order_id)
        ready = [one for one in order.tasks if one.status is Status.CREATED and order.may_act(one)]
        found = order.task(who) if who != NEXT else ready[0] if ready else None
        if found is None:
            raise problem(409, "Conflict", "There is nobody who could act.")
        return order, found

    async def sign(self, order_id: str, who: str = NEXT) -> None:
        await self.platform.complete(*self.task(order_id, who))

    async def complete(self, order_id: str) -> None:
        """Everybody acts, in turn, and everything is packaged."""
        order = self.platform.order_by_id(order_id)
        while any(one.status is Status.CREATED for one in order.tasks):
            await self.sign(order_id)
        await self.platform.packer.settle()

    def reject(self, order_id: str, who: str = NEXT, reason: str = "No reason given") -> None:
        order, task = self.task(order_id, who)
        self.platform.reject(order, task, reason)

    def forward(self, order_id: str, recipient: str, left_as: Status) -> str:
        order, task = self.task(order_id)
        return self.platform.forward(order, task, recipient, left_as=left_as).id

    def end_open(self, order_id: str, status: Status) -> None:
        """Every task that is still open ends so."""
        order = self.platform.order_by_id(order_id)
        for task in [one for one in order.tasks if one.status is Status.CREATED]:
            self.platform.end(order, task, status)


@dataclass
class StageRoutes:
    """The same by HTTP, below `/_sandbox/orders`."""

    platform: Platform
    stage: Stage

    def operations(self) -> list[Operation]:
        one = "/_sandbox/orders/{orderId}"
        return [
            Operation("_orders", "GET", "/_sandbox/orders", self.list_orders),
            Operation("_sign", "POST", f"{one}/sign", self.sign),
            Operation("_complete", "POST", f"{one}/complete", self.complete),
            Operation("_decline", "POST", f"{one}/decline", self.decline),
            Operation("_expire", "POST", f"{one}/expire", self.expire),
            Operation("_withdraw", "POST", f"{one}/withdraw", self.withdraw),
            Operation("_clock", "POST", "/_sandbox/clock", self.clock),
        ]

    async def list_orders(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "id": order.id,
                    "clientReference": order.body.clientReference,
                    "tasks": {one.id: one.status for one in order.tasks},
                    "packagingTasks": {one.id: one.status for one in order.packaging},
                    "messagesSent": len(order.mails),
                }
                for order in self.platform.state.orders.values()
            ]
        )

    async def sign(self, request: web.Request) -> web.Response:
        await self.stage.sign(request.match_info["orderId"], (await _act(request)).task)
        return web.Response(status=204)

    async def complete(self, request: web.Request) -> web.Response:
        await self.stage.complete(request.match_info["orderId"])
        return web.Response(status=204)

    async def decline(self, request: web.Request) -> web.Response:
        body = await _act(request)
        self.stage.reject(request.match_info["orderId"], body.task, body.reason)
        return web.Response(status=204)

    async def expire(self, request: web.Request) -> web.Response:
        self.stage.end_open(request.match_info["orderId"], Status.EXPIRED)
        return web.Response(status=204)

    async def withdraw(self, request: web.Request) -> web.Response:
        self.stage.end_open(request.match_info["orderId"], Status.DELETED)
        return web.Response(status=204)

    async def clock(self, request: web.Request) -> web.Response:
        self.platform.advance(timedelta(days=validated(ClockBody, await request.read()).days))
        return web.Response(status=204)


async def _act(request: web.Request) -> ActBody:
    return validated(ActBody, await request.read() or b"{}")
