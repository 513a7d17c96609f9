"""Notifications: e-mails and text messages are written down, addresses are called (spec signicat 2).

A call carries ids in its query and nothing else: no status, no body, no signature. Knobs turn it wrong on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp

from local.sandbox.signicat.state import Mail, Order, Packaging, State, Status, Task
from local.sandbox.signicat.wire import Delay, Notification, TaskNotification

if TYPE_CHECKING:
    from local.sandbox.signicat.options import CallbackKnobs, Options

Outcome = Literal["waiting", "delivered", "refused", "unreachable", "dropped"]


@dataclass
class Callback:
    """One call of one address, and what became of it."""

    order_id: str
    trigger: str
    url: str
    outcome: Outcome = "waiting"
    attempts: int = 0
    answers: list[int] = field(default_factory=list)
    """HTTP status of each attempt, 0 when nobody answered."""


@dataclass(frozen=True)
class _Later:
    due: datetime
    order: Order
    task: Task
    notification: TaskNotification


@dataclass
class CallbackDesk:
    """Writes and sends. `sent` is every call ever meant to go out, in the order of what happened."""

    state: State
    options: Options
    knobs: CallbackKnobs
    base_url: str
    sent: list[Callback] = field(default_factory=list)
    _later: list[_Later] = field(default_factory=list)
    _held: list[Callback] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    def order_completed(self, order: Order) -> None:
        for one in order.body.notifications or ():
            self._send(order, one, "order.COMPLETED", {"requestId": order.id})

    def task_is(self, order: Order, task: Task, trigger: str) -> None:
        """Delayed ones wait for `catch_up`."""
        for one, delay in _wanted(task, trigger):
            if delay:
                self._later.append(_Later(self.state.now() + delay, order, task, one))
            else:
                self._task_notice(order, task, one, trigger)

    def packaging_is(self, order: Order, packaging: Packaging, trigger: str) -> None:
        """Without a schedule it is taken to mean completion (2.1)."""
        for one in packaging.body.notifications or ():
            if trigger in ([at.triggerStatus for at in one.schedule] if one.schedule else ["COMPLETED"]):
                self._send(order, one, f"{packaging.id}.{trigger}", {"requestId": order.id})

    def catch_up(self) -> None:
        """Send what has become due, but for tasks that are no longer open."""
        due = [one for one in self._later if one.due <= self.state.now()]
        self._later = [one for one in self._later if one not in due]
        for one in due:
            if one.task.status is Status.CREATED and one.order.id in self.state.orders:
                self._task_notice(one.order, one.task, one.notification, "CREATED", late=True)

    def flush(self) -> None:
        """Send what the reorder knob holds back, last first."""
        held, self._held = self._held, []
        if held:
            self._spawn(self._deliver_all(held[::-1]))

    async def settle(self) -> None:
        """Wait until everything on its way has been delivered or given up."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def signing_url(self, order: Order, task: Task) -> str:
        return f"{self.base_url}/sign/{order.id}/{task.id}?key={task.key}"

    def _task_notice(
        self, order: Order, task: Task, notification: TaskNotification, trigger: str, *, late: bool = False
    ) -> None:
        named = {"requestId": order.id, "taskId": task.id}
        self._send(order, notification, trigger, named, task=task, late=late)

    def _send(
        self,
        order: Order,
        notification: Notification,
        trigger: str,
        named: dict[str, str],
        *,
        task: Task | None = None,
        late: bool = False,
    ) -> None:
        if notification.type == "URL":
            self._queue(Callback(order.id, trigger, self._address(notification.recipient, named)))
            return
        text = notification.message.replace("${orderId}", order.id)
        if task is not None:
            text = text.replace("${taskUrl}", self.signing_url(order, task))
        order.mails.append(Mail(notification.type, notification.recipient, trigger, text, late))

    def _address(self, url: str, named: dict[str, str]) -> str:
        parts = urlsplit(url)
        added = "" if self.knobs.bare else urlencode(named)
        query = "&".join(part for part in (parts.query, added) if part)
        base = urlsplit(self.options.callback_base) if self.options.callback_base else parts
        return urlunsplit((base.scheme, base.netloc, parts.path, query, ""))

    def _queue(self, callback: Callback) -> None:
        self.sent.append(callback)
        if self.knobs.drop:
            callback.outcome = "dropped"
        elif self.knobs.reorder:
            self._held.append(callback)
            if len(self._held) >= self.knobs.reorder:
                self.flush()
        else:
            self._spawn(self._deliver(callback))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_all(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            await self._deliver(callback)

    async def _deliver(self, callback: Callback) -> None:
        knobs = self.knobs.model_copy()
        await asyncio.sleep(knobs.delay_seconds)
        for _ in range(knobs.copies):
            await self._attempt(callback, knobs)

    async def _attempt(self, callback: Callback, knobs: CallbackKnobs) -> None:
        callback.attempts += 1
        timeout = aiohttp.ClientTimeout(total=knobs.timeout_seconds)
        try:
            async with self._client().request(
                knobs.method, callback.url, timeout=timeout, allow_redirects=False
            ) as answer:
                callback.answers.append(answer.status)
                good = 200 <= answer.status < 300
                callback.outcome = "delivered" if good or callback.outcome == "delivered" else "refused"
        except (aiohttp.ClientError, TimeoutError):
            callback.answers.append(0)
            callback.outcome = "delivered" if callback.outcome == "delivered" else "unreachable"

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session


def _wanted(task: Task, trigger: str) -> Iterator[tuple[TaskNotification, timedelta]]:
    for notification in task.body.notifications or ():
        for at in notification.schedule or ():
            if at.triggerStatus == trigger:
                yield notification, _length(at.delay)


def _length(delay: Delay | None) -> timedelta:
    if delay is None:
        return timedelta()
    return timedelta(minutes=delay.minutes or 0, hours=delay.hours or 0, days=delay.days or 0)
