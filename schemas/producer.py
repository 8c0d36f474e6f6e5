"""The client that services import: publishes events to `kabar.events` and answers once the broker has confirmed them.

    async with Producer("amqps://user:secret@broker/product", source="checkout") as producer:
        await producer.publish(PaymentFailed(user_id="u1", ...))

Entering needs no broker, so services may start in any order: the first publish connects, every later one connects
again if the connection was lost, and each waits for that until its own deadline. Needs only pydantic and aio-pika.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Final, Self, Unpack

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelPreconditionFailed, DeliveryError
from aio_pika.exceptions import PublishError as Returned
from yarl import URL

from schemas.catalogue import EventData
from schemas.encoding import Attributes, Encoded, check_size, encode
from schemas.envelope import STRUCTURED
from schemas.errors import NotConfirmed, PublishError, TooLarge, Unroutable
from schemas.patience import Patience

__all__ = ["Attributes", "Encoded", "NotConfirmed", "Producer", "PublishError", "TooLarge", "Unroutable", "encode"]

EXCHANGE: Final = "kabar.events"
MAX_IN_FLIGHT: Final = 256
"""Unconfirmed events at a time; aiormq looks through all of them at each confirm, so more is slower, not faster."""
CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 10
_LOOK_SECONDS: Final = 0.01
_BROKERS_LIMIT: Final = re.compile(r"larger than configured max size (\d+)")


class Producer:
    """One connection to the broker, for one event loop and any number of tasks of a service.

    `url`: an AMQP URL, or one for each node of a cluster, tried in turn. `source`: the name of the service.
    """

    def __init__(self, url: str | Sequence[str], *, source: str) -> None:
        self.source = source
        self._urls = cycle(_checked_urls([url] if isinstance(url, str) else url))
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._patience = Patience()
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._trouble = ""
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def encode(self, data: EventData, **attributes: Unpack[Attributes]) -> Encoded:
        """Encode an event of this service for `publish_many`."""
        return encode(data, source=self.source, **attributes)

    async def publish(self, data: EventData, *, timeout_seconds: float = 10.0, **attributes: Unpack[Attributes]) -> str:
        """Publish one event and answer its id once the broker has confirmed it.

        While the broker is away it waits and connects again, at most `timeout_seconds`. It raises a `PublishError`
        that carries the event's id; to try again, hand that in as `id`, so that an event that did arrive counts once.
        """
        event = self.encode(data, **attributes)
        await self._publish(event, asyncio.get_running_loop().time() + timeout_seconds)
        return event.event_id

    async def publish_many(self, events: Iterable[Encoded], *, timeout_seconds: float = 10.0) -> None:
        """Publish events in order without waiting for each confirm, at most 256 unconfirmed at a time.

        Answers when all are confirmed. Otherwise raises an `ExceptionGroup` with one `PublishError` for each event
        that was not; all others are confirmed. `timeout_seconds` is for all together.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        waiting = list(events)
        failures: list[PublishError] = []
        for start in range(0, len(waiting), MAX_IN_FLIGHT):
            chunk = waiting[start : start + MAX_IN_FLIGHT]
            failures += filter(None, await asyncio.gather(*(self._failure(event, deadline) for event in chunk)))
        if failures:
            raise ExceptionGroup(f"{len(failures)} of {len(waiting)} events were not confirmed", failures)

    async def aclose(self) -> None:
        """Close the connection; publishes under way end as `NotConfirmed`. Safe to call twice."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._link is not None:
            await _shut(self._link.connection)

    async def _failure(self, event: Encoded, deadline: float) -> PublishError | None:
        try:
            await self._publish(event, deadline)
        except PublishError as error:
            return error
        return None

    async def _publish(self, event: Encoded, deadline: float) -> None:
        check_size(event)
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                await self._until_confirmed(event)
        except TimeoutError:
            reason = f" ({self._trouble})" if self._trouble else ""
            problem = f"the broker did not confirm in time{reason}; publish it again with the same id"
            raise NotConfirmed(event.event_id, problem) from None

    async def _until_confirmed(self, event: Encoded) -> None:
        """Publish again, with the same id, as long as what became of the last try is not known."""
        message = aio_pika.Message(
            event.body,
            content_type=STRUCTURED,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.event_id,
        )
        while not self._closed:
            try:
                link = await self._opened()
                await link.exchange.publish(message, event.routing_key, mandatory=True, timeout=self._patience.seconds)
            except Returned:
                problem = f"no queue is bound to {EXCHANGE}: start Kabar once so that it declares its queues"
                raise Unroutable(event.event_id, problem) from None
            except TimeoutError:
                self._trouble = "the broker confirms nothing"
                await self._doubt(link)
            except DeliveryError:
                self._trouble = "the broker refused it: a queue may be full"
                await self._doubt(link)
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                self._trouble = "the connection was lost"  # aiormq rejects what is pending with CancelledError
            except ChannelPreconditionFailed as error:
                _check_brokers_limit(event, error)
                self._trouble = _said(error)  # over a neighbour, with whom the channel was closed
            except Exception as error:  # noqa: BLE001 - aiormq may raise a bare Exception for a lost connection
                self._trouble = _said(error)
            else:
                self._trouble = ""
                self._patience.reward()
                return
            await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - jitter, not a secret
        raise NotConfirmed(event.event_id, "the producer was closed before the broker confirmed")

    async def _doubt(self, link: _Link) -> None:
        """Give up a connection that confirms nothing; where the broker has said that it takes nothing, wait for it."""
        if await _until_taking(link.connection):
            return
        if self._patience.is_over(asyncio.get_running_loop().time()) and link is self._link:
            self._link = None
            await _shut(link.connection)

    async def _opened(self) -> _Link:
        if self._link is not None and not self._link.channel.is_closed:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)  # a publisher whose deadline passes leaves it to the others

    async def _open(self) -> _Link:
        """Connect until it succeeds, in turn to each URL, with growing, jittered pauses of at most 5 s."""
        if self._link is not None:
            await _shut(self._link.connection)
        ceiling = 0.2
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._link = await _connect(next(self._urls), self.source)
                    self._patience.begin(asyncio.get_running_loop().time())
                    return self._link
            except CONNECTION_EXCEPTIONS as error:
                self._trouble = _said(error)
            await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - jitter, not a secret
            ceiling = min(5.0, ceiling * 2)


@dataclass(frozen=True, slots=True)
class _Link:
    """An open connection; all three are kept, because aio-pika drops what nobody refers to (mosquito/aio-pika#536)."""

    connection: AbstractConnection
    channel: AbstractChannel
    exchange: AbstractExchange


async def _connect(url: URL, source: str) -> _Link:
    connection = await aio_pika.connect(url, client_properties={"connection_name": f"producer {source}"})
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    except BaseException:
        await _shut(connection)
        raise
    return _Link(connection, channel, exchange)


async def _until_taking(connection: AbstractConnection) -> bool:
    """Wait while the broker reads nothing, for its memory or disk is full. Answers whether that was so."""
    if connection.transport is None:
        return False
    wire = connection.transport.connection
    taking = asyncio.ensure_future(wire.ready())
    try:
        done, _ = await asyncio.wait([taking], timeout=_LOOK_SECONDS)
        if not done:
            await asyncio.wait([taking, wire.closing], return_when=asyncio.FIRST_COMPLETED)
        return not done
    finally:
        taking.cancel()


async def _shut(connection: AbstractConnection) -> None:
    with suppress(*CONNECTION_EXCEPTIONS):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


def _check_brokers_limit(event: Encoded, error: Exception) -> None:
    """Raise `TooLarge` where it is this event that the broker closed the channel over."""
    said, size = _BROKERS_LIMIT.search(str(error)), len(event.body)
    if said and size > int(said[1]):
        problem = f"{size} bytes, but the broker's limit is {said[1]}; publish a link instead"
        raise TooLarge(event.event_id, problem) from None


def _checked_urls(texts: Sequence[str]) -> list[URL]:
    urls = [URL(text) for text in texts]
    if not urls or any(url.scheme not in {"amqp", "amqps"} or not url.host for url in urls):
        raise ValueError(
            "the broker's URL must look like amqp://user:password@host:5672/vhost"
        )  # has a secret: not shown
    return [url if "heartbeat" in url.query else url.update_query(heartbeat=HEARTBEAT_SECONDS) for url in urls]


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
