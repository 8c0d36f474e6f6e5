"""The providers of the measured job: an SMTP server and a Slack webhook that say yes and write down what they got.

Both live in one process of their own, on uvloop and bare protocols, so that they cost about 10 µs a message and
nothing of it falls on the workers. The parent asks over the child's stdin, one word a line; end of input ends it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Literal, Protocol, cast

import orjson
import uvloop

from tests.bench.books import Accepted, Books
from tests.bench.errors import RunFailed

ROOT = Path(__file__).parents[2]
_MARK = b"bench-"
_DIGITS = 7
_ANSWER_SECONDS = 30

Entry = tuple[int, int, str]
Manner = Literal["answer", "hang", "refuse"]
"""Say yes; take everything and say nothing until the manner changes, then answer who still waits; say 503."""


@dataclass(slots=True)
class Sinks:
    """The running sinks as their parent sees them. One question at a time."""

    pid: int
    smtp_port: int
    http_port: int
    _process: Process
    _folder: Path

    @staticmethod
    @asynccontextmanager
    async def start(folder: Path) -> AsyncIterator[Sinks]:
        """Run both sinks on free loopback ports until the block ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.sinks", stdin=PIPE, stdout=PIPE, cwd=ROOT, start_new_session=True
        )
        try:
            smtp_port, http_port = (int(port) for port in (await _line(process)).split())
            yield Sinks(process.pid, smtp_port, http_port, process, folder)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def count(self, which: str = "") -> int:
        """Answer how many messages were accepted since the books were last closed.

        `which`: all, those of one channel (`email`, `slack`), or `from N`: those of events numbered so or higher.
        """
        return int(await self._ask(f"count {which}".strip()))

    async def behave(self, channel: str, manner: Manner) -> None:
        """Let a channel's provider do so from now on. Only Slack's can do anything but answer."""
        await self._ask(f"behave {channel} {manner}")

    async def close_books(self) -> Books:
        """Answer everything accepted since the last time, and begin new books."""
        path = self._folder / "books.json"
        await self._ask(f"close {path}")
        pages: dict[str, list[Entry]] = orjson.loads(path.read_bytes())
        return {channel: [Accepted(*entry) for entry in entries] for channel, entries in pages.items()}

    async def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        return await _line(self._process)


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_ANSWER_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RunFailed("the sinks ended; their complaint stands above")
    return line.decode().strip()


class _Book:
    """Notes what was accepted. A message without a number is a bug of the measurement, and ends it."""

    __slots__ = ("manners", "pages")

    def __init__(self) -> None:
        self.manners: dict[str, str] = {}
        self.pages: dict[str, list[Entry]] = {"email": [], "slack": []}

    def count(self, which: str) -> int:
        """Count what `Sinks.count` asks for."""
        if which in self.pages:
            return len(self.pages[which])
        least = int(which.removeprefix("from ") or 0)
        pages = self.pages.values()
        return sum(entry[0] >= least for page in pages for entry in page) if least else sum(map(len, pages))

    def enter(self, channel: str, message: bytes, message_id: str) -> None:
        at = message.find(_MARK)
        if at < 0:
            sys.stderr.write(f"a message on {channel} has no event's number: {message[:1000]!r}\n")
            sys.stderr.flush()
            os._exit(1)
        at += len(_MARK)
        self.pages[channel].append((int(message[at : at + _DIGITS]), monotonic_ns(), message_id))


_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_YES = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_NOT_NOW = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ndown"
_SMTP_ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class _Speaker(Protocol):
    """One side of a conversation: what it says first, what it answers, and whether it is over."""

    greeting: bytes
    is_over: bool

    def eat(self, data: bytes, answers: list[bytes]) -> int:
        """Take the whole pieces at the start of `data`, add their answers, and answer how many bytes that was."""
        ...


class _Connection(asyncio.Protocol):
    """Bytes pile up until a piece is whole; the answers to one read go out as one write."""

    def __init__(self, speaker: _Speaker, connected: set[_Connection]) -> None:
        self._speaker = speaker
        self._connected = connected
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connected.add(self)
        if self._speaker.greeting:
            self._transport.write(self._speaker.greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected.discard(self)

    def data_received(self, data: bytes) -> None:
        data = self._pending + data if self._pending else data
        answers: list[bytes] = []
        self._pending = data[self._speaker.eat(data, answers) :]
        if answers:
            self._transport.write(b"".join(answers))
        if self._speaker.is_over:
            self._transport.close()


class _Smtp:
    """RFC 5321 as far as a sender of mail gets: every sender, recipient and message is taken. Pipelining is fine."""

    greeting = b"220 sink ESMTP\r\n"

    def __init__(self, book: _Book) -> None:
        self.is_over = False
        self._book = book
        self._in_data = False

    def eat(self, data: bytes, answers: list[bytes]) -> int:
        at = 0
        while True:
            ending = b"\r\n.\r\n" if self._in_data else b"\r\n"
            end = data.find(ending, at)
            if end < 0:
                return at
            answers.append(self._take(data[at:end]) if self._in_data else self._obey(data[at : at + 4].upper()))
            at = end + len(ending)

    def _obey(self, verb: bytes) -> bytes:
        self._in_data = verb == b"DATA"
        self.is_over = verb == b"QUIT"
        return _SMTP_ANSWERS.get(verb, b"502 5.5.1 unknown here\r\n")

    def _take(self, mail: bytes) -> bytes:
        found = _MESSAGE_ID.search(mail)
        self._book.enter("email", mail, found[1].decode() if found else "")
        self._in_data = False
        return b"250 2.0.0 queued\r\n"


class _Webhook:
    """HTTP/1.1 with keep-alive and Content-Length, answering 200 `ok` as Slack's incoming webhooks do."""

    greeting = b""

    def __init__(self, book: _Book) -> None:
        self.is_over = False
        self._book = book

    def eat(self, data: bytes, answers: list[bytes]) -> int:
        at = 0
        manner = self._book.manners.get("slack", "answer")
        while manner != "hang" and (head := data.find(b"\r\n\r\n", at)) >= 0:
            length = _LENGTH.search(data, at, head)
            if length is None:
                answers.append(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
                self.is_over = True
                return len(data)
            end = head + 4 + int(length[1])
            if len(data) < end:
                break
            at = end
            if manner == "answer":
                self._book.enter("slack", data[head + 4 : end], "")
            answers.append(_YES if manner == "answer" else _NOT_NOW)
        return at


async def _serve() -> None:
    book = _Book()
    connected: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: _Connection(_Smtp(book), connected), "127.0.0.1", 0)
    http = await loop.create_server(lambda: _Connection(_Webhook(book), connected), "127.0.0.1", 0)
    questions = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    _reply(f"{smtp.sockets[0].getsockname()[1]} {http.sockets[0].getsockname()[1]}")
    while line := await questions.readline():
        question, _, argument = line.decode().strip().partition(" ")
        if question == "count":
            _reply(str(book.count(argument)))
        elif question == "behave":
            channel, _, manner = argument.partition(" ")
            book.manners[channel] = manner
            for connection in tuple(connected):
                connection.data_received(b"")  # what was left lying
            _reply("so be it")
        else:
            Path(argument).write_bytes(orjson.dumps(book.pages))  # noqa: ASYNC240 - nobody sends meanwhile
            book.pages = _Book().pages
            _reply("closed")


def _reply(answer: str) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve())
