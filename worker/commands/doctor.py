"""`kabar doctor`: looks at everything a worker needs, and says what to do about what is wrong. Changes nothing."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False) -> None:
    """Check settings, database, broker, providers and texts. The exit code is 1 where anything is wrong."""
    from worker.commands.checkup import Finding, examine  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.screen import plain, print_json, screen, table  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415

    def row(finding: Finding) -> tuple[object, ...]:
        mark = plain("✓", "green") if finding.is_well else plain("✗", "red")
        return mark, finding.check, finding.says, finding.remedy

    findings = run_command(examine())
    is_well = all(finding.is_well for finding in findings)
    if as_json:
        checks = [{"check": one.check, "ok": one.is_well, "says": one.says, "remedy": one.remedy} for one in findings]
        print_json({"ok": is_well, "checks": checks})
    else:
        screen().print(table(("", "check", "", "what to do"), map(row, findings)))
    raise typer.Exit(0 if is_well else 1)
