"""`kabar explain`: why a person was told of an event, or was not, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.ledger.explanation import File


def explain(
    event_id: Annotated[str, typer.Argument(help="the id its producer gave it", metavar="EVENT")],
    person_id: Annotated[str, typer.Argument(help="the person's id", metavar="PERSON")],
    source: Annotated[str, typer.Option(help="only the event of this source; an id may exist once in each")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Explain why a person was told of an event, or was not, step by step, and what comes next.

    What is said was written down when it was decided; where today's facts differ, that is said beside it.
    """
    from worker.commands.explain_view import document, print_file  # noqa: PLC0415 - each command loads what it needs
    from worker.commands.screen import print_json  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415

    file = run_command(_read(event_id, person_id, source))
    if as_json:
        print_json(document(file, event_id, person_id))
    else:
        print_file(file, event_id, person_id)


async def _read(event_id: str, person_id: str, source: str) -> File:
    from worker.commands.session import open_ledger  # noqa: PLC0415
    from worker.errors import NotFound  # noqa: PLC0415
    from worker.ledger.explanation import read_file  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async with open_ledger(load_settings()) as ledger:
        file = await read_file(ledger, event_id, person_id, source)
    if not file.cases and not file.rejections:
        of = f" of source {source!r}" if source else ""
        raise NotFound(
            f"no event {event_id!r}{of} is in the ledger, so nobody was told of it: it was not published, waits in a"
            " queue (`kabar doctor` counts them), or was rejected and its id could not be read (`kabar dead list`)"
        )
    return file
