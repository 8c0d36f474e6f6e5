"""One JSON POST to a provider, and exactly how far it came when it failed.

What is known of the phase: aiohttp hands the body to the socket last, together with the headers. Until then the
provider cannot have taken the message; from then on silence is `Unsure`. A status code is an answer, even where the
connection breaks behind it. Knows no provider's words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from worker.core.mask import mask
from worker.core.outcome import Deferred, Unsure

_BODY_LIMIT = 64 * 1024
_KEEPALIVE_SECONDS = 15.0  # under the usual 20 to 60 s of servers, so that we leave first
_LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said. `body` holds at most 64 KiB, less where the connection broke after the status."""

    status: int
    body: bytes
    retry_after: timedelta | None = None


class Poster:
    """Posts over one pool of connections. No redirects, no cookies, no retries."""

    def __init__(self, *, concurrency: int) -> None:
        self._concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, secret: str = ""
    ) -> Answer | Deferred | Unsure:
        """Post and read the answer, both within the timeout. `secret` never shows in a detail."""
        payload = _Payload(body)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(url, payload, headers)
        except TimeoutError:
            return payload.answer or payload.silence("timed out", is_outage=True)
        except aiohttp.ClientConnectorError as error:
            return payload.silence(_words(error, secret), is_outage=True)
        except (aiohttp.ClientError, OSError) as error:
            return payload.silence(_words(error, secret), is_outage=False)

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice; a later post opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, url: str, payload: _Payload, headers: Mapping[str, str]) -> Answer:
        session = self._session or self._open()
        # The addresses were checked and are sent as they are: quoting them anew could only change them.
        async with session.post(
            URL(url, encoded=True), data=payload, headers=headers, allow_redirects=False
        ) as response:
            retry_after = _retry_after(response.headers.get("Retry-After", ""))
            payload.answer = Answer(response.status, b"", retry_after)
            return Answer(response.status, await _read(response), retry_after)

    def _open(self) -> aiohttp.ClientSession:
        # Made at the first post, because it belongs to the running loop.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._concurrency,
                keepalive_timeout=_KEEPALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "Kabar"},
        )
        return self._session


def host_of(url: str) -> str:
    """Name a provider by its URL: the host, and the port where it is given. User and password never show."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


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


class _Payload(aiohttp.BytesPayload):
    """A body that remembers whether it was handed to the socket, and the status that came back."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self.has_begun = False
        self.answer: Answer | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.has_begun = True
        await super().write_with_length(writer, content_length)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.has_begun = True
        await super().write(writer)

    def silence(self, detail: str, *, is_outage: bool) -> Deferred | Unsure:
        if self.has_begun:
            return Unsure("no_answer", detail)
        if is_outage:
            return Deferred("provider_unreachable", detail, costs_attempt=False, scope="account")
        return Deferred("connection_lost", detail)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        while len(body) < _BODY_LIMIT and (chunk := await response.content.readany()):
            body += chunk
    except (aiohttp.ClientError, OSError):
        # The status is the answer; what broke off behind it only explains.
        response.close()
    if len(body) >= _BODY_LIMIT:
        response.close()
    return bytes(body[:_BODY_LIMIT])


def _retry_after(value: str) -> timedelta | None:
    # The date form (RFC 9110, 10.2.3) is not used by these providers, and would need a clock we trust.
    if not (value.isascii() and value.isdigit()):
        return None
    return min(timedelta(seconds=int(value[:9])), _LONGEST_WAIT)


def _words(error: Exception, secret: str) -> str:
    return mask(f"{type(error).__name__}: {error}", secret)
