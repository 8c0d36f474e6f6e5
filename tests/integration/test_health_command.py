"""`kabar health` against the HTTP port of a process, as a container's health check uses it."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.commands.health import ask_health
from worker.dev.process import free_port
from worker.errors import ServiceUnavailable, SettingsInvalid
from worker.health import HealthServer


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that answers everything with these bytes and hangs up; gives its port."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def health_server() -> AsyncIterator[HealthServer]:
    """The HTTP port of a process that lives and cannot work, on all addresses as in a container."""
    server = HealthServer("0.0.0.0", 0, lambda: ["the database is away"])
    await server.start()
    yield server
    await server.aclose()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
async def test_a_process_that_waits_for_its_database_is_healthy(health_server: HealthServer, host: str) -> None:
    """A container is not restarted for an outage that is not its own."""
    answer = await asyncio.to_thread(ask_health, host, health_server.port)

    assert orjson.loads(answer) == {"status": "alive"}


async def test_a_process_that_is_not_there_is_not_healthy() -> None:
    """Where nobody listens, the check fails and says what to look at."""
    with pytest.raises(ServiceUnavailable, match="KABAR_HTTP_PORT"):
        await asyncio.to_thread(ask_health, "127.0.0.1", free_port())


@pytest.mark.parametrize("answer", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"])
async def test_a_wrong_answer_is_not_healthy(answer: bytes) -> None:
    """A process that hangs up, talks something else or answers an error is not taken for a living one."""
    async with answering(answer) as port:
        with pytest.raises(ServiceUnavailable, match=str(port)):
            await asyncio.to_thread(ask_health, "127.0.0.1", port)


def test_the_command_fails_with_the_code_that_docker_expects() -> None:
    """A container's health check ends with 1 where the process does not answer, and names the reason."""
    environment = {"KABAR_AMQP_URL": "amqp://x", "KABAR_DATABASE_URL": "postgresql://x"}

    result = CliRunner().invoke(app, ["health"], env={**environment, "KABAR_HTTP_PORT": str(free_port())})

    assert result.exit_code == 1
    assert "no Kabar process answers" in result.stderr


def test_a_port_that_nobody_knows_cannot_be_asked() -> None:
    """With KABAR_HTTP_PORT=0 the check says that it cannot know the port, instead of guessing."""
    with pytest.raises(SettingsInvalid, match="KABAR_HTTP_PORT is 0"):
        ask_health("127.0.0.1", 0)
