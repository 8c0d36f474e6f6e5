"""An audit's report on the screen, and as a document for machines."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from worker.commands.audit_work import BEYOND, PROMISES, Report
from worker.commands.screen import moment, plain, screen, table


def print_report(report: Report) -> None:
    """Print the figures of every check, the rows that break one, and what no row can tell."""
    out = screen()
    out.print(table(("", "promise", "looked at", "broken"), _rows(report)))
    flaws = [flaw for check in PROMISES for flaw in report.findings.flaws.get(check, ())]
    if flaws:
        out.print("", table(("check", "row", "what"), flaws, "broken"))
        named = len(flaws)
        if named < report.findings.broken.total():
            out.print(f"… and {report.findings.broken.total() - named:,} more: see --limit")
    if report.notes:
        out.print("", *(plain(note) for note in report.notes), sep="\n")
    out.print("", table(("what rows cannot tell", "because"), BEYOND.items()))
    since = f"since {moment(report.since)}" if report.since else "of all there is"
    verdict = "nothing is broken" if report.is_well else f"{report.findings.broken.total():,} broken"
    out.print()
    out.print(plain(f"{verdict}; {since}, in {report.seconds:.1f} s", "bold"))


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    for check, promise in PROMISES.items():
        if check in report.skipped:
            yield plain("-"), promise, report.skipped[check], ""
            continue
        broken = report.findings.broken[check]
        mark: Text = plain("✗", "red") if broken else plain("✓", "green")
        yield mark, promise, f"{report.findings.looked_at[check]:,}", f"{broken:,}" if broken else ""


def document(report: Report) -> dict[str, object]:
    """Make the document."""
    found = report.findings
    return {
        "ok": report.is_well,
        "since": report.since,
        "seconds": report.seconds,
        "checks": [
            {
                "check": check,
                "promise": promise,
                "skipped": report.skipped.get(check),
                "looked_at": found.looked_at[check],
                "broken": found.broken[check],
                "rows": [{"id": flaw.id, "says": flaw.says} for flaw in found.flaws.get(check, ())],
            }
            for check, promise in PROMISES.items()
        ],
        "notes": list(report.notes),
        "beyond": BEYOND,
    }
