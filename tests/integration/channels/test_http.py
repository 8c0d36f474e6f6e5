"""How posts travel: one connection for many of them, and every way in which an answer may come, or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.integration.channels.wire import CERTIFICATE, server_tls
from worker.channels.http import Poster
from worker.channels.http_connection import Answer
from worker.channels.tls import trust
from worker.core.outcome import Deferred, Unsure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Script:
    """A server that answers each request with the next of these bytes, the last for ever; `ends`: and hangs up."""

    answers: Sequence[bytes]
    ends: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answers[min(len(self.requests), len(self.answers)) - 1])
                if self.ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def running(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Poster]:
    listener = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook"
    poster = Poster()
    try:
        yield poster
    finally:
        await poster.aclose()
        listener.close()
        for writer in script.writers:
            writer.transport.abort()
        await listener.wait_closed()


async def post(poster: Poster, url: str, seconds: float = 5.0) -> Answer | Deferred | Unsure:
    return await poster.post(url, b'{"text":"hi"}', {"Authorization": "Bearer x"}, timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, Answer(200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b"")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", Answer(200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Answer(200, b"ok")),
        (b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + OK, Answer(200, b"ok")),
        (b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n", Answer(429, b"", timedelta(seconds=7))),
        (
            b"HTTP/1.1 503 No\r\nRetry-After: Fri, 27 Nov 2026 10:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
            Answer(503, b""),
        ),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\n\x00", Answer(101, b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, Answer(200, b"x" * 65_536)),
    ],
)
async def test_every_form_of_an_answer_is_understood(answer: bytes, expected: Answer | None) -> None:
    """Whatever HTTP allows a server to say is an answer; None here: what has come until it falls silent."""
    script = Script([answer])

    async with running(script) as poster:
        found = await post(poster, script.url, 0.3 if expected is None else 5.0)

    assert found == (expected or Answer(200, b"o"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nas long as the connection", Answer(200, b"as long as the connection")),
        (b"HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\nno_serv", Answer(404, b"no_serv")),
    ],
)
async def test_an_answer_may_end_with_its_connection(answer: bytes, expected: Answer) -> None:
    """A status counts, however its body ends."""
    script = Script([answer], ends=True)

    async with running(script) as poster:
        assert await post(poster, script.url) == expected


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 O"]
)
async def test_no_status_is_no_answer(answer: bytes) -> None:
    """What ends before it has said a status, or is no HTTP, leaves open whether the message was taken."""
    script = Script([answer], ends=True)

    async with running(script) as poster:
        outcome = await post(poster, script.url)

    assert isinstance(outcome, Unsure)
    assert outcome.reason == "no_answer"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000_000, None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40_000, None),
        (
            b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: " + b"x" * 1_000_000,
            Answer(429, b""),
        ),
    ],
    ids=["head", "announcements", "trailer"],
)
async def test_an_answer_without_end_is_cut_off(answer: bytes, expected: Answer | None) -> None:
    """No server can fill the memory or hold up other channels: what is too long is read no further."""
    script = Script([answer])

    async with running(script) as poster:
        found = await post(poster, script.url)

    assert found == (expected or Unsure("no_answer", "ConnectionError: too long an answer"))


async def test_many_posts_share_one_connection() -> None:
    """A connection is opened once and used again; each request is whole and says whom it is for."""
    script = Script([OK])

    async with running(script) as poster:
        answers = [await post(poster, script.url) for _ in range(5)]

    host = script.url.removeprefix("http://").removesuffix("/hook")
    assert answers == [Answer(200, b"ok")] * 5
    assert script.connections == 1
    head, _, body = script.requests[-1].partition(b"\r\n\r\n")
    assert body == b'{"text":"hi"}'
    assert head.decode().split("\r\n") == [
        "POST /hook HTTP/1.1",
        f"Host: {host}",
        "User-Agent: Kabar",
        "Accept-Encoding: identity",
        "Content-Type: application/json; charset=utf-8",
        "Authorization: Bearer x",
        "Content-Length: 13",
    ]


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000,
    ],
    ids=["closes", "says more than was asked", "says too much"],
)
async def test_a_connection_out_of_step_is_not_used_again(first: bytes) -> None:
    """No post may get the answer to another one."""
    script = Script([first, OK])

    async with running(script) as poster:
        assert isinstance(await post(poster, script.url), Answer)
        assert await post(poster, script.url) == Answer(200, b"ok")

    assert script.connections == 2


async def test_what_the_server_closed_meanwhile_is_opened_anew() -> None:
    """A server that ends an idle connection costs nothing: the next post has not begun on it."""
    script = Script([OK])

    async with running(script) as poster:
        await post(poster, script.url)
        script.writers[0].close()
        await script.writers[0].wait_closed()
        for _ in range(10):  # rounds of the event loop, which we share: until we have heard of it
            await asyncio.sleep(0)
        assert await post(poster, script.url) == Answer(200, b"ok")

    assert script.connections == 2


async def test_a_post_that_was_given_up_leaves_no_connection_behind() -> None:
    """After a timeout the connection is closed: its late answer must not meet the next post."""
    script = Script([b"", OK])

    async with running(script) as poster:
        first = await post(poster, script.url, 0.2)
        second = await post(poster, script.url)

    assert first == Unsure("no_answer", "timed out")
    assert second == Answer(200, b"ok")
    assert script.connections == 2


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/hook", "http://no-such-host.invalid/hook", "ftp://127.0.0.1/hook", "http://[::1/hook"]
)
async def test_what_cannot_be_reached_has_not_begun(url: str) -> None:
    """Without a connection nothing was sent: it is an outage, and costs no attempt."""
    poster = Poster()

    outcome = await post(poster, url)
    await poster.aclose()

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("provider_unreachable", False, "account")


@pytest.mark.parametrize("is_known", [True, False])
async def test_only_a_certificate_somebody_vouches_for_is_trusted(
    is_known: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encrypted posts share a connection too; not a byte goes to whoever cannot show whom he is."""
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    trust.cache_clear()
    script = Script([OK])

    async with running(script, tls=server_tls()) as poster:
        outcomes = [await post(poster, script.url.replace("http://127.0.0.1", "https://localhost")) for _ in range(2)]

    trust.cache_clear()
    if is_known:
        assert outcomes == [Answer(200, b"ok")] * 2
        assert script.connections == 1
    else:
        for outcome in outcomes:
            assert isinstance(outcome, Deferred)
            assert outcome.reason == "provider_unreachable"
            assert "certificate" in outcome.detail.lower()
        assert script.requests == []
