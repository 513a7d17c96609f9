"""What really happened, read from inside the simulators and not through their APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.sandbox.connective.wire import Status as PackageStatus
from local.sandbox.pkisigning.wire import Status as RequestStatus
from local.sandbox.signicat.state import Status as TaskStatus
from shared.domain.signing import State


@dataclass(frozen=True)
class Theirs:
    """One signing as the provider has it. `state` is what ours has to become; `files` were signed, byte by byte."""

    id: str
    state: State
    invitations: int
    files: tuple[bytes, ...] = ()


def theirs(name: str, sandbox: Any, title: str, signing_id: str) -> list[Theirs]:
    """Everything at that provider that this signing of ours led to: more than one would mean twice."""
    return list(_READERS[name](sandbox, title, signing_id))


_REQUESTS = {
    RequestStatus.COMPLETED: State.COMPLETED,
    RequestStatus.DECLINED: State.DECLINED,
    RequestStatus.WITHDRAWN: State.CANCELLED,
    RequestStatus.INVITATION_EXPIRED: State.EXPIRED,
    RequestStatus.EXPIRED: State.EXPIRED,
    RequestStatus.ERROR: State.FAILED,
}
_PACKAGES = {
    PackageStatus.FINISHED: State.COMPLETED,
    PackageStatus.REJECTED: State.DECLINED,
    PackageStatus.REVOKED: State.CANCELLED,
    PackageStatus.EXPIRED: State.EXPIRED,
    PackageStatus.FAILED: State.FAILED,
}
_TASKS = {
    TaskStatus.COMPLETED: State.COMPLETED,
    TaskStatus.REJECTED: State.DECLINED,
    TaskStatus.DELETED: State.CANCELLED,
    TaskStatus.EXPIRED: State.EXPIRED,
    TaskStatus.FAILED: State.FAILED,
}
_SIGNINGS = {"completed": State.COMPLETED, "declined": State.DECLINED, "failed": State.FAILED}


def _pkisigning(sandbox: Any, title: str, _: str) -> list[Theirs]:
    return [
        Theirs(
            one.id,
            _REQUESTS.get(one.status, State.STARTED),
            sandbox.invitations_sent(one.id),
            tuple(document.content for document in one.documents),
        )
        for one in sandbox.state.named(title)
    ]


def _dokobit(sandbox: Any, title: str, _: str) -> list[Theirs]:
    return [
        Theirs(
            one.token,
            _SIGNINGS.get(one.state, State.STARTED),
            sandbox.invitations_sent(one.token),
            tuple(file.content for file in one.files) if one.is_pdf else (),
        )
        for one in sandbox.state.named(title)
    ]


def _connective(sandbox: Any, _: str, signing_id: str) -> list[Theirs]:
    everything = [*sandbox.state.packages.values(), *sandbox.state.deleted]
    return [
        Theirs(
            one.id,
            _PACKAGES.get(one.status, State.STARTED),
            sandbox.invitations_sent(one.id),
            tuple(document.content for document in one.documents),
        )
        for one in everything
        if one.reference == signing_id
    ]


def _signicat(sandbox: Any, _: str, signing_id: str) -> list[Theirs]:
    """An order invites by being made."""
    return [
        Theirs(
            order.id,
            _TASKS.get(order.tasks[0].status, State.STARTED),
            1,
            tuple(one.result for one in order.packaging if one.result is not None),
        )
        for order in sandbox.state.ever
        if order.body.clientReference == signing_id
    ]


_READERS: Mapping[str, Callable[[Any, str, str], Sequence[Theirs]]] = {
    "pkisigning": _pkisigning,
    "dokobit": _dokobit,
    "connective": _connective,
    "signicat": _signicat,
}
