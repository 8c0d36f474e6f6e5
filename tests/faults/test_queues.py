"""A queue that an operator purges or deletes by mistake costs time and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.queues import WORK_IS_BACK_SECONDS, delete_queues, lose_jobs, purge_queues
from tests.faults.rounds import Round
from tests.faults.scene import scene

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


async def test_purged_jobs_are_published_again(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Jobs that were purged come back from the ledger within a minute and a half, each of them once."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await purge_queues(stage, events=300))

        assert played.broken() == []
        assert played.recovered_seconds <= WORK_IS_BACK_SECONDS


async def test_jobs_lost_out_of_a_busy_queue_are_published_again(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Single jobs that vanish are missed within a minute and a half, though the queue never runs empty."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await lose_jobs(stage, jobs=5))

        assert played.broken() == []
        assert played.recovered_seconds <= WORK_IS_BACK_SECONDS


async def test_deleted_queues_are_there_again(tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell) -> None:
    """Queues deleted under load are declared and consumed again, and what was in them is done."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await delete_queues(stage))

        assert played.broken() == []
        assert played.recovered_seconds <= WORK_IS_BACK_SECONDS
