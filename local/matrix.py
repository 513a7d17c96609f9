"""The capability matrix of the README, from `CAPABILITIES`. `python -m local.matrix` writes it; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path

from shared.domain.capabilities import Action, Capabilities, PlacementKind
from shared.domain.signing import ResultFormat, Role
from shared.providers import PROVIDERS, operations_of

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"

_MEDIA_TYPES = {
    "application/pdf": "PDF",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "DOCX",
}


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _column(can: Capabilities) -> dict[str, str]:
    """One provider's cells by row label; every provider has the same rows."""
    return {
        **{f"role {role.value}": _yes(role in can.roles) for role in Role},
        **{f"placement by {kind.value}": _yes(kind in can.placements) for kind in PlacementKind},
        "documents": ", ".join(sorted(_MEDIA_TYPES.get(one, one) for one in can.media_types)),
        "several documents": _yes(can.several_documents),
        "result": ", ".join(one.value for one in ResultFormat if one in can.formats),
        "order": _yes(can.ordered),
        "deadline": _yes(can.deadline),
        "message to all": _yes(can.message),
        "message to one": _yes(can.participant_message),
        "phone required": _yes(can.phone_required),
        "strong identity": _yes(can.strong_identity),
        "qualified only": _yes(can.qualified_only),
        "evidence of its own": _yes(can.evidence),
        "signed callbacks": _yes(can.signed_callbacks),
        "languages": " ".join(sorted(can.languages)),
        **{action.value.replace("_", " "): _yes(action in can.actions) for action in Action},
    }


def matrix() -> str:
    """A Markdown table: one column a provider."""
    names = list(PROVIDERS)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    columns = [_column(PROVIDERS[name].capabilities) for name in names]
    lines += [f"| {label} | " + " | ".join(column[label] for column in columns) + " |" for label in columns[0]]
    lines.append("| operations | " + " | ".join(str(len(operations_of(name))) for name in names) + " |")
    return "\n".join(lines)


def written(readme: str) -> str:
    """The README with the matrix of today in it."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{matrix()}\n{END}{after}"


def main() -> int:
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
