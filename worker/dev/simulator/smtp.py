"""A small SMTP server that takes mail for everybody and delivers it nowhere but to the arrivals.

It is strict where public servers are (RFC 5321 sizes, 7-bit addresses without SMTPUTF8, lines of at most 998
octets), so that what it takes, they take. Extensions: PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8
(RFC 6531), SIZE (RFC 1870), AUTH (RFC 4954, any credentials), ENHANCEDSTATUSCODES (RFC 2034). No TLS: loopback only.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from contextlib import suppress

from worker.dev.simulator.arrivals import Arrivals
from worker.dev.simulator.behaviour import Gate, wish_in
from worker.dev.simulator.mail import read_mail

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
MAX_LINE_BYTES = 1_000
_MAX_RECIPIENTS = 100
_BUFFER_BYTES = 1024 * 1024
_PATH = re.compile(r"\s*<([^<>]*)>(?:\s+(.*))?", re.DOTALL)
_END = b".\r\n"
_EXTENSIONS = ("PIPELINING", f"SIZE {MAX_MESSAGE_BYTES}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_BAD_LOGIN = "535 5.7.8 Authentication credentials invalid"


class SmtpServer:
    """Listens after `start`, until `aclose`."""

    def __init__(self, arrivals: Arrivals, gate: Gate) -> None:
        self._arrivals = arrivals
        self._gate = gate
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, host: str, port: int) -> int:
        """Begin to listen. Answers the port, which matters when 0 was asked for."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_BUFFER_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Hang up on everybody and stop listening. Safe to call twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this runs in the task that asyncio made for it
        self._open[task] = writer
        try:
            # The client is free to leave at any line, in whatever way: that is no failure of the server's.
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await _Session(reader, writer, self._arrivals, self._gate).run()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._open[task]


class _Session:
    """One client's connection, command by command."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arrivals: Arrivals, gate: Gate
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._arrivals = arrivals
        self._gate = gate
        self._greeted = False
        self._sender: str | None = None
        self._is_utf8 = False
        self._recipients: list[str] = []

    async def run(self) -> None:
        self._reply("220 kabar.simulator ESMTP")
        while True:
            # Answers to pipelined commands leave together, when no further command is at hand.
            await self._writer.drain()
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                self._reply("500 5.5.2 Line too long")
                return
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "QUIT":
                self._reply("221 2.0.0 Bye")
                await self._writer.drain()
                return
            await self._obey(verb.upper(), rest)

    async def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "EHLO" | "HELO":
                self._greet(verb, rest)
            case "AUTH":
                await self._log_in(rest)
            case "MAIL":
                self._begin(rest)
            case "RCPT":
                self._address(rest)
            case "DATA":
                await self._take()
            case "RSET":
                self._forget()
                self._reply("250 2.0.0 Ok")
            case "NOOP":
                self._reply("250 2.0.0 Ok")
            case "VRFY":
                self._reply("252 2.5.0 Send it and see")
            case _:
                self._reply("502 5.5.1 Command not known")

    def _reply(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    def _greet(self, verb: str, name: str) -> None:
        self._forget()
        if not name:
            self._reply(f"501 5.5.4 {verb} needs a name")
            return
        self._greeted = True
        lines = ["kabar.simulator", *_EXTENSIONS, "AUTH PLAIN LOGIN"] if verb == "EHLO" else ["kabar.simulator"]
        for line in lines[:-1]:
            self._reply(f"250-{line}")
        self._reply(f"250 {lines[-1]}")

    async def _log_in(self, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        try:
            match mechanism.upper():
                case "PLAIN":
                    _, user, _ = (_decoded(first) if first else await self._ask("")).split("\0")
                case "LOGIN":
                    user = _decoded(first) if first else await self._ask("Username:")
                    await self._ask("Password:")
                case _:
                    self._reply("504 5.5.4 Only PLAIN and LOGIN are known")
                    return
        except ValueError:
            self._reply("501 5.5.2 Credentials are not base64 of the right shape")
            return
        self._reply(_BAD_LOGIN if wish_in(user) == "fail-permanent" else "235 2.7.0 Authentication successful")

    async def _ask(self, prompt: str) -> str:
        self._reply(f"334 {base64.b64encode(prompt.encode()).decode()}")
        await self._writer.drain()
        return _decoded((await self._reader.readuntil(b"\n")).decode("utf-8", "replace").strip())

    def _begin(self, rest: str) -> None:
        path = _path(rest, "FROM:")
        if not self._greeted or self._sender is not None:
            self._reply("503 5.5.1 Bad sequence of commands")
        elif path is None:
            self._reply("501 5.5.4 Syntax: MAIL FROM:<address>")
        else:
            sender, options = path[0], [option.upper() for option in path[1].split()]
            self._is_utf8 = "SMTPUTF8" in options
            fault = _option_fault(options) or self._address_fault(sender)
            if not fault:
                self._sender = sender
            self._reply(fault or "250 2.1.0 Ok")

    def _address(self, rest: str) -> None:
        path = _path(rest, "TO:")
        if self._sender is None:
            self._reply("503 5.5.1 MAIL first")
        elif path is None or not path[0]:
            self._reply("501 5.5.4 Syntax: RCPT TO:<address>")
        elif path[1]:
            self._reply("555 5.5.4 RCPT takes no parameters here")
        elif len(self._recipients) >= _MAX_RECIPIENTS:
            self._reply("452 4.5.3 Too many recipients")
        else:
            self._admit(path[0])

    def _admit(self, recipient: str) -> None:
        fault = self._address_fault(recipient) or self._refusal(recipient)
        if fault:
            self._arrivals.turn_away("email")
        else:
            self._recipients.append(recipient)
        self._reply(fault or "250 2.1.5 Ok")

    def _address_fault(self, address: str) -> str:
        if not address.isascii() and not self._is_utf8:
            return "553 5.6.7 Non-ASCII address without SMTPUTF8"
        return ""

    def _refusal(self, recipient: str) -> str:
        treatment = self._gate.treat(recipient, now=asyncio.get_running_loop().time())
        match treatment.wish:
            case "accept" | "silent":
                return ""
            case "fail-permanent":
                return f"550 5.1.1 <{recipient}>: no such mailbox"
            case "fail-transient":
                return f"451 4.3.0 <{recipient}>: mailbox busy, try again later"
            case "rate-limit":
                return f"450 4.2.1 <{recipient}>: receives too fast, retry in {treatment.retry_after_seconds} s"

    async def _take(self) -> None:
        if not self._recipients:
            self._reply("503 5.5.1 No valid recipients")
            return
        self._reply("354 End with a dot on a line of its own")
        await self._writer.drain()
        source, fault = await self._read_message()
        recipients = self._recipients
        self._forget()
        if fault:
            self._arrivals.turn_away("email")
            self._reply(fault)
            return
        self._deliver(source, recipients)
        if any(wish_in(recipient) == "silent" for recipient in recipients):
            await self._say_nothing()
        self._reply("250 2.0.0 Ok: queued")

    async def _read_message(self) -> tuple[bytes, str]:
        source = bytearray()
        fault = ""
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)
                fault = fault or "554 5.6.0 A line is longer than 998 octets"
                continue
            if line == _END:
                return bytes(source), fault
            line = line.removeprefix(b".")
            if len(source) + len(line) > MAX_MESSAGE_BYTES:
                fault = fault or "552 5.3.4 Message too big"
            if len(line) > MAX_LINE_BYTES:
                fault = fault or "554 5.6.0 A line is longer than 998 octets"
            if not fault:
                source += line

    def _deliver(self, source: bytes, recipients: list[str]) -> None:
        mail = read_mail(source)
        for recipient in recipients:
            self._arrivals.add(
                "email",
                to=recipient,
                title=mail.subject,
                text=mail.text,
                html=mail.html,
                raw=source,
                delivery_id=mail.delivery_id,
            )

    async def _say_nothing(self) -> None:
        while await self._reader.read(_BUFFER_BYTES):
            pass
        raise ConnectionResetError  # the client, or the simulator's end, has hung up


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _path(rest: str, keyword: str) -> tuple[str, str] | None:
    if not rest.upper().startswith(keyword):
        return None
    found = _PATH.fullmatch(rest[len(keyword) :])
    return (found[1], found[2] or "") if found else None


def _option_fault(options: list[str]) -> str:
    for option in options:
        name, _, value = option.partition("=")
        match name:
            case "SIZE" if value.isdecimal():
                if int(value) > MAX_MESSAGE_BYTES:
                    return "552 5.3.4 Message too big"
            case "BODY" if value in {"7BIT", "8BITMIME"}:
                pass
            case "SMTPUTF8" if not value:
                pass
            case _:
                return f"555 5.5.4 Parameter not known: {name}"
    return ""
