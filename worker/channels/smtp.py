"""One SMTP session: opened by aiosmtplib, then spoken in groups of commands.

aiosmtplib does the greeting, EHLO, STARTTLS and login. After that this module takes over the transport, because it must
know exactly what was on the wire when something broke, and because commands that travel together (RFC 2920) halve the
round trips of a mail. Knows nothing of mails' contents nor of what an answer means for a delivery.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

from worker.core.mask import hide

_REPLY_LIMIT = 64 * 1024  # bytes of answer after which the server is given up
_LINE = re.compile(r"[2-5]\d\d(?:[ -]|\Z)", re.ASCII)  # RFC 5321, 4.2
_USUAL_PORTS = (25, 465, 587)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Starttls = Literal["offered", "required", "never"]


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how to connect, as a URL said it."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    implicit_tls: bool = False
    starttls: Starttls = "offered"

    @property
    def name(self) -> str:
        """The host, and the port where it is not one of those that mail usually goes by."""
        return self.host if self.port in _USUAL_PORTS else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the server; `text` holds its lines joined by line feeds."""

    code: int
    text: str


LOST = Reply(0, "connection lost")
"""Stands where the connection ended before the answer."""


def read_url(url: str) -> Server:
    """Read `smtp://user:password@host:port?starttls=required|never` or `smtps://…`.

    Default ports: 587 with a user, else 25; 465 for smtps. Raises `ValueError` that says what was expected, without
    repeating the URL. A user's password goes over an unencrypted line only to this machine, or with `starttls=never`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError("expected smtp://user:password@host:port or smtps://…, with ?starttls=required or never")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    wish = options.pop("starttls", "")
    if options or wish not in ("", "required", "never") or (wish and parts.scheme == "smtps"):
        raise ValueError("the only option of an SMTP URL is starttls=required or starttls=never, for smtp:// only")
    username = unquote(parts.username or "")
    starttls: Starttls = "required" if wish == "required" else "never" if wish == "never" else "offered"
    if username and not wish and parts.hostname not in _LOOPBACK:
        starttls = "required"
    return Server(
        host=parts.hostname,
        port=parts.port or (465 if parts.scheme == "smtps" else 587 if username else 25),
        username=username,
        password=unquote(parts.password or ""),
        implicit_tls=parts.scheme == "smtps",
        starttls=starttls,
    )


class Session(asyncio.Protocol):
    """An open session. One task at a time may `ask`."""

    def __init__(
        self, transport: asyncio.Transport, extensions: frozenset[str], opened: float, login: tuple[str, ...] = ()
    ) -> None:
        self.extensions = extensions
        self.opened = opened
        self.used = opened
        self.mails = 0
        self.needs_reset = False
        self._transport = transport
        self._login = login
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._replies: list[Reply] = []
        self._wanted = 0
        self._received = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server may still listen, as far as this side knows."""
        return not self._transport.is_closing()

    async def ask(self, data: bytes, replies: int = 1) -> list[Reply]:
        """Write and give exactly so many replies; `LOST` stands for each that the connection's end cut off.

        When this is cancelled the session is out of step: close it.
        """
        self._replies = []
        self._wanted = replies
        self._received = 0
        if self.is_open:
            self._waiter = asyncio.get_running_loop().create_future()
            self._transport.write(data)
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._replies + [LOST] * (replies - len(self._replies))

    def close(self, *, politely: bool = False) -> None:
        """End the session: with QUIT if `politely`, at once otherwise. Safe to call twice."""
        if politely and self.is_open:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect lines into replies. What nobody asked for (an idle server's 421) ends the session."""
        if self._waiter is None:
            self._transport.abort()
            return
        self._received += len(data)
        if self._received > _REPLY_LIMIT:
            self._transport.abort()
            return
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        if not all(self._take_line(line.decode("utf-8", "replace").rstrip()) for line in lines):
            self._transport.abort()  # this is not SMTP, and nothing behind it can be trusted

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits: there will be no more replies."""
        self._wake()

    def _take_line(self, line: str) -> bool:
        if not _LINE.match(line):
            return False
        self._lines.append(hide(line[4:], self._login) if line[0] in "45" else line[4:])
        if line[3:4] != "-":
            self._replies.append(Reply(int(line[:3]), "\n".join(self._lines)))
            self._lines = []
        if len(self._replies) == self._wanted:
            self._wake()
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def open_session(server: Server, *, hostname: str, tls_context: ssl.SSLContext) -> Session:
    """Connect, greet, encrypt and log in. Raises what aiosmtplib raises, or `OSError`. The deadline is the caller's."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username or None,
        password=server.password if server.username else None,
        local_hostname=hostname,
        use_tls=server.implicit_tls,
        start_tls=None if server.starttls == "offered" else server.starttls == "required",
        tls_context=tls_context,
        timeout=None,
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await _greet(client)
        session = Session(
            # aiosmtplib types it as the bare base; after connect it is a stream.
            cast(asyncio.Transport, client.transport),
            frozenset(client.esmtp_extensions),
            asyncio.get_running_loop().time(),
            (server.password, server.username),
        )
        cast(asyncio.Transport, client.transport).set_protocol(session)
    except BaseException:
        client.close()
        raise
    return session


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()
