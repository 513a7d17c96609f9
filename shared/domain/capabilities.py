"""What a provider can do, as data. Intake refuses a wish that is not here before any call is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.signing import Role


class PlacementKind(StrEnum):
    TEXT = "text"
    FIELD = "field"
    COORDINATES = "coordinates"


@dataclass(frozen=True)
class Capabilities:
    """`media_types` are those accepted for signing; `languages` the invitation languages (lower case, ISO 639-1)."""

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
