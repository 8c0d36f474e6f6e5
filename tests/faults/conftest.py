"""Prints what each fault left behind, after all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.console import Console

from tests.faults.rounds import Round, table

_PROPERTY = "round"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[Round], Round]:
    """Hand a round over for the table that ends the run; answers the same round."""

    def tell(played: Round) -> Round:
        record_property(_PROPERTY, list(played.cells()))
        return played

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    played = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if played:
        terminalreporter.section("faults")
        Console(width=100).print(table(map(tuple, played)))
