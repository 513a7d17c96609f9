"""The request's life as a set of moves (spec pkisigning 6.2). Pure: state in, state changed, or Problem 409 raised.

Each move says whether the status changed; telling the outside world about it is the caller's part.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from local.sandbox.answers import Problem
from local.sandbox.pkisigning.state import FINAL, PENDING, Invitation, SignRequest, State, utc_now
from local.sandbox.pkisigning.wire import Action, ActorBody, Status

if TYPE_CHECKING:
    from local.sandbox.pkisigning.state import Actor, Document

Deed = Literal["sign", "approve", "download", "decline"]

_AWAITED = {
    Action.SIGN: Status.PENDING_SIGNATURE,
    Action.APPROVE: Status.PENDING_APPROVAL,
    Action.DOWNLOAD: Status.PENDING_DOWNLOAD,
}
_DEEDS: dict[Deed, Action] = {"sign": Action.SIGN, "approve": Action.APPROVE, "download": Action.DOWNLOAD}


def require_new(request: SignRequest) -> None:
    """Documents, actors and names can change only before the start."""
    if request.status is not Status.NEW:
        raise Problem(409, f"The request is {request.status.value}; this is possible only while it is New.")


def start(state: State, request: SignRequest) -> bool:
    """New → waiting for the first actor in line, who is invited."""
    require_new(request)
    if not request.documents:
        raise Problem(400, "The request has no documents.")
    if not request.actors:
        raise Problem(400, "The request has no actors.")
    if not all(document.ready for document in request.documents):
        raise Problem(409, "A document is still being processed.")
    state.start_calls[request.id] += 1
    return _await_next(state, request)


def perform(state: State, request: SignRequest, actor: Actor) -> bool:
    """The actor in line does what was asked; the document itself is signed by the caller before this."""
    require_turn(request, actor)
    actor.acted_at = utc_now()
    state.credits.charge(actor.id)
    return _await_next(state, request)


def decline(request: SignRequest, actor: Actor, reason: str) -> bool:
    require_turn(request, actor)
    request.reasons = reason
    return move(request, Status.DECLINED)


def require_turn(request: SignRequest, actor: Actor, deed: Deed | None = None) -> None:
    """Raises Problem 409 unless it is this actor's turn and, for a named deed, that is what they were asked for."""
    if request.status not in PENDING:
        raise Problem(409, f"The request is {request.status.value}; nobody can act.")
    if actor not in request.in_line():
        raise Problem(409, "It is not this actor's turn.")
    if deed in _DEEDS and actor.action is not _DEEDS[deed]:
        raise Problem(409, f"This actor was asked to {actor.action.value}.")


def withdraw(request: SignRequest) -> bool:
    if request.status not in PENDING | {Status.INVITATION_EXPIRED}:
        raise Problem(409, f"The request is {request.status.value}; there is no invitation to withdraw.")
    return move(request, Status.WITHDRAWN)


def remind(state: State, request: SignRequest) -> bool:
    """Invite the actor in line again. After an expired invitation the deadline must have been extended first (4.4)."""
    if request.status not in PENDING | {Status.INVITATION_EXPIRED}:
        raise Problem(409, f"The request is {request.status.value}; there is no invitation to send again.")
    in_line = request.in_line()
    if in_line[0].body.deadline <= datetime.now(UTC):
        raise Problem(409, "The deadline of the actor in line has passed; extend it first.")
    _mail(state, request, in_line, "Reminder")
    return move(request, _AWAITED[in_line[0].action])


def expire_invitation(request: SignRequest) -> bool:
    """The deadline of the actor in line passes; a second time, the request itself runs out."""
    if request.status is Status.INVITATION_EXPIRED:
        return move(request, Status.EXPIRED)
    if request.status not in PENDING:
        raise Problem(409, f"The request is {request.status.value}; there is no deadline to pass.")
    for actor in request.in_line():
        actor.body = actor.body.model_copy(update={"deadline": utc_now()})
    return move(request, Status.INVITATION_EXPIRED)


def fail(request: SignRequest, reason: str) -> bool:
    if request.status in FINAL:
        raise Problem(409, f"The request is {request.status.value} already.")
    request.reasons = reason
    return move(request, Status.ERROR)


def change_actor(request: SignRequest, actor: Actor, body: ActorBody) -> None:
    """Anything before the start; afterwards only the deadline of somebody who has not acted."""
    if actor.has_acted or request.status in FINAL:
        raise Problem(409, "This actor cannot be changed any more.")
    if request.status is not Status.NEW and body != actor.body.model_copy(update={"deadline": body.deadline}):
        raise Problem(409, "After the start only the deadline can be changed.")
    if body.action is Action.SIGN and (actor.placement is None or actor.placement.ways != 1):
        raise Problem(400, "A Sign actor needs a place, which cannot be given afterwards.")
    actor.body = body


def move(request: SignRequest, status: Status) -> bool:
    if status is request.status:
        return False
    request.previous_status, request.status = request.status, status
    request.changed_at = time.monotonic()
    return True


def document_status(request: SignRequest, document: Document) -> Status:
    """A document follows its request, except that it can be finished or still in conversion earlier."""
    if not document.ready:
        return Status.PROCESSING
    actors = request.actors_of(document.id)
    if request.status in PENDING:
        waiting = sorted((actor for actor in actors if not actor.has_acted), key=lambda actor: actor.turn)
        return _AWAITED[waiting[0].action] if waiting else Status.COMPLETED
    return request.status


def _await_next(state: State, request: SignRequest) -> bool:
    in_line = request.in_line()
    if not in_line:
        return move(request, Status.COMPLETED)
    if not any(_invited(state, request, actor) for actor in in_line):
        _mail(state, request, in_line, "Invite")
    return move(request, _AWAITED[in_line[0].action])


def _invited(state: State, request: SignRequest, actor: Actor) -> bool:
    return state.invitations_sent(request.id, actor.id) > 0


def _mail(state: State, request: SignRequest, actors: list[Actor], kind: str) -> None:
    state.invitations.append(Invitation(request.id, tuple(actor.id for actor in actors), kind, utc_now()))
