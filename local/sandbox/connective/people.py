"""Who signs, approves and receives: from the three request forms to people and actors (spec connective 2.1.1, 2.14)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.connective.state import Actor, Package, Stakeholder, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.connective.platform import Platform
    from local.sandbox.connective.wire import (
        ActorBody,
        CreateInstant,
        InstantActorBody,
        PersonBody,
        ProcessRequest,
        ProcessRequestV31,
        ProcessStakeholderBodyV31,
    )


def set_process(platform: Platform, package: Package, body: ProcessRequest) -> None:
    """Replaces everybody who was there before."""
    people = []
    for one in body.Stakeholders:
        person = _person(one, one.ExternalStakeholderReference)
        person.actors = [_actor(actor, actor.LocationIds) for actor in one.Actors]
        people.append(person)
    _put(platform, package, people)


def set_process_v31(platform: Platform, package: Package, body: ProcessRequestV31) -> None:
    people = []
    for one in body.Stakeholders:
        person = _stakeholder(one)
        person.actors = [_actor(actor, [place.Id for place in actor.Locations]) for actor in one.Actors]
        people.append(person)
    _put(platform, package, people)


def set_instant(
    platform: Platform, package: Package, actors: Sequence[tuple[InstantActorBody, list[str]]], body: CreateInstant
) -> None:
    ids = {id(actor): found for actor, found in actors}
    people = []
    for one in body.Stakeholders:
        person = _person(one, one.ExternalStakeholderReference)
        person.actors = [_actor(actor, ids[id(actor)]) for actor in one.Actors]
        people.append(person)
    _put(platform, package, people)


def _person(body: PersonBody, reference: str | None) -> Stakeholder:
    return Stakeholder(new_id(), "Person", f"{body.FirstName} {body.LastName}", body.EmailAddress, reference)


def _stakeholder(body: ProcessStakeholderBodyV31) -> Stakeholder:
    if body.Type == "Person":
        name = f"{body.FirstName} {body.LastName}"
        return Stakeholder(new_id(), body.Type, name, body.EmailAddress, body.ExternalStakeholderReference)
    members = [one.EmailAddress for one in body.Persons] or ["contact@example.org"]
    return Stakeholder(
        new_id(),
        body.Type,
        body.PersonGroupName or body.ContactGroupCode or "Group",
        None,
        body.ExternalStakeholderReference,
        body.PersonGroupName,
        body.ContactGroupCode,
        members,
    )


def _actor(body: ActorBody, location_ids: Sequence[str]) -> Actor:
    types = [one.SigningType for one in body.SigningTypes]
    return Actor(new_id(), body.Type, body.OrderIndex or 0, list(location_ids), types, body.SendNotifications)


def _put(platform: Platform, package: Package, people: list[Stakeholder]) -> None:
    """Raises Conflict for places that do not exist or are given twice, and for an approver who comes too late."""
    actors = [actor for person in people for actor in person.actors]
    used = Counter(one for actor in actors for one in actor.location_ids)
    known = {one.id for one in package.locations}
    if used.keys() - known:
        raise Conflict("Location.NotFound", "There is no such location in the package.")
    if any(count > 1 for count in used.values()):
        raise Conflict("Location.Used", "A location is for one actor.")
    signers = [actor for actor in actors if actor.kind == "Signer"]
    if not all(actor.location_ids for actor in signers):
        raise platform.refusal(400, "Request.MissingParameter:Locations", "A signer needs a location.")
    first = min((actor.order for actor in signers), default=None)
    if first is not None and any(one.kind == "Approver" and one.order >= first for one in actors):
        raise Conflict("Actor.InvalidOrder", "Approvers come before signers.")
    package.stakeholders = people
