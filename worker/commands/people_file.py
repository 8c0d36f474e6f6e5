"""Reads a file of people line by line, CSV or JSON Lines, in flat memory. Knows nothing of the ledger.

A line is judged by the same models as the events `person.changed` and `preference.changed`. What is wrong with a bad
one is said without quoting it, for its values are people's addresses.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from schemas.catalogue import CHANNELS
from schemas.events.directory import ChannelOrAny, PersonChanged, Scope

MAX_LINE_BYTES = 256 * 1024
"""As much as an event may have."""
_BOM = b"\xef\xbb\xbf"
_OWN_COLUMNS = ("id", "name", "locale", "time_zone", "roles", "preferences")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SWITCH = {"on": True, "off": False, "default": None}
_ERRORS_NAMED = 3


class Preference(BaseModel):
    """What a person wants on a channel; `enabled` null forgets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Scope
    channel: ChannelOrAny
    enabled: bool | None


class ImportedPerson(PersonChanged):
    """One line: a person, with preferences."""

    preferences: Annotated[list[Preference], Field(max_length=200)] | None = None

    @field_validator("addresses")
    @classmethod
    def _of_known_channels(cls, addresses: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        if not set(CHANNELS).issuperset(addresses or ()):
            raise ValueError(f"the channels are {', '.join(CHANNELS)}")
        return addresses


@dataclass(frozen=True, slots=True)
class Entry:
    """A good line. `line` counts from 1, `size` in bytes."""

    line: int
    size: int
    person: ImportedPerson


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be used, and why."""

    line: int
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Unreadable:
    reason: str


_Line = tuple[int, int, str | _Unreadable]


def read_people(stream: BinaryIO) -> Iterator[Entry | BadLine]:
    """Read every line that is not blank: JSON Lines if the first begins with `{`, else CSV with a header.

    A header that cannot be used is the one and only answer.
    """
    lines = (line for line in _lines(stream) if isinstance(line[2], _Unreadable) or line[2].strip())
    first = next(lines, None)
    if first is None:
        return
    number, size, text = first
    if isinstance(text, _Unreadable):
        yield BadLine(number, size, text.reason)
    elif text.startswith("{"):
        yield from (_read_json(*line) for line in chain([first], lines))
    else:
        yield from _read_csv(number, size, text, lines)


def _lines(stream: BinaryIO) -> Iterator[_Line]:
    number = 0
    while piece := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        size = len(piece)
        if size > MAX_LINE_BYTES and not piece.endswith(b"\n"):
            yield number, size + _skip_line(stream), _Unreadable(f"longer than {MAX_LINE_BYTES} bytes")
            continue
        if number == 1:
            piece = piece.removeprefix(_BOM)
        try:
            yield number, size, piece.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            yield number, size, _Unreadable("not UTF-8: save the file as UTF-8")


def _skip_line(stream: BinaryIO) -> int:
    skipped = 0
    while piece := stream.readline(MAX_LINE_BYTES):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _read_json(number: int, size: int, text: str | _Unreadable) -> Entry | BadLine:
    if isinstance(text, _Unreadable):
        return BadLine(number, size, text.reason)
    try:
        return Entry(number, size, ImportedPerson.model_validate_json(text))
    except ValidationError as error:
        return BadLine(number, size, _say(error))


def _read_csv(number: int, size: int, header: str, lines: Iterator[_Line]) -> Iterator[Entry | BadLine]:
    columns = [cell.strip() for cell in _cells(header) or ()]
    problem = _problem_of(columns)
    if problem:
        yield BadLine(number, size, problem)
        return
    for line in lines:
        yield _read_row(columns, *line)


def _cells(text: str) -> list[str] | None:
    """Split one line; None where its quotes do not close. No field of a person may hold a line break."""
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return None


def _problem_of(columns: Sequence[str]) -> str:
    if "id" not in columns:
        return "no column `id`: the first line names the columns, as id,name,locale,time_zone,roles,email,telegram"
    for position, column in enumerate(columns, 1):
        if column in columns[: position - 1]:
            return f"column {position} has the name of another"
        if column not in _OWN_COLUMNS and column not in CHANNELS:
            return f"column {position} is no channel: they are {', '.join(CHANNELS)}, beside {', '.join(_OWN_COLUMNS)}"
    return ""


def _read_row(columns: Sequence[str], number: int, size: int, text: str | _Unreadable) -> Entry | BadLine:
    if isinstance(text, _Unreadable):
        return BadLine(number, size, text.reason)
    cells = _cells(text)
    if cells is None:
        return BadLine(number, size, "a quote is not closed, or stands within a cell")
    if len(cells) != len(columns):
        return BadLine(number, size, f"{len(cells)} cells where the first line names {len(columns)} columns")
    given = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
    try:
        return Entry(number, size, ImportedPerson.model_validate(_document(given)))
    except ValidationError as error:
        return BadLine(number, size, _say(error))


def _document(given: Mapping[str, str]) -> dict[str, object]:
    """An empty cell changes nothing, so it is not given."""
    document: dict[str, object] = {name: given[name] for name in ("name", "locale", "time_zone") if name in given}
    document["person_id"] = given.get("id", "")
    if "roles" in given:
        document["roles"] = _parts(given["roles"])
    if "preferences" in given:
        document["preferences"] = [_preference(part) for part in _parts(given["preferences"])]
    addresses = {column: _parts(cell) for column, cell in given.items() if column not in _OWN_COLUMNS}
    return document | ({"addresses": addresses} if addresses else {})


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _preference(text: str) -> dict[str, object]:
    """Read `email/category:billing=off`. What is not so is left for the model to refuse."""
    place, _, switch = text.rpartition("=")
    channel, _, scope = place.partition("/")
    return {"channel": channel, "scope": scope, "enabled": _SWITCH.get(switch, "neither on, off nor default")}


def _say(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{_place(problem['loc'])}: {problem['msg']}".removeprefix(": ") for problem in problems[:_ERRORS_NAMED]]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _place(location: Sequence[int | str]) -> str:
    """Name the field at fault; a key that could be somebody's address is not repeated."""
    parts = (part for part in location if part != "[key]")
    return ".".join(str(part) if isinstance(part, int) or _CHANNEL.fullmatch(part) else "…" for part in parts)
