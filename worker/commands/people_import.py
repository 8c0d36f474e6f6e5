"""Takes a file of people into the ledger, batch by batch, and tells how far it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

import typer

from worker.commands.news import News
from worker.commands.people_file import BadLine, Entry, read_people
from worker.commands.session import open_ledger
from worker.ledger.connection import Ledger, is_refusal
from worker.ledger.directory import DirectoryChange, PersonChange, PreferenceChange, apply_changes
from worker.settings import Settings

BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024


async def import_from(stream: BinaryIO, settings: Settings | None) -> int:
    """Import every good line and report every bad one; answers how many were bad. Without settings nothing is written.

    Standard output gets one line with the counts, also where the database went away on the way.
    """
    count = _Count()
    began_at = datetime.now(UTC)
    news = News("importing", "lines read", total=_size_of(stream))
    try:
        async with AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(open_ledger(settings)) if settings else None
            with news:
                for batch in _batches(news, stream, count):
                    result = await _apply(ledger, batch, began_at) if ledger else _Result()
                    for bad in result.refused:
                        news.complain(_told(bad))
                    count.add(batch, result)
    finally:
        typer.echo(count.told(is_dry=settings is None))
    return count.bad


@dataclass(frozen=True, slots=True)
class _Result:
    """What was not written of a batch: lines the database refuses, and changes older than what it knows."""

    refused: Sequence[BadLine] = ()
    older: Sequence[DirectoryChange] = ()


@dataclass(slots=True)
class _Count:
    """What an import has done so far."""

    people: int = 0
    preferences: int = 0
    bad: int = 0
    older: int = 0
    older_preferences: int = 0
    addresses: Counter[str] = field(default_factory=Counter)

    def add(self, entries: Sequence[Entry], result: _Result) -> None:
        """Count a batch of which this was not written."""
        refused = {bad.line for bad in result.refused}
        older = {change.person_id for change in result.older if isinstance(change, PersonChange)}
        unheeded = sum(isinstance(change, PreferenceChange) for change in result.older)
        self.bad += len(refused)
        self.older_preferences += unheeded
        self.preferences -= unheeded
        for entry in entries:
            if entry.line in refused:
                continue
            self.preferences += len(entry.person.preferences or ())
            if entry.person.person_id in older:
                self.older += 1
            else:
                self.people += 1
                for channel, addresses in (entry.person.addresses or {}).items():
                    self.addresses[channel] += len(addresses)

    def told(self, *, is_dry: bool) -> str:
        """Say it in one line. Addresses are counted by channel, so that a misspelt one is seen."""
        parts = [f"{channel} {number:,}" for channel, number in sorted(self.addresses.items())]
        parts += [f"preferences {self.preferences:,}"] if self.preferences else []
        done = "could be imported" if is_dry else "imported"
        return (
            f"{self.people:,} {'person' if self.people == 1 else 'people'} {done}"
            + (f" ({', '.join(parts)})" if parts else "")
            + f", {self.bad:,} bad {'line' if self.bad == 1 else 'lines'}"
            + self._told_of_older()
        )

    def _told_of_older(self) -> str:
        counts = ((self.older, "line"), (self.older_preferences, "preference"))
        parts = [f"{number:,} {what}{'s' * (number > 1)}" for number, what in counts if number]
        return f"; {' and '.join(parts)} left aside: what is known is newer" if parts else ""


def _size_of(stream: BinaryIO) -> int | None:
    return os.fstat(stream.fileno()).st_size or None


def _batches(news: News, stream: BinaryIO, count: _Count) -> Iterator[list[Entry]]:
    """Gather good lines; a batch is bounded in number and in bytes."""
    batch: list[Entry] = []
    size = 0
    for one in read_people(stream):
        news.advance(one.size)
        if isinstance(one, BadLine):
            count.bad += 1
            news.complain(_told(one))
            continue
        batch.append(one)
        size += one.size
        if len(batch) >= BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _told(bad: BadLine) -> str:
    return f"line {bad.line}: {bad.reason}"


async def _apply(ledger: Ledger, entries: Sequence[Entry], at: datetime) -> _Result:
    """Write a batch. Where the database refuses it, halves are tried until the line at fault stands alone."""
    try:
        return _Result(older=await apply_changes(ledger, _changes(entries, at)))
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(entries) == 1:
            reason = f"the database refuses it ({type(error).__name__})"
            return _Result(refused=[BadLine(entries[0].line, entries[0].size, reason)])
    middle = len(entries) // 2
    first, last = await _apply(ledger, entries[:middle], at), await _apply(ledger, entries[middle:], at)
    return _Result([*first.refused, *last.refused], [*first.older, *last.older])


def _changes(entries: Sequence[Entry], at: datetime) -> list[DirectoryChange]:
    people = [entry.person for entry in entries]
    return [
        *(PersonChange(p.person_id, at, p.name, p.locale, p.time_zone, p.roles, p.addresses) for p in people),
        *(
            PreferenceChange(p.person_id, at, wish.scope, wish.channel, wish.enabled)
            for p in people
            for wish in p.preferences or ()
        ),
    ]
