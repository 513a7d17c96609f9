"""What a provider can do, as data. Intake refuses a wish that is not here before any call is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.signing import ResultFormat, Role


class PlacementKind(StrEnum):
    TEXT = "text"
    FIELD = "field"
    COORDINATES = "coordinates"


class Action(StrEnum):
    """What can be done to a signing after it was started."""

    CANCEL = "cancel"
    REMIND = "remind"
    REMIND_ONE = "remind_one"
    ADD_PARTICIPANT = "add_participant"
    REMOVE_PARTICIPANT = "remove_participant"
    EXTEND = "extend"
    LINKS = "links"
    DELETE = "delete"


@dataclass(frozen=True)
class Calls:
    """About how many calls one piece of work costs at the provider: for pacing, so rather too many than too few."""

    fixed: int = 1
    per_document: int = 0
    per_participant: int = 0

    def of(self, documents: int, participants: int) -> int:
        return self.fixed + self.per_document * documents + self.per_participant * participants


@dataclass(frozen=True)
class Capabilities:
    """`media_types` are those accepted for signing; `languages` the invitation languages (lower case, ISO 639-1).

    `message` is one note to all participants, `participant_message` one for each. `qualified_only` means that a signing
    can be limited to qualified signatures. `evidence` means that the provider has proof files of its own.
    `reads_callback_body` is False where a callback is no more than a knock, so that a lost body loses nothing.
    `*_calls` is what the pacing of reconcile reckons with.
    """

    roles: frozenset[Role]
    placements: frozenset[PlacementKind]
    media_types: frozenset[str]
    languages: frozenset[str]
    ordered: bool
    several_documents: bool
    deadline: bool
    participant_message: bool
    phone_required: bool
    strong_identity: bool
    signed_callbacks: bool
    title_length: tuple[int, int]
    options: frozenset[str] = frozenset()
    formats: frozenset[ResultFormat] = frozenset({ResultFormat.PADES})
    message: bool = False
    qualified_only: bool = False
    evidence: bool = False
    reads_callback_body: bool = True
    actions: frozenset[Action] = frozenset()
    start_calls: Calls = Calls(2, per_document=2, per_participant=1)
    status_calls: Calls = Calls()
    download_calls: Calls = Calls(1, per_document=1)
