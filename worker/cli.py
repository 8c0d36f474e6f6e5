"""The command line. Reads arguments, calls what does the work, prints what it answers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from worker.commands import dead, people, template, unsure
from worker.commands.audit import audit
from worker.commands.doctor import doctor
from worker.commands.explain import explain
from worker.commands.status import status
from worker.errors import KabarError, ServiceUnavailable

T = TypeVar("T")

app = typer.Typer(
    name="kabar",
    help="The notification worker: domain events in, messages out, every delivery accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes half the time
)


@app.command()
def run(
    roles: Annotated[list[str] | None, typer.Argument(help="intake, courier, timer; all of them by default")] = None,
    channels: Annotated[str, typer.Option(help="the channels this courier serves, separated by commas")] = "",
) -> None:
    """Work until SIGTERM: take events in, deliver, look after what waits."""
    from worker import log  # noqa: PLC0415 - each command loads only what it needs
    from worker.bootstrap import ROLES, Process, keep_what_stands, run_until_signal  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    chosen = [role for role in ROLES if not roles or role in roles]
    unknown = set(roles or ()) - set(ROLES)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)} is no role; the roles are {', '.join(ROLES)}")
    settings = load_settings()
    log.configure(settings.log_level, settings.log_format)
    process = Process(settings, chosen, [name for name in channels.split(",") if name])
    keep_what_stands()
    _run_loop(run_until_signal(process))


@app.command()
def up(
    *,
    amqp: Annotated[str, typer.Option(metavar="URL", help="RabbitMQ, instead of the development broker")] = "",
    database: Annotated[
        str, typer.Option(metavar="URL", help="PostgreSQL; its schema is brought to this version")
    ] = "",
    smtp: Annotated[str, typer.Option(metavar="URL", help="a mail server, instead of the simulator")] = "",
    email_from: Annotated[str, typer.Option(metavar="SENDER", help="the sender of e-mails")] = "",
    telegram_token: Annotated[str, typer.Option(metavar="TOKEN", help="a bot's, to send by Telegram itself")] = "",
    slack_token: Annotated[str, typer.Option(metavar="TOKEN", help="a bot's, to send by Slack itself")] = "",
    slack_webhooks: Annotated[
        bool, typer.Option("--slack-webhooks", help="let webhooks of hooks.slack.com through")
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="of the pages; usually 8500")] = None,
    amqp_port: Annotated[int | None, typer.Option(min=1, max=65535, help="of the broker; usually 5672")] = None,
    samples: Annotated[bool | None, typer.Option(help="sample people and events; on where no part is real")] = None,
    rate: Annotated[int, typer.Option(min=1, max=60_000, help="sample events a minute")] = 30,
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", envvar="KABAR_HOME", help="data and log; usually ~/.local/share/kabar/up"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin with an empty ledger")] = False,
    json: Annotated[bool, typer.Option("--json", help="print one line with all addresses, then nothing")] = False,
) -> None:
    """Run all of Kabar here in the foreground, with sample events, until Ctrl-C. Nothing needs to be installed.

    What is not there is stood in for: PostgreSQL from a wheel, a broker in memory that speaks AMQP, mail, Telegram and
    Slack servers with pages that show what arrived. Each option that names a part replaces it by the real one.

    Only options replace parts; KABAR_AMQP_URL and the like are not used here, so that nothing real is touched
    unasked. All other KABAR_ variables hold as everywhere.
    """
    from worker.dev.parts import Wishes  # noqa: PLC0415
    from worker.dev.up import default_home  # noqa: PLC0415
    from worker.dev.up import up as run_up  # noqa: PLC0415

    wishes = Wishes(
        home=(home or default_home()).absolute(),
        amqp=amqp,
        database=database,
        smtp=smtp,
        email_from=email_from,
        telegram_token=telegram_token,
        slack_token=slack_token,
        slack_webhooks=slack_webhooks,
        port=port,
        amqp_port=amqp_port,
        fresh=fresh,
        samples=samples,
        rate=rate,
        json=json,
    )
    raise typer.Exit(_run_loop(run_up(wishes)))


@app.command()
def migrate() -> None:
    """Bring the database schema to this version; a newer one is left as it is. Safe to repeat."""
    from worker.ledger.migrate import current_revision, is_newer  # noqa: PLC0415
    from worker.ledger.migrate import migrate as upgrade  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    url = load_settings().database_url.get_secret_value()
    asyncio.run(upgrade(url))
    revision = asyncio.run(current_revision(url))
    typer.echo(f"the schema is at {revision}{', made by a newer Kabar' if is_newer(revision) else ''}")


@app.command()
def health() -> None:
    """Ask the process of this machine and these settings whether it lives: exit code 0 if so."""
    from worker.commands.health import ask_health  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    try:
        typer.echo(ask_health(settings.http_host, settings.http_port))
    except ServiceUnavailable as error:
        typer.secho(f"kabar: {error}", fg="red", err=True)
        raise typer.Exit(1) from None  # Docker keeps 2, our usual code, for itself


@app.command()
def generate(
    *, check: Annotated[bool, typer.Option("--check", help="write nothing; fail where a file is not fresh")] = False
) -> None:
    """Write the files that are made from the code: tables, definitions, schemas. Needs a checkout."""
    from worker.dev.generate import run_generate  # noqa: PLC0415

    raise typer.Exit(run_generate(check=check))


@app.command()
def check(
    *,
    templates: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="a folder of texts beside KABAR_TEMPLATE_DIRS; repeatable")
    ] = None,
    events: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="event types beside KABAR_EVENT_MODULES; repeatable")
    ] = None,
    locales: Annotated[str, typer.Option(help="what every text must be there in, separated by commas")] = "en,id",
) -> None:
    """Check texts and mails against their events, for a CI: prints FILE:LINE, the mistake and its remedy; exits with 1.

    Looks at the built-in texts, and at a product's own over them: unknown fields, absent ones printed, markup, links,
    what is too long for a medium, missing and superfluous texts. Then at printed mails, with KABAR_BRAND_… where set:
    contrast in both schemes, alt texts, ways to unsubscribe. Needs no other settings, no database and no broker.
    """
    from worker.commands.check import run_check  # noqa: PLC0415

    folders = [*map(Path, _words("KABAR_TEMPLATE_DIRS")), *(templates or ())]
    modules = [*_words("KABAR_EVENT_MODULES"), *(events or ())]
    raise typer.Exit(run_check(folders, modules, _split(locales)))


def _words(variable: str) -> list[str]:
    return _split(os.environ.get(variable, ""))


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


app.command()(status)
app.command()(explain)
app.command()(doctor)
app.command()(audit)
app.add_typer(people.app, name="people")
app.add_typer(dead.app, name="dead")
app.add_typer(unsure.app, name="unsure")
app.add_typer(template.app, name="template")

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_PASS_ON)
def test(context: typer.Context) -> None:
    """Lint, then run the tests; further arguments go to pytest. Needs a checkout.

    `--faults` plays every fault; `--rabbit=4.0|4.3|all` asks those RabbitMQs too, unpacked and not installed.
    """
    from worker.dev.checks import run_tests  # noqa: PLC0415

    raise typer.Exit(run_tests(context.args))


@app.command()
def lint() -> None:
    """Check format, rules, types, import contracts and our texts. Needs a checkout."""
    from worker.dev.checks import run_lint  # noqa: PLC0415

    raise typer.Exit(run_lint())


@app.command(context_settings=_PASS_ON)
def bench(context: typer.Context) -> None:
    """Measure speed, memory and loss on this machine; `bench --help` tells more. Needs a checkout."""
    from worker.dev.checks import run_bench  # noqa: PLC0415

    raise typer.Exit(run_bench(context.args))


@app.command(context_settings=_PASS_ON)
def chaos(context: typer.Context) -> None:
    """Play every fault on this machine, and count what it does; `chaos --help` tells more. Needs a checkout."""
    from worker.dev.checks import run_chaos  # noqa: PLC0415

    raise typer.Exit(run_chaos(context.args))


def _run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415
    except ModuleNotFoundError:
        return asyncio.run(work)
    return uvloop.run(work)


def main() -> None:
    """The entry point: errors that an operator can mend are printed as they are, without a traceback."""
    problems: list[str] = []
    try:
        app()
    except* KabarError as group:
        problems = [str(error) for error in _leaves(group)]
    if problems:
        typer.secho("\n".join(f"kabar: {problem}" for problem in dict.fromkeys(problems)), fg="red", err=True)
        sys.exit(2)


def _leaves(group: BaseExceptionGroup[KabarError]) -> Iterator[KabarError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    main()
