"""The recipes are run as they stand in the README, against the development broker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from schemas.envelope import Envelope
from schemas.events.billing import PaymentFailed
from tests.listener import listening
from worker.dev.broker import DevelopmentBroker

CHECKOUT = Path(__file__).parents[2]
RECIPES = (CHECKOUT / "README.md").read_text().partition("## Publish your first event")[2]
LONGEST_SECONDS = 60


@pytest.fixture
async def broker() -> AsyncIterator[DevelopmentBroker]:
    broker = DevelopmentBroker()
    await broker.start()
    yield broker
    await broker.aclose()


def recipe(language: str) -> str:
    """Answer the first code block of that language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", RECIPES, re.DOTALL | re.MULTILINE)
    assert found, f"README.md has no recipe in {language}"
    return found[1]


async def run(command: list[str], folder: Path, **environment: str) -> tuple[int | None, str, str]:
    """Run a command to its end; answer its exit code and what it printed and complained."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment}, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            out, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode, out.decode().strip(), complaint.decode()


def assert_plain_event(message: AbstractIncomingMessage, event_id: str) -> None:
    assert message.timestamp is not None
    assert abs(datetime.now(UTC) - message.timestamp) < timedelta(minutes=1)
    assert (message.message_id, message.app_id, message.content_type) == (event_id, "checkout", "application/json")
    assert PaymentFailed.model_validate(json.loads(message.body)).payment_id == "p1"


def assert_cloud_event(message: AbstractIncomingMessage, event_id: str) -> None:
    assert message.content_type == "application/cloudevents+json"
    envelope = Envelope.model_validate_json(message.body)
    assert (envelope.id, envelope.source, envelope.type) == (event_id, "checkout", "payment.failed")
    assert PaymentFailed.model_validate(envelope.data).payment_id == "p1"


async def heard(broker: DevelopmentBroker, command: list[str], folder: Path) -> tuple[AbstractIncomingMessage, str]:
    """Run a recipe while listening; answer what arrived and the id it printed."""
    async with listening(broker.url) as listener:
        code, printed, complaint = await run(command, folder, AMQP_URL=f"{broker.url}%2F", PYTHONPATH=str(CHECKOUT))
        assert code == 0, complaint
        message = await listener.next()
    assert message.routing_key == "payment.failed"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    return message, printed


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe for Node and its one dependency."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no Node: install node and npm to run the recipe for it")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true}')
    (folder / "publish.js").write_text(recipe("js"))
    install = ["npm", "install", "--no-audit", "--no-fund", "amqplib"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm could not install amqplib: {done.stderr.splitlines()[-1:]}")
    return folder


async def test_the_recipe_for_node_publishes_an_event(broker: DevelopmentBroker, node_folder: Path) -> None:
    """Somebody who pastes the recipe for Node has published an event that Kabar understands."""
    message, printed = await heard(broker, ["node", "publish.js"], node_folder)

    assert_plain_event(message, printed)


async def test_the_recipe_for_node_says_when_nobody_listens(broker: DevelopmentBroker, node_folder: Path) -> None:
    """The recipe for Node fails, with a reason, where the event would have been dropped."""
    code, printed, complaint = await run(["node", "publish.js"], node_folder, AMQP_URL=f"{broker.url}%2F")

    assert (code, printed) == (1, "")
    assert "start Kabar once" in complaint


async def test_the_recipe_for_python_publishes_an_event(broker: DevelopmentBroker, tmp_path: Path) -> None:
    """Somebody who pastes the recipe for Python has published an event that Kabar understands."""
    (tmp_path / "publish.py").write_text(recipe("python"))

    message, printed = await heard(broker, [sys.executable, "publish.py"], tmp_path)

    assert_cloud_event(message, printed)


async def test_the_recipe_for_the_shell_publishes_an_event(broker: DevelopmentBroker, tmp_path: Path) -> None:
    """Somebody who pastes the recipe for the shell has published an event that Kabar understands."""
    if not shutil.which("amqp-publish"):
        pytest.skip("no amqp-publish: apt install amqp-tools to run the recipe for the shell")
    (tmp_path / "publish.sh").write_text(recipe("sh"))

    message, printed = await heard(broker, ["sh", "publish.sh"], tmp_path)

    assert_cloud_event(message, printed)


GO_PACKAGES = Path("/usr/share/gocode")  # where Debian's golang-github-rabbitmq-amqp091-go-dev has it
PHP_LIBRARY = Path("/usr/share/php/PhpAmqpLib/autoload.php")  # Debian's php-amqplib


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe for Go, compiled."""
    library = GO_PACKAGES / "src/github.com/rabbitmq/amqp091-go"
    if not shutil.which("go") or not library.is_dir():
        pytest.skip("no Go: apt install golang-go golang-github-rabbitmq-amqp091-go-dev to run the recipe for it")
    if "WaitContext" in recipe("go") and "WaitContext" not in (library / "confirms.go").read_text():
        pytest.skip("Debian's amqp091-go is older than the recipe: it has no WaitContext")
    folder = tmp_path_factory.mktemp("go")
    (folder / "publish.go").write_text(recipe("go"))
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_PACKAGES), "GOCACHE": str(folder / "cache")}
    build = ["go", "build", "-o", "publish", "publish.go"]
    done = subprocess.run(build, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "publish"


async def test_the_recipe_for_go_publishes_an_event(broker: DevelopmentBroker, go_program: Path) -> None:
    """Somebody who pastes the recipe for Go has published an event that Kabar understands, or is told why not."""
    code, _, complaint = await run([str(go_program)], go_program.parent, AMQP_URL=f"{broker.url}%2F")
    message, printed = await heard(broker, [str(go_program)], go_program.parent)

    assert code != 0
    assert "start Kabar once" in complaint
    assert_plain_event(message, printed)


@pytest.fixture
def php_folder(tmp_path: Path) -> Path:
    """A folder with the recipe for PHP and its one dependency."""
    if not shutil.which("php") or not PHP_LIBRARY.is_file():
        pytest.skip("no PHP: apt install php-cli php-amqplib to run the recipe for it")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor/autoload.php").write_text(f"<?php require '{PHP_LIBRARY}';")
    (tmp_path / "publish.php").write_text(recipe("php"))
    return tmp_path


async def test_the_recipe_for_php_publishes_an_event(broker: DevelopmentBroker, php_folder: Path) -> None:
    """Somebody who pastes the recipe for PHP has published an event that Kabar understands, or is told why not."""
    code, _, complaint = await run(["php", "publish.php"], php_folder, AMQP_URL=f"{broker.url}%2F")
    message, printed = await heard(broker, ["php", "publish.php"], php_folder)

    assert code != 0
    assert "start Kabar once" in complaint
    assert_plain_event(message, printed)


@pytest.mark.parametrize("language", ["sh", "python", "js", "go", "php"])
def test_each_recipe_fits_on_a_screen(language: str) -> None:
    """A first event takes at most thirty lines in any language."""
    assert len(recipe(language).splitlines()) <= 30
