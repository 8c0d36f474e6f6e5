"""One standing connection of HTTP/1.1 to a provider: a request out, its answer in, and then the next.

Written for one thing, which it does in a third of the time of a general client. What an answer says httptools reads
(the parser of Node.js). Knows nothing of messages, and never sends anything twice.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import timedelta

import httptools
from aiohappyeyeballs import start_connection

_BODY_LIMIT = 64 * 1024
_LIMIT = 4 * _BODY_LIMIT
"""Bytes of a whole answer, its head and all that goes before it included; the parser itself has no bound."""
_LONGEST_WAIT = timedelta(days=1)
_OTHER_ADDRESS_SECONDS = 0.25  # RFC 8305, 5: how long one address of a host is tried alone
_FIRST_FINAL = 200
_SWITCHING = 101


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said. `body` holds at most 64 KiB, less where the connection broke after the status."""

    status: int
    body: bytes
    retry_after: timedelta | None = None


class Connection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self) -> None:
        self.used_at = 0.0
        """When it last carried something: monotonic, for whoever keeps it."""
        self.has_begun = False
        """The request under way was handed to the socket."""
        self._is_at_rest = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None
        self._status = 0
        self._retry_after = ""
        self._body = bytearray()
        self._room = 0

    @property
    def is_reusable(self) -> bool:
        """Answer whether it is open, and both sides are done with the last request."""
        return self._is_at_rest and self._transport is not None and not self._transport.is_closing()

    @property
    def so_far(self) -> Answer | None:
        """The answer as far as it has come; None before its status."""
        return Answer(self._status, bytes(self._body), _seconds(self._retry_after)) if self._status else None

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and wait for its answer. Raises OSError where the connection ends before a status has come."""
        self.has_begun = self._is_at_rest = False
        self._status, self._retry_after = 0, ""
        self._body.clear()
        self._room = _LIMIT
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed before the request")
        self._done = asyncio.get_running_loop().create_future()
        self.has_begun = True
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        """Close it, whatever is under way. Safe to call twice."""
        self._is_at_rest = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport  # type: ignore[assignment]  # create_connection makes no other kind

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._done is None or self._done.done():
            self.close()  # an answer to nothing
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end()
        except httptools.HttpParserError as error:
            self._end(ConnectionError(f"not HTTP: {type(error).__name__}"))
        self._room -= len(data)
        if self._room < 0:
            self._end(ConnectionError("too long an answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop. An answer without a length ends with its connection."""
        self._end(exc if isinstance(exc, OSError) else ConnectionResetError("closed without an answer"))

    def on_message_begin(self) -> None:
        """Called by the parser. A second answer to one request leaves the connection out of step."""
        self._retry_after = ""
        if self._done is None or self._done.done():
            self._is_at_rest = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by the parser. What is below 200 only announces the answer (RFC 9110, 15.2), or leaves HTTP."""
        status = self._parser.get_status_code()
        if status >= _FIRST_FINAL or status == _SWITCHING:
            self._status = status

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body[: _BODY_LIMIT - len(self._body)]
        if len(self._body) == _BODY_LIMIT:
            self._end()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._status and self._done is not None and not self._done.done():
            self._is_at_rest = self._parser.should_keep_alive()
            self._done.set_result(Answer(self._status, bytes(self._body), _seconds(self._retry_after)))

    def _end(self, error: OSError | None = None) -> None:
        """Nothing more comes, or shall: what has come of the answer is the answer."""
        self.close()
        if self._done is None or self._done.done():
            return
        if so_far := self.so_far:
            self._done.set_result(so_far)
        else:
            self._done.set_exception(error or ConnectionError("no answer"))


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
    """Open a connection to whichever of the host's addresses answers first. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        raw = await start_connection(addresses, happy_eyeballs_delay=_OTHER_ADDRESS_SECONDS)
    except (RuntimeError, UnicodeError) as error:
        raise OSError(f"{host} cannot be reached: {error}") from error  # uvloop's word, and a name's, for the same
    try:
        _, connection = await loop.create_connection(
            Connection, sock=raw, ssl=tls, server_hostname=host if tls else None
        )
    except BaseException:
        raw.close()
        raise
    return connection


def _seconds(retry_after: str) -> timedelta | None:
    # The date form (RFC 9110, 10.2.3) is not used by these providers, and would need a clock we trust.
    if not (retry_after.isascii() and retry_after.isdigit()):
        return None
    return min(timedelta(seconds=int(retry_after[:9])), _LONGEST_WAIT)
