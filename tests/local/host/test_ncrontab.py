"""The schedule evaluator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from local.host.ncrontab import Schedule, ScheduleError


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * * *", "2026-11-22 10:00:00", "2026-11-22 10:00:01"),
        ("* * * * * *", "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
        ("0 */5 * * * *", "2026-11-22 10:00:00", "2026-11-22 10:05:00"),
        ("0 */5 * * * *", "2026-11-22 10:58:01", "2026-11-22 11:00:00"),
        ("*/5 * * * *", "2026-11-22 10:01:30", "2026-11-22 10:05:00"),
        ("30 0 9-17/4 * * *", "2026-11-22 09:00:30", "2026-11-22 13:00:30"),
        ("30 0 9-17/4 * * *", "2026-11-22 17:00:30", "2026-11-23 09:00:30"),
        ("0 0 20/2 * * *", "2026-11-22 20:00:00", "2026-11-22 22:00:00"),
        ("0 0 0 * * mon-fri", "2026-11-20 12:00:00", "2026-11-23 00:00:00"),
        ("0 0 0 * * 0", "2026-11-20 12:00:00", "2026-11-22 00:00:00"),
        ("0 0 0 1 jan,Jul *", "2026-11-22 00:00:00", "2027-01-01 00:00:00"),
        ("0 0 0 1 march *", "2026-11-22 00:00:00", "2027-03-01 00:00:00"),
        ("15,45 0 0 * * *", "2026-11-22 00:00:15", "2026-11-22 00:00:45"),
        ("0 0 0 31 * *", "2026-11-22 00:00:00", "2026-12-31 00:00:00"),
        ("0 0 0 29 2 *", "2026-11-22 00:00:00", "2028-02-29 00:00:00"),
        # both must match, unlike Unix cron: the first Friday the 13th, the first leap-day Monday
        ("0 0 0 13 * fri", "2026-11-22 00:00:00", "2027-08-13 00:00:00"),
        ("0 0 0 29 2 mon", "2026-11-22 00:00:00", "2044-02-29 00:00:00"),
        # reversed ranges are swapped
        ("0 30-10 * * * *", "2026-11-22 10:30:00", "2026-11-22 11:10:00"),
    ],
)
def test_next_occurrence(schedule: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)

    assert Schedule.parse(schedule).next_after(moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_fractions_of_a_second_and_other_zones_do_not_matter() -> None:
    moment = datetime(2026, 11, 22, 12, 4, 59, 999999, tzinfo=timezone(timedelta(hours=2)))

    assert Schedule.parse("0 */5 * * * *").next_after(moment) == datetime(2026, 11, 22, 10, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "* * * * * xyz",
        "*/0 * * * * *",
        "*/x * * * * *",
        "1, * * * * *",
        "-1 * * * * *",
        "? * * * * *",
        "00:05:00",
    ],
)
def test_what_is_no_schedule(schedule: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule.parse(schedule)


def test_a_schedule_that_never_comes_due() -> None:
    with pytest.raises(ScheduleError, match="never"):
        Schedule.parse("0 0 0 30 2 *")
