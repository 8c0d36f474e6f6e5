"""Providers that gossip: whatever they are told they repeat in their error texts, as real ones do now and then.

One mode at a time for all of them; what they heard is counted, so that a test knows that each was asked.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from aiohttp import web


class Mode(Enum):
    """How they fail. One that whispers says only `Gossip.words`, the others all they heard.

    The last three are an account's trouble, which holds up all that follows.
    """

    WHISPER = auto()
    REFUSE = auto()
    BUSY = auto()
    GARBAGE = auto()
    HANG_UP = auto()
    NO_SUCH_ADDRESS = auto()
    LIMIT = auto()
    REJECT_LOGIN = auto()
    BREAK = auto()


_HTTP = {Mode.WHISPER: 400, Mode.REFUSE: 400, Mode.BUSY: 500, Mode.NO_SUCH_ADDRESS: 403, Mode.LIMIT: 429,
         Mode.REJECT_LOGIN: 401, Mode.BREAK: 503}  # fmt: skip
_BODY = {Mode.WHISPER: "554 5.6.0", Mode.REFUSE: "554 5.6.0", Mode.GARBAGE: "599 nonsense"}
_RCPT = {Mode.BUSY: "451 4.3.0", Mode.NO_SUCH_ADDRESS: "550 5.1.1", Mode.LIMIT: "421 4.7.0", Mode.BREAK: "454 4.7.0"}


@dataclass
class Gossip:
    """The mail server, and the web server that is Telegram and Slack at once."""

    words: str
    """What a message holds, as an answer that seems to say why."""
    mode: Mode = Mode.REFUSE
    heard: Counter[tuple[Mode, str]] = field(default_factory=Counter)
    smtp_port: int = 0
    http_port: int = 0

    async def serve_mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client. All it has said stands in every refusal."""
        said: list[str] = []
        writer.write(b"220 gossip\r\n")
        try:
            while line := (await reader.readline()).decode().strip():
                said.append(_decoded(line))
                verb = line.upper().partition(" ")[0]
                if verb == "DATA" and not self._refusal("DATA"):
                    writer.write(b"354 go on\r\n")
                    said.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    verb = "BODY"
                    self.heard[self.mode, "email"] += 1
                    if self.mode is Mode.HANG_UP:
                        return
                if verb in {"AUTH", "RCPT"}:
                    self.heard[self.mode, "email"] += 1
                refusal = self._refusal(verb)
                gossip = self._repeated(" ".join(" ".join(reversed(said)).split()))
                writer.write(f"{refusal} {gossip}\r\n".encode() if refusal else _AGREED.get(verb, b"250 2.0.0 ok\r\n"))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _refusal(self, verb: str) -> str:
        if verb == "AUTH":
            return "535 5.7.8" if self.mode is Mode.REJECT_LOGIN else ""
        if verb == "RCPT":
            return _RCPT.get(self.mode, "")
        if verb == "BODY":
            return _BODY.get(self.mode, "")
        return ""

    def _repeated(self, heard: str) -> str:
        return self.words if self.mode is Mode.WHISPER else heard

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take one call of either API, or of a webhook."""
        body = (await request.read()).decode()
        provider = "telegram" if request.path.startswith("/bot") else "slack"
        self.heard[self.mode, provider] += 1
        gossip = self._repeated(f"{body} {request.url} {dict(request.headers)}")
        if self.mode is Mode.HANG_UP:
            assert request.transport is not None
            request.transport.abort()
        if self.mode is Mode.GARBAGE:
            return web.Response(text=f"<html>{gossip}", headers={"Location": str(request.url)}, status=302)
        waits = {"parameters": {"retry_after": 1}} if self.mode is Mode.LIMIT else {}
        told = {"ok": False, "error_code": _HTTP.get(self.mode), "description": gossip, "error": gossip} | waits
        return web.json_response(told, status=_HTTP.get(self.mode, 200))


_AGREED = {
    "EHLO": b"250-gossip\r\n250-AUTH PLAIN LOGIN\r\n250 PIPELINING\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "QUIT": b"221 bye\r\n",
}


def _decoded(line: str) -> str:
    """What a client said, its login in plain words beside it."""
    verb, _, rest = line.partition(" ")
    if verb.upper() != "AUTH":
        return line
    plain = base64.b64decode(rest.rpartition(" ")[2] + "==", validate=False).decode(errors="replace")
    return f"{line} {plain}"


@asynccontextmanager
async def gossiping(words: str) -> AsyncIterator[Gossip]:
    """Both servers, on loopback, while the block runs."""
    gossip = Gossip(words)
    mail = await asyncio.start_server(gossip.serve_mail, "127.0.0.1", 0)
    gossip.smtp_port = mail.sockets[0].getsockname()[1]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gossip.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gossip.http_port = runner.addresses[0][1]
    try:
        yield gossip
    finally:
        mail.close()
        await runner.cleanup()
