"""A bad wire to the broker, the database, the mail server or a web API costs time, and at most what nobody can know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.wires import TROUBLES, WIRES, trouble_wire
from tests.faults.rounds import Round
from tests.faults.scene import scene

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_bad_wire_loses_nothing(
    tmp_path: Path, rabbitmq_url: str, database_url: str, wire: str, tell: Tell
) -> None:
    """Slow, reset, half open, cut in the middle: nothing is lost, and only what is told as resent comes twice."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, through=[wire]) as stage:
        played = [tell(await trouble_wire(stage, wire, trouble)) for trouble in TROUBLES]

        assert [broken for each in played for broken in each.broken()] == []
