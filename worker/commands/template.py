"""`kabar template`: what the texts say, and changing it in the running system."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The texts: look at them, change them in the running system.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TEXT", help="TYPE/AUDIENCE/LOCALE, or …/LOCALE.CHANNEL")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="…/TYPE/AUDIENCE/LOCALE.txt")]
Note = Annotated[str, typer.Option(metavar="WORDS", help="why, for the history")]


@app.command("list")
def list_texts(
    name: Annotated[str, typer.Argument(metavar="[TYPE]", help="only names that begin so")] = "",
) -> None:
    """List texts, with the version that holds: 0 is the file, higher ones were published over it."""
    from worker.commands import template_work  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    run_command(template_work.list_texts(load_settings(), name))


@app.command()
def show(
    name: Name,
    *,
    version: Annotated[int | None, typer.Option(min=0, help="an earlier one; 0 is the file")] = None,
) -> None:
    """Print a text's source: of what holds, or of an earlier version."""
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    run_command(template_work.show(load_settings(), name, version))


@app.command()
def edit(file: Annotated[Path, typer.Argument(help="…/TYPE/AUDIENCE/LOCALE.txt")]) -> None:
    """Open a text in $EDITOR and check it. Publishes nothing.

    A file that is not there yet begins as what is said there now: a new
    medium's or language's as the text that serves it until then.
    """
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if not file.exists():
        source = run_command(template_work.what_holds(settings, "/".join(file.absolute().parts[-3:])))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, "utf-8")
    _open_editor(file)
    code = run_command(template_work.check(settings, [file]))
    if code == 0:
        typer.echo(f"it is good; publish it with: kabar template publish {file}")
    raise typer.Exit(code)


def _open_editor(file: Path) -> None:
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        subprocess.run([*editor, str(file)], check=True)  # noqa: S603 - the operator's own editor
    except (OSError, subprocess.CalledProcessError) as error:
        raise typer.BadParameter(f"{editor[0]} did not end well ({error}); name another in $EDITOR") from None


@app.command()
def publish(files: Files, *, note: Note = "") -> None:
    """Publish texts over those that hold: all of them, or none where one is not good.

    Each is compiled and rendered with sample data first, in a process of
    its own with little memory and time, and then held against its event
    and each medium's limits as by `kabar check`. Running workers use it
    within two seconds; a delivery that is planned already keeps its words.
    """
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(template_work.publish(load_settings(), files, note)))


@app.command()
def rollback(
    name: Name,
    *,
    to: Annotated[int | None, typer.Option(min=0, help="which version; 0 is the file; usually the one before")] = None,
    note: Note = "",
) -> None:
    """Publish an earlier version of a text anew."""
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(template_work.rollback(load_settings(), name, to, note)))


@app.command()
def history(name: Name) -> None:
    """List every version of a text, with who published it, when and why."""
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    run_command(template_work.history(load_settings(), name))


@app.command()
def diff(
    name: Annotated[str, typer.Argument(metavar="TEXT", help="a text's name, or a file to compare with what holds")],
    *,
    before: Annotated[int | None, typer.Option("--from", min=0, help="a version; 0 is the file")] = None,
    after: Annotated[int | None, typer.Option("--to", min=0, help="a version; usually what holds")] = None,
) -> None:
    """Show what changed between two versions, usually the last two. The exit code is 1 where anything did."""
    from worker.commands import template_work  # noqa: PLC0415 - as above
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(template_work.diff(load_settings(), name, before, after)))


@app.command()
def preview(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="an event type")],
    *,
    channel: Annotated[str, typer.Option(help="one of its channels; usually all of them")] = "",
    locale: Annotated[str, typer.Option(help="the reader's language")] = "en",
    audience: Annotated[str, typer.Option(help="one of its audiences; usually all of them")] = "",
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="an event or its payload, as JSON")] = None,
    text: Annotated[
        list[Path] | None, typer.Option("--text", metavar="FILE", help="a text to look at before it is published")
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="where to write")] = Path("kabar-preview"),
    files_only: Annotated[
        bool, typer.Option("--files-only", help="without what was published; needs no database")
    ] = False,
    send_to: Annotated[
        str, typer.Option(metavar="ADDRESS", help="also send it there, really, by the one --channel")
    ] = "",
    open_: Annotated[bool, typer.Option("--open", help="open the pages in a browser")] = False,
) -> None:
    """Write what each medium shows: e-mails as HTML (and PNG where Chromium is there), wire forms, and text."""
    from worker.commands.preview import Wish  # noqa: PLC0415 - as above
    from worker.commands.preview import preview as write_preview  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415

    wish = Wish(
        event_type, audience, channel, locale, data, tuple(text or ()), to, files_only=files_only, send_to=send_to
    )
    pages = run_command(write_preview(wish))
    for page in pages if open_ else ():
        typer.launch(str(page))
