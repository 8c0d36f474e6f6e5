"""What became of letters that a command worked on: a line for each that was named, else counts by cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

import typer

from worker.commands.news import News
from worker.ledger.connection import Record


class Fate(NamedTuple):
    """What became of one letter; `is_done` false: what was asked for was not done, and `what` says why."""

    letter: Record
    is_done: bool
    what: str


class Report:
    """Collects fates. `is_long` says each in a line of its own, else they are summed up at the end."""

    def __init__(self, doing: str, *, total: int, is_long: bool) -> None:
        self._is_long = is_long
        self._counts: Counter[tuple[bool, str]] = Counter()
        self._samples: dict[str, str] = {}
        self._news = News(doing, "letters", total=total, between=10_000)

    def __enter__(self) -> Self:
        if not self._is_long:
            self._news.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._news.__exit__(*problem)
        if not self._is_long:
            self._sum_up()

    @property
    def exit_code(self) -> int:
        """1 where something asked for was not done."""
        return 0 if all(is_done for is_done, _ in self._counts) else 1

    def add(self, fates: Sequence[Fate]) -> None:
        """Note what became of letters."""
        for fate in fates:
            self._counts[fate.is_done, fate.what] += 1
            self._samples.setdefault(fate.what, _name(fate.letter))
            if self._is_long:
                _say(f"{_name(fate.letter)} {fate.what}", is_good=fate.is_done)
        if not self._is_long:
            self._news.advance(len(fates), len(fates))

    def _sum_up(self) -> None:
        if not self._counts:
            typer.echo("no open letters are meant by this: see `kabar dead list`")
        for (is_done, what), number in sorted(self._counts.items(), reverse=True):
            _say(f"{number:,} {what}" + ("" if is_done else f" (as {self._samples[what]})"), is_good=is_done)


def _name(letter: Record) -> str:
    return str(letter["id"])[:8]


def _say(text: str, *, is_good: bool) -> None:
    typer.secho(text, fg=None if is_good else "red", err=not is_good)
