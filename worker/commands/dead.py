"""`kabar dead`: look at what needs a human, send it again, or drop it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Dead letters: events and deliveries that need a human.", no_args_is_help=True)

OneId = Annotated[str, typer.Argument(help="the letter, by the beginning of its id", metavar="ID")]
Ids = Annotated[list[str] | None, typer.Argument(help="letters, by the beginning of their ids (6 characters or more)")]
Group = Annotated[
    str, typer.Option("--group", metavar="FINGERPRINT", help="the open letters of a group, by its beginning")
]
Reason = Annotated[str, typer.Option("--reason", help="only open letters that died of this")]
Type = Annotated[str, typer.Option("--type", metavar="EVENT_TYPE", help="only open letters of this event type")]
Channel = Annotated[str, typer.Option("--channel", help="only open letters of this channel")]
Since = Annotated[str, typer.Option("--since", help="only what died since: 30m, 2h, 7d ago, or a date or time")]
First = Annotated[int, typer.Option("--first", min=0, metavar="N", help="only the oldest N of them; 0 is all")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON document")]
# Each command imports only what it needs: the help of all of them must be there at once.


@app.command("groups")
def list_groups(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the most pressing so many")] = 50,
    *,
    with_closed: Annotated[bool, typer.Option("--all", help="also groups in which nothing is open")] = False,
    as_json: AsJson = False,
) -> None:
    """List what is wrong: letters of one trouble are one group, and can be replayed or dropped together."""
    from worker.commands.dead_view import print_groups  # noqa: PLC0415
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
    group: Group = "",
    reason: Reason = "",
    event_type: Type = "",
    channel: Channel = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the newest so many")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """List the open letters, newest first."""
    from worker.commands.dead_choice import Choice, to_filter  # noqa: PLC0415
    from worker.commands.dead_view import print_list  # noqa: PLC0415
    from worker.commands.screen import print_json  # noqa: PLC0415
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.ledger.connection import Record  # noqa: PLC0415
    from worker.ledger.dead_letters import list_open  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    choice = Choice(group=group, reason=reason, event_type=event_type, channel=channel, since=since)

    async def find() -> list[Record]:
        async with open_ledger(load_settings()) as ledger:
            return await list_open(ledger, limit, await to_filter(ledger, choice))

    letters = run_command(find())
    if as_json:
        print_json([dict(row) for row in letters])
    else:
        print_list(letters, limit)


@app.command("show")
def show_letter(
    letter_id: OneId,
    *,
    full: Annotated[bool, typer.Option("--full", help="print all of a long body")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="show secrets and addresses in full")] = False,
) -> None:
    """Show one letter: the reason and the remedy, the message as it came or the attempts made, and its history."""
    from worker.commands.dead_view import print_letter, read_letter  # noqa: PLC0415
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def show() -> None:
        async with open_ledger(load_settings()) as ledger:
            print_letter(await read_letter(ledger, letter_id), is_full=full, reveals=reveal)

    run_command(show())


@app.command("replay")
def replay_letters(
    ids: Ids = None,
    group: Group = "",
    reason: Reason = "",
    event_type: Type = "",
    channel: Channel = "",
    since: Since = "",
    first: First = 0,
    rate: Annotated[str, typer.Option(metavar="N/s", help="letters a second; else as fast as it goes")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
) -> None:
    """Send letters again, with a new attempt budget. One that fails again is open again.

    Never sends a delivery that is not dead any more. A replay that was
    interrupted can be run again: nothing is sent twice by that.
    """
    from worker.commands.dead_choice import Choice, parse_rate  # noqa: PLC0415
    from worker.commands.dead_replay import foresee, replay  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    choice = Choice(ids or (), group, reason, event_type, channel, since, first)
    choice.check()
    speed = parse_rate(rate)
    raise typer.Exit(
        run_command(foresee(load_settings(), choice) if dry_run else replay(load_settings(), choice, speed))
    )


@app.command("drop")
def drop_letters(
    reason: Annotated[str, typer.Option(help="why; kept in the audit")],
    ids: Ids = None,
    group: Group = "",
    event_type: Type = "",
    channel: Channel = "",
    since: Since = "",
    first: First = 0,
) -> None:
    """Close letters for good. They stay in the ledger, with who dropped them and why."""
    from worker.commands.dead_choice import Choice  # noqa: PLC0415
    from worker.commands.dead_drop import drop  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    choice = Choice(ids or (), group, "", event_type, channel, since, first)
    choice.check()
    raise typer.Exit(run_command(drop(load_settings(), choice, reason)))


@app.command("edit")
def edit_letter(
    letter_id: OneId,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the new payload, JSON, instead of an editor; - is standard input"),
    ] = None,
) -> None:
    """Mend the payload of an event that was not accepted, in $VISUAL or $EDITOR; then replay it.

    Only what would be accepted is taken. What was changed is kept in the
    letter's history. The event's id stays, so it cannot be told twice.
    """
    from worker.commands.dead_edit import edit  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(edit(load_settings(), letter_id, data)))


@app.command("export")
def export_letters(
    ids: Ids = None,
    group: Group = "",
    reason: Reason = "",
    event_type: Type = "",
    channel: Channel = "",
    since: Since = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="a new file, instead of standard output")
    ] = None,
    *,
    with_closed: Annotated[bool, typer.Option("--all", help="also letters that were replayed or dropped")] = False,
) -> None:
    """Write letters as lines of JSON, all that are open unless chosen otherwise. Nothing in them is masked."""
    from worker.commands.dead_choice import Choice  # noqa: PLC0415
    from worker.commands.dead_transfer import export_to  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    choice = Choice(ids or (), group, reason, event_type, channel, since)
    choice.check(may_be_all=True)
    raise typer.Exit(run_command(export_to(output, load_settings(), choice, with_closed=with_closed)))


@app.command("import")
def import_letters(
    file: Annotated[Path, typer.Argument(help="what `kabar dead export` wrote; - is standard input")],
) -> None:
    """Take letters in with their ids, into another ledger or after they were removed. Sends nothing.

    Good lines are taken, bad ones reported; then the exit code is 1. A letter
    that is here already is refused. A delivery's letter can be replayed only
    where its delivery is.
    """
    from worker.commands.dead_transfer import import_from  # noqa: PLC0415
    from worker.commands.session import opened, run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    with opened(file) as stream:
        raise typer.Exit(run_command(import_from(stream, file.name, load_settings())))
