"""The morning after: a person has all replayed that can be, and decides the starts that nobody knows the end of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.callers import Cast
from tests.chaos.plan import Part

# An invitation may still be on its way, or a worker be at it: both are over in a few seconds.
_TRIES = 30
_PAUSE_SECONDS = 1.0
_TOO_EARLY = frozenset({409, 429, 500, 502, 503})
_PATIENCE_SECONDS = 60.0
_PAGE = 50


@dataclass
class Operator:
    """Looks into the simulators where a person would look into the provider's portal."""

    cast: Cast
    client: httpx.AsyncClient
    done: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)

    async def decide(self, part: Part) -> None:
        signing = f"/api/signings/{self.cast.signing_ids[part.number]}"
        invited = next((one for one in self.cast.theirs(part) if one.invitations), None)
        if invited is not None:
            await self._say("confirmed", f"{signing}/start/confirm", {"providerSigningId": invited.id})
        elif await self._say("restarted", f"{signing}/start/restart", {"nobodyWasInvited": True}):
            await self.cast.respond(part, _PATIENCE_SECONDS)

    async def replay_signings(self, parts: Sequence[Part]) -> None:
        """Whatever a signing's state calls for is done or under way already: having it done again changes nothing."""
        for part in parts:
            await self._say("signings replayed", f"/api/signings/{self.cast.signing_ids[part.number]}/replay", {})

    async def replay_letters(self) -> None:
        async for letter in self._open_letters():
            await self._say("letters replayed", f"/api/deadletters/{letter['id']}/replay", {})

    async def open_letters(self) -> list[str]:
        return [f"letter {one['id']} is open still: {one['reason']}" async for one in self._open_letters()]

    async def _open_letters(self) -> AsyncIterator[Mapping[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            query = {"status": "open", "limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = (await self.client.get("/api/deadletters", params=query)).raise_for_status().json()
            for letter in answer["deadLetters"]:
                yield letter
            cursor = answer["cursor"]

    async def _say(self, what: str, path: str, body: Mapping[str, object]) -> bool:
        for _ in range(_TRIES):
            answer = await self.client.post(path, json=body)
            if answer.is_success:
                self.done[what] += 1
                return True
            if answer.status_code not in _TOO_EARLY:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        self.refusals.append(f"{path} was refused with {answer.status_code}: {answer.text}")
        return False
