"""The broker as a whole: listening, virtual hosts, closing. Everything it was told is forgotten when it closes."""

from __future__ import annotations

import asyncio

from worker.dev.broker.connection import Connection
from worker.dev.broker.errors import HardError
from worker.dev.broker.vhost import VirtualHost

_POLITE_SECONDS = 2


class DevelopmentBroker:
    """An AMQP 0-9-1 server in memory, on the running event loop. Any user and password enter; any vhost exists.

    It has no task of its own. Vhosts share nothing.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare to listen; port 0 takes a free one."""
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._vhosts: dict[str, VirtualHost] = {}
        self._entered = 0

    @property
    def url(self) -> str:
        """Where clients connect; true after `start`."""
        return f"amqp://guest:guest@{self.host}:{self.port}/"

    async def start(self) -> None:
        """Listen; afterwards `port` and `url` are set. Raises `OSError` where the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Close every connection with 320 and stop listening. Safe to call twice; takes two seconds at most."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.close(HardError(320, "broker forced connection closure with reason 'shutdown'"))
        if connections:
            await asyncio.wait([each.closed for each in connections], timeout=_POLITE_SECONDS)
        for connection in list(self._connections):
            connection.abort()
            await connection.closed
        await server.wait_closed()
        self._vhosts.clear()

    def depth(self, queue: str, *, vhost: str = "/") -> int:
        """Say how many messages are ready in a queue; 0 where there is none of that name."""
        found = self.vhost(vhost).queues.get(queue)
        return len(found.ready) if found else 0

    def enter(self, connection: Connection) -> int:
        """Count a connection in. Called by connections."""
        self._connections.add(connection)
        self._entered += 1
        return self._entered

    def leave(self, connection: Connection) -> None:
        """Count a connection out. Called by connections."""
        self._connections.discard(connection)

    def vhost(self, name: str) -> VirtualHost:
        """Give the virtual host of that name, made on first use. Called by connections."""
        if name not in self._vhosts:
            self._vhosts[name] = VirtualHost(name)
        return self._vhosts[name]
