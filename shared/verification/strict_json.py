"""Exactly one JSON object, in UTF-8, no name twice, nothing behind it."""

from __future__ import annotations

import json
from typing import NoReturn

from shared.domain.errors import VerificationFailed
from shared.verification.reasons import Reason, refusal


def parse_object(body: bytes) -> dict[str, object]:
    """Raises VerificationFailed when `body` is anything but one JSON object."""
    try:
        text = body.decode("utf-8")
        parsed = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except VerificationFailed:
        raise
    except (ValueError, RecursionError):
        raise refusal(Reason.JSON_MALFORMED) from None
    if not isinstance(parsed, dict):
        raise refusal(Reason.JSON_NOT_OBJECT)
    return parsed


def by_lower_name(parsed: dict[str, object]) -> dict[str, object]:
    """Names read case-insensitively: two that differ in case only are the same name twice."""
    return _without_duplicates([(name.lower(), value) for name, value in parsed.items()])


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise refusal(Reason.JSON_DUPLICATE_KEY)
    return result


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
