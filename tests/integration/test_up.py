"""`kabar up`: one command runs all of it, any program can publish to it, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import psutil
import pytest

from worker.dev.process import free_port

START_SECONDS = 90
STOP_SECONDS = 15
DELIVERY_SECONDS = 20
CHECKOUT = Path(__file__).parents[2]
PERSON = "p1"


@dataclass(frozen=True, slots=True)
class Running:
    """A `kabar up --json` that has said its one line."""

    process: Process
    addresses: dict[str, str]

    async def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int | None, str, str]:
        """End it by a signal; answer exit code, what it printed since its line, and what it complained of."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            printed, complaint = await self.process.communicate()
        return self.process.returncode, printed.decode(), complaint.decode()


async def start(home: Path, *options: str, **environment: str) -> Process:
    """Start `kabar up --json` with a home of its own and none of the caller's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KABAR_", "XDG_"))}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.cli", "up", "--json", *options),
        cwd=CHECKOUT,
        env=inherited | {"HOME": str(home)} | environment,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )


@asynccontextmanager
async def up(home: Path, *options: str, **environment: str) -> AsyncIterator[Running]:
    """Run it until the block ends, at the latest."""
    process = await start(home, *options, **environment)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            first = await process.stdout.readline()
        if not first:
            _, complaint = await process.communicate()
            pytest.fail(complaint.decode())
        yield Running(process, json.loads(first))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def failure(home: Path, *options: str, **environment: str) -> tuple[int | None, str]:
    """Start it where it cannot start; answer its exit code and its message, once it is sure that it printed no line."""
    process = await start(home, *options, **environment)
    async with asyncio.timeout(START_SECONDS):
        printed, complaint = await process.communicate()
    assert printed == b""
    return process.returncode, complaint.decode()


async def publish(amqp_url: str, event_type: str, data: dict[str, Any], *, event_id: str) -> None:
    """Publish as a program that knows nothing of Kabar but its exchange does: plain JSON, confirmed."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange("kabar.events")
        message = aio_pika.Message(
            json.dumps(data).encode(), content_type="application/json", message_id=event_id, app_id="test"
        )
        await exchange.publish(message, event_type, mandatory=True)


async def make_known(running: Running) -> None:
    """Publish a person with one address on each channel, and return once the greeting to them has arrived."""
    addresses = {
        "email": ["p1@example.com"],
        "telegram": ["700001"],
        "slack": [running.addresses["slack_webhooks"] + PERSON],
    }
    person = {"person_id": PERSON, "name": "P. One", "locale": "en", "addresses": addresses}
    await publish(running.addresses["amqp"], "person.changed", person, event_id="person-1")


async def arrivals(running: Running, channel: str, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Ask the simulator until something wanted has arrived, and answer all of it."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(DELIVERY_SECONDS):
        while True:
            url = f"{running.addresses['pages']}/api/arrivals?channel={channel}&limit=2000"
            async with session.get(url) as answer:
                found = [arrival for arrival in (await answer.json())["arrivals"] if wanted(arrival)]
            if found:
                return found
            await asyncio.sleep(0.05)
