"""How commands print: tables for people, JSON for machines, and nothing that a hostile text could do to a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_OF_A_PIPE = 200
# Control characters (C0, C1) steer terminals; the bidirectional ones make a text read as what it is not.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BEHIND_HOST = re.compile(r"[/?#\\]")


def screen() -> Console:
    """Make the console for standard output; wide where it is no terminal, so that tables are not cut."""
    is_narrowed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if is_narrowed else _WIDTH_OF_A_PIPE, highlight=False)


def plain(value: object, style: str = "") -> Text:
    """Make a text that shows as it is: no markup, no control characters; nothing for None."""
    return Text("" if value is None else _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)), style)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """Lay out rows; a cell that is no `Text` yet becomes one."""
    made = Table(*columns, title=plain(title) if title else None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Lay out names and values, one a line; what is empty is left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, "", [], 0):
            made.add_row(plain(name, "bold"), value if isinstance(value, Text) else plain(value))
    return made


def moment(at: datetime | None) -> str:
    """Write a moment to the second, UTC; '' for None."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def often(times: int) -> str:
    """Write how often something happened: `once`, `2 times`."""
    return "once" if times == 1 else f"{times:,} times"


def masked(address: str) -> str:
    """Show as much of an address as tells one of a person's from another: a mail domain, a webhook's host."""
    scheme, is_url, rest = address.partition("://")
    if is_url:
        return f"{scheme}://{_BEHIND_HOST.split(rest, maxsplit=1)[0].rpartition('@')[2]}/…"
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}" if name else f"{address[:2]}…"


def print_json(value: object) -> None:
    """Print one JSON document; moments as RFC 3339, ids as text."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
