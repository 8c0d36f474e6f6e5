"""What a provider does is taken for what it is, and harms nothing that does not go its way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.providers import SILENT, TROUBLES, fall_silent_alone, go_away, misbehave, outlast_consumers
from tests.faults.acts.rests import SCOPES, ask_for_rest
from tests.faults.rounds import Round
from tests.faults.scene import scene
from worker.dev.rabbitmq import RabbitMQ

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


@pytest.mark.fast
async def test_each_trouble_is_taken_for_what_it_is(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Failure, limit, a cut line and refusal each have their own reason, cost and end on every channel."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = [tell(await misbehave(stage, trouble)) for trouble in TROUBLES if trouble != SILENT]

        assert [wrong for one in played for wrong in one.broken()] == []


@pytest.mark.fast
async def test_only_what_asked_for_rest_gets_it_from_every_worker_to_the_second(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Retry-After holds back the one chat, webhook or account that it is about, whoever of three workers sends."""
    unpaced = scene(
        tmp_path,
        workers=3,
        amqp_url=rabbitmq_url,
        database_url=database_url,
        telegram_per_chat_per_second=0,
        slack_per_webhook_per_second=0,
    )
    async with unpaced as stage:
        played = [tell(await ask_for_rest(stage, name)) for name in SCOPES]

        assert [wrong for one in played for wrong in one.broken()] == []


async def test_silence_is_taken_for_doubt(tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell) -> None:
    """A provider that takes a message and never answers leaves it unsure: a mail is sent again, a chat is not."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await misbehave(stage, SILENT))

        assert played.broken() == []


async def test_a_silent_provider_slows_no_other_down(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """While one provider takes messages and says nothing, the other channels deliver as fast as before."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        played = tell(await fall_silent_alone(stage))

        assert played.broken() == []


async def test_an_outage_of_a_provider_makes_no_dead_letters(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """Thousands wait while a provider is away; when it is back all go out at their first attempt, within its limit."""
    limited = scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, slack_per_second=100)
    async with limited as stage:
        played = tell(await go_away(stage, waiting=3000))

        assert played.broken() == []


async def test_an_outage_may_last_longer_than_a_broker_waits_for_its_consumers(
    tmp_path: Path, database_url: str, node: RabbitMQ, tell: Tell
) -> None:
    """Taken back from the couriers more often than the delivery limit allows, every job is done in the end, once."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url, workers=0) as stage:
        played = tell(await outlast_consumers(stage, node, waiting=500))

        assert played.broken() == []
