"""The files that are made from the code are those in the tree, and the broker takes the one that is meant for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from prometheus_client.metrics import MetricWrapperBase

from schemas.catalogue import Catalogue
from worker import metrics
from worker.bootstrap import BUILT_IN_EVENTS
from worker.broker.topology import EVENTS, Topology, declare, intake_queue, topology
from worker.dev import generate
from worker.dev.generate import ROOT, documents, labels_of
from worker.dev.rabbitmq import RabbitMQ
from worker.errors import ServiceUnavailable
from worker.settings import ChannelName, Settings, variable

DEFINITIONS = ROOT / "deploy/rabbitmq/definitions.json"
METRICS = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
PERSONAL = {"person", "person_id", "user", "user_id", "address", "email", "phone", "chat", "recipient", "subject"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without any generated file."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    return tmp_path


def full_topology() -> Topology:
    return topology(Catalogue.of_modules(BUILT_IN_EVENTS), get_args(ChannelName))


@asynccontextmanager
async def open_channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


@pytest.mark.parametrize("name", documents())
def test_a_generated_file_says_what_the_code_says(name: str) -> None:
    """Nobody reads a table or a schema that the code has left behind; `./kabar generate` renews them."""
    assert (ROOT / name).read_text("utf-8") == documents()[name]


def test_no_schema_outlives_its_event_type() -> None:
    """Every schema in the tree belongs to an event type that Kabar knows."""
    present = {str(path.relative_to(ROOT)) for path in (ROOT / "schemas/generated").iterdir()}

    assert present <= documents().keys()


def test_generate_tells_stale_files_from_fresh_ones(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`kabar generate --check` fails for a missing, a changed and a superfluous file, and writes none of them."""
    assert generate.run_generate(check=True) == 1
    assert not (checkout / "docs").exists()

    assert generate.run_generate(check=False) == 0
    assert generate.run_generate(check=True) == 0

    (checkout / "docs/settings.md").write_text("out of date")
    (checkout / "schemas/generated/gone.json").write_text("{}")
    capsys.readouterr()
    assert generate.run_generate(check=True) == 1
    told = capsys.readouterr().out
    assert "docs/settings.md is not fresh" in told
    assert "schemas/generated/gone.json belongs to no event type" in told

    assert generate.run_generate(check=False) == 0
    assert not (checkout / "schemas/generated/gone.json").exists()
    assert generate.run_generate(check=True) == 0


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_explained(field: str) -> None:
    """Whoever runs Kabar finds each variable in the handbook, in words, and no default that is a secret."""
    rows = [line for line in documents()["docs/settings.md"].splitlines() if f"| `{variable(field)}` |" in line]

    assert len(rows) == 1
    _, _, meaning, accepts, default, _ = (cell.strip() for cell in rows[0].split("|"))
    assert meaning
    assert accepts != "secret" or default in {"required", "none"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.describe()[0].name)
def test_every_metric_is_explained_and_names_nobody(metric: MetricWrapperBase) -> None:
    """A metric says what it counts, and no label of it can tell one person from another."""
    (described,) = metric.describe()

    assert described.name.startswith("kabar_")
    assert described.documentation
    assert not PERSONAL & set(labels_of(metric))


def test_every_metric_that_is_served_is_in_the_handbook() -> None:
    """The table of metrics leaves out none that /metrics shows."""
    served = {family.name for family in metrics.REGISTRY.collect()}

    assert served == {each.describe()[0].name for each in METRICS}


async def test_the_definitions_are_what_the_worker_declares(rabbitmq_node: RabbitMQ) -> None:
    """A broker set up from the definitions accepts the worker's own declarations, and the operator's user stays."""
    await rabbitmq_node.ctl("import_definitions", str(DEFINITIONS))
    imported = await bindings_of(rabbitmq_node)

    async with open_channel(rabbitmq_node.url) as channel:
        await declare(channel, full_topology())
        assert await bindings_of(rabbitmq_node) == imported
        confirmed = await channel.basic_publish(
            b"{}", exchange=EVENTS, routing_key="payment.failed", mandatory=True, timeout=5
        )
        queue = await channel.queue_declare(intake_queue(normal_lane()), passive=True)

    assert isinstance(confirmed, aiormq.spec.Basic.Ack)
    assert queue.message_count == 1


async def test_a_broker_can_be_born_with_the_definitions(tmp_path: Path) -> None:
    """A new node that loads the definitions beside a file with users starts complete; it makes no user of its own."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "kabar.json").write_bytes(DEFINITIONS.read_bytes())
    (folder / "users.json").write_text(json.dumps(users("checkout", "planted-password")))
    configuration = tmp_path / "rabbitmq/conf.d/definitions.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f"definitions.import_backend = local_filesystem\ndefinitions.local.path = {folder}\n"
    )

    try:
        async with RabbitMQ.start(tmp_path / "rabbitmq") as node:
            assert await listed(node, "users") == {"checkout"}
            url = f"amqp://checkout:planted-password@127.0.0.1:{node.port}/%2F"
            async with open_channel(url) as channel:
                await declare(channel, full_topology())
    except ServiceUnavailable as error:
        pytest.skip(f"no RabbitMQ: {error}")
