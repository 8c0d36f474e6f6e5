"""Whether a command line is one that `kabar` knows, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from worker.cli import app

PROGRAM = typer.main.get_command(app)


def complaint(arguments: Sequence[str]) -> str:
    """Answer what is wrong with the arguments of `kabar`: a command or an option it does not have; '' if nothing is.

    The values of arguments are not looked at, so that a placeholder such as EVENT_ID may stand for one.
    """
    command, rest = PROGRAM, list(arguments)
    while isinstance(command, typer.core.TyperGroup):
        if not rest or rest[0].startswith("-"):
            break
        name = rest.pop(0)
        if name not in command.commands:
            return f"{command.name} has no command {name!r}"
        command = command.commands[name]
    if command.context_settings.get("ignore_unknown_options"):
        return ""
    known = {"--help", *(option for each in command.params for option in (*each.opts, *each.secondary_opts))}
    for option in (each.partition("=")[0] for each in rest if each.startswith("-") and each != "-"):
        if option not in known:
            return f"{command.name} has no option {option}"
    return ""
