"""A wire that can be cut, slow, half dead or silent: a TCP proxy between Kabar and a service."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_CHUNK_BYTES = 65_536


@dataclass(slots=True, eq=False)
class _Line:
    """One connection: its two ends, and how many bytes went over it in both directions."""

    near: StreamWriter
    far: StreamWriter
    passed_bytes: int = 0
    is_half: bool = False

    def abort(self) -> None:
        for end in (self.near, self.far):
            end.transport.abort()


class Proxy:
    """Passes bytes on between a port of its own and a service, until it is cut.

    `latency_seconds`: how long each byte takes, each way. `limit_bytes`: after how many bytes a connection is reset,
    counted in both directions from the moment it was made; None: never.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._port = 0
        self._speaking = asyncio.Event()
        self._speaking.set()
        self.latency_seconds = 0.0
        self.limit_bytes: int | None = None

    @property
    def url(self) -> str:
        """The service's URL, through the proxy."""
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{self._port}"))

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """Reset every connection; new ones are passed on."""
        for line in self._lines:
            line.abort()

    def halve(self) -> None:
        """Cut the far half of every connection: the near half stays open, is read and never answered.

        So looks a peer whose machine has vanished. New connections are whole.
        """
        for line in self._lines:
            line.is_half = True
            line.far.transport.abort()

    def fall_silent(self) -> None:
        """Pass nothing on, and keep every connection open."""
        self._speaking.clear()

    def speak(self) -> None:
        """Pass on again, also what has come meanwhile."""
        self._speaking.set()

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, there)
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(line, reader, there))
                group.create_task(self._copy(line, there_reader, writer))
        finally:
            line.abort()
            self._lines.discard(line)

    async def _copy(self, line: _Line, reader: StreamReader, writer: StreamWriter) -> None:
        """Take in what comes and pass it on, each piece after its own latency and not after its neighbours'."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(line, under_way, writer))
            now = asyncio.get_running_loop().time
            with suppress(OSError):
                while data := await reader.read(_CHUNK_BYTES):
                    under_way.put_nowait((now() + self.latency_seconds, data))
            under_way.put_nowait((now(), b""))

    async def _deliver(self, line: _Line, under_way: asyncio.Queue[tuple[float, bytes]], writer: StreamWriter) -> None:
        with suppress(OSError):
            while (piece := await under_way.get())[1]:
                due, data = piece
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                await self._speaking.wait()
                line.passed_bytes += len(data)
                if self.limit_bytes is not None and line.passed_bytes > self.limit_bytes:
                    line.abort()
                if not (line.is_half and writer is line.far):
                    writer.write(data)
                    await writer.drain()
        if not line.is_half:
            line.abort()


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the service at `url`; cut at the end."""
    made = Proxy(url)
    await made.open()
    try:
        yield made
    finally:
        made.speak()
        await made.cut()
