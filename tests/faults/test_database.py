"""A database that is torn down, hangs, cuts sessions, refuses writes or has no room costs time and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.acts.broker import make_impatient
from tests.faults.acts.database import (
    cut_sessions,
    fill_disk,
    freeze_database,
    make_read_only,
    outlast_consumers,
    restart_at_once,
    small_disk,
)
from tests.faults.rounds import Round
from tests.faults.scene import Scene, scene
from worker.dev.postgres import Postgres
from worker.dev.rabbitmq import RabbitMQ
from worker.errors import ServiceUnavailable
from worker.ledger.migrate import migrate

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@asynccontextmanager
async def a_scene(
    folder: Path, amqp_url: str, data_dir: Path, workers: int = 2
) -> AsyncIterator[tuple[Scene, Postgres]]:
    async with Postgres.start(data_dir) as server:
        await migrate(server.url)
        async with scene(folder, amqp_url=amqp_url, database_url=server.url, workers=workers) as stage:
            yield stage, server


@pytest.mark.fast
async def test_a_database_torn_down_is_waited_for(tmp_path: Path, rabbitmq_url: str, tell: Tell) -> None:
    """Torn down in the middle of transactions and started again: nothing lost, sending again within 5 s."""
    async with a_scene(tmp_path, rabbitmq_url, tmp_path / "postgres") as (stage, server):
        assert tell(await restart_at_once(stage, server)).broken() == []


async def test_sessions_cut_in_a_transaction_are_opened_anew(tmp_path: Path, rabbitmq_url: str, tell: Tell) -> None:
    """Whatever works is cut off again and again: every piece of work is repeated, and done once."""
    async with a_scene(tmp_path, rabbitmq_url, tmp_path / "postgres") as (stage, _):
        assert tell(await cut_sessions(stage, seconds=10)).broken() == []


async def test_a_frozen_database_is_waited_for(tmp_path: Path, rabbitmq_url: str, tell: Tell) -> None:
    """Ten seconds without an answer: nothing is sent without a lease, and it goes on within 5 s of the thaw."""
    async with a_scene(tmp_path, rabbitmq_url, tmp_path / "postgres") as (stage, server):
        assert tell(await freeze_database(stage, server, seconds=10)).broken() == []


async def test_an_outage_may_last_longer_than_a_broker_waits_for_its_consumers(
    tmp_path: Path, node: RabbitMQ, tell: Tell
) -> None:
    """However long the database is away, no event that waited for it becomes a dead letter."""
    await make_impatient(node)
    async with a_scene(tmp_path, node.url, tmp_path / "postgres", workers=0) as (stage, server):
        assert tell(await outlast_consumers(stage, server, seconds=120)).broken() == []


async def test_a_read_only_database_is_waited_for_and_told_of(tmp_path: Path, rabbitmq_url: str, tell: Tell) -> None:
    """After a failover to a server that only reads: readiness says so as long as it lasts, then all goes out once."""
    async with a_scene(tmp_path, rabbitmq_url, tmp_path / "postgres") as (stage, server):
        assert tell(await make_read_only(stage, server, seconds=5)).broken() == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk so small that it can be filled."""
    try:
        with small_disk(tmp_path / "disk") as mount:
            yield mount
    except ServiceUnavailable as error:
        pytest.skip(str(error))


async def test_a_full_disk_is_waited_for_and_told_of(tmp_path: Path, rabbitmq_url: str, disk: Path, tell: Tell) -> None:
    """No room to write: readiness says so, and once there is room again all goes out once."""
    async with a_scene(tmp_path, rabbitmq_url, disk / "postgres") as (stage, server):
        assert tell(await fill_disk(stage, server, disk, seconds=10)).broken() == []
