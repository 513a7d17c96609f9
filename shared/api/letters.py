"""HTTP for dead letters: list and read them, have them replayed one by one or by what they have in common, discard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.api import queue_intake
from shared.api.answers import Answer, answered
from shared.api.bodies import Body, checked, read_body
from shared.api.start_request import Moment, Text
from shared.domain.letters import LetterFilter, no_such_letter
from shared.flow import letters
from shared.ports import App, DeadLetter

# Queue names, message ids and signing ids make up our letter ids, so that they can stand in a path.
_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")

Word = Annotated[str, Field(min_length=1, max_length=200)]
Cursor = Annotated[str, Field(min_length=1, max_length=400)]
# Each replay is a handful of storage calls, and Logic Apps waits two minutes for an answer.
Limit = Annotated[int, Field(ge=1, le=100)]


class Status(StrEnum):
    OPEN = "open"
    SETTLED = "settled"


class _Wanted(BaseModel):
    # In a query there may be the host's own `code`.
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    reason: Word | None = None
    queue: Word | None = None
    signingId: Word | None = None
    since: Moment | None = Field(default=None, alias="from")
    before: Moment | None = Field(default=None, alias="to")
    cursor: Cursor | None = None

    def to_domain(self, is_open: bool | None) -> LetterFilter:
        return LetterFilter(self.reason, self.queue, self.signingId, self.since, self.before, is_open)


class ListQuery(_Wanted):
    status: Status | None = None
    limit: Limit = 50

    @property
    def is_open(self) -> bool | None:
        return None if self.status is None else self.status is Status.OPEN


class ReplaySomeBody(_Wanted):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    limit: Limit = 50

    @model_validator(mode="after")
    def _some_filter(self) -> Self:
        if self.to_domain(None) == LetterFilter():
            raise ValueError("give at least one of from, to, reason, queue, signingId")
        return self


class ReplayBody(Body):
    again: bool = False


class DiscardBody(Body):
    note: Text


async def listed(app: App, query: Mapping[str, str]) -> Answer:
    """`GET /api/deadletters`, newest first, without the messages themselves."""

    async def work() -> Answer:
        wanted = checked(ListQuery, dict(query))
        page = await app.dead_letters.page(wanted.to_domain(wanted.is_open), wanted.limit, wanted.cursor)
        return Answer(200, {"deadLetters": [letter_view(letter) for letter in page.letters], "cursor": page.cursor})

    return await answered(work)


async def get(app: App, letter_id: str) -> Answer:
    """`GET /api/deadletters/{id}`, with the message."""

    async def work() -> Answer:
        letter = (await app.dead_letters.get(_known_form(letter_id))).letter
        view = letter_view(letter) | {"body": letter.body, "encoding": letter.encoding}
        return Answer(200, view, {"cache-control": "no-store"})

    return await answered(work)


async def replay(app: App, letter_id: str, body: bytes) -> Answer:
    """`POST /api/deadletters/{id}/replay`."""

    async def work() -> Answer:
        again = read_body(ReplayBody, body).again
        done = await letters.replay(app, _known_form(letter_id), _order_runner(app), again=again)
        return Answer(200, letter_view(done.letter) | {"sent": done.sent})

    return await answered(work)


async def replay_some(app: App, body: bytes) -> Answer:
    """`POST /api/deadletters/replay`: open letters that have something in common, a bounded number of them."""

    async def work() -> Answer:
        wanted = read_body(ReplaySomeBody, body)
        done = await letters.replay_some(
            app, wanted.to_domain(is_open=True), _order_runner(app), limit=wanted.limit, cursor=wanted.cursor
        )
        counts = {"replayed": done.replayed, "unsent": done.unsent, "refused": dict(done.refused)}
        return Answer(200, {**counts, "cursor": done.cursor})

    return await answered(work)


async def discard(app: App, letter_id: str, body: bytes) -> Answer:
    """`POST /api/deadletters/{id}/discard`."""

    async def work() -> Answer:
        note = read_body(DiscardBody, body).note
        return Answer(200, letter_view(await letters.discard(app, _known_form(letter_id), note)))

    return await answered(work)


def _order_runner(app: App) -> letters.RunOrder:
    async def run(letter: DeadLetter) -> None:
        await queue_intake.again(app, letter)

    return run


def letter_view(letter: DeadLetter) -> dict[str, Any]:
    view = {
        "id": letter.id,
        "at": letter.at,
        "queue": letter.queue,
        "reason": letter.reason,
        "detail": letter.detail,
        "signingId": letter.signing_id,
        "status": letter.status.outcome,
        "settledAt": letter.status.settled_at,
        "note": letter.status.note,
        "replays": letter.status.replays,
    }
    return {name: value for name, value in view.items() if value is not None}


def _known_form(letter_id: str) -> str:
    if not _ID.fullmatch(letter_id):
        raise no_such_letter()
    return letter_id
