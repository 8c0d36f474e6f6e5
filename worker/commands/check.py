"""`kabar check`: read the texts and the event types a deployment has, print its mails, and tell of every mistake.

Asks no database and no broker and needs no settings, so that it runs in a CI as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from schemas.catalogue import Catalogue
from worker.channels.layout import Brand
from worker.commands.check_mails import EXAMPLE, mail_findings
from worker.core.check import Finding, check_texts
from worker.core.text_source import Source
from worker.deployment import BUILT_IN_EVENTS, brand_of
from worker.errors import SettingsInvalid
from worker.settings import load_brand_settings
from worker.texts import BUILT_IN, survey


def run_check(folders: Sequence[Path], modules: Sequence[str], locales: Sequence[str]) -> int:
    """Check the built-in texts, over them those of the folders, and the mails; print what is wrong, one mistake a line.

    Gives an exit code: 1 where there is a mistake. Raises SettingsInvalid where a module has no event types, or the
    brand in the environment is none.
    """
    catalogue = _catalogue(modules)
    sources: list[Source] = []
    findings: list[Finding] = []
    for folder in (BUILT_IN, *folders):
        for found in survey(folder):
            if isinstance(found, Source):
                sources.append(found)
            else:
                findings.append(Finding(found.path, found.line, found.what, found.remedy))
    findings += check_texts(sources, catalogue, locales)
    findings += mail_findings(catalogue, locales, _brands())
    for finding in findings:
        typer.echo(_shown(finding))
    if findings:
        typer.echo(f"{len(findings)} to mend", err=True)
    else:
        typer.echo(f"{len(sources)} texts are good, and so are the mails")
    return int(bool(findings))


def _brands() -> list[Brand]:
    """One that shows all a mail can, and the deployment's own where the environment has it."""
    settings = load_brand_settings()
    return [EXAMPLE, brand_of(settings)] if settings else [EXAMPLE]


def _catalogue(modules: Sequence[str]) -> Catalogue:
    try:
        return Catalogue.of_modules((*BUILT_IN_EVENTS, *modules))
    except (ValueError, TypeError) as error:
        raise SettingsInvalid(f"--events or KABAR_EVENT_MODULES: {error}") from error


def _shown(finding: Finding) -> str:
    """A finding with its path as short as it can be, so that an editor can open it from here."""
    path = Path(finding.path)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return str(Finding(str(path), finding.line, finding.what, finding.remedy))
