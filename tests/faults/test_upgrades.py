"""Old and new side by side: a newer schema under old code, and messages of every version that ever was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aio_pika
import pytest

from tests.faults.acts.upgrades import NEWER_REVISION, migrate_while_running
from tests.faults.rounds import Round
from tests.faults.scene import Scene, scene
from worker.ledger.migrate import current_revision, migrate

pytestmark = [pytest.mark.faults, pytest.mark.fast]
Tell = Callable[[Round], Round]
_SAMPLES = Path(__file__).parents[2] / "schemas/samples"
_FIRST_JOB = '{"v":1,"ids":["%s"]}'
"""A job as the first version wrote it. Others follow; this one stays, as the samples do."""
_QUEUED = """
SELECT d.id FROM deliveries d JOIN events e ON e.key = d.event_key
WHERE d.channel = 'email' AND d.state = 'queued' AND e.type LIKE 'scene.%'
"""
"""Of the scene's own event: one of the samples tells of a person, and some others may come before it or after."""


async def test_a_schema_may_be_migrated_under_running_workers(
    tmp_path: Path, rabbitmq_url: str, database_url: str, tell: Tell
) -> None:
    """An additive migration costs no attempt; old code goes on, starts, and leaves the newer schema alone."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url) as stage:
        assert tell(await migrate_while_running(stage)).broken() == []
        await migrate(database_url)

        assert await current_revision(database_url) == NEWER_REVISION


async def test_every_message_of_a_version_before_is_understood(
    tmp_path: Path, rabbitmq_url: str, database_url: str
) -> None:
    """The golden sample of every type and version is taken as an event, and the first version's job as a job."""
    samples = sorted(_SAMPLES.glob("*.json"))
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, workers=0) as stage:
        intake = (await stage.start(1, "intake"))[0]
        await _publish(stage, "kabar.events", {path.name.rpartition(".v")[0]: path.read_bytes() for path in samples})
        await stage.publish(1)
        await stage.until("SELECT 1 FROM events", count=len(samples) + 1)
        ((queued,),) = await stage.until(_QUEUED)
        await stage.end(intake)
        await _purge(stage, "kabar.deliver.email.normal")

        await _publish(stage, "kabar.deliver", {"email.normal": (_FIRST_JOB % queued).encode()})
        await stage.start(1, "courier")

        await stage.until_accepted(1, channel="email", within=20)
        assert await stage.ask("SELECT 1 FROM dead_letters") == []


async def _publish(stage: Scene, exchange: str, bodies: dict[str, bytes]) -> None:
    async with await aio_pika.connect(stage.amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        there = await channel.get_exchange(exchange)
        for key, body in bodies.items():
            message = aio_pika.Message(body, content_type="application/cloudevents+json", delivery_mode=2)
            await there.publish(message, key)


async def _purge(stage: Scene, name: str) -> None:
    async with await aio_pika.connect(stage.amqp_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(name)).purge()
