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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Final, Self, TypedDict, Unpack
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError
from aio_pika.exceptions import PublishError as Returned
from pydantic_core import to_json
from yarl import URL

from schemas.catalogue import EventData, Priority
from schemas.envelope import MAX_BODY_BYTES, STRUCTURED, Envelope

EXCHANGE: Final = "kabar.events"
MAX_IN_FLIGHT: Final = 256
"""Unconfirmed events at a time; aiormq looks through all of them at each confirm, so more is slower, not faster."""
MAX_ID_BYTES: Final = 255
"""The id travels as the AMQP property `message_id` too, which is a short string."""
CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 10
EXTENSION_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
"""CloudEvents 1.0.2, "spec.md", naming conventions."""


class PublishError(Exception):
    """The broker did not confirm the event. To publish the same one again, hand `event_id` back as `id`."""

    def __init__(self, event_id: str, problem: str) -> None:
        super().__init__(event_id, problem)
        self.event_id = event_id
        self.problem = problem

    def __str__(self) -> str:
        return f"event {self.event_id}: {self.problem}"


class NotConfirmed(PublishError):
    """It is not known whether the event arrived. Publish it again with the same id: Kabar takes each id once."""


class Unroutable(PublishError):
    """The broker gave the event back because no queue would take it; nothing was kept."""


class TooLarge(PublishError):
    """The encoded event is over 256 KiB; nothing was sent. Publish a link to the large part instead."""


class Attributes(TypedDict, total=False):
    """What an event may carry beside its data; each may be left out.

    id: names the event together with the source, random unless given; the same id again notifies nobody twice.
    type: only for open types (`custom.*`): the concrete type, which must fit the pattern.
    time: when it happened, aware; now unless given.
    audience: who should know, `user:u1 role:admin`, instead of the audience of the type's first route.
    actor: the person who caused it, and so is not told of it.
    traceparent: W3C Trace Context, carried through to the deliveries.
    extensions: further CloudEvents attributes, named by at most 20 lower-case letters and digits; kept, not read.
    """

    id: str | None
    type: str | None
    time: datetime | None
    subject: str | None
    audience: str | None
    priority: Priority | None
    expires_at: datetime | None
    actor: str | None
    traceparent: str | None
    extensions: Mapping[str, str | int | bool] | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """An event ready for the wire, or for an outbox: what it is called, where it goes, and its CloudEvents JSON."""

    event_id: str
    routing_key: str
    body: bytes


def encode(data: EventData, *, source: str, **attributes: Unpack[Attributes]) -> Encoded:
    """Encode one event as CloudEvents 1.0 structured JSON. Pure, when `id` and `time` are given.

    Raises `TooLarge` over 256 KiB, and `ValueError` for an attribute that Kabar would reject.
    """
    if unknown := attributes.keys() - Attributes.__annotations__.keys():
        raise TypeError(f"an event has no attribute {min(unknown)!r}; hand it in by `extensions`")
    extensions = attributes.get("extensions") or {}
    _check_extensions(extensions)
    envelope = Envelope.model_validate(
        {
            **extensions,
            "id": attributes.get("id") or str(uuid4()),
            "source": source,
            "type": _concrete_type(data.info.type, attributes.get("type")),
            "time": attributes.get("time") or datetime.now(UTC),
            "subject": attributes.get("subject"),
            "audience": attributes.get("audience"),
            "priority": attributes.get("priority"),
            "expiresat": attributes.get("expires_at"),
            "actor": attributes.get("actor"),
            "traceparent": attributes.get("traceparent"),
            "schemaversion": data.info.version,
            "data": data.model_dump(mode="json"),
        }
    )
    if len(envelope.id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"id is over {MAX_ID_BYTES} bytes; use a shorter one")
    body = to_json({name: value for name, value in envelope if value is not None})
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(envelope.id, f"{len(body)} bytes, but the limit is {MAX_BODY_BYTES}; publish a link instead")
    return Encoded(envelope.id, envelope.type, body)


class Producer:
    """One connection to the broker, for one event loop and any number of tasks of a service.

    `url`: an AMQP URL, or one for each node of a cluster, tried in turn. `source`: the name of the service.
    """

    def __init__(self, url: str | Sequence[str], *, source: str) -> None:
        self.source = source
        self._urls = cycle(_checked_urls([url] if isinstance(url, str) else url))
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
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
                await link.exchange.publish(message, event.routing_key, mandatory=True)
            except Returned:
                problem = f"no queue is bound to {EXCHANGE}: start Kabar once so that it declares its queues"
                raise Unroutable(event.event_id, problem) from None
            except DeliveryError:
                self._trouble = "the broker refused it: a queue may be full"
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                self._trouble = "the connection was lost"  # aiormq rejects what is pending with CancelledError
            except Exception as error:  # noqa: BLE001 - aiormq may raise a bare Exception for a lost connection
                self._trouble = _said(error)
            else:
                self._trouble = ""
                return
            await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - jitter, not a secret
        raise NotConfirmed(event.event_id, "the producer was closed before the broker confirmed")

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


async def _shut(connection: AbstractConnection) -> None:
    with suppress(*CONNECTION_EXCEPTIONS):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


def _checked_urls(texts: Sequence[str]) -> list[URL]:
    urls = [URL(text) for text in texts]
    if not urls or any(url.scheme not in {"amqp", "amqps"} or not url.host for url in urls):
        raise ValueError(
            "the broker's URL must look like amqp://user:password@host:5672/vhost"
        )  # has a secret: not shown
    return [url if "heartbeat" in url.query else url.update_query(heartbeat=HEARTBEAT_SECONDS) for url in urls]


def _concrete_type(pattern: str, wanted: str | None) -> str:
    if not pattern.endswith(".*"):
        if wanted not in {None, pattern}:
            raise ValueError(f"type {wanted!r} does not fit the data, which is {pattern!r}; leave it out")
        return pattern
    if wanted is None or not wanted.startswith(pattern[:-1]):
        raise ValueError(f"type {wanted!r} does not fit {pattern!r}; name one that begins with {pattern[:-1]!r}")
    return wanted


def _check_extensions(extensions: Mapping[str, object]) -> None:
    taken = {*Envelope.model_fields, "datacontenttype"}
    for name in extensions:
        if name in taken or not EXTENSION_NAME.fullmatch(name):
            raise ValueError(
                f"extension {name!r}: use at most 20 lower-case letters and digits, and no name of CloudEvents"
            )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
