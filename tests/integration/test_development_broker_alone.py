"""What the development broker promises by itself: it closes cleanly, keeps vhosts apart, and cannot be stalled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika import Message
from aiormq.exceptions import ChannelPreconditionFailed, ConnectionNotImplemented
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from tests.integration.amqp_clients import RawClient
from worker.dev.broker import DevelopmentBroker


@pytest.fixture
async def broker() -> AsyncIterator[DevelopmentBroker]:
    opened = DevelopmentBroker()
    await opened.start()
    yield opened
    await opened.aclose()


async def test_closing_tells_every_client_and_leaves_no_task_behind() -> None:
    """A broker that is closed says so to its clients, stops listening and leaves nothing running."""
    broker = DevelopmentBroker()
    await broker.start()
    before = asyncio.all_tasks()
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)

    closing = asyncio.create_task(broker.aclose())
    close = await client.expect(commands.Connection.Close)
    client.send_method(commands.Connection.CloseOk())
    await closing
    await broker.aclose()

    assert close.reply_code == 320
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(broker.url)
    await client.aclose()


async def test_closing_does_not_wait_for_a_deaf_client() -> None:
    """A client that never answers cannot hold the broker open."""
    broker = DevelopmentBroker()
    await broker.start()
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)

    async with asyncio.timeout(5):
        await broker.aclose()

    await client.aclose()


async def test_virtual_hosts_share_nothing(broker: DevelopmentBroker) -> None:
    """Two products on one broker do not see each other's queues, whatever their vhosts are called."""
    async with (
        await aio_pika.connect(broker.url + "one%2Fand%20only") as one,
        await aio_pika.connect(broker.url) as two,
    ):
        channel = await one.channel()
        await channel.declare_queue("orders")
        await (await two.channel()).declare_queue("orders")

        await channel.default_exchange.publish(Message(b"order"), "orders", timeout=10)

    assert broker.depth("orders") == 0
    assert broker.depth("orders", vhost="one/and only") == 1
    assert broker.depth("never declared") == 0


async def test_a_client_that_never_reads_stops_nobody(broker: DevelopmentBroker) -> None:
    """A consumer that reads nothing is given a bounded amount, and the rest waits for whoever does."""
    count, size = 400, 50_000
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("flood")
        stuck = await RawClient.connect(broker.url)
        await stuck.negotiate(broker.url)
        stuck.send_method(commands.Basic.Consume(queue="flood", no_ack=True), 1)
        await stuck.expect(commands.Basic.ConsumeOk)
        stuck.stop_reading()

        async with asyncio.timeout(20):
            for _ in range(count):
                await channel.default_exchange.publish(Message(b"x" * size), "flood", timeout=10)

        assert 0 < broker.depth("flood") < count
        await stuck.aclose()


async def test_a_body_over_sixteen_mebibytes_is_refused_before_it_arrives(broker: DevelopmentBroker) -> None:
    """An absurd body costs its channel and no memory."""
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelPreconditionFailed, match="larger than configured max size"):
            await channel.default_exchange.publish(Message(bytes(16 * 1024 * 1024 + 1)), "q", timeout=20)

        await (await connection.channel()).declare_queue("alive")


async def test_transactions_are_refused(broker: DevelopmentBroker) -> None:
    """Whoever tries transactions learns at once that there are none."""
    connection = await aio_pika.connect(broker.url)
    channel = await connection.channel(publisher_confirms=False)

    with pytest.raises(ConnectionNotImplemented):
        await channel.transaction().select(timeout=10)

    await connection.close()


@pytest.mark.parametrize(
    "broken",
    [
        b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x27\x0f\xce",
        b"\x01\x00\x01\x00\x00\x00\x07\x00\x3c\x00\x28\x00\x00\xff\xce",
        b"\x01\x00\x01\x00\x00\x00\x05\x00\x3c\x00\x50\x00\xce",
    ],
    ids=["unknown method", "cut publish", "cut ack"],
)
async def test_a_method_that_cannot_be_read_is_a_syntax_error(broker: DevelopmentBroker, broken: bytes) -> None:
    """Where RabbitMQ hangs up without a word, whoever writes a client against this broker is told why."""
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)

    client.send(broken)

    assert (await client.expect(commands.Connection.Close)).reply_code == 502
    await client.aclose()


async def test_properties_that_cannot_be_read_end_the_connection(broker: DevelopmentBroker) -> None:
    """A broken content header is refused at its publisher, not handed on to a consumer."""
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)

    client.send_method(commands.Basic.Publish(exchange="", routing_key="q"), 1)
    client.send(b"\x02\x00\x01\x00\x00\x00\x13\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00\x00\x00\xff\xff\x01\xce")

    assert (await client.expect(commands.Connection.Close)).reply_code == 502
    await client.aclose()


async def test_headers_reach_a_consumer_byte_for_byte(broker: DevelopmentBroker) -> None:
    """Types that Python cannot tell apart, such as a double and a float, are kept as the publisher chose them."""
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)
    client.send_method(commands.Queue.Declare(queue="q", arguments={"x-delivery-limit": 9}), 1)
    await client.receive()
    table = (
        b"\x01dd\x3f\xb9\x99\x99\x99\x99\x99\x9a\x01ll\x00\x00\x00\x00\x00\x00\x00\x05\x01sx\x00\x00\x00\x02\xff\xfe"
    )
    content = b"\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00" + len(table).to_bytes(4) + table

    client.send_method(commands.Basic.Publish(exchange="", routing_key="q"), 1)
    client.send(b"\x02\x00\x01" + len(content).to_bytes(4) + content + b"\xce")
    client.send_method(commands.Basic.Get(queue="q"), 1)
    got = await client.expect(commands.Basic.GetOk)
    _, first, _ = await client.receive()
    client.send_method(commands.Basic.Reject(delivery_tag=got.delivery_tag, requeue=True), 1)
    client.send_method(commands.Basic.Get(queue="q", no_ack=True), 1)
    await client.expect(commands.Basic.GetOk)
    _, again, head = await client.receive()

    assert first[7:-1] == content
    assert table in again
    assert isinstance(head, ContentHeader)
    assert (head.properties.headers or {})["x-delivery-count"] == 1
    await client.aclose()


async def test_a_client_of_another_mechanism_gets_in(broker: DevelopmentBroker) -> None:
    """PHP's and Python's older clients log in with AMQPLAIN."""
    client = await RawClient.connect(broker.url)

    client.send(b"AMQP\x00\x00\x09\x01")
    await client.expect(commands.Connection.Start)
    client.send_method(commands.Connection.StartOk(mechanism="AMQPLAIN", response="\x05LOGINS\0\0\0\x01a"))

    assert (await client.expect(commands.Connection.Tune)).frame_max == 131072
    await client.aclose()


async def test_frames_may_arrive_in_any_pieces(broker: DevelopmentBroker) -> None:
    """How the network cuts the stream is no matter."""
    client = await RawClient.connect(broker.url)
    await client.negotiate(broker.url)
    client.send_method(commands.Queue.Declare(queue="q"), 1)
    await client.receive()
    client.send_method(commands.Confirm.Select(), 1)
    await client.expect(commands.Confirm.SelectOk)
    publish = b"".join(
        frame.marshal(part, 1)
        for part in (
            commands.Basic.Publish(exchange="", routing_key="q"),
            ContentHeader(body_size=6),
            ContentBody(b"abc"),
            ContentBody(b"def"),
        )
    )

    for byte in publish:
        await client.send_now(bytes((byte,)))

    assert (await client.expect(commands.Basic.Ack)).delivery_tag == 1
    client.send_method(commands.Basic.Get(queue="q", no_ack=True), 1)
    await client.expect(commands.Basic.GetOk)
    await client.receive()
    _, _, body = await client.receive()
    assert isinstance(body, ContentBody)
    assert body.value == b"abcdef"
    await client.aclose()


async def test_an_unused_queue_ends_after_its_time(broker: DevelopmentBroker) -> None:
    """`x-expires` takes a queue away when nobody has used it for that long, with what it held."""
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("dead")
        await channel.declare_queue("brief", arguments={"x-expires": 300})
        await channel.declare_queue(
            "clock",
            arguments={"x-message-ttl": 900, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
        )
        await channel.default_exchange.publish(Message(b"kept"), "brief", timeout=10)
        assert broker.depth("brief") == 1

        await channel.default_exchange.publish(Message(b"tick"), "clock", timeout=10)
        async with (await channel.get_queue("dead")).iterator(timeout=10) as deaths:
            await (await anext(deaths)).ack()

        assert broker.depth("brief") == 0
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue("brief", passive=True)
