"""Looks at a broker without changing it: what it is, whether it takes messages, and what of a topology it has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection

from worker.broker.connection import BROKER_ERRORS
from worker.broker.topology import Exchange, Queue, Topology
from worker.errors import ServiceUnavailable

_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 3.0
_PROBE_KEY = "kabar.doctor"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `missing` and `different` name queues and exchanges."""

    product: str
    version: str
    is_taking: bool
    """It confirms publishes. Not so under a memory or disk alarm."""
    missing: tuple[str, ...]
    different: tuple[str, ...]
    """There under the right name, with other arguments."""
    depths: dict[str, int]
    """Messages that wait, by queue."""
    consumers: dict[str, int]
    """Who takes them, by queue."""


async def inspect(urls: Sequence[str], wanted: Topology) -> Inspection:
    """Look at the first of these brokers that answers. Raises ServiceUnavailable where none does."""
    connection = await _connect(urls)
    try:
        says = connection.server_properties
        objects = _Objects(connection)
        for exchange in wanted.exchanges:
            await objects.look_at_exchange(exchange)
        for queue in wanted.queues:
            await objects.look_at_queue(queue)
        return Inspection(
            str(says.get("product", "")),
            str(says.get("version", "")),
            await _takes(connection),
            tuple(objects.missing),
            tuple(objects.different),
            objects.depths,
            objects.consumers,
        )
    except BROKER_ERRORS as error:
        raise ServiceUnavailable(f"the broker was lost on the way ({type(error).__name__}): repeat this") from error
    finally:
        await _close(connection)


async def _connect(urls: Sequence[str]) -> AbstractConnection:
    problems = []
    for url in urls:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await aiormq.connect(url)
        except (*BROKER_ERRORS, ValueError) as error:
            problems.append(_advice(error))
    raise ServiceUnavailable("; ".join(dict.fromkeys(problems)))


def _advice(error: Exception) -> str:
    match error:
        case aiormq.exceptions.AuthenticationError() | aiormq.exceptions.ProbableAuthenticationError():
            return "the broker refuses the user or the password: check KABAR_AMQP_URL"
        case aiormq.exceptions.ConnectionNotAllowed() | aiormq.exceptions.InvalidFrameError():
            # aiormq takes the broker's `connection.close` in answer to `connection.open` for a wrong frame.
            return "the broker has no such vhost, or the user may not use it: check KABAR_AMQP_URL"
        case ValueError():
            return "KABAR_AMQP_URL cannot be read: expected amqp://user:password@host:5672/vhost"
        case _:
            name = type(error).__name__
            return f"the broker cannot be reached ({name}): check that it runs and that KABAR_AMQP_URL is right"


class _Objects:
    """Queues and exchanges, looked at one by one. A wrong one costs the channel, so that a new one is opened."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channel: AbstractChannel | None = None
        self.missing: list[str] = []
        self.different: list[str] = []
        self.depths: dict[str, int] = {}
        self.consumers: dict[str, int] = {}

    async def look_at_exchange(self, wanted: Exchange) -> None:
        """Declare it passively, which changes nothing; where it is there, compare by declaring it as it should be."""
        await self._look(
            wanted.name,
            lambda channel: channel.exchange_declare(wanted.name, exchange_type=wanted.kind, passive=True),
            lambda channel: channel.exchange_declare(
                wanted.name,
                exchange_type=wanted.kind,
                durable=True,
                internal=wanted.internal,
                arguments=dict(wanted.arguments),
            ),
        )

    async def look_at_queue(self, wanted: Queue) -> None:
        """As with an exchange; counts its messages and consumers too."""

        async def count(channel: AbstractChannel) -> None:
            declared = await channel.queue_declare(wanted.name, passive=True)
            self.depths[wanted.name] = declared.message_count or 0
            self.consumers[wanted.name] = declared.consumer_count or 0

        await self._look(
            wanted.name,
            count,
            lambda channel: channel.queue_declare(wanted.name, durable=True, arguments=dict(wanted.arguments)),
        )

    async def _look(
        self,
        name: str,
        find: Callable[[AbstractChannel], Awaitable[object]],
        compare: Callable[[AbstractChannel], Awaitable[object]],
    ) -> None:
        try:
            await find(await self._open())
            await compare(await self._open())
        except aiormq.exceptions.ChannelNotFoundEntity:
            self.missing.append(name)
        except aiormq.exceptions.ChannelPreconditionFailed:
            self.different.append(name)

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel()
        return self._channel


async def _takes(connection: AbstractConnection) -> bool:
    """Publish to nobody and wait for the confirm: under an alarm the broker stops reading, and none comes."""
    channel = await connection.channel(publisher_confirms=True)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await channel.basic_publish(b"", exchange="", routing_key=_PROBE_KEY)
    except TimeoutError:
        return False
    return True


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await connection.close()
    except BROKER_ERRORS:
        return
