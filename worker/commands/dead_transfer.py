"""Taking dead letters out of one ledger and into another, or back after retention has removed them."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import typer

from worker.commands.dead_choice import Choice, choose, to_filter
from worker.commands.dead_file import BadLine, GoodLine, read_lines, write_line
from worker.commands.news import News
from worker.commands.session import open_ledger, operator
from worker.errors import ServiceUnavailable
from worker.ledger import dead_letters
from worker.ledger.connection import Ledger, Record
from worker.settings import Settings

_BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024


async def export_to(output: Path | None, settings: Settings, choice: Choice, *, with_closed: bool) -> int:
    """Write letters to a new file, or to standard output; answers the exit code. Bodies are not masked.

    What was taken out stands in the audit, also where it could not be written to its end.
    """
    number = 0
    chosen = " ".join(filter(None, (*choice.ids, choice.told(), "--all" if with_closed else "")))
    async with open_ledger(settings) as ledger:
        with ExitStack() as stack:
            stream = stack.enter_context(_created(output)) if output else sys.stdout.buffer
            news = stack.enter_context(News("exporting", "letters exported", total=None))
            try:
                async for page in _pages(ledger, choice, with_closed=with_closed):
                    number += len(page)
                    _write_page(stream, page)
                    news.advance(len(page), len(page))
            finally:
                await dead_letters.note_export(ledger, operator(), f"{number} letters: {chosen or 'all that are open'}")
    typer.echo(f"{number:,} {'letter' if number == 1 else 'letters'} exported", err=True)
    return 0


def _write_page(stream: BinaryIO, page: Sequence[Record]) -> None:
    try:
        stream.write(b"".join(map(write_line, page)))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ServiceUnavailable(
            f"the export cannot be written ({error.strerror}), and what is there lacks its end"
        ) from None


async def _pages(ledger: Ledger, choice: Choice, *, with_closed: bool) -> AsyncIterator[Sequence[Record]]:
    if with_closed and not choice.ids:
        async for page in dead_letters.pages_of_all(ledger, await to_filter(ledger, choice), size=_BATCH):
            yield page
    else:
        async for page in (await choose(ledger, choice)).pages(_BATCH):
            yield page


def _created(output: Path) -> BinaryIO:
    """Make a file that only its owner can read; what is there is not written over."""
    try:
        return os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be made: {error.strerror}", param_hint="--output") from None


async def import_from(stream: BinaryIO, name: str, settings: Settings) -> int:
    """Take letters in, with their ids and states; answers the exit code, 1 where a line was not taken.

    A letter that is here already is refused and stays as it is, so it is safe to repeat.
    """
    taken = refused = 0
    async with open_ledger(settings) as ledger:
        try:
            with News("importing", "lines read", total=None) as news:
                for batch, unreadable in _batches(stream):
                    bad = sorted([*unreadable, *await _take_in(ledger, batch, name)])
                    for line in bad:
                        news.complain(f"line {line.number}: {line.why}")
                    taken += len(batch) + len(unreadable) - len(bad)
                    refused += len(bad)
                    news.advance(len(batch), len(batch) + len(unreadable))
        finally:
            typer.echo(f"{taken:,} {'letter' if taken == 1 else 'letters'} imported, {refused:,} refused")
    return 1 if refused else 0


def _batches(stream: BinaryIO) -> Iterator[tuple[list[GoodLine], list[BadLine]]]:
    """Gather lines, good and bad; a batch is bounded in number and in bytes."""
    good: list[GoodLine] = []
    bad: list[BadLine] = []
    for line in read_lines(stream):
        if isinstance(line, BadLine):
            bad.append(line)
        else:
            good.append(line)
        if len(good) + len(bad) >= _BATCH or sum(one.size for one in good) >= _BATCH_BYTES:
            yield good, bad
            good, bad = [], []
    if good or bad:
        yield good, bad


async def _take_in(ledger: Ledger, lines: Sequence[GoodLine], name: str) -> list[BadLine]:
    """Write a batch; answers what was refused. The same letter twice in a batch: the second is refused."""
    first = {line.letter.id: line for line in reversed(lines)}
    twice = [line for line in lines if first[line.letter.id] is not line]
    wanted = list(first.values())
    here = await _write(ledger, wanted, name) if wanted else set()
    return [
        *(BadLine(line.number, f"letter {str(line.letter.id)[:8]} stands in an earlier line") for line in twice),
        *(
            BadLine(line.number, f"letter {str(line.letter.id)[:8]} is here already")
            for line in wanted
            if line.letter.id not in here
        ),
    ]


async def _write(ledger: Ledger, lines: Sequence[GoodLine], name: str) -> set[UUID]:
    return await dead_letters.take_in(ledger, [line.letter.row() for line in lines], operator(), f"from {name}")
