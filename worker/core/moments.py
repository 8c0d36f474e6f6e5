"""Moments and days as people write them, by the person's own clock and calendar. Pure, and total like `formats`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from worker.core.formats import as_it_stands

_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "id": ("Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"),
}
_LONGEST_REMEMBERED = 40
# A moment's minute and its offset, in the years whose zones are whole minutes away from UTC.
_MINUTE = re.compile(r"(2\d{3}-\d\d-\d\dT\d\d:\d\d):[0-5]\d(?:\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def moment(value: object, zone: object, language: str) -> str:
    """An ISO 8601 moment in a time zone: `12 Nov 2026, 14:05 WIB`. Without an offset it is taken as UTC.

    `zone` is an IANA name; an unknown one counts as UTC. What is no moment comes back as it stands.
    """
    if isinstance(value, str) and len(value) <= _LONGEST_REMEMBERED and isinstance(zone, str):
        found = _MINUTE.fullmatch(value)
        said = _moment_again(found[1] + found[2] if found else value, zone, language)
    else:
        said = _moment(value, zone, language)
    return as_it_stands(value) if said is None else said


def _moment(value: object, zone: object, language: str) -> str | None:
    local = _local(value, zone)
    if local is None:
        return None
    return f"{_day(local, language)}, {local.hour:02}:{local.minute:02} {_abbreviation(local)}"


_moment_again = lru_cache(maxsize=1024)(_moment)
"""What happened within a minute reads the same."""


def day(value: object, zone: object, language: str) -> str:
    """The day of an ISO 8601 moment in a time zone: `12 Nov 2026`. A plain date is that date in every zone."""
    read = _date(value) or _local(value, zone)
    return as_it_stands(value) if read is None else _day(read, language)


def days_until(value: object, since: object, zone: object) -> int | str:
    """Whole days from one ISO 8601 moment to a later one, to the nearest, at least 0. To a plain date: by the calendar.

    A few seconds between the fact and its event must not turn "in 3 days" into "in 2 days": so nearest, and not down.
    """
    last, first = _date(value), _local(since, zone)
    if last is not None and first is not None:
        return max(0, (last - first.date()).days)
    return _until(value, since, timedelta(days=1))


def minutes_until(value: object, since: object) -> int | str:
    """Whole minutes from one ISO 8601 moment to a later one, to the nearest, at least 0."""
    return _until(value, since, timedelta(minutes=1))


def _until(value: object, since: object, unit: timedelta) -> int | str:
    last, first = _local(value, "UTC"), _local(since, "UTC")
    if last is None or first is None:
        return as_it_stands(value)
    return max(0, ((last - first) * 2 + unit) // (2 * unit))


def _date(value: object) -> date | None:
    """A plain date such as `2026-11-12`, and nothing that has a time."""
    text = str(value).strip()
    try:
        return date.fromisoformat(text) if len(text) == len("2026-11-12") else None
    except ValueError:
        return None


def _local(value: object, zone: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value).strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(_zone(str(zone)))
    except (ValueError, OverflowError):
        return None


def _day(local: date, language: str) -> str:
    return f"{local.day} {_MONTHS.get(language, _MONTHS['en'])[local.month - 1]} {local.year}"


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    """The zone's rules. Reads the zone database at the first use of a name, which is data and not a service."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def _abbreviation(local: datetime) -> str:
    """`WIB`, `CET`, `UTC`; where the zone has no letters of its own (`+0530`), `UTC+5:30`."""
    name = local.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    minutes = (local.utcoffset() or timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{name[0]}{hours}" + (f":{rest:02}" if rest else "")
