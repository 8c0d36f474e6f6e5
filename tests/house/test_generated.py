"""The files that are made from the code are those in the tree, and the broker takes the one that is meant for it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from prometheus_client.metrics import MetricWrapperBase

from schemas.catalogue import Catalogue
from worker import metrics
from worker.broker.topology import Topology, declare, topology
from worker.deployment import BUILT_IN_EVENTS
from worker.dev import generate
from worker.dev.generate import ROOT, documents, labels_of
from worker.dev.rabbitmq import RabbitMQ
from worker.settings import ChannelName, Settings, variable

Definitions = dict[str, list[dict[str, Any]]]

DEFINITIONS = ROOT / "deploy/rabbitmq/definitions.json"
METRICS = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
FACTS = {
    "exchanges": ("name", "vhost", "type", "durable", "auto_delete", "arguments"),
    "queues": ("name", "vhost", "durable", "auto_delete", "arguments"),
    "bindings": ("source", "vhost", "destination", "destination_type", "routing_key", "arguments"),
}
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


@pytest.mark.parametrize("metric", METRICS, ids=[described.name for each in METRICS for described in each.describe()])
def test_every_metric_is_explained_and_names_nobody(metric: MetricWrapperBase) -> None:
    """A metric says what it counts, and no label of it can tell one person from another."""
    (described,) = metric.describe()

    assert described.name.startswith("kabar_")
    assert described.documentation
    assert not PERSONAL & set(labels_of(metric))


def test_every_metric_that_is_served_is_in_the_handbook() -> None:
    """The table of metrics leaves out none that /metrics shows."""
    usual = {family.name for family in metrics.PROCESS.collect()}
    served = {family.name for family in metrics.REGISTRY.collect()} - usual

    assert served == {described.name for each in METRICS for described in each.describe()}


async def test_the_definitions_are_what_the_worker_declares(rabbitmq_node: RabbitMQ) -> None:
    """A broker that an operator set up from the definitions holds all of the topology, and the worker agrees to it."""
    await rabbitmq_node.ctl("import_definitions", str(DEFINITIONS))
    imported = await exported(rabbitmq_node)

    async with open_channel(rabbitmq_node.url) as channel:
        await declare(channel, full_topology())

    assert imported == sections(json.loads(DEFINITIONS.read_text("utf-8")))
    assert await exported(rabbitmq_node) == imported


async def test_a_broker_can_be_born_with_the_definitions(rabbitmq_node: RabbitMQ) -> None:
    """A new broker that loads the definitions beside a file with users is complete, and makes no user of its own."""
    await rabbitmq_node.kill()
    shutil.rmtree(rabbitmq_node.base_dir / "data")
    folder = rabbitmq_node.base_dir / "definitions"
    folder.mkdir()
    (folder / "kabar.json").write_bytes(DEFINITIONS.read_bytes())
    (folder / "users.json").write_text(json.dumps(user_definitions("checkout", "planted-password")))
    (rabbitmq_node.base_dir / "conf.d/definitions.conf").write_text(f"load_definitions = {folder}\n")

    await rabbitmq_node.resume()

    assert await exported(rabbitmq_node) == sections(json.loads(DEFINITIONS.read_text("utf-8")))
    assert [user["name"] for user in (await export(rabbitmq_node))["users"]] == ["checkout"]
    async with open_channel(f"amqp://checkout:planted-password@127.0.0.1:{rabbitmq_node.port}/%2F") as channel:
        await declare(channel, full_topology())


def user_definitions(name: str, password: str) -> Definitions:
    """Write the definitions of one user who may do everything."""
    return {
        "users": [{"name": name, "password": password, "tags": ""}],
        "permissions": [{"user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    }


async def export(node: RabbitMQ) -> Definitions:
    """Answer everything that is defined on a node."""
    file = node.base_dir / "exported.json"
    await node.ctl("await_startup")  # the port opens a moment before all of a node is up
    await node.ctl("export_definitions", str(file))
    defined: Definitions = json.loads(file.read_text("utf-8"))
    return defined


async def exported(node: RabbitMQ) -> dict[str, list[str]]:
    return sections(await export(node))


def sections(defined: Definitions) -> dict[str, list[str]]:
    """Answer exchanges, queues and bindings as far as we define them, in an order that does not depend on the writer.

    Internal exchanges are left out, for RabbitMQ imports but does not export them. Bindings tell that they are there,
    and declaring them again fails if they are different.
    """
    return {
        section: sorted(
            json.dumps({fact: each[fact] for fact in facts}, sort_keys=True)
            for each in defined[section]
            if not each.get("internal")
        )
        for section, facts in FACTS.items()
    }


def test_every_metric_is_set_by_somebody() -> None:
    """No alarm waits for a figure that no code ever moves."""
    code = "\n".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    own = (ROOT / "worker/metrics.py").read_text()

    declared = re.findall(r"^(\w+) = (?:Counter|Gauge|Histogram)\(", own, re.MULTILINE)

    assert declared
    assert [name for name in declared if f"metrics.{name}." not in code and f"{name}.labels(" not in own] == []
