"""The PostgreSQL and the RabbitMQ that one test run shares, started by the first test that asks for them.

The process that runs pytest owns them, in a thread with an event loop of its own; the tests, also those in xdist's
worker processes, ask for what they need over a Unix socket and give it back afterwards. So no lock file is needed,
and however the run ends, the servers end with the one process that started them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
import threading
import uuid
from asyncio import StreamReader, StreamWriter, Task
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from worker.dev.postgres import Postgres
from worker.dev.rabbitmq import RabbitMQ
from worker.errors import ServiceUnavailable

_SOCKET = "PYTEST_KABAR_SERVICES"
_TEMPLATE = "kabar_template"


def lend(thing: str) -> str:
    """Borrow a fresh `database`, `empty database`, `vhost` or `vhost of VERSION` (of RabbitMQ) and give its URL.

    `ServiceUnavailable` says why it cannot be had.
    """
    return _ask(thing)


def give_back(thing: str, url: str) -> None:
    """Let go of what was lent. It is dropped in the background, with whoever is still connected to it."""
    _ask(f"drop {thing}", url)


def _ask(request: str, url: str = "") -> str:
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as stream:
        connection.connect(os.environ[_SOCKET])
        stream.write(json.dumps([request, url]) + "\n")
        stream.flush()
        error, answer = json.loads(stream.readline())
    if error:
        raise ServiceUnavailable(error)
    return str(answer)


class Services:
    """The owner's side: opened when pytest starts, closed when it ends. Nothing runs until something is lent."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kabar-tests-"))
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="services", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._stack = AsyncExitStack()
        self._postgres: Task[Postgres] | None = None
        self._template: Task[None] | None = None
        self._rabbitmq: dict[str, Task[RabbitMQ]] = {}
        self._drops: set[Task[None]] = set()

    def open(self) -> None:
        """Begin to answer this process and those that it starts."""
        os.environ[_SOCKET] = str(self._folder / "socket")
        self._thread.start()
        self._is_open.wait()

    def close(self) -> None:
        """Stop every server that was started, and delete its data."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        shutil.rmtree(self._folder)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._stack:
            async with await asyncio.start_unix_server(self._answer, self._folder / "socket"):
                self._is_open.set()
                await self._closing.wait()
            await asyncio.gather(*self._drops)
            # A server that is still starting belongs to the stack only once it runs.
            started = [*([self._postgres] if self._postgres else []), *self._rabbitmq.values()]
            await asyncio.gather(*started, return_exceptions=True)

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        request, url = json.loads(await reader.readline())
        try:
            answer = ["", await self._serve(request, url)]
        except Exception as error:  # noqa: BLE001 - whatever it was, the test that asked must hear of it, not hang
            answer = [f"{type(error).__name__}: {error}", ""]
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()
        await writer.wait_closed()

    async def _serve(self, request: str, url: str) -> str:
        match request:
            case "database":
                return await self._new_database(_TEMPLATE)
            case "empty database":
                return await self._new_database("template0")
            case str() if (version := _version_of("vhost", request)) is not None:
                return await (await self._node(version)).add_vhost(f"test-{uuid.uuid4().hex}")
            case str() if (version := _version_of("drop vhost", request)) is not None:
                self._drop(partial(self._delete_vhost, version), url)
            case "drop database" | "drop empty database":
                self._drop(self._drop_database, url)
            case _:
                raise ServiceUnavailable(f"The test services lend no {request!r}.")
        return ""

    async def _server(self) -> Postgres:
        if self._postgres is None:
            start = Postgres.start(self._folder / "postgres", durable=False)
            self._postgres = asyncio.create_task(self._stack.enter_async_context(start))
        return await asyncio.shield(self._postgres)

    async def _node(self, version: str) -> RabbitMQ:
        if version not in self._rabbitmq:
            start = RabbitMQ.start(self._folder / f"rabbitmq{version}", version=version)
            self._rabbitmq[version] = asyncio.create_task(self._stack.enter_async_context(start))
        return await asyncio.shield(self._rabbitmq[version])

    async def _new_database(self, template: str) -> str:
        if template == _TEMPLATE:
            self._template = self._template or asyncio.create_task(self._make_template())
            await asyncio.shield(self._template)
        return await self._clone(f"test_{uuid.uuid4().hex}", template)

    async def _make_template(self) -> None:
        from worker.ledger.migrate import migrate  # noqa: PLC0415 - tests of other parts do not wait for the ledger

        await migrate(await self._clone(_TEMPLATE, "template0"))

    async def _clone(self, name: str, template: str) -> str:
        # file_copy: with fsync off a copied directory is four times faster than its pages through the log.
        await self._command(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return (await self._server()).url.rpartition("/")[0] + f"/{name}"

    async def _drop_database(self, url: str) -> None:
        await self._command(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    async def _delete_vhost(self, version: str, url: str) -> None:
        await (await self._node(version)).delete_vhost(_name(url))

    async def _command(self, statement: str) -> None:
        connection = await asyncpg.connect((await self._server()).url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _drop(self, drop: Callable[[str], Awaitable[None]], url: str) -> None:
        task = asyncio.ensure_future(drop(url))
        self._drops.add(task)
        task.add_done_callback(self._drops.discard)


def _version_of(thing: str, request: str) -> str | None:
    """Answer the version in `THING of VERSION`, '' where none is named; None where something else is asked for."""
    asked, _, version = request.partition(" of ")
    return version if asked == thing else None


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
