"""`kabar people`: import people from a file, and look at one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.ledger.connection import Record

app = typer.Typer(help="The people directory.", no_args_is_help=True)


@app.command("import")
def import_people(
    file: Annotated[Path, typer.Argument(help="a file of CSV or JSON Lines, in UTF-8; - is standard input")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only look for bad lines, change nothing")] = False,
) -> None:
    """Add people, or change those that are known. Good lines are imported, bad ones reported; then the exit code is 1.

    CSV: the first line names the columns: id, and any of name, locale,
    time_zone, roles, preferences; every other column is a channel (email,
    telegram, slack …) and holds addresses. Several in one cell are separated
    by a semicolon. An empty cell changes nothing. A preference is
    CHANNEL/SCOPE=on, off or default, where channel and scope may be *.
    As: email/category:billing=off;*/type:promo.flash_sale=off

    JSON Lines: one object a line, with the fields of the event
    person.changed, and preferences as a list of objects with scope, channel
    and enabled.

    What a service publishes after the import began holds over the file.
    Safe to repeat.
    """
    from worker.commands.people_import import import_from  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.session import opened, run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    with opened(file) as stream:
        bad = run_command(import_from(stream, None if dry_run else load_settings()))
    raise typer.Exit(1 if bad else 0)


@app.command("show")
def show_person(
    person_id: Annotated[str, typer.Argument(help="the person's id", metavar="ID")],
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="show addresses in full")] = False,
) -> None:
    """Show a person: name, language, roles, addresses and whether they are in use, preferences."""
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.errors import NotFound  # noqa: PLC0415
    from worker.ledger.inquiry import find_person  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def find() -> Record:
        async with open_ledger(load_settings()) as ledger:
            person = await find_person(ledger, person_id)
        if person is None:
            raise NotFound(f"nobody has the id {person_id!r}: publish person.changed, or `kabar people import`")
        return person

    _print_person(run_command(find()), reveal=reveal)


def _print_person(person: Record, *, reveal: bool) -> None:
    from worker.commands.screen import facts, masked, moment, screen, table  # noqa: PLC0415

    out = screen()
    out.print(
        facts(
            [
                ("id", person["id"]),
                ("name", person["name"]),
                ("locale", person["locale"]),
                ("time zone", person["time_zone"]),
                ("roles", ", ".join(person["roles"])),
                ("changed", moment(person["changed_at"])),
                ("removed", moment(person["removed_at"])),
            ]
        )
    )
    if person["addresses"]:
        rows = [
            (channel, address if reveal else masked(address), f"not used: {why}, since {since}" if since else "in use")
            for (channel, address, why), since in zip(person["addresses"], person["suppressed_at"], strict=True)
        ]
        out.print("", table(("channel", "address", "state"), rows))
        if any(person["suppressed_at"]):
            out.print("an address is in use again once it is set again, by person.changed or `kabar people import`")
    if person["preferences"]:
        out.print("", table(("preference", "channel", "wanted"), person["preferences"]))
