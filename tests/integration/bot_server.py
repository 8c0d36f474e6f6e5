"""A Telegram on the wire that answers as a test says, and knows what it was asked, when, and how many at once."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Call:
    """One message as it came. `at`: monotonic clock; `beside`: how many others were being answered then."""

    at: float
    chat: int
    status: int
    beside: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: a status, how long to wait before the next try, and after how many seconds."""

    status: int = 200
    retry_after: int = 0
    delay: float = 0.0


@dataclass(slots=True)
class BotServer:
    """Answers sendMessage; `answer` says what, by the chat."""

    answer: Callable[[int], Reply] = field(default=lambda _: Reply())
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    _under_way: int = 0
    _called: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BotServer]:
        """Listen on loopback while the block runs."""
        app = web.Application()
        app.router.add_post("/{token}/sendMessage", self._send_message)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def taken(self) -> list[Call]:
        """The calls that were answered with yes."""
        return [call for call in self.calls if call.status == 200]

    async def until(self, count: int, *, taken: bool = False, seconds: float = 30.0) -> None:
        """Wait until so many messages came, or were taken."""
        async with asyncio.timeout(seconds), self._called:
            await self._called.wait_for(lambda: len(self.taken() if taken else self.calls) >= count)

    async def _send_message(self, request: web.Request) -> web.Response:
        chat = orjson.loads(await request.read())["chat_id"]
        reply = self.answer(chat)
        self.calls.append(Call(time.monotonic(), chat, reply.status, self._under_way))
        self._under_way += 1
        async with self._called:
            self._called.notify_all()
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self._under_way -= 1
        said: dict[str, object] = {"ok": reply.status == 200, "result": {"message_id": len(self.calls)}}
        if reply.retry_after:
            said["parameters"] = {"retry_after": reply.retry_after}
        headers = {"Retry-After": str(reply.retry_after)} if reply.retry_after else {}
        return web.json_response(said, status=reply.status, headers=headers)


def busiest(moments: list[float], seconds: float = 1.0) -> int:
    """How many of these, in order, lie in the fullest window of so many seconds."""
    return max((bisect_left(moments, at + seconds) - index for index, at in enumerate(moments)), default=0)
