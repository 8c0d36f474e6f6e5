"""One JSON POST to a provider, and exactly how far it came when it failed.

What is known of the phase: a request is handed to the socket as a whole. Until then the provider cannot have taken
the message; from then on silence is `Unsure`. A status code is an answer, even where the connection breaks behind it.
Knows no provider's words.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from worker.channels.fitting import one_line
from worker.channels.http_connection import Answer, Connection, connect
from worker.channels.tls import trust
from worker.core.mask import mask
from worker.core.outcome import Deferred, Unsure

_KEEPALIVE_SECONDS = 15.0  # under the usual 20 to 60 s of servers, so that we leave first
_LONGEST_REFERENCE = 64
_PORTS = {"http": 80, "https": 443}


class _Origin(NamedTuple):
    """Whom a URL speaks to. `host` is bare, `head` what each request to it has in common."""

    host: str
    port: int
    is_encrypted: bool
    head: str


class Poster:
    """Posts over one pool of connections. No redirects, no cookies, no proxies, no retries."""

    def __init__(self) -> None:
        self._idle: dict[_Origin, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()
        self._tls = trust()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, secret: str = ""
    ) -> Answer | Deferred | Unsure:
        """Post and read the answer, both within the timeout. `secret` never shows in a detail."""
        trip = _Trip()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._carry(url, body, headers, trip)
        except TimeoutError:
            return trip.answer() or trip.silence("timed out")
        except OSError as error:
            return trip.silence(_words(error, secret))

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice; a later post opens new ones."""
        self._idle.clear()
        while self._open:
            self._open.pop().close()

    async def _carry(self, url: str, body: bytes, headers: Mapping[str, str], trip: _Trip) -> Answer:
        end = url.find("/", len("https://"))
        origin = _origin(url[:end])
        request = _request(origin, url[end:], headers, body)
        trip.connection = connection = self._take(origin) or await self._connect(origin)
        try:
            return await connection.exchange(request)
        finally:
            self._give_back(origin, connection)

    def _take(self, origin: _Origin) -> Connection | None:
        """Answer a connection that is open, the last used first."""
        idle = self._idle[origin]
        oldest = time.monotonic() - _KEEPALIVE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.is_reusable and connection.used_at > oldest:
                return connection
            self._drop(connection)
        return None

    async def _connect(self, origin: _Origin) -> Connection:
        connection = await connect(origin.host, origin.port, self._tls if origin.is_encrypted else None)
        self._open.add(connection)
        return connection

    def _give_back(self, origin: _Origin, connection: Connection) -> None:
        """Keep it for the next, unless what was under way was cut off or the provider wants it closed."""
        if not connection.is_reusable:
            self._drop(connection)
            return
        connection.used_at = time.monotonic()
        self._idle[origin].append(connection)

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()


@dataclass(slots=True)
class _Trip:
    """How far a request has come."""

    connection: Connection | None = None

    def answer(self) -> Answer | None:
        return self.connection.so_far if self.connection else None

    def silence(self, detail: str) -> Deferred | Unsure:
        """What it means that no answer came."""
        if self.connection is None:
            return Deferred("provider_unreachable", detail, costs_attempt=False, scope="account")
        if self.connection.has_begun:
            return Unsure("no_answer", detail)
        return Deferred("connection_lost", detail)


@lru_cache(maxsize=64)
def _origin(url: str) -> _Origin:
    """Read a URL without its path. Raises OSError where it cannot be reached because it is none."""
    try:
        read = urlsplit(url)
        port = read.port or _PORTS[read.scheme]
    except (ValueError, KeyError):
        raise OSError("the provider's address is no URL") from None
    head = (
        f"Host: {read.netloc.rpartition('@')[2]}\r\nUser-Agent: Kabar\r\nAccept-Encoding: identity\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
    )
    return _Origin(read.hostname or "", port, read.scheme == "https", head)


def _request(origin: _Origin, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"POST {path} HTTP/1.1\r\n{origin.head}{own}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def host_of(url: str) -> str:
    """Name a provider by its URL: the host, and the port where it is given. User and password never show."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def reference(said: object) -> str:
    """Give the provider's own id for a message as the ledger can hold it: it must not fail over what was sent."""
    return one_line(str(said))[:_LONGEST_REFERENCE] if isinstance(said, str | int) else ""


def provider_failure(answer: Answer, detail: str) -> Deferred:
    """What a 5xx, a 408 or a redirect means: later.

    502, 503 and 504 are said of a provider that is down, so they cost no attempt and the account rests. Any other may
    be this message's own doing and must come to an end some time.
    """
    is_outage = answer.status in (502, 503, 504)
    return Deferred(
        "provider_error",
        detail,
        retry_after=answer.retry_after,
        costs_attempt=not is_outage,
        scope="account" if is_outage else "",
    )


def _words(error: Exception, secret: str) -> str:
    return mask(f"{type(error).__name__}: {error}", secret)
