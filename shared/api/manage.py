"""HTTP for what can be done to a signing that exists. Bodies are small JSON objects; an empty body is an empty one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import Field, StrictBool

from shared.api.answers import Answer, answered, known_form, signing_view
from shared.api.bodies import Body as _Body
from shared.api.bodies import read_body as _read
from shared.api.start_request import Moment, ParticipantBody, Text
from shared.domain.errors import FieldError, InvalidRequest
from shared.domain.signing import Signing
from shared.flow import manage, uncertain
from shared.flow import replay as replay_flow
from shared.ports import App


class CancelBody(_Body):
    reason: Text | None = None


class RemindBody(_Body):
    participant: Annotated[int, Field(ge=1)] | None = None


class ExtendBody(_Body):
    deadline: Moment


class ConfirmBody(_Body):
    providerSigningId: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]


class RestartBody(_Body):
    nobodyWasInvited: StrictBool


async def cancel(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/cancel`."""
    return await _changed(lambda: manage.cancel(app, known_form(signing_id), _read(CancelBody, body).reason))


async def remind(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/remind`."""
    return await _changed(lambda: manage.remind(app, known_form(signing_id), _read(RemindBody, body).participant))


async def extend(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/extend`."""

    async def work() -> Signing:
        deadline = _read(ExtendBody, body).deadline
        if deadline <= app.now():
            raise InvalidRequest("The request does not fit.", fields=[FieldError("deadline", "lies in the past")])
        return await manage.extend(app, known_form(signing_id), deadline)

    return await _changed(work)


async def add_participant(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/participants`."""

    async def work() -> Signing:
        participant = _read(ParticipantBody, body).to_domain(0)
        return await manage.add_participant(app, known_form(signing_id), participant)

    return await _changed(work)


async def remove_participant(app: App, signing_id: str, number: str) -> Answer:
    """`DELETE /api/signings/{id}/participants/{number}`."""

    async def work() -> Signing:
        if not number.isascii() or not number.isdigit():
            raise InvalidRequest("A participant is named by number.", fields=[FieldError("number", "a number")])
        return await manage.remove_participant(app, known_form(signing_id), int(number))

    return await _changed(work)


async def delete(app: App, signing_id: str) -> Answer:
    """`DELETE /api/signings/{id}`: the provider's copy; ours stays."""
    return await _changed(lambda: manage.delete(app, known_form(signing_id)))


async def links(app: App, signing_id: str) -> Answer:
    """`GET /api/signings/{id}/links`."""

    async def work() -> Answer:
        found = await manage.links(app, known_form(signing_id))
        view = [{"participant": one.number, "url": one.url, "expiresAt": one.expires_at} for one in found]
        return Answer(200, {"signingId": signing_id, "links": view}, {"cache-control": "no-store"})

    return await answered(work)


async def confirm_start(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/start/confirm`: the operator has found the signing at the provider."""

    async def work() -> Signing:
        theirs = _read(ConfirmBody, body).providerSigningId
        return await uncertain.confirm(app, known_form(signing_id), theirs)

    return await _changed(work)


async def restart_start(app: App, signing_id: str, body: bytes) -> Answer:
    """`POST /api/signings/{id}/start/restart`: the operator knows that nobody was invited, and has to say so."""

    async def work() -> Signing:
        if not _read(RestartBody, body).nobodyWasInvited:
            unsaid = FieldError("nobodyWasInvited", "must be true: look at the provider first")
            raise InvalidRequest("Nothing is sent again without proof.", fields=[unsaid])
        return await uncertain.restart(app, known_form(signing_id))

    return await _changed(work)


async def replay(app: App, signing_id: str) -> Answer:
    """`POST /api/signings/{id}/replay`: the signing, and the queues that got a message because of it."""

    async def work() -> Answer:
        done = await replay_flow.run(app, known_form(signing_id))
        return Answer(200, {"signing": signing_view(done.signing), "queued": list(done.queued)})

    return await answered(work)


async def _changed(work: Callable[[], Awaitable[Signing]]) -> Answer:
    async def view() -> Answer:
        body: dict[str, Any] = signing_view(await work())
        return Answer(200, body)

    return await answered(view)
