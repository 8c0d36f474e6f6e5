"""The command line. Reads arguments, calls what does the work, prints what it answers."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from worker.errors import KabarError

app = typer.Typer(
    name="kabar",
    help="The notification worker: domain events in, messages out, every delivery accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    roles: Annotated[list[str] | None, typer.Argument(help="intake, courier, timer; all of them by default")] = None,
    channels: Annotated[str, typer.Option(help="the channels this courier serves, separated by commas")] = "",
) -> None:
    """Work until SIGTERM: take events in, deliver, look after what waits."""
    from worker import log  # noqa: PLC0415 - each command loads only what it needs
    from worker.bootstrap import ROLES, Process, run_until_signal  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    chosen = [role for role in ROLES if not roles or role in roles]
    unknown = set(roles or ()) - set(ROLES)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)} is no role; the roles are {', '.join(ROLES)}")
    settings = load_settings()
    log.configure(settings.log_level, settings.log_format)
    process = Process(settings, chosen, [name for name in channels.split(",") if name])
    _run_loop(run_until_signal(process))


@app.command()
def migrate() -> None:
    """Bring the database schema to this version. Safe to repeat."""
    from worker.ledger.migrate import migrate as upgrade  # noqa: PLC0415
    from worker.ledger.migrate import newest_revision  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    asyncio.run(upgrade(load_settings().database_url.get_secret_value()))
    typer.echo(f"the schema is at {newest_revision()}")


_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_PASS_ON)
def test(context: typer.Context) -> None:
    """Lint, then run the tests; further arguments go to pytest. Needs a checkout."""
    from worker.dev.checks import run_tests  # noqa: PLC0415

    raise typer.Exit(run_tests(context.args))


@app.command()
def lint() -> None:
    """Check format, rules, types and import contracts. Needs a checkout."""
    from worker.dev.checks import run_lint  # noqa: PLC0415

    raise typer.Exit(run_lint())


@app.command(context_settings=_PASS_ON)
def bench(context: typer.Context) -> None:
    """Measure speed, memory and loss on this machine; `bench --help` tells more. Needs a checkout."""
    from worker.dev.checks import run_bench  # noqa: PLC0415

    raise typer.Exit(run_bench(context.args))


def _run_loop(work: object) -> None:
    """Run a coroutine on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415

        uvloop.run(work)  # type: ignore[arg-type]
    except ModuleNotFoundError:
        asyncio.run(work)  # type: ignore[arg-type]


def main() -> None:
    """The entry point: errors that an operator can mend are printed as they are, without a traceback."""
    try:
        app()
    except KabarError as error:
        typer.secho(f"kabar: {error}", fg="red", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
