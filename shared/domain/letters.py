"""What becomes of a dead letter: open until a person has it sent again, or says that it is of no use. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.domain.errors import NotFound


class Outcome(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class LetterStatus:
    """`busy_until` is set while somebody settles the letter, so that two people do not do it at once; it runs out by
    itself, for the letter of a worker that died half-way is still open."""

    outcome: Outcome = Outcome.OPEN
    settled_at: datetime | None = None
    note: str | None = None
    replays: int = 0
    busy_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.outcome is Outcome.OPEN

    def is_busy(self, now: datetime) -> bool:
        return self.busy_until is not None and self.busy_until > now

    def claimed(self, until: datetime) -> LetterStatus:
        """In somebody's hands, and open (again) until they are done."""
        return replace(self, outcome=Outcome.OPEN, settled_at=None, busy_until=until)

    def replayed(self, now: datetime) -> LetterStatus:
        return replace(
            self, outcome=Outcome.REPLAYED, settled_at=now, busy_until=None, note=None, replays=self.replays + 1
        )

    def discarded(self, now: datetime, note: str) -> LetterStatus:
        return replace(self, outcome=Outcome.DISCARDED, settled_at=now, busy_until=None, note=note)


@dataclass(frozen=True)
class LetterFilter:
    """Which letters to list; None means any. `since` is inclusive, `before` is not."""

    reason: str | None = None
    queue: str | None = None
    signing_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    is_open: bool | None = None


def no_such_letter() -> NotFound:
    return NotFound(
        "There is no dead letter with this id.", next_step="Check the id: GET /api/deadletters lists what there is."
    )
