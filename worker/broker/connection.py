"""One connection to the broker that comes back by itself, and what it calls when it does.

A process holds two: one to consume and one to publish, because a broker under a memory alarm stops reading from
publishing connections and would hold up the acks on them too (RabbitMQ "Alarms" guide).
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Never

import aiormq
import structlog
from aiormq.abc import AbstractConnection
from yarl import URL

from worker.broker.decoding import read_leniently
from worker.errors import ServiceUnavailable

_log = structlog.get_logger("broker")
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5
_LOOK_SECONDS = 0.01
_PULSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 5.0
_LOGIN_REFUSED = (aiormq.exceptions.AuthenticationError, aiormq.exceptions.ProbableAuthenticationError)
BROKER_ERRORS = (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, OSError, TimeoutError)


@contextmanager
def told_apart() -> Iterator[None]:
    """Raise ConnectionResetError where aiormq says CancelledError and nobody has cancelled this task.

    A broker that stops answering ends its connection so for all who wait on it. A task would take that for its own
    cancellation and end in silence.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionResetError("the broker stopped answering") from None


async def is_taking(connection: AbstractConnection) -> bool:
    """Say whether the broker reads what is published here; it says so when a memory or disk alarm keeps it from it."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await connection.ready()
    except TimeoutError:
        return False
    return True


class _Connection(aiormq.Connection):
    """Lost once nothing was heard for two heartbeats, as AMQP 0-9-1 (4.2.7) has it; aiormq waits for three.

    With a heartbeat of 5 s that is 12 s. A shorter one would drop brokers that only pause.
    """

    HEARTBEAT_GRACE_MULTIPLIER = 2


class Link:
    """Keeps one connection up. `urls` are tried in turn; `set_up` runs on each new one before it counts as up."""

    def __init__(
        self, urls: Sequence[str], purpose: str, set_up: Callable[[AbstractConnection], Awaitable[None]]
    ) -> None:
        read_leniently()
        self._urls = [_with_heartbeat(url) for url in urls]
        self._purpose = purpose
        self._set_up = set_up
        self._connection: AbstractConnection | None = None
        self._given_up = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.up = asyncio.Event()
        """Set once the first connection has been set up."""
        self.outage: str = f"not yet connected to the broker ({purpose})"
        """Why the broker cannot be used right now; '' while it can."""
        self.blocked: str = ""
        """Why the broker reads nothing that is published here; '' while it does. It says so to who publishes only."""

    async def run(self) -> Never:
        """Connect, and again whenever the connection is lost, with a jittered pause. Ends by cancellation."""
        failures = 0
        for url in itertools.cycle(self._urls):
            await self._wanted.wait()
            try:
                with told_apart():
                    await self._hold(url)
                failures = 0
            except _LOGIN_REFUSED as error:
                if not self.up.is_set():
                    raise ServiceUnavailable(
                        "the broker refuses the user or the password: check KABAR_AMQP_URL"
                    ) from error
                failures += 1
                self._note(error)
            except BROKER_ERRORS as error:
                failures += 1
                self._note(error)
            await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, 0.1 * 2**failures) * random.uniform(0.3, 1.0))  # noqa: S311 - jitter
        raise AssertionError("a cycle does not end")

    def give_up(self, _: object = None) -> None:
        """Drop the connection, so that everything on it is set up anew. Fits as a callback of anything."""
        self._given_up.set()

    def pause(self) -> None:
        """Do without a connection until `resume`. Safe to call twice."""
        self._wanted.clear()
        self.give_up()

    def resume(self) -> None:
        """Connect again. Safe to call twice."""
        self._wanted.set()

    async def aclose(self) -> None:
        """Close the connection. Call it after `run` was cancelled. Safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    with told_apart():
                        await connection.close()
            except BROKER_ERRORS:
                return

    async def _hold(self, url: URL) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = _Connection(url)
            await connection.connect()
        self._connection = connection
        self._given_up.clear()
        try:
            await self._set_up(connection)
            if self.outage:
                _log.info("broker.connected", purpose=self._purpose)
            self.outage = ""
            self.up.set()
            await self._until_lost(connection)
        finally:
            self.blocked = ""
            await self.aclose()

    async def _until_lost(self, connection: AbstractConnection) -> None:
        given_up = asyncio.ensure_future(self._given_up.wait())
        ends = [connection.closing, given_up]
        try:
            while not (await asyncio.wait(ends, timeout=_PULSE_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
                await self._look(connection)
        finally:
            given_up.cancel()
        if not self._wanted.is_set():
            return
        lost = connection.closing
        self._note(lost.exception() if lost.done() and not lost.cancelled() else None)

    async def _look(self, connection: AbstractConnection) -> None:
        blocked = "" if await is_taking(connection) else "the broker takes nothing: its memory or its disk is full"
        if blocked != self.blocked:
            self.blocked = blocked
            _log.warning("broker.blocked" if blocked else "broker.unblocked", purpose=self._purpose)

    def _note(self, error: BaseException | None) -> None:
        name = type(error).__name__ if error is not None else "closed"
        if not self.outage:
            _log.warning("broker.lost", purpose=self._purpose, error_type=name)
        self.outage = f"the broker is away ({self._purpose}: {name})"


def _with_heartbeat(url: str) -> URL:
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=_HEARTBEAT_SECONDS)
