"""`kabar dead`: look at what needs a human, send it again, or drop it."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Dead letters: events and deliveries that need a human.", no_args_is_help=True)
Ids = Annotated[list[str], typer.Argument(help="letters, by the beginning of their ids (6 characters or more)")]


@app.command("groups")
def list_groups(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the most pressing so many")] = 50,
    *,
    with_closed: Annotated[bool, typer.Option("--all", help="also groups in which nothing is open")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """List what is wrong: letters of one trouble are one group, and can be replayed or dropped together."""
    from worker.commands.dead_view import print_groups  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.screen import print_json  # noqa: PLC0415
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.ledger.connection import Record  # noqa: PLC0415
    from worker.ledger.dead_letters import groups  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def find() -> list[Record]:
        async with open_ledger(load_settings()) as ledger:
            return await groups(ledger, limit, with_closed=with_closed)

    found = run_command(find())
    if as_json:
        print_json([dict(row) for row in found])
    else:
        print_groups(found, limit)


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the newest so many")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """List the open letters, newest first."""
    from worker.commands.dead_view import print_list  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.screen import print_json  # noqa: PLC0415
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.ledger.connection import Record  # noqa: PLC0415
    from worker.ledger.dead_letters import list_open  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def find() -> list[Record]:
        async with open_ledger(load_settings()) as ledger:
            return await list_open(ledger, limit)

    letters = run_command(find())
    if as_json:
        print_json([dict(row) for row in letters])
    else:
        print_list(letters, limit)


@app.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(help="the letter, by the beginning of its id", metavar="ID")],
    *,
    full: Annotated[bool, typer.Option("--full", help="print all of a long body")] = False,
) -> None:
    """Show one letter: the reason and the remedy, the message as it came or the attempts made, and its history."""
    from worker.commands.dead_view import print_letter, read_letter  # noqa: PLC0415
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def show() -> None:
        async with open_ledger(load_settings()) as ledger:
            print_letter(await read_letter(ledger, letter_id), is_full=full)

    run_command(show())


@app.command("replay")
def replay_letters(ids: Ids) -> None:
    """Send letters again, with a new attempt budget. One that fails again is open again."""
    from worker.commands.dead_work import replay  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(replay(load_settings(), ids)))


@app.command("drop")
def drop_letters(ids: Ids, reason: Annotated[str, typer.Option(help="why; kept in the audit")] = "") -> None:
    """Close letters for good. They stay in the ledger, with who dropped them and why."""
    from worker.commands.dead_work import drop  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(drop(load_settings(), ids, reason)))
