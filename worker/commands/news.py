"""How far a long command is: a bar on a terminal, else a line now and then. Goes to standard error."""

from __future__ import annotations

import sys
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class News:
    """Tells of `doing` something with many `things`; `total` is the whole of the steps, None where nobody knows."""

    def __init__(self, doing: str, things: str, *, total: int | None, between: int = 100_000) -> None:
        self._things = things
        self._between = between
        self._done = 0
        self._bar = _bar(things) if sys.stderr.isatty() else None
        self._task = self._bar.add_task(doing, total=total, done=0) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int, things: int = 1) -> None:
        """Note a step of the whole, and how many more things are done by it."""
        before, self._done = self._done, self._done + things
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=step, done=f"{self._done:,}")
        elif before // self._between != self._done // self._between:
            typer.echo(f"{self._done:,} {self._things}", err=True)

    def complain(self, text: str) -> None:
        """Tell of what went wrong, above the bar."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(text, err=True)


def _bar(things: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"{{task.fields[done]}} {things}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
