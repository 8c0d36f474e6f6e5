"""Providers on the wire: servers that answer, delay, refuse, hang up and reset where a test tells them to.

Raw asyncio streams on loopback, so that every byte and every break is the test's own decision.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

CERTIFICATE = Path(__file__).with_name("localhost.pem")


class Fault(Enum):
    """What a server does instead of answering."""

    HANG = auto()
    HANG_UP = auto()
    RESET = auto()


Step = str | Fault


class _LeaveError(Exception):
    """The conversation is over."""


def server_tls() -> ssl.SSLContext:
    """A server's side for `localhost`, signed by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_tls() -> ssl.SSLContext:
    """A client's side that trusts the certificate of `server_tls`."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class SmtpServer:
    """A scripted mail server.

    `steps` says what follows a command instead of success: a reply, a fault, or a list of them, one a time and the last
    for ever. The keys are verbs, `GREETING`, and `BODY` for the end of the mail. `AFTER_DATA` happens right after 354.
    """

    steps: dict[str, Step | list[Step]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 1000000")
    tls: ssl.SSLContext | None = None
    login: str = ""
    wants_data_for_nobody: bool = False
    port: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    has_mail: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _has_recipient: bool = False

    def verbs(self) -> list[str]:
        """The commands' first words, in order."""
        return [command.partition(" ")[0].upper() for command in self.commands]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until either leaves."""
        self.connections += 1
        self.writers.append(writer)
        try:
            await self._answer("GREETING", writer, "220 localhost ready")
            while line := await reader.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                await self._obey(command, reader, writer)
        except (_LeaveError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _obey(self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = command.partition(" ")[0].upper()
        match verb:
            case "EHLO":
                lines = ["localhost", *self.extensions]
                reply = "\r\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines)
                await self._answer(verb, writer, reply)
            case "STARTTLS":
                await self._answer(verb, writer, "220 go ahead")
                assert self.tls is not None
                await writer.start_tls(self.tls)
            case "AUTH":
                await self._answer(verb, writer, "235 welcome" if self.login in command else "535 5.7.8 no")
            case "DATA":
                if not (self._has_recipient or self.wants_data_for_nobody):
                    await self._answer("NOBODY", writer, "503 5.5.1 no recipients")
                elif await self._answer(verb, writer, "354 go on"):
                    await self._receive(reader, writer)
            case "RCPT":
                self._has_recipient = await self._answer(verb, writer, "250 ok")
            case "QUIT":
                await self._answer(verb, writer, "221 bye")
                raise _LeaveError
            case _:
                await self._answer(verb, writer, "250 2.0.0 Ok")

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "AFTER_DATA" in self.steps:
            await self._answer("AFTER_DATA", writer, "")
        raw = await reader.readuntil(b"\r\n.\r\n")
        self.mails.append(raw[:-3].replace(b"\r\n..", b"\r\n."))
        self.has_mail.set()
        await self._answer("BODY", writer, "250 2.0.0 Ok: queued as 4F2A77")

    async def _answer(self, verb: str, writer: asyncio.StreamWriter, usual: str) -> bool:
        step = self.steps.get(verb, usual)
        if isinstance(step, list):
            step = step.pop(0) if len(step) > 1 else step[0]
        if isinstance(step, Fault):
            await _commit(step, writer)
        else:
            writer.write(step.encode() + b"\r\n")
            await writer.drain()
            if step.startswith("421"):
                raise _LeaveError
        return step == usual


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answers:
    """One HTTP answer. In the middle of the body the connection ends (`breaks_off`) or falls silent (`never_ends`)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks_off: bool = False
    never_ends: bool = False


@dataclass
class HttpServer:
    """A scripted web server: one step a request, the last for ever."""

    steps: Sequence[Answers | Fault]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until either leaves."""
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                self.requests.append(await _read_request(reader))
                step = self.steps[min(len(self.requests), len(self.steps)) - 1]
                if isinstance(step, Fault):
                    await _commit(step, writer)
                else:
                    await _respond(step, writer)
        except (_LeaveError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Server = TypeVar("Server", SmtpServer, HttpServer)


@asynccontextmanager
async def running(server: Server, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Listen on loopback while the block runs, then end every conversation."""
    tasks: set[asyncio.Task[None]] = set()

    def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(welcome, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in server.writers:
            writer.transport.abort()
        await listener.wait_closed()


async def _commit(fault: Fault, writer: asyncio.StreamWriter) -> None:
    match fault:
        case Fault.HANG:
            await asyncio.Event().wait()
        case Fault.HANG_UP:
            raise _LeaveError
        case Fault.RESET:
            # Lingering for no time makes close() send RST instead of FIN.
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _LeaveError


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head[0].split(" ")[1], headers, body)


async def _respond(answer: Answers, writer: asyncio.StreamWriter) -> None:
    length = len(answer.body) + (1000 if answer.breaks_off or answer.never_ends else 0)
    head = [f"HTTP/1.1 {answer.status} So", f"Content-Length: {length}"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + answer.body)
    await writer.drain()
    if answer.breaks_off:
        raise _LeaveError
