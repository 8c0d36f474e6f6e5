"""The providers of a scene, in a process of their own: a mail server, Telegram and Slack, that do as they are told.

What each was given is appended to one file (O_APPEND) at the moment it is accepted or refused, before the answer goes
out: the book survives whatever happens to the workers. The parent says over stdin how each provider is to behave.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Literal, NoReturn

import orjson

from worker.dev.process import dying_with_us

CHANNELS = ("email", "telegram", "slack")
ROOT = Path(__file__).parents[2]
_ANSWER_SECONDS = 10
_BUFFER_BYTES = 4 * 1024 * 1024
_MARK = re.compile(rb"mark-(\d{7})")
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(rb"TO:\s*<([^>]*)>", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a provider treats what comes.

    `do`: take it; answer with a `code` and a `text` (SMTP: to RCPT, or to the connection where the code is 421) and,
    for HTTP, `retry_after` seconds; say nothing and take nothing; take it and cut the line instead of answering.
    `only_to`: addresses that contain this; the others are taken. `times`: so many messages, then all are taken.
    `answer_after`: seconds from taking a message to saying so.
    """

    do: Literal["accept", "answer", "hang", "accept_and_cut"] = "accept"
    code: int = 0
    text: str = ""
    retry_after: int = 0
    only_to: str = ""
    times: int | None = None
    answer_after: float = 0.0


ACCEPT = Treatment()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message a provider was given. `at`: CLOCK_MONOTONIC, seconds. `number` is None where its words never came."""

    channel: str
    number: int | None
    to: str
    at: float
    accepted: bool
    code: int = 0
    message_id: str = ""


class Fakes:
    """The running providers as the scene sees them."""

    def __init__(self, process: Process, book: Path, smtp_port: int, http_port: int) -> None:
        self._process = process
        self._book = book
        self._entries: list[Entry] = []
        self._read_bytes = 0
        self.smtp_url = f"smtp://127.0.0.1:{smtp_port}"
        self.http_url = f"http://127.0.0.1:{http_port}"

    @staticmethod
    @asynccontextmanager
    async def start(folder: Path) -> AsyncIterator[Fakes]:
        """Run the providers on free ports of loopback until the block ends; the book lies in `folder`."""
        book = folder / "accepted.ndjson"
        process = await asyncio.create_subprocess_exec(
            *map(str, dying_with_us(signal.SIGKILL)),
            *(sys.executable, "-m", "tests.faults.fakes", str(book)),
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            smtp_port, http_port = map(int, (await _line(process)).split())
            yield Fakes(process, book, smtp_port, http_port)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def treat(self, channel: str, treatment: Treatment) -> None:
        """Change how a provider treats what comes from now on. Whoever is kept waiting then is hung up on."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"channel": channel, **asdict(treatment)}) + b"\n")
        await _line(self._process)

    def entries(self) -> list[Entry]:
        """Answer everything that the providers were given until now, in the order of arrival."""
        if self._book.exists():
            with self._book.open("rb") as book:
                book.seek(self._read_bytes)
                news, _, _ = book.read().rpartition(b"\n")
            self._read_bytes += len(news) + 1 if news else 0
            self._entries += [Entry(**orjson.loads(line)) for line in news.splitlines()]
        return self._entries


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_ANSWER_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the fake providers ended; their complaint stands above")
    return line.decode().strip()


class _Cut(Exception):
    """This line is to be cut without another word."""


class _Providers:
    """The child's side: how each channel is treated, and the book."""

    def __init__(self, book: Path) -> None:
        self._book = os.open(book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._treatments = dict.fromkeys(CHANNELS, ACCEPT)
        self._changed = asyncio.Event()

    def change(self, channel: str, treatment: Treatment) -> None:
        self._treatments[channel] = treatment
        self._changed.set()
        self._changed = asyncio.Event()

    def treatment(self, channel: str, to: str) -> Treatment:
        """Say how the next message to this address is treated, and count it."""
        current = self._treatments[channel]
        if current.only_to not in to or current.times == 0:
            return ACCEPT
        if current.times is not None:
            self._treatments[channel] = replace(current, times=current.times - 1)
        return current

    def refuses_connections(self) -> Treatment | None:
        current = self._treatments["email"]
        return current if current.do == "answer" and current.code == 421 and not current.only_to else None

    def enter(self, channel: str, to: str, message: bytes, *, accepted: bool, code: int = 0) -> None:
        mark, named = _MARK.search(message), _MESSAGE_ID.search(message)
        entry = Entry(
            channel, int(mark[1]) if mark else None, to, monotonic(), accepted, code, named[1].decode() if named else ""
        )
        os.write(self._book, orjson.dumps(entry) + b"\n")

    async def keep_waiting(self) -> NoReturn:
        await self._changed.wait()
        raise _Cut

    async def receive(self, channel: str, to: str, message: bytes, treatment: Treatment) -> None:
        """Enter a whole message; returns where it is to be answered."""
        match treatment.do:
            case "accept":
                self.enter(channel, to, message, accepted=True)
                await asyncio.sleep(treatment.answer_after)
            case "answer":
                self.enter(channel, to, message, accepted=False, code=treatment.code)
            case "hang":
                self.enter(channel, to, message, accepted=False)
                await self.keep_waiting()
            case "accept_and_cut":
                self.enter(channel, to, message, accepted=True)
                raise _Cut

    async def mail(self, reader: StreamReader, writer: StreamWriter) -> None:
        """RFC 5321 as far as a sender of mail gets, with PIPELINING."""
        to, treatment = "", ACCEPT
        writer.write(b"421 4.3.2 not now\r\n" if self.refuses_connections() else b"220 scene ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"QUIT" or self.refuses_connections():
                writer.write(b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"421 4.3.2 not now\r\n")
                return
            if verb == b"RCPT" and (found := _RECIPIENT.search(line)):
                to = found[1].decode()
                treatment = self.treatment("email", to)
                refused = treatment.do == "answer"
                if refused:
                    self.enter("email", to, b"", accepted=False, code=treatment.code)
                writer.write(f"{treatment.code} {treatment.text}\r\n".encode() if refused else b"250 2.1.5 ok\r\n")
            elif verb == b"DATA" and treatment.do == "answer":
                writer.write(b"503 5.5.1 no valid recipients\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                mail = await reader.readuntil(b"\r\n.\r\n")
                await self.receive("email", to, mail, treatment)
                writer.write(b"250 2.0.0 queued\r\n")
            elif verb == b"EHLO":
                writer.write(b"250-scene\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async def web(self, reader: StreamReader, writer: StreamWriter) -> None:
        """HTTP/1.1 with keep-alive and Content-Length: Telegram's sendMessage, and Slack's webhooks for every path."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            body = await reader.readexactly(int(found[1])) if found else b""
            path = head.split(b" ", 2)[1].decode()
            channel = "telegram" if path.startswith("/bot") else "slack"
            to = str(orjson.loads(body)["chat_id"]) if channel == "telegram" else path
            treatment = self.treatment(channel, to)
            await self.receive(channel, to, body, treatment)
            writer.write(_http_answer(channel, treatment))


def _http_answer(channel: str, treatment: Treatment) -> bytes:
    code = treatment.code or 200
    wait = f"Retry-After: {treatment.retry_after}\r\n" if treatment.retry_after else ""
    if channel == "slack":
        body = (treatment.text or "ok").encode()
    elif code == 200:
        body = b'{"ok":true,"result":{"message_id":1}}'
    else:
        parameters = {"retry_after": treatment.retry_after} if treatment.retry_after else {}
        said = {"ok": False, "error_code": code, "description": treatment.text, "parameters": parameters}
        body = orjson.dumps(said)
    return f"HTTP/1.1 {code} Said\r\n{wait}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _serve(book: Path) -> None:
    providers = _Providers(book)

    async def converse(reader: StreamReader, writer: StreamWriter, *, smtp: bool) -> None:
        try:
            await (providers.mail if smtp else providers.web)(reader, writer)
            writer.close()
        except _Cut:
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()  # whoever called has hung up

    smtp = await asyncio.start_server(lambda r, w: converse(r, w, smtp=True), "127.0.0.1", 0, limit=_BUFFER_BYTES)
    http = await asyncio.start_server(lambda r, w: converse(r, w, smtp=False), "127.0.0.1", 0, limit=_BUFFER_BYTES)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say(f"{smtp.sockets[0].getsockname()[1]} {http.sockets[0].getsockname()[1]}")
    while line := await orders.readline():
        order = orjson.loads(line)
        providers.change(order.pop("channel"), Treatment(**order))
        _say("done")


def _say(answer: str) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Path(sys.argv[1])))
