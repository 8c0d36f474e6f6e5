"""Dropping dead letters. They stay in the ledger, with who dropped them and why."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from worker.commands.dead_choice import Choice, choose
from worker.commands.dead_report import Fate, Report
from worker.commands.session import open_ledger, operator
from worker.ledger import dead_letters
from worker.ledger.connection import Ledger, Record
from worker.settings import Settings

_BATCH = 1000


async def drop(settings: Settings, choice: Choice, reason: str) -> int:
    """Drop letters; answers the exit code. Nothing is dropped unless each id names one letter. Safe to repeat."""
    if not reason.strip():
        raise typer.BadParameter("say why, for whoever looks at it later", param_hint="--reason")
    async with open_ledger(settings) as ledger:
        chosen = await choose(ledger, choice)
        with Report("dropping", total=chosen.total, is_long=bool(choice.ids)) as report:
            async for page in chosen.pages(_BATCH):
                report.add(await _drop(ledger, page, reason))
    return report.exit_code


async def _drop(ledger: Ledger, letters: Sequence[Record], reason: str) -> list[Fate]:
    dropped = await dead_letters.drop(ledger, letters, operator(), reason)
    return [
        Fate(one, is_done=True, what="dropped") if one["id"] in dropped else Fate(one, is_done=False, what=_why(one))
        for one in letters
    ]


def _why(letter: Record) -> str:
    if letter["state"] != "open":
        return f"is {letter['state']} already"
    return "has just arrived again, or was dealt with by somebody else: look at it once more"
