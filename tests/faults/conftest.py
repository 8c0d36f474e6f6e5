"""The brokers that faults are played on, of each version that the run is for, and the table that ends the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import do_without_rabbitmq, lend_vhost, rabbitmq_versions
from tests.faults.rounds import Round, table
from worker.dev.rabbitmq import RabbitMQ
from worker.dev.rabbitmq_cluster import Cluster
from worker.errors import ServiceUnavailable

_PROPERTY = "round"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "version" in metafunc.fixturenames:
        versions = rabbitmq_versions(metafunc.config)
        metafunc.parametrize("version", versions, ids=[f"rabbitmq{version}" for version in versions])


@pytest.fixture
def vhost_url(version: str) -> Iterator[str]:
    """An empty vhost on a broker of each version."""
    yield from lend_vhost(version)


@pytest.fixture
async def node(tmp_path: Path, version: str) -> AsyncIterator[RabbitMQ]:
    """A node of its own, of each version."""
    try:
        async with RabbitMQ.start(tmp_path / "rabbitmq", version=version) as started:
            yield started
    except ServiceUnavailable as error:
        do_without_rabbitmq(error)


@pytest.fixture
async def cluster(tmp_path: Path, version: str) -> AsyncIterator[Cluster]:
    """Three nodes of its own, of each version."""
    try:
        async with Cluster.start(tmp_path / "rabbitmq", version=version) as started:
            yield started
    except ServiceUnavailable as error:
        do_without_rabbitmq(error)


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
