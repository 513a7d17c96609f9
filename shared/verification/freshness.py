"""When was it sent, and is that near enough to now?

INFERRED (spec pkisigning 3.4): the format of the timestamp is not public. All accepted forms are in `_READERS`; when
the real one is known, the others go from that list and nothing else changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from shared.verification.reasons import Reason, refusal

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_SECONDS = re.compile(r"[0-9]{10}")
_MILLISECONDS = re.compile(r"[0-9]{13}")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_RFC1123 = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{{2}} (?:{_MONTHS}) [0-9]{{4}} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} GMT"
)


def _from_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    # A value without zone counts as UTC (spec pkisigning 3.4).
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _from_seconds(text: str) -> datetime:
    return datetime.fromtimestamp(int(text), UTC)


def _from_milliseconds(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)


_READERS: tuple[tuple[re.Pattern[str], Callable[[str], datetime]], ...] = (
    (_ISO, _from_iso),
    (_SECONDS, _from_seconds),
    (_MILLISECONDS, _from_milliseconds),
    (_RFC1123, parsedate_to_datetime),
)


def parse_timestamp(text: str) -> datetime:
    """Aware UTC; the whole text must be one of the accepted forms.

    The signature covers body and timestamp without a separator, so a timestamp that parses only in part would let
    bytes move between the two.
    """
    for pattern, read in _READERS:
        if pattern.fullmatch(text) is not None:
            try:
                return read(text)
            except (ValueError, OverflowError):
                raise refusal(Reason.TIMESTAMP_MALFORMED) from None
    # The host joins repeated headers with a comma; the only comma of our own stands in an RFC 1123 date.
    raise refusal(Reason.HEADER_REPEATED if "," in text else Reason.TIMESTAMP_MALFORMED)


def check_window(sent_at: datetime, now: datetime, *, window_seconds: float, future_tolerance_seconds: float) -> None:
    if sent_at < now - timedelta(seconds=window_seconds):
        raise refusal(Reason.TIMESTAMP_TOO_OLD)
    if sent_at > now + timedelta(seconds=future_tolerance_seconds):
        raise refusal(Reason.TIMESTAMP_IN_FUTURE)
