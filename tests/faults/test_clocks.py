"""A worker's wrong clock changes nothing: what is due, leased and expired is said by the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.acts.clocks import skew_worker, skewed_by
from tests.faults.rounds import Round
from tests.faults.scene import scene
from worker.errors import ServiceUnavailable

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
async def test_a_wrong_clock_changes_nothing(
    tmp_path: Path, rabbitmq_url: str, database_url: str, hours: int, tell: Tell
) -> None:
    """An hour ahead or behind: nothing is sent early, no lease is reaped early, nothing expires at a wrong time."""
    offset = timedelta(hours=hours)
    try:
        skewed_by(offset)
    except ServiceUnavailable as error:
        pytest.skip(f"no clock can be skewed: {error}")
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, workers=0) as stage:
        assert tell(await skew_worker(stage, offset)).broken() == []
