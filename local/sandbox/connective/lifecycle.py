"""The package's life as a set of moves (spec connective 7.1). State in, state changed, or Problem 409 raised."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from local.sandbox.connective.state import FINAL
from local.sandbox.connective.wire import ActorStatus, Status

if TYPE_CHECKING:
    from datetime import datetime

    from local.sandbox.connective.state import Actor, Package, State


class Conflict(Exception):
    """The move does not fit the state. `code` is a placeholder of ours: the vendor's list is not public (spec 5.1)."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def require_draft(package: Package) -> None:
    if package.status is not Status.DRAFT:
        raise Conflict("Package.InvalidStatus", f"The package is {package.status}; this is for drafts.")


def send(state: State, package: Package, waiting: ActorStatus) -> None:
    require_draft(package)
    if not package.documents:
        raise Conflict("Package.NoDocuments", "The package has no documents.")
    if not any(actor.kind == "Signer" for actor in package.actors):
        raise Conflict("Package.InvalidStatus", "The package has no signers.")
    state.openings[package.id] += 1
    for actor in package.actors:
        actor.status = waiting
    move(package, Status.PENDING)
    open_turns(state, package)


def open_turns(state: State, package: Package) -> None:
    """Those in line get their links and, where wished, their e-mail. With nobody left the package is finished."""
    in_line = package.in_line()
    if not in_line:
        for actor in package.actors:
            if actor.kind == "Receiver":
                finish(actor, None, state.now())
        move(package, Status.FINISHED)
        return
    for actor in in_line:
        if actor.status is ActorStatus.AVAILABLE:
            continue
        actor.status = ActorStatus.AVAILABLE
        person = package.stakeholder_of(actor)
        if person.kind == "Person":
            actor.token = state.new_link(package, actor)
        else:
            actor.tokens = {one: state.new_link(package, actor) for one in person.members}
        if actor.notify:
            state.mails.append((package.id, actor.id))


def require_turn(package: Package, actor: Actor) -> None:
    if package.status is not Status.PENDING or actor not in package.in_line():
        raise Conflict("Package.NotPending", "It is not this actor's turn.")


def finish(actor: Actor, name: str | None, at: datetime) -> None:
    actor.status, actor.completed_by, actor.completed_at = ActorStatus.FINISHED, name, at


def reject(package: Package, actor: Actor, reason: str, at: datetime) -> None:
    require_turn(package, actor)
    actor.status, actor.reason, actor.completed_at = ActorStatus.REJECTED, reason, at
    move(package, Status.REJECTED)


def skip(state: State, package: Package) -> None:
    """Only when somebody has signed: a reading of the one published code, Package.NotSigned (spec 2.8)."""
    has_signed = any(one.kind == "Signer" and one.status is ActorStatus.FINISHED for one in package.actors)
    if package.status is not Status.PENDING or not has_signed:
        raise Conflict("Package.NotSigned", "Nobody has signed this package yet.")
    for actor in package.workers:
        if not actor.has_acted:
            actor.status, actor.completed_at = ActorStatus.SKIPPED, state.now()
    open_turns(state, package)


def revoke(package: Package) -> None:
    if package.status is not Status.PENDING:
        raise Conflict("Package.InvalidStatus", f"The package is {package.status} and cannot be revoked.")
    move(package, Status.REVOKED)


def expire(package: Package) -> None:
    if package.status is not Status.PENDING:
        raise Conflict("Package.InvalidStatus", f"The package is {package.status} and cannot expire.")
    move(package, Status.EXPIRED)


def extend(package: Package, until: datetime) -> None:
    if package.status not in {Status.PENDING, Status.EXPIRED}:
        raise Conflict("Package.InvalidStatus", f"The package is {package.status} and cannot be extended.")
    package.expiry = until
    move(package, Status.PENDING)


def fail(package: Package) -> None:
    if package.status in FINAL:
        raise Conflict("Package.InvalidStatus", f"The package is {package.status} already.")
    move(package, Status.FAILED)


def require_deletable(package: Package) -> None:
    """Drafts can go too: v4's own tests do it (spec 2.13)."""
    if package.status in {Status.PENDING, Status.EXPIRED}:
        raise Conflict("Package.NotFinal", f"The package is {package.status}.")


def move(package: Package, status: Status) -> None:
    if status is not package.status:
        package.previous_status, package.status = package.status, status
        package.changed_at = time.monotonic()
