"""Turns what was signed into files: an LTV-SDO per signer and document, a PAdES file per packaging task."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from local.sandbox import pdf
from local.sandbox.pdf_places import Placement
from local.sandbox.pki import SandboxPki, sandbox_key
from local.sandbox.signicat.sdo import statement
from local.sandbox.signicat.state import Order, Packaging, State, Status, Task, new_id

if TYPE_CHECKING:
    from local.sandbox.signicat.callbacks import CallbackDesk
    from local.sandbox.signicat.options import Options
    from local.sandbox.signicat.wire import TaskDocument


@dataclass
class Packer:
    state: State
    options: Options
    desk: CallbackDesk
    pki: SandboxPki
    _identities: dict[str, pdf.Identity] = field(default_factory=dict)
    _work: set[asyncio.Task[None]] = field(default_factory=set)

    async def statements(self, task: Task) -> dict[str, bytes]:
        signed = [one for one in task.body.documents if one.action == "SIGN"]
        identity, now = self._identity(task), self.state.now()
        return {
            one.id: await asyncio.to_thread(statement, self._content(one), one.description or one.id, identity, now)
            for one in signed
        }

    def look_after(self, order: Order) -> None:
        """Begins with every packaging task whose tasks are all complete."""
        for packaging in order.packaging:
            tasks = [order.task(one.taskId) for one in packaging.body.documents]
            is_complete = all(task is not None and task.status is Status.COMPLETED for task in tasks)
            if is_complete and not packaging.under_way:
                packaging.under_way = True
                work = asyncio.get_running_loop().create_task(self._package(order, packaging))
                self._work.add(work)
                work.add_done_callback(self._work.discard)

    async def settle(self) -> None:
        while self._work:
            await asyncio.gather(*self._work)

    async def close(self) -> None:
        for work in self._work:
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _package(self, order: Order, packaging: Packaging) -> None:
        tasks = [task for one in packaging.body.documents if (task := order.task(one.taskId)) is not None]
        names = {name for one in packaging.body.documents for name in one.documentIds}
        source = next(one for task in tasks for one in task.body.documents if one.id in names)
        packaging.original = self._content(source)
        await asyncio.sleep(self.options.packaging_seconds)
        if self.options.packaging_fails:
            self.fail(packaging)
            return
        signed = packaging.original
        for task in sorted(tasks, key=lambda one: one.completed or one.created):
            signed = await asyncio.to_thread(
                pdf.sign_pdf, signed, self._identity(task), field_name=f"Signature-{task.id}", placement=Placement()
            )
        packaging.result, packaging.status = signed, Status.COMPLETED
        packaging.changed_at = time.monotonic()
        if packaging.body.sendToArchive:
            packaging.archive_id = new_id(self.state.now())
            self.state.archive[packaging.archive_id] = signed
        if order.id in self.state.orders:
            self.desk.packaging_is(order, packaging, "COMPLETED")

    def fail(self, packaging: Packaging) -> None:
        """There is no trigger for it (2.1)."""
        packaging.under_way, packaging.status = True, Status.FAILED

    def _content(self, document: TaskDocument) -> bytes:
        return self.state.uploads.get(document.documentRef or "", b"")

    def _identity(self, task: Task) -> pdf.Identity:
        """A certificate per signer; all share one key, for making keys is slow and proves nothing here."""
        name = f"Signer {task.id}"[:64]
        if name not in self._identities:
            issued = self.pki.issue(common_name=name, dns_names=None, key=sandbox_key("signer"), server_auth=False)
            if not isinstance(issued.key, RSAPrivateKey):
                raise TypeError("the signer's key is an RSA key")
            chain = (self.pki.issuing.certificate, self.pki.root.certificate)
            self._identities[name] = pdf.Identity(issued.certificate, issued.key, chain)
        return self._identities[name]
