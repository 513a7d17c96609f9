"""The people around the app: callers who start signings and repeat themselves, signers who act on invitations."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.players import PLAYERS
from local.sandbox.answers import Problem
from local.sandbox.connective.lifecycle import Conflict
from local.sandbox.pdf import sample_contract
from local.stack import Stack
from tests.chaos.plan import Part
from tests.chaos.services import Service
from tests.chaos.truth import Theirs, theirs

# As often as Logic Apps would at most, though not with its pauses.
_TRIES = 40
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 0.25
_AHEAD = 0.1
_AT_LATEST_SECONDS = 180.0

_CONTRACT = sample_contract("Chaos", ["Ada Jansen"])


@dataclass
class Stopwatch:
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass
class Cast:
    """What each part became: the signing's id by part number, and what its caller was told."""

    stack: Stack
    client: httpx.AsyncClient
    service: Service
    signing_ids: dict[int, str] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    """HTTP statuses of all attempts to start, 0 when nobody answered."""
    calmed: asyncio.Event = field(default_factory=asyncio.Event)
    began: Stopwatch = field(default_factory=Stopwatch)

    def theirs(self, part: Part) -> list[Theirs]:
        return theirs(part.provider, self.stack.sandboxes[part.provider], part.title, self.signing_ids[part.number])

    async def play(self, part: Part, progress: Callable[[], float]) -> None:
        """One signing's outside life: asked for when the storm has come so far, or late enough; acted upon once
        somebody is invited."""
        while progress() + _AHEAD < part.at and self.began.seconds < part.at * _AT_LATEST_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(part.waits / 2)
        start = self._order if part.manner == "queue" else self._start
        self.signing_ids[part.number] = await start(part)
        await self.respond(part)

    async def respond(self, part: Part, patience_seconds: float = 0.0) -> None:
        """What the signer does once there is an invitation; so long it may still come when all is calm."""
        invited = await self._invited(part, patience_seconds)
        if invited is not None and part.fate != "nothing":
            await asyncio.sleep(part.waits)
            await self._act(part, invited.id)

    async def _order(self, part: Part) -> str:
        reply = await self.service.order(part, _order(part, self.stack.receiver.url), _CONTRACT)
        if reply["outcome"] != "accepted":
            raise AssertionError(f"{part.reference} was refused: {reply['problem']}")
        return str(reply["signing"]["id"])

    async def _start(self, part: Part) -> str:
        headers = {"Idempotency-Key": f"key-{part.number}"}
        headers |= {"Prefer": "respond-async"} if part.manner == "async" else {}
        body = _order(part, self.stack.receiver.url)
        body["documents"] = [{"name": "contract.pdf", "content": base64.b64encode(_CONTRACT).decode()}]
        for _ in range(_TRIES):
            status, content = await self._post(body, headers)
            self.answers.append(status)
            if status == 201:
                return str(content["id"])
            if 400 <= status < 500 and status != 429:
                raise AssertionError(f"{part.reference} was refused with {status}: {content}")
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"{part.reference} was never taken in")

    async def _post(self, content: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        try:
            answer = await self.client.post("/api/signings", json=content, headers=headers)
        except httpx.TransportError:
            return 0, None
        return answer.status_code, answer.json() if answer.content else None

    async def _invited(self, part: Part, patience_seconds: float) -> Theirs | None:
        """What the signer has an invitation for; None when there is none even after the storm."""
        waited = Stopwatch()
        while True:
            found = next((one for one in self.theirs(part) if one.invitations), None)
            if found is not None or (self.calmed.is_set() and waited.seconds >= patience_seconds):
                return found
            await asyncio.sleep(_LOOK_SECONDS)

    async def _act(self, part: Part, their_id: str) -> None:
        sandbox = self.stack.sandboxes[part.provider]
        with contextlib.suppress(Problem, Conflict):  # somebody else was faster
            match part.fate:
                case "complete":
                    await sandbox.complete(their_id)
                case "decline":
                    await sandbox.decline(their_id)
                case "expire":
                    sandbox.expire(their_id)
                case "withdraw":
                    sandbox.withdraw(their_id)


def _order(part: Part, receiver: str) -> dict[str, Any]:
    person = {"givenName": "Ada", "familyName": "Jansen", "email": "ada@example.org", "language": "en"}
    return {
        "account": part.account,
        "title": part.title,
        "reference": part.reference,
        "participants": [person | dict(PLAYERS[part.provider].participant)],
        "notify": {"url": receiver},
    }
