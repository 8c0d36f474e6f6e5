"""What every test may ask for: a database, a vhost, a broker node of its own. Nothing is started unasked."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from tests.services import Services, give_back, lend
from worker.dev import debian
from worker.dev.rabbitmq import RabbitMQ
from worker.dev.rabbitmq_programs import SUITES
from worker.errors import ServiceUnavailable

settings.register_profile("long", max_examples=600, stateful_step_count=40, deadline=None)
_SERVICES = pytest.StashKey[Services]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rabbit",
        choices=[*SUITES, "all"],
        help="run what concerns the broker on this RabbitMQ too, besides the system's own or its release's",
    )


def rabbitmq_versions(config: pytest.Config) -> list[str]:
    """Answer the versions that this run is for, '' first: the system's own."""
    chosen = config.getoption("--rabbit")
    others = [version for version, suite in SUITES.items() if suite != debian.release()]
    return ["", *(others if chosen == "all" else [chosen] if chosen else [])]


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # an xdist worker asks the services of the process that started it
    # A polite end is an orderly one: fixtures are finished, servers stopped, scratch folders deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services = Services()
    services.open()
    config.stash[_SERVICES] = services


def pytest_unconfigure(config: pytest.Config) -> None:
    if services := config.stash.get(_SERVICES, None):
        services.close()


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of this test's own, with the ledger's newest schema and no rows."""
    url = lend("database")
    yield url
    give_back("database", url)


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """A database of this test's own, without any table."""
    url = lend("empty database")
    yield url
    give_back("empty database", url)


@pytest.fixture
def rabbitmq_url() -> Iterator[str]:
    """An empty vhost of this test's own on the run's RabbitMQ node."""
    yield from lend_vhost("")


def lend_vhost(version: str) -> Iterator[str]:
    """Lend an empty vhost on a RabbitMQ of this version; where there is none, the test is skipped, or fails in CI."""
    thing = f"vhost of {version}" if version else "vhost"
    try:
        url = lend(thing)
    except ServiceUnavailable as error:
        do_without_rabbitmq(error)
    yield url
    give_back(thing, url)


@pytest.fixture
async def rabbitmq_node(tmp_path: Path) -> AsyncIterator[RabbitMQ]:
    """A RabbitMQ node of this test's own, to stop, kill and restart. Costs 4 s."""
    try:
        async with RabbitMQ.start(tmp_path / "rabbitmq") as node:
            yield node
    except ServiceUnavailable as error:
        do_without_rabbitmq(error)


def do_without_rabbitmq(error: ServiceUnavailable) -> NoReturn:
    """Skip the test, saying why; fail it where a RabbitMQ must be there."""
    if os.environ.get("KABAR_REQUIRE_RABBITMQ") == "1":
        raise error
    pytest.skip(f"no RabbitMQ: {error}")
