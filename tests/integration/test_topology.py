"""Kabar's exchanges, queues and bindings on a real RabbitMQ and on the development broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from pamqp import commands

from schemas.catalogue import Catalogue, EventData, EventInfo, Lane, Priority, Route
from worker.broker.topology import Queue, declare, deliver_queue, intake_queue, topology
from worker.deployment import BUILT_IN_EVENTS
from worker.errors import TopologyMismatch

CATALOGUE = Catalogue.of_modules(BUILT_IN_EVENTS)
CHANNELS = ("inbox", "email")
WANTED = topology(CATALOGUE, CHANNELS)
HALLS = ("kabar.dead.intake", "kabar.dead.deliver")


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    opened = await aiormq.connect(amqp_url)
    yield opened
    await opened.close()


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    """A channel on which everything is declared."""
    opened = await connection.channel()
    await declare(opened, WANTED)
    return opened


async def publish(channel: AbstractChannel, exchange: str, *routing_keys: str) -> None:
    properties = commands.Basic.Properties(delivery_mode=2)
    for key in routing_keys:
        body = key.encode()
        confirmed = await channel.basic_publish(
            body, exchange=exchange, routing_key=key, properties=properties, mandatory=True, timeout=10
        )
        assert isinstance(confirmed, commands.Basic.Ack), f"{key}: {confirmed}"


async def take(channel: AbstractChannel, queue: str, count: int) -> list[DeliveredMessage]:
    """Consume until that many messages have come; none is settled."""
    arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    started = await channel.basic_consume(queue, arrived.put)
    async with asyncio.timeout(10):
        messages = [await arrived.get() for _ in range(count)]
    await channel.basic_cancel(started.consumer_tag or "")
    return messages


async def bodies(channel: AbstractChannel, queue: str, count: int) -> list[str]:
    return sorted(message.body.decode() for message in await take(channel, queue, count))


async def depths(channel: AbstractChannel, queues: Sequence[str]) -> dict[str, int]:
    declared = {name: await channel.queue_declare(name, passive=True) for name in queues}
    return {name: one.message_count or 0 for name, one in declared.items()}


def key_of(info: EventInfo) -> str:
    return f"{info.text_key}.any.thing" if info.type.endswith(".*") else info.type


def a_type(kind: str, priority: Priority) -> type[EventData]:
    class Made(EventData, type=kind, category="test", routes=(Route("envelope", priority, "inbox"),)):
        pass

    return Made


async def test_declaring_again_changes_nothing(channel: AbstractChannel, connection: AbstractConnection) -> None:
    """Every process declares everything whenever it connects; what waits in the queues stays there."""
    await publish(channel, "kabar.events", "order.shipped")

    channels = [await connection.channel() for _ in range(3)]
    await asyncio.gather(*(declare(one, WANTED) for one in channels))

    assert await bodies(channel, "kabar.intake.normal", 1) == ["order.shipped"]


async def test_an_event_of_each_type_lands_in_its_lane_and_nowhere_else(channel: AbstractChannel) -> None:
    """A burst in one lane does not hold up another."""
    expected = {lane: sorted(key_of(info) for info in CATALOGUE if info.lane is lane) for lane in Lane}

    await publish(channel, "kabar.events", *(key_of(info) for info in CATALOGUE))

    for lane in Lane:
        assert await bodies(channel, intake_queue(lane), len(expected[lane])) == expected[lane]
    assert set((await depths(channel, [intake_queue(lane) for lane in Lane])).values()) == {0}


async def test_an_unknown_type_reaches_the_normal_lane(channel: AbstractChannel) -> None:
    """There it is rejected with a reason; the broker alone would drop it in silence."""
    await publish(channel, "kabar.events", "no.such.type", "", "order")

    assert await bodies(channel, "kabar.intake.normal", 3) == ["", "no.such.type", "order"]


async def test_a_type_that_changes_its_lane_leaves_the_old_queue(channel: AbstractChannel) -> None:
    """Also an open one, and also when it becomes known after having been unknown."""
    for priority, lane in ((Priority.LOW, Lane.BULK), (Priority.URGENT, Lane.URGENT), (Priority.HIGH, Lane.NORMAL)):
        catalogue = Catalogue([a_type("test.moved", priority), a_type("moved.*", priority)])
        await declare(channel, topology(catalogue, CHANNELS))

        await publish(channel, "kabar.events", "test.moved", "moved.a.b")

        assert await bodies(channel, intake_queue(lane), 2) == ["moved.a.b", "test.moved"]
        assert sum((await depths(channel, [intake_queue(one) for one in Lane if one is not lane])).values()) == 0


async def test_a_job_reaches_the_queue_of_its_channel_and_lane(channel: AbstractChannel) -> None:
    """And a job for a channel that nobody has is returned, not lost."""
    keys = [f"{name}.{lane}" for name in CHANNELS for lane in Lane]

    await publish(channel, "kabar.deliver", *keys)

    for name in CHANNELS:
        for lane in Lane:
            assert await bodies(channel, deliver_queue(name, lane), 1) == [f"{name}.{lane}"]
    with pytest.raises(aiormq.exceptions.PublishError):
        await channel.basic_publish(b"", exchange="kabar.deliver", routing_key="fax.normal", mandatory=True, timeout=10)


@pytest.mark.parametrize(
    ("queue", "hall"),
    [
        *((intake_queue(lane), "kabar.dead.intake") for lane in Lane),
        ("kabar.suspect", "kabar.dead.intake"),
        *((deliver_queue("email", lane), "kabar.dead.deliver") for lane in Lane),
    ],
)
async def test_what_is_rejected_arrives_in_the_hall_of_its_kind(
    channel: AbstractChannel, queue: str, hall: str
) -> None:
    """With the queue and the reason on it."""
    await publish(channel, "", queue)
    (message,) = await take(channel, queue, 1)

    await channel.basic_reject(message.delivery_tag or 0, requeue=False)

    (dead,) = await take(channel, hall, 1)
    assert dead.body == queue.encode()
    deaths = (dead.header.properties.headers or {})["x-death"]
    assert isinstance(deaths, list)
    assert [(one["queue"], one["reason"]) for one in deaths if isinstance(one, dict)] == [(queue, "rejected")]


async def test_a_suspect_that_keeps_coming_back_dies_after_its_limit(channel: AbstractChannel) -> None:
    """Six times handed out at most, and then it is a dead letter; a dead letter is not lost by being looked at."""
    await publish(channel, "", "kabar.suspect")

    for _ in range(6):
        (message,) = await take(channel, "kabar.suspect", 1)
        await channel.basic_reject(message.delivery_tag or 0, requeue=True)

    for _ in range(25):
        (dead,) = await take(channel, "kabar.dead.intake", 1)
        await channel.basic_reject(dead.delivery_tag or 0, requeue=True)
    assert (await depths(channel, ["kabar.suspect"])) == {"kabar.suspect": 0}
    assert await bodies(channel, "kabar.dead.intake", 1) == ["kabar.suspect"]


@pytest.mark.parametrize("name", ["kabar.intake.normal", "kabar.dead.intake"])
async def test_a_queue_with_other_arguments_is_named_and_not_replaced(
    connection: AbstractConnection, name: str
) -> None:
    """An operator decides: the process does not start, and says which queue to drain and delete."""
    (ours,) = [queue for queue in WANTED.queues if queue.name == name]
    other = Queue(name, ours.arguments | {"x-delivery-limit": 3})
    first = await connection.channel()
    await first.queue_declare(other.name, durable=True, arguments=dict(other.arguments))

    with pytest.raises(TopologyMismatch, match=name):
        await declare(await connection.channel(), WANTED)


async def test_an_exchange_of_another_kind_is_named_too(connection: AbstractConnection) -> None:
    """As above."""
    first = await connection.channel()
    await first.exchange_declare("kabar.events", exchange_type="fanout", durable=True)

    with pytest.raises(TopologyMismatch, match=r"kabar\.events"):
        await declare(await connection.channel(), WANTED)


async def test_producers_may_declare_the_exchange_of_events_themselves(channel: AbstractChannel) -> None:
    """A durable topic exchange without arguments, in any order."""
    await channel.exchange_declare("kabar.events", exchange_type="topic", durable=True)
    await channel.queue_declare(HALLS[0], passive=True)


async def test_services_cannot_slip_past_the_entrance(connection: AbstractConnection) -> None:
    """The exchange behind kabar.events is internal."""
    await declare(await connection.channel(), WANTED)
    other = await connection.channel()

    with pytest.raises((aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError)):
        await other.basic_publish(b"{}", exchange="kabar.intake", routing_key="order.shipped", timeout=10)
