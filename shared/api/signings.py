"""The caller-facing operations: plain HTTP values in, an `Answer` out. function_app.py only carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.api.answers import Answer, answered, failed_start, history_view, known_form, signing_view
from shared.api.idempotency import platform_action
from shared.api.orders import take_in
from shared.api.start_request import StartBody, parse_start_request
from shared.domain.errors import NotFound
from shared.domain.signing import Signing, State
from shared.flow import start as start_flow
from shared.ports import App

# Says that this answer belongs to an earlier request.
REPLAYED = "idempotency-replayed"


async def start(app: App, body: bytes, headers: Mapping[str, str]) -> Answer:
    """`POST /api/signings`. 201 with the signing, or the provider's refusal as a problem that names the signing.

    A repeat gets the answer of the first request, on the signing as it is now, and a header that says so.
    """

    async def work() -> Answer:
        parsed = parse_start_request(body)
        app.provider(parsed.account.lower())  # an unknown account is no reason to read anything
        signing, is_new = await _started(app, parsed, headers)
        answer = _outcome(signing)
        return answer if is_new else replace(answer, headers={**answer.headers, REPLAYED: "true"})

    return await answered(work)


def _outcome(signing: Signing) -> Answer:
    """What became of the start; the same for each repeat, whatever has become of the signing since."""
    if signing.state is State.FAILED and signing.failure is not None and signing.start.invited_at is None:
        return failed_start(signing, signing.failure)
    # No 202 and no Location to poll: Logic Apps would wait for the end of the signing (power guide 0.2).
    return Answer(201, signing_view(signing))


async def _started(app: App, parsed: StartBody, headers: Mapping[str, str]) -> tuple[Signing, bool]:
    """The signing, and whether this very request has made it."""
    wait = "respond-async" not in headers.get("prefer", "").lower()
    owner = app.random_bytes(8).hex() if wait else None
    own_key, action = headers.get("idempotency-key"), platform_action(headers)
    taken = await take_in(app, parsed, own_key, action, lease_owner=owner)
    loaded, is_new = taken.intake.loaded, taken.intake.is_new
    if owner is None or not is_new or taken.command is None:
        return loaded.signing, is_new
    contents = {number: document.content for number, document in enumerate(taken.command.documents, start=1)}
    return (await start_flow.inline(app, loaded, owner, contents)).signing, True


async def get(app: App, signing_id: str) -> Answer:
    """`GET /api/signings/{id}`."""

    async def work() -> Answer:
        return Answer(200, signing_view((await app.signings.load(known_form(signing_id))).signing))

    return await answered(work)


async def history(app: App, signing_id: str) -> Answer:
    """`GET /api/signings/{id}/history`."""

    async def work() -> Answer:
        entries = await app.signings.history(known_form(signing_id))
        if not entries:
            raise NotFound("There is no signing with this id.")
        return Answer(200, history_view(signing_id, entries))

    return await answered(work)
