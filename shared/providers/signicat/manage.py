"""What can be seen of, and done to, a signing at Signicat after it was started (spec signicat 5.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from shared.domain.errors import ProviderNotFound, Rejected, UnsupportedFeature
from shared.domain.signing import Signing
from shared.domain.states import EventKind
from shared.ports import Deliverable, ProviderStatus, SigningLink
from shared.providers.http import ProviderClient
from shared.providers.signicat import mapping, operations
from shared.providers.signicat.mapping import TaskReading
from shared.providers.signicat.start import OTHER_SIGNING, read_order
from shared.providers.signicat.wire import (
    PackagingTaskStatusInfo,
    SigningOrder,
    StoredTask,
    TaskForwardDetails,
    TaskStatus,
    TaskStatusInfo,
)

_REMEMBERED = 1000


class Manager:
    """Raises ProviderError, and Rejected for what does not fit the state that the signing has at the provider.

    It remembers what this process itself has deleted: afterwards the provider knows nothing of it (spec 5.1). Another
    process only sees that it is gone, so whoever cancels has to go by the success of `cancel`.
    """

    def __init__(self, client: ProviderClient) -> None:
        self._client = client
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    async def status(self, order_id: str, signing: Signing | None) -> ProviderStatus:
        try:
            order = await read_order(self._client, order_id, signing)
        except ProviderNotFound:
            if order_id not in self._cancelled:
                raise
            return ProviderStatus(TaskStatus.DELETED.value, EventKind.CANCELLED)
        tasks = await self._tasks(order)
        packaging = [] if mapping.open_or_ended(tasks) else await self._packaging(order, signing)
        return mapping.status_of(tasks, packaging, signing)

    async def deliverables(self, signing: Signing) -> list[Deliverable]:
        """The signed files, and of each task, handed over ones too, what was signed and what has happened."""
        order = await read_order(self._client, id_of(signing), signing)
        found = mapping.packages_of(signing)
        for task in order.tasks:
            info = await self._task(order.id, task.id)
            with_result = [one.id for one in info.documents or () if one.resultUri]
            found += [mapping.statement_of(task.id, one) for one in with_result if not mapping.only_views(task)]
            found.append(mapping.events_of(task.id))
        return found

    async def cancel(self, signing: Signing) -> None:
        """Deletes the order, for which there is no other way (spec 1.3). What has been signed by all is not deleted:
        that would destroy the documents."""
        order_id = id_of(signing)
        try:
            await self._require_cancellable(order_id, signing)
            await self._delete(order_id)
        except ProviderNotFound as error:
            if error.code == OTHER_SIGNING:
                raise
            # Otherwise it is gone: an earlier attempt did it, and its answer was lost.
        self._remember(order_id)

    async def _require_cancellable(self, order_id: str, signing: Signing) -> None:
        status = await self.status(order_id, signing)
        is_packaging = status.provider_status.startswith(mapping.PACKAGING)
        is_gone_already = status.kind is EventKind.CANCELLED and order_id in self._cancelled
        if is_packaging or (status.kind not in (None, EventKind.ACCEPTED) and not is_gone_already):
            raise Rejected(f"The signing cannot be cancelled any more: it is {status.provider_status}.")

    async def delete(self, signing: Signing) -> None:
        """For good. Absence is fine."""
        if signing.provider_signing_id is None:
            return
        with suppress(ProviderNotFound):
            await self._delete(signing.provider_signing_id)

    async def links(self, signing: Signing) -> Sequence[SigningLink]:
        order = await read_order(self._client, id_of(signing), signing)
        tasks = await self._tasks(order)
        return mapping.links_of(signing, order, [one.id for one in tasks if one.status == TaskStatus.CREATED])

    def _remember(self, order_id: str) -> None:
        self._cancelled[order_id] = None
        while len(self._cancelled) > _REMEMBERED:
            self._cancelled.popitem(last=False)

    async def _delete(self, order_id: str) -> None:
        await self._client.call(operations.DELETE_ORDER, orderId=order_id)

    async def _tasks(self, order: SigningOrder) -> list[TaskReading]:
        """All tasks of the order as it is now: forwarding may have added some (spec 5.2)."""
        return [await self._read(order.id, task) for task in order.tasks]

    async def _read(self, order_id: str, task: StoredTask) -> TaskReading:
        info = await self._task(order_id, task.id)
        original = None if mapping.is_ours(task.id) else await self._original(order_id, task.id)
        return TaskReading(task.id, info.taskStatus, mapping.only_views(task), info.rejectReason, original)

    async def _task(self, order_id: str, task_id: str) -> TaskStatusInfo:
        """Not there although the order is: that it lags behind, or is being deleted, shows at the next look."""
        ids = {"orderId": order_id, "taskId": task_id}
        reply = await self._client.call(operations.GET_TASK_STATUS, ids, not_ready_on=(404,))
        return reply.read(TaskStatusInfo)

    async def _original(self, order_id: str, task_id: str) -> str | None:
        ids = {"orderId": order_id, "taskId": task_id}
        try:
            reply = await self._client.call(operations.GET_TASK_FORWARDS, ids)
        except ProviderNotFound:
            return None
        forwards = reply.read_list(TaskForwardDetails)
        return next((one.originalTaskId for one in forwards if one.originalTaskId not in (None, task_id)), None)

    async def _packaging(self, order: SigningOrder, signing: Signing | None) -> list[str]:
        """Of all packaging tasks, also where the order that was read back keeps quiet about ours."""
        listed = [one.id for one in order.packagingTasks or ()]
        ours = [mapping.package_id(one) for one in signing.documents] if signing else []
        return [await self._packaging_status(order.id, one) for one in listed or ours]

    async def _packaging_status(self, order_id: str, packaging_task_id: str) -> str:
        ids = {"orderId": order_id, "packagingTaskId": packaging_task_id}
        reply = await self._client.call(operations.GET_PACKAGING_STATUS, ids, not_ready_on=(404,))
        return reply.read(PackagingTaskStatusInfo).packagingTaskStatus


def refuse(action: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"Signicat cannot {action} after a signing was started.", field=action)


def id_of(signing: Signing) -> str:
    if signing.provider_signing_id is None:
        raise ProviderNotFound("The signing has no id at the provider yet.")
    return signing.provider_signing_id
