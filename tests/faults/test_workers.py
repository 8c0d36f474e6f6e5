"""Workers that are killed or replaced lose nothing, and send twice only what nobody can know of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.workers import kill_workers, replace_workers
from tests.faults.fakes import CHANNELS
from tests.faults.rounds import Round
from tests.faults.scene import scene

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@pytest.mark.fast
async def test_killed_workers_lose_nothing(tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell) -> None:
    """Killed in mid-sentence: a mail may come twice, no message of a chat does, and nothing is forgotten."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await kill_workers(stage, kills=3, hurry=True))

        assert played.broken() == []
        assert played.books.in_flight > 0


async def test_workers_killed_again_and_again_lose_nothing(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Four workers, one of them killed every one to two seconds; what they held runs out by itself."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, workers=4) as stage:
        played = tell(await kill_workers(stage, kills=15))

        assert played.broken() == []
        assert played.books.in_flight > 0


async def test_nothing_is_doubled_where_every_channel_holds(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """With `hold` on every channel, killing workers doubles nothing; what is unsure is shown as that."""
    held = dict.fromkeys(CHANNELS, "hold")
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, on_unsure=held) as stage:
        played = tell(await kill_workers(stage, kills=10, held=CHANNELS, hurry=True))

        assert played.broken() == []
        assert played.books.unsure == played.books.in_flight > 0


@pytest.mark.fast
async def test_replacing_every_worker_is_not_noticed(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """A rolling deployment under load loses nothing, doubles nothing and spends no attempt."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await replace_workers(stage))

        assert played.broken() == []
