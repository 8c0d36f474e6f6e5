"""Which letters a command is about: those named by id, or the open ones of a group or of what a filter says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import typer

from worker.commands.dead_view import find_letter
from worker.errors import NotFound
from worker.ledger.connection import Ledger, Record
from worker.ledger.dead_letters import Filter, find_groups, pages, tally

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_SLOWEST, _FASTEST = 0.01, 100_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator chose. Either `ids` or any of the others; `first` 0 is all of them."""

    ids: Sequence[str] = ()
    group: str = ""
    reason: str = ""
    event_type: str = ""
    channel: str = ""
    since: str = ""
    first: int = 0

    def told(self) -> str:
        """Say it as the command line does, for the audit; '' where letters were named by id."""
        given = [
            ("group", self.group), ("reason", self.reason), ("type", self.event_type), ("channel", self.channel),
            ("since", self.since), ("first", self.first),
        ]  # fmt: skip
        return " ".join(f"--{name} {value}" for name, value in given if value)

    def check(self, *, may_be_all: bool = False) -> None:
        """Raise BadParameter unless it says what is meant; to say nothing means all where it `may_be_all`."""
        if not may_be_all and not self.ids and not replace(self, first=0).told():
            raise typer.BadParameter("name letters by their ids, or choose with --group, --reason, --type or the like")
        if self.ids and self.told():
            raise typer.BadParameter("name letters by their ids, or choose by group or filter, not both")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The letters of a choice: `total` of them, to be read page by page. Each comes once."""

    total: int
    _ledger: Ledger
    _named: Sequence[Record]
    _filter: Filter
    _until: datetime

    async def pages(self, size: int) -> AsyncIterator[list[Record]]:
        """Answer the letters, whole, at most `size` at a time; of a group or filter the oldest first."""
        if self._named:
            for start in range(0, len(self._named), size):
                yield list(self._named[start : start + size])
            return
        left = self.total
        async for page in pages(self._ledger, self._filter, until=self._until, size=min(size, left or 1)):
            if left <= 0:
                break
            yield page[:left]
            left -= len(page)


async def choose(ledger: Ledger, choice: Choice) -> Chosen:
    """Look up what was chosen. Raises NotFound unless each id names one letter, and the group one group."""
    if choice.ids:
        letters = [await find_letter(ledger, given) for given in choice.ids]
        named = list({letter["id"]: letter for letter in letters}.values())
        return Chosen(len(named), ledger, named, Filter(), datetime.now(UTC))
    wanted = await to_filter(ledger, choice)
    counted = await tally(ledger, wanted)
    total = min(counted.letters, choice.first) if choice.first else counted.letters
    return Chosen(total, ledger, (), wanted, counted.at)


async def to_filter(ledger: Ledger, choice: Choice) -> Filter:
    """Say in the ledger's terms what was chosen by group or filter."""
    since = {"since": parse_since(choice.since, datetime.now(UTC))} if choice.since else {}
    fingerprint = await find_group(ledger, choice.group) if choice.group else ""
    return Filter(fingerprint, choice.reason, choice.event_type, choice.channel, **since)


async def find_group(ledger: Ledger, given: str) -> str:
    """Answer the one fingerprint that begins so; raises NotFound where there is none, or more than one."""
    prefix = given.strip().lower()
    found = await find_groups(ledger, prefix) if _PREFIX.fullmatch(prefix) else []
    if not found:
        raise NotFound(f"no group's fingerprint begins with {given!r}: see `kabar dead groups`")
    if len(found) > 1:
        raise NotFound(f"the fingerprints of several groups begin with {given!r}: give more of it")
    return found[0]


def parse_since(text: str, now: datetime) -> datetime:
    """Read a moment: `90s`, `30m`, `2h` or `7d` ago, or a date or time of ISO 8601 (UTC where it names no zone)."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no moment: write 30m, 2h, 7d, or 2026-05-04T12:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def parse_rate(text: str) -> float:
    """Read `100` or `100/s`; '' is 0."""
    if not text:
        return 0.0
    number = text.strip().removesuffix("/s").strip()
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not _SLOWEST <= rate <= _FASTEST:
        raise typer.BadParameter(f"{text!r} is no rate: write 100/s, at most {_FASTEST:,}/s", param_hint="--rate")
    return rate
