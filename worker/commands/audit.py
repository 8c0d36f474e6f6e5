"""`kabar audit`: whether the ledger and the broker keep what Kabar promises, and the rows that do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer


def audit(
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="only events received since: 90s, 24h, 7d, or 2026-05-04T12:00:00Z")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="rows named of each check; the counts are complete")
    ] = 20,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Check the promises on the live ledger and broker. The exit code is 1 where any is broken; changes nothing.

    Reads in small steps by indexes, and may run beside the workers. Without --since all there is is looked at.
    """
    from worker.commands.audit_view import document, print_report  # noqa: PLC0415 - each command loads what it needs
    from worker.commands.audit_work import examine  # noqa: PLC0415
    from worker.commands.dead_choice import parse_since  # noqa: PLC0415
    from worker.commands.screen import print_json  # noqa: PLC0415
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    then = parse_since(since, datetime.now(UTC)) if since else None
    report = run_command(examine(load_settings(), then, limit))
    if as_json:
        print_json(document(report))
    else:
        print_report(report)
    raise typer.Exit(0 if report.is_well else 1)
