"""Clients for tests of brokers: one that can be killed mid-work, and one that speaks raw bytes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeVar, cast

import aiormq
from aiormq.connection import TransportFactory
from pamqp import base, commands, frame
from yarl import URL

Method = TypeVar("Method", bound=base.Frame)
HANDSHAKE = b"AMQP\x00\x00\x09\x01"


class _KeptSocket(TransportFactory):
    """Opens the socket as aiormq would, and keeps hold of it."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self.writer = await asyncio.open_connection(url.host, url.port)
        return reader, self.writer


class MortalClient:
    """A connection with one channel whose socket can be cut without a word, as by `kill -9`."""

    def __init__(self, url: str) -> None:
        self._socket = _KeptSocket()
        self._connection = aiormq.Connection(url, transport_factory=self._socket)
        self.channel: aiormq.abc.AbstractChannel

    async def connect(self, *, prefetch: int) -> None:
        """Open the connection and its channel."""
        await self._connection.connect()
        self.channel = await self._connection.channel()
        await self.channel.basic_qos(prefetch_count=prefetch)

    async def take(self, queue: str, count: int) -> list[aiormq.abc.DeliveredMessage]:
        """Consume until `count` messages are in hand, and settle none of them."""
        arrived: asyncio.Queue[aiormq.abc.DeliveredMessage] = asyncio.Queue()
        await self.channel.basic_consume(queue, arrived.put)
        async with asyncio.timeout(10):
            return [await arrived.get() for _ in range(count)]

    async def die(self) -> None:
        """Cut the socket, then let the client's own tasks end."""
        assert self._socket.writer is not None
        self._socket.writer.transport.abort()
        await self._connection.close()


class RawClient:
    """A socket with just enough AMQP to negotiate; everything else is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, url: str) -> RawClient:
        """Open the socket and say nothing."""
        address = URL(url)
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def negotiate(self, url: str, *, heartbeat: int = 0, frame_max: int = 131072) -> None:
        """Come as far as `connection.open-ok` and an open channel 1."""
        address = URL(url)
        self.send(HANDSHAKE)
        await self.expect(commands.Connection.Start)
        self.send_method(commands.Connection.StartOk(response=f"\0{address.user}\0{address.password}"))
        await self.expect(commands.Connection.Tune)
        self.send_method(commands.Connection.TuneOk(channel_max=10, frame_max=frame_max, heartbeat=heartbeat))
        self.send_method(commands.Connection.Open(virtual_host=address.path[1:] or "/"))
        await self.expect(commands.Connection.OpenOk)
        self.send_method(commands.Channel.Open(), 1)
        await self.expect(commands.Channel.OpenOk)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    async def send_now(self, data: bytes) -> None:
        """Send bytes, and let them go before anything else is sent."""
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    def stop_reading(self) -> None:
        """Let what comes from here on pile up on the other side."""
        cast("asyncio.Transport", self._writer.transport).pause_reading()

    def send_method(self, method: base.Frame, channel: int = 0) -> None:
        """Send a method."""
        self.send(frame.marshal(method, channel))

    async def receive(self) -> tuple[int, bytes, frame.FrameTypes]:
        """Read one frame: its channel, its bytes, and what it says. Raises `IncompleteReadError` at the end."""
        async with asyncio.timeout(10):
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(int.from_bytes(head[3:]) + 1)
        _, channel, value = frame.unmarshal(head + rest)
        return channel, head + rest, value

    async def expect(self, kind: type[Method]) -> Method:
        """Read one frame, which must be this method."""
        _, _, value = await self.receive()
        assert isinstance(value, kind), value
        return value

    async def rest(self) -> bytes:
        """Read until the other side hangs up, politely or not."""
        received = b""
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                while piece := await self._reader.read(65_536):
                    received += piece
        return received

    async def aclose(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
