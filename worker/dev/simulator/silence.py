"""Taking a request and never answering it, without holding up the simulator's own end."""

from __future__ import annotations

import asyncio

from aiohttp import web


class Silence:
    """Requests that get no answer. `end` hangs up on all of them."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    async def keep(self, request: web.Request) -> web.Response:
        """Hold the request open until its client leaves (which cancels this) or the silence ends."""
        await self._over.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # never seen: the connection is gone

    def end(self) -> None:
        """Hang up on whoever still waits, now and from now on."""
        self._over.set()
