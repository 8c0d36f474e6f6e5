"""Spans of time as operators write them: `90s`, `10m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_span(text: str) -> timedelta:
    """Read a span of time. Raises BadParameter for anything else."""
    found = _SPAN.fullmatch(text.strip().lower())
    if not found:
        raise typer.BadParameter(f"{text!r} is no span of time: write 90s, 10m, 24h or 7d")
    number, unit = found.groups()
    return timedelta(**{_UNITS[unit]: int(number)})
