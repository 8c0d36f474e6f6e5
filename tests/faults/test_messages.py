"""Bad messages harm nobody but themselves, and repetition harms nobody at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.messages import (
    lower_limit,
    publish_bad_messages,
    publish_enormous,
    publish_everything_thrice,
    publish_poison,
)
from tests.faults.rounds import Round
from tests.faults.scene import scene
from worker.dev.rabbitmq import RabbitMQ

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@pytest.mark.fast
async def test_bad_messages_and_repetitions_harm_nobody(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Every bad kind is a dead letter with its reason; every event published three times, shuffled, counts once."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        bad = tell(await publish_bad_messages(stage))
        repeated = tell(await publish_everything_thrice(stage, events=300))

        assert bad.broken() == []
        assert repeated.broken() == []


async def test_a_poison_dies_alone(tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell) -> None:
    """An event that kills its worker, amid a full prefetch, is buried after at most nine crashes and no other is."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await publish_poison(stage, innocents=1500))

        assert played.broken() == []


async def test_an_enormous_message_harms_nobody(tmp_path: Path, vhost_url: str, database_url: str, tell: Tell) -> None:
    """17 MiB are buried with their reason where the broker takes them, and refused where it does not."""
    async with scene(tmp_path, amqp_url=vhost_url, database_url=database_url) as stage:
        played = tell(await publish_enormous(stage))

        assert played.broken() == []


async def test_a_message_that_the_broker_would_not_take_again_holds_nobody_up(
    tmp_path: Path, node: RabbitMQ, database_url: str, tell: Tell
) -> None:
    """An upgraded broker takes less than what is in its queues: it is buried, and those behind it are sent."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url, workers=0) as stage:
        played = tell(await lower_limit(stage, node))

        assert played.broken() == []
