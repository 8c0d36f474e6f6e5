"""A broker that is stopped, hangs, is out of memory or loses a node costs time and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acts.broker import exhaust_memory, freeze_broker, freeze_leader, kill_leaders, stop_broker
from tests.faults.rounds import Round
from tests.faults.scene import scene
from worker.dev.rabbitmq import RabbitMQ
from worker.dev.rabbitmq_cluster import Cluster

pytestmark = pytest.mark.faults
Tell = Callable[[Round], Round]


async def test_a_stopped_broker_costs_time_only(tmp_path: Path, database_url: str, node: RabbitMQ, tell: Tell) -> None:
    """Stopped for 20 s under load: nothing is lost, and ten seconds after its port opens messages go out again."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url) as stage:
        assert tell(await stop_broker(stage, node, seconds=20)).broken() == []


@pytest.mark.fast
async def test_a_broker_restarted_under_load_is_not_missed_for_long(
    tmp_path: Path, database_url: str, node: RabbitMQ, tell: Tell
) -> None:
    """Stopped for a moment: the same promise, with little to catch up."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url) as stage:
        assert tell(await stop_broker(stage, node, seconds=1)).broken() == []


async def test_a_frozen_broker_costs_time_only(tmp_path: Path, database_url: str, node: RabbitMQ, tell: Tell) -> None:
    """Hanging for longer than any patience: nothing is lost, and it is found again when it wakes."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url) as stage:
        assert tell(await freeze_broker(stage, node, seconds=40)).broken() == []


async def test_a_memory_alarm_stops_publishing_and_nothing_else(
    tmp_path: Path, database_url: str, node: RabbitMQ, tell: Tell
) -> None:
    """While the broker takes no more messages, those it has are delivered and acknowledged; then it goes on."""
    async with scene(tmp_path, amqp_url=node.url, database_url=database_url) as stage:
        assert tell(await exhaust_memory(stage, node, seconds=30)).broken() == []


async def test_a_cluster_survives_the_death_of_its_leaders(
    tmp_path: Path, database_url: str, cluster: Cluster, tell: Tell
) -> None:
    """One node of three may die at any time: publishing goes on within 3 s, sending within 5 s, and nothing is lost."""
    async with scene(tmp_path, amqp_url=",".join(cluster.urls), database_url=database_url) as stage:
        assert tell(await kill_leaders(stage, cluster, rest_seconds=5)).broken() == []


async def test_a_cluster_is_served_by_the_others_while_its_leader_hangs(
    tmp_path: Path, database_url: str, cluster: Cluster, tell: Tell
) -> None:
    """One node of three that hangs, and says nothing of it, is left within 20 s, and nothing is lost or sent twice."""
    async with scene(tmp_path, amqp_url=",".join(cluster.urls), database_url=database_url) as stage:
        assert tell(await freeze_leader(stage, cluster, seconds=45)).broken() == []
