"""Dates asked for, as people write them, and dates as days since an origin."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta

from trifuse.core import ConfigError

MAX_DATES = 4000
"""More are a slip of the pen."""

_FIX = "give 2022-01-15,2022-02-15 or 2022-01-15:2022-12-15:1M (nD, nW, nM, or L3A)"


def parse_dates(text: str) -> tuple[date, ...]:
    """Dates and ranges, separated by commas; sorted, each once.

    A range is ``first:last:step``, both ends included, with a step of days (``10D``), weeks
    (``2W``), months (``1M``: the same day of the month, or its last where there is none) or
    ``L3A``, the first and the 15th of every month.

    >>> [d.isoformat() for d in parse_dates("2022-01-31:2022-03-31:1M")]
    ['2022-01-31', '2022-02-28', '2022-03-31']

    Raises:
        ConfigError: if the text is neither, or asks for no date or too many.
    """
    found: set[date] = set()
    for part in text.split(","):
        pieces = [p.strip() for p in part.split(":")]
        if len(pieces) == 1:
            found.add(parse_date(pieces[0]))
        elif len(pieces) == 3:
            found.update(_range(parse_date(pieces[0]), parse_date(pieces[1]), pieces[2]))
        else:
            raise ConfigError(f"dates {part!r}", fix=_FIX)
    if not found or len(found) > MAX_DATES:
        raise ConfigError(f"dates {text!r} are {len(found)} dates", fix=_FIX)
    return tuple(sorted(found))


def parse_date(text: str) -> date:
    """An ISO date.

    Raises:
        ConfigError: if it is none.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"{text!r} is no date", fix="write 2022-01-15") from None


def days_since(origin: date, dates: Iterable[date]) -> tuple[float, ...]:
    """Whole days from the origin to each date."""
    return tuple(float((d - origin).days) for d in dates)


def _range(first: date, last: date, step: str) -> list[date]:
    if step.upper() == "L3A":
        every = [
            date(y, m, d)
            for y in range(first.year, last.year + 1)
            for m in range(1, 13)
            for d in (1, 15)
        ]
        return [d for d in every if first <= d <= last]
    match = re.fullmatch(r"(\d{1,4})([DWM])", step.upper())
    if match is None or int(match[1]) == 0 or last < first:
        raise ConfigError(f"range {first}:{last}:{step}", fix=_FIX)
    count, unit = int(match[1]), match[2]
    out: list[date] = []
    while len(out) <= MAX_DATES:
        # Counted from the first date, so that a 31st comes back after a short month.
        day = _later(first, count * len(out), unit)
        if day > last:
            break
        out.append(day)
    return out


def _later(first: date, count: int, unit: str) -> date:
    try:
        if unit != "M":
            return first + timedelta(days=count * (7 if unit == "W" else 1))
        months = first.month - 1 + count
        year, month = first.year + months // 12, months % 12 + 1
        return date(year, month, min(first.day, monthrange(year, month)[1]))
    except (ValueError, OverflowError):
        return date.max
