"""NCRONTAB schedules: `{second} {minute} {hour} {day} {month} {day-of-week}`, or five fields without seconds.

Differs from Unix cron where the platform does (host guide C3): day-of-month and day-of-week must *both* match.
All times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_MONTHS = (
    ("january", 1),
    ("february", 2),
    ("march", 3),
    ("april", 4),
    ("may", 5),
    ("june", 6),
    ("july", 7),
    ("august", 8),
    ("september", 9),
    ("october", 10),
    ("november", 11),
    ("december", 12),
)
_DAYS = (
    ("sunday", 0),
    ("monday", 1),
    ("tuesday", 2),
    ("wednesday", 3),
    ("thursday", 4),
    ("friday", 5),
    ("saturday", 6),
)

# 29 February on a given weekday comes back after 40 years at worst (around 2100).
_HORIZON_DAYS = 366 * 41


class ScheduleError(ValueError):
    """The text is not an NCRONTAB schedule, or one that never comes due."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[tuple[str, int], ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Schedule:
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ScheduleError."""
        words = text.split()
        if len(words) == 5:
            words = ["0", *words]
        if len(words) != 6:
            hint = " (a time span only works on dedicated plans)" if ":" in text else ""
            raise ScheduleError(f"{text!r} is not a schedule of six fields{hint}.")
        values = [_values(word, spec) for word, spec in zip(words, _FIELDS, strict=True)]
        second, minute, hour, day, month, weekday = values
        schedule = cls(
            tuple(sorted(second)),
            tuple(sorted(minute)),
            tuple(sorted(hour)),
            frozenset(day),
            frozenset(month),
            frozenset(weekday),
        )
        schedule.next_after(datetime(2000, 1, 1, tzinfo=UTC))  # one that never comes due is refused now, not later
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence strictly after an aware `moment`. Raises ScheduleError when there is none."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        for offset in range(_HORIZON_DAYS):
            day = start.date() + timedelta(days=offset)
            earliest = start.time() if offset == 0 else time()
            if self._matches(day) and (found := self._first_at_or_after(earliest)) is not None:
                return datetime.combine(day, found, UTC)
        raise ScheduleError("The schedule never comes due.")

    def _matches(self, day: date) -> bool:
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays

    def _first_at_or_after(self, earliest: time) -> time | None:
        return next(self._times_from((earliest.hour, earliest.minute, earliest.second)), None)

    def _times_from(self, floor: tuple[int, int, int]) -> Iterator[time]:
        for hour in (hour for hour in self.hours if hour >= floor[0]):
            for minute in (minute for minute in self.minutes if (hour, minute) >= floor[:2]):
                for second in (second for second in self.seconds if (hour, minute, second) >= floor):
                    yield time(hour, minute, second)


def _values(word: str, spec: _Field) -> set[int]:
    values: set[int] = set()
    for item in word.split(","):
        values.update(_item(item, spec))
    return values


def _item(item: str, spec: _Field) -> range:
    """`*`, `5`, `1-5`, each optionally with `/step`; a single value with a step runs to the end of the field."""
    base, slash, step_text = item.partition("/")
    if slash and not (step_text.isdecimal() and int(step_text) > 0):
        raise ScheduleError(f"{item!r}: the step in the {spec.name} field must be a positive number.")
    step = int(step_text) if slash else 1
    if base == "*":
        return range(spec.low, spec.high + 1, step)
    first_text, dash, last_text = base.partition("-")
    first = _number(first_text, spec)
    last = _number(last_text, spec) if dash else (spec.high if slash else first)
    return range(min(first, last), max(first, last) + 1, step)  # the platform swaps a reversed range


def _number(text: str, spec: _Field) -> int:
    if text.isdecimal():
        value = int(text)
    else:
        named = (number for name, number in spec.names if text and name.startswith(text.lower()))
        value = next(named, -1)
    if not spec.low <= value <= spec.high:
        raise ScheduleError(f"{text!r} is not a {spec.name} from {spec.low} to {spec.high}.")
    return value
