"""What Kabar leans on in a broker, asked of the development broker and of RabbitMQ in the same words.

Whatever passes here on one and fails on the other is a defect of the development broker.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import aio_pika
import aiormq
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)
from pamqp import body, commands, header
from pamqp.common import FieldValue

from tests.integration.amqp_clients import HANDSHAKE, MortalClient, RawClient

QUORUM: dict[str, FieldValue] = {"x-queue-type": "quorum"}


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    async with await aio_pika.connect(amqp_url) as opened:
        yield opened


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(on_return_raises=True)


@pytest.fixture
def prefix() -> str:
    """Names of their own for each test: the vhost of RabbitMQ is shared by all of them."""
    return f"test.{uuid4().hex[:12]}"


def properties_of(connection: AbstractConnection) -> Mapping[str, object]:
    """What the broker said of itself."""
    return connection.transport.connection.server_properties if connection.transport else {}


def version_of(connection: AbstractConnection) -> str:
    """The broker's version; the development broker's is Kabar's own."""
    said = properties_of(connection)
    return str(said["version"]) if said["product"] == "RabbitMQ" else ""


async def send(exchange: AbstractExchange, routing_key: str, *bodies: bytes, **properties: object) -> None:
    for each in bodies:
        message = Message(each, delivery_mode=DeliveryMode.PERSISTENT, **properties)  # type: ignore[arg-type] # spread
        await exchange.publish(message, routing_key, mandatory=False, timeout=10)


async def hold(message: AbstractIncomingMessage) -> None:
    """Take a message and never settle it."""


async def receive(queue: AbstractQueue, count: int) -> list[AbstractIncomingMessage]:
    """Consume until `count` messages have come; none is settled."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    tag = await queue.consume(arrived.put)
    async with asyncio.timeout(10):
        messages = [await arrived.get() for _ in range(count)]
    await queue.cancel(tag)
    return messages


async def depth(channel: AbstractChannel, queue: str) -> int:
    found = await channel.declare_queue(queue, passive=True)
    return found.declaration_result.message_count or 0


def bodies(messages: list[AbstractIncomingMessage]) -> list[bytes]:
    return [each.body for each in messages]


# Routing


@pytest.mark.parametrize(
    ("pattern", "reached"),
    [
        ("order.shipped", ["order.shipped"]),
        ("order.*", ["order.shipped"]),
        ("*.shipped", ["order.shipped"]),
        ("order.#", ["order", "order.shipped", "order.shipped.late"]),
        ("#.late", ["late", "order.shipped.late"]),
        ("order.#.late", ["order.shipped.late"]),
        ("*", ["order", "late"]),
        ("#.*.#", ["order", "late", "order.shipped", "order.shipped.late"]),
        ("#", ["", "order", "late", "order.shipped", "order.shipped.late"]),
        ("*.*.*.*", []),
    ],
)
async def test_a_topic_pattern_reaches_exactly_the_keys_it_describes(
    channel: AbstractChannel, pattern: str, reached: list[str], prefix: str
) -> None:
    """A star is one word and a hash is none or more, wherever they stand."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.TOPIC, auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, pattern)

    for key in ["", "order", "late", "order.shipped", "order.shipped.late"]:
        await send(exchange, key, key.encode())

    assert await depth(channel, queue.name) == len(reached)
    assert sorted(bodies(await receive(queue, len(reached)))) == sorted(key.encode() for key in reached)


async def test_two_bindings_to_one_queue_deliver_one_copy(channel: AbstractChannel, prefix: str) -> None:
    """A queue gets an event once however many of its bindings fit."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.TOPIC, auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "order.*")
    await queue.bind(exchange, "#")

    await send(exchange, "order.shipped", b"once")

    assert await depth(channel, queue.name) == 1


async def test_a_fanout_exchange_reaches_every_queue(channel: AbstractChannel, prefix: str) -> None:
    """A fanout exchange does not ask for the routing key."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.FANOUT, auto_delete=True)
    queues = [await channel.declare_queue(exclusive=True) for _ in range(3)]
    for queue in queues:
        await queue.bind(exchange)

    await send(exchange, "whatever", b"to all")

    assert [await depth(channel, queue.name) for queue in queues] == [1, 1, 1]


async def test_a_headers_exchange_matches_all_or_any(channel: AbstractChannel, prefix: str) -> None:
    """A headers exchange compares the headers its bindings name."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.HEADERS, auto_delete=True)
    both, either = [await channel.declare_queue(exclusive=True) for _ in range(2)]
    await both.bind(exchange, arguments={"x-match": "all", "lane": "bulk", "country": "id"})
    await either.bind(exchange, arguments={"x-match": "any", "lane": "bulk", "country": "id"})

    await send(exchange, "", b"1", headers={"lane": "bulk", "country": "id"})
    await send(exchange, "", b"2", headers={"lane": "bulk"})
    await send(exchange, "", b"3", headers={"lane": "urgent"})

    assert [await depth(channel, both.name), await depth(channel, either.name)] == [1, 2]


async def test_an_exchange_unbound_from_another_gets_nothing_more(channel: AbstractChannel, prefix: str) -> None:
    """Taking the way between two exchanges away stops what went over it."""
    first = await channel.declare_exchange(f"{prefix}.first", ExchangeType.TOPIC)
    second = await channel.declare_exchange(f"{prefix}.second", ExchangeType.FANOUT)
    queue = await channel.declare_queue(exclusive=True)
    await second.bind(first, "#")
    await queue.bind(second)
    await send(first, "a", b"before")

    await second.unbind(first, "#")
    await send(first, "a", b"after")

    assert await depth(channel, queue.name) == 1
    await first.delete()
    await second.delete()


async def test_a_queue_unbound_from_an_exchange_gets_nothing_more(channel: AbstractChannel, prefix: str) -> None:
    """A type taken off a lane reaches that lane no more."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.TOPIC)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "a.*")
    await send(exchange, "a.b", b"before")

    await queue.unbind(exchange, "a.*")
    await queue.unbind(exchange, "a.*")
    await send(exchange, "a.b", b"after")

    assert bodies(await receive(queue, 1)) == [b"before"]
    assert await depth(channel, queue.name) == 0
    await exchange.delete()


async def test_an_event_finds_its_lane_and_the_unknown_one_is_rejected_to_the_dead(
    channel: AbstractChannel, prefix: str
) -> None:
    """Known types go to the lane of their priority, unknown ones to normal, and what is rejected to the dead queue."""
    events, queues, dead = await declare_topology(channel, prefix)

    await send(events, "system.error", b"urgent")
    await send(events, "promo.campaign", b"bulk")
    await send(events, "never.heard.of", b"unknown")

    for lane, expected in {"urgent": b"urgent", "bulk": b"bulk", "normal": b"unknown"}.items():
        [message] = await receive(queues[lane], 1)
        assert message.body == expected
        await (message.reject() if lane == "normal" else message.ack())
    [buried] = await receive(dead, 1)
    assert buried.body == b"unknown"
    assert buried.routing_key == "intake"
    assert isinstance(deaths := buried.headers["x-death"], list)
    assert isinstance(death := deaths[0], dict)
    assert (death["queue"], death["reason"], death["count"]) == (queues["normal"].name, "rejected", 1)
    assert death["routing-keys"] == ["never.heard.of"]
    assert death["exchange"] == events.name
    assert buried.headers["x-first-death-reason"] == "rejected"
    assert buried.headers["x-first-death-queue"] == queues["normal"].name
    await buried.ack()


async def declare_topology(
    channel: AbstractChannel, prefix: str
) -> tuple[AbstractExchange, dict[str, AbstractQueue], AbstractQueue]:
    """Declare events → internal intake with an alternate → lanes, and lanes → dlx → dead."""
    dlx = await channel.declare_exchange(f"{prefix}.dlx", ExchangeType.DIRECT, durable=True)
    dead = await channel.declare_queue(
        f"{prefix}.dead",
        durable=True,
        arguments=QUORUM | {"x-overflow": "reject-publish", "x-delivery-limit": 1_000_000_000},
    )
    await dead.bind(dlx, "intake")
    events = await channel.declare_exchange(f"{prefix}.events", ExchangeType.TOPIC, durable=True)
    unknown = await channel.declare_exchange(f"{prefix}.unknown", ExchangeType.FANOUT, durable=True, internal=True)
    intake = await channel.declare_exchange(
        f"{prefix}.intake",
        ExchangeType.TOPIC,
        durable=True,
        internal=True,
        arguments={"alternate-exchange": unknown.name},
    )
    await intake.bind(events, "#")
    queues = {lane: await declare_lane(channel, f"{prefix}.intake.{lane}", dlx.name) for lane in LANES}
    for lane, types in LANES.items():
        for each in types:
            await queues[lane].bind(intake, each)
    await queues["normal"].bind(unknown)
    return events, queues, dead


LANES = {"urgent": ["system.error"], "normal": ["order.shipped"], "bulk": ["promo.campaign"]}


async def declare_lane(channel: AbstractChannel, name: str, dlx: str, *, limit: int = 20) -> AbstractQueue:
    return await channel.declare_queue(
        name,
        durable=True,
        arguments=QUORUM
        | {
            "x-dead-letter-exchange": dlx,
            "x-dead-letter-routing-key": "intake",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": limit,
        },
    )


# Publishing


async def test_a_publish_is_confirmed_and_ready(channel: AbstractChannel) -> None:
    """A confirmed message is in its queue with everything its publisher wrote on it."""
    queue = await channel.declare_queue(exclusive=True)
    sent = Message(
        b"payload",
        headers={"traceparent": "00-ab", "amount": 1.5, "count": 2**40, "flag": True, "deep": {"list": ["a", 1]}},
        content_type="application/json",
        message_id="m-1",
        correlation_id="c-1",
        app_id="shop",
        type="order.shipped",
        priority=3,
    )

    confirmation = await channel.default_exchange.publish(sent, queue.name, mandatory=True, timeout=10)
    [received] = await receive(queue, 1)

    assert isinstance(confirmation, aiormq.spec.Basic.Ack)
    assert received.body == b"payload"
    assert received.headers == sent.headers
    assert (received.content_type, received.message_id, received.app_id) == ("application/json", "m-1", "shop")
    assert (received.correlation_id, received.type, received.priority) == ("c-1", "order.shipped", 3)
    assert not received.redelivered


async def test_many_publishes_in_flight_are_each_confirmed(channel: AbstractChannel) -> None:
    """However confirms are bundled, every publish gets its own."""
    queue = await channel.declare_queue(exclusive=True)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(300):
            group.create_task(send(channel.default_exchange, queue.name, str(number).encode()))

    assert await depth(channel, queue.name) == 300


async def test_a_mandatory_publish_without_a_queue_comes_back(channel: AbstractChannel, prefix: str) -> None:
    """What nobody would receive fails at its publisher instead of vanishing."""
    exchange = await channel.declare_exchange(prefix, ExchangeType.DIRECT, auto_delete=True)

    with pytest.raises(PublishError) as returned:
        await exchange.publish(Message(b"lost", message_id="m-1"), "nowhere", mandatory=True, timeout=10)

    assert (message := returned.value.message) is not None
    assert message.body == b"lost"
    assert isinstance(delivery := message.delivery, aiormq.spec.Basic.Return)
    assert (delivery.reply_code, delivery.routing_key) == (312, "nowhere")
    assert await exchange.publish(Message(b"dropped"), "nowhere", mandatory=False, timeout=10)


async def test_a_publish_to_a_missing_exchange_closes_the_channel_only(
    connection: AbstractConnection, prefix: str
) -> None:
    """A wrong exchange name ends its channel with 404 while the connection works on."""
    doomed = aio_pika.Exchange(await connection.channel(), prefix)

    with pytest.raises(ChannelNotFoundEntity, match=f"no exchange '{prefix}'"):
        await doomed.publish(Message(b""), "key", timeout=10)

    channel = await connection.channel()
    assert await depth(channel, (await channel.declare_queue(exclusive=True)).name) == 0


async def test_nobody_publishes_to_an_internal_exchange(connection: AbstractConnection, prefix: str) -> None:
    """Events reach the intake exchange only by way of the public one."""
    channel = await connection.channel()
    await channel.declare_exchange(prefix, ExchangeType.TOPIC, internal=True)
    underlay = await channel.get_underlay_channel()

    # Through the lower library: aio-pika itself would refuse before the broker can.
    with pytest.raises(ChannelAccessRefused, match="internal exchange"):
        await underlay.basic_publish(b"", exchange=prefix, routing_key="key", timeout=10)

    await (await connection.channel()).exchange_delete(prefix)


async def test_a_body_of_a_mebibyte_arrives_as_it_was_sent(channel: AbstractChannel) -> None:
    """A body is cut into frames and put together again, both ways."""
    queue = await channel.declare_queue(exclusive=True)
    sent = bytes(range(256)) * 4096

    await send(channel.default_exchange, queue.name, sent, b"", b"small")

    assert bodies(await receive(queue, 3)) == [sent, b"", b"small"]


async def test_a_full_queue_refuses_further_publishes(channel: AbstractChannel) -> None:
    """With `reject-publish` the publisher is told that a queue is full."""
    queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    await send(channel.default_exchange, queue.name, b"1", b"2")

    with pytest.raises(DeliveryError):
        await send(channel.default_exchange, queue.name, b"3")

    assert bodies(await receive(queue, 2)) == [b"1", b"2"]


async def test_a_full_queue_drops_its_oldest_to_the_dead_letters(channel: AbstractChannel) -> None:
    """With `drop-head` the newest stay and the oldest die of `maxlen`."""
    dead = await channel.declare_queue(exclusive=True)
    queue = await channel.declare_queue(
        exclusive=True,
        arguments={"x-max-length": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name},
    )

    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")

    [buried] = await receive(dead, 1)
    assert (buried.body, buried.headers["x-first-death-reason"]) == (b"1", "maxlen")
    assert bodies(await receive(queue, 2)) == [b"2", b"3"]


@pytest.mark.parametrize("by", ["queue", "message"])
async def test_an_expired_message_goes_to_the_dead_letters(channel: AbstractChannel, by: str) -> None:
    """What waited longer than the queue or the message allows dies of `expired`, and then keeps."""
    dead = await channel.declare_queue(exclusive=True)
    queue = await channel.declare_queue(
        exclusive=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
        | ({"x-message-ttl": 20} if by == "queue" else {}),
    )

    await send(channel.default_exchange, queue.name, b"late", expiration=0.02 if by == "message" else None)

    [buried] = await receive(dead, 1)
    assert (buried.body, buried.headers["x-first-death-reason"]) == (b"late", "expired")
    assert buried.expiration is None


async def test_dead_lettering_in_a_circle_ends(channel: AbstractChannel, prefix: str) -> None:
    """A message that would expire round and round for ever is dropped when it comes back by itself."""
    first, second = f"{prefix}.first", f"{prefix}.second"
    for name, following in ((first, second), (second, first)):
        await channel.declare_queue(
            name,
            exclusive=True,
            arguments={
                "x-max-length": 1,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": following,
            },
        )

    await send(channel.default_exchange, first, b"1", b"2", b"3", b"4")

    assert await depth(channel, first) == 1
    assert await depth(channel, second) <= 1


async def test_the_count_of_a_death_grows_when_it_happens_again(
    connection: AbstractConnection, channel: AbstractChannel
) -> None:
    """A message rejected twice from one queue carries one entry with count 2; RabbitMQ 4 believes no client's count."""
    dead = await channel.declare_queue(exclusive=True)
    queue = await channel.declare_queue(
        exclusive=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name},
    )
    await send(channel.default_exchange, queue.name, b"again")
    [message] = await receive(queue, 1)
    await message.reject()
    [once] = await receive(dead, 1)

    await send(channel.default_exchange, queue.name, once.body, headers=once.headers)
    [message] = await receive(queue, 1)
    await message.reject()

    [twice] = await receive(dead, 1)
    assert isinstance(deaths := twice.headers["x-death"], list)
    remembered = 1 if version_of(connection).startswith("4.") else 2
    assert [each["count"] for each in deaths if isinstance(each, dict)] == [remembered]


# Consuming and settling


async def test_prefetch_bounds_what_a_consumer_holds(channel: AbstractChannel) -> None:
    """A consumer is given no more than its prefetch, and one more for each that it settles."""
    await channel.set_qos(prefetch_count=2)
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3", b"4")
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    await queue.consume(arrived.put)
    async with asyncio.timeout(10):
        first, second = await arrived.get(), await arrived.get()
    assert await depth(channel, queue.name) == 2
    assert arrived.empty()

    await first.ack()
    async with asyncio.timeout(10):
        third = await arrived.get()
    assert bodies([first, second, third]) == [b"1", b"2", b"3"]
    assert await depth(channel, queue.name) == 1


async def test_a_consumer_at_its_limit_does_not_stop_another(connection: AbstractConnection) -> None:
    """One slow consumer holds back its own prefetch and nothing else."""
    slow, fast = await connection.channel(), await connection.channel()
    await slow.set_qos(prefetch_count=1)
    queue = await slow.declare_queue(exclusive=True)
    stuck: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(stuck.put)
    await send(slow.default_exchange, queue.name, *(str(number).encode() for number in range(20)))

    others = await receive(await fast.get_queue(queue.name), 19)

    assert stuck.qsize() == 1
    assert len(others) == 19


async def test_two_consumers_share_a_queue_evenly(connection: AbstractConnection) -> None:
    """Consumers of one queue take turns."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    shares: tuple[list[bytes], list[bytes]] = ([], [])
    done = asyncio.Event()

    async def keep(share: list[bytes], message: AbstractIncomingMessage) -> None:
        share.append(message.body)
        if sum(map(len, shares)) == 40:
            done.set()

    for share in shares:
        await queue.consume(functools.partial(keep, share), no_ack=True)
    await send(channel.default_exchange, queue.name, *(str(number).encode() for number in range(40)))

    async with asyncio.timeout(10):
        await done.wait()
    assert [len(share) for share in shares] == [20, 20]


async def test_one_ack_settles_everything_before_it(connection: AbstractConnection) -> None:
    """A multiple ack settles up to its delivery, and what follows stays."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3", b"4")

    taken = await connection.channel()
    messages = await receive(await taken.get_queue(queue.name), 4)
    await messages[2].ack(multiple=True)
    await taken.close()

    [left] = await receive(queue, 1)
    assert (left.body, left.redelivered) == (b"4", True)


async def test_one_nack_rejects_everything_before_it(channel: AbstractChannel) -> None:
    """A multiple nack without requeue sends all of it to the dead letters, in order."""
    dead = await channel.declare_queue(exclusive=True)
    queue = await channel.declare_queue(
        exclusive=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name},
    )
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")

    messages = await receive(queue, 3)
    await messages[2].nack(multiple=True, requeue=False)

    assert bodies(await receive(dead, 3)) == [b"1", b"2", b"3"]


async def test_what_a_closed_channel_held_comes_back_in_order(connection: AbstractConnection) -> None:
    """Messages that nobody settled take their old places again, marked as redelivered."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")
    taken = await connection.channel()
    await taken.set_qos(prefetch_count=2)
    await receive(await taken.get_queue(queue.name), 2)
    await send(channel.default_exchange, queue.name, b"4")

    await taken.close()

    messages = await receive(queue, 4)
    assert bodies(messages) == [b"1", b"2", b"3", b"4"]
    assert [each.redelivered for each in messages] == [True, True, False, False]


async def test_a_message_that_kills_its_consumers_dies_at_the_delivery_limit(
    amqp_url: str, channel: AbstractChannel, prefix: str
) -> None:
    """Each lost connection is counted on the message, and past the limit it is a dead letter."""
    dlx = await channel.declare_exchange(f"{prefix}.dlx", ExchangeType.DIRECT, durable=True)
    dead = await channel.declare_queue(f"{prefix}.dead", durable=True, arguments=QUORUM)
    await dead.bind(dlx, "intake")
    queue = await declare_lane(channel, f"{prefix}.lane", dlx.name, limit=2)
    await send(channel.default_exchange, queue.name, b"poison")

    counts = []
    for _ in range(3):
        victim = MortalClient(amqp_url)
        await victim.connect(prefetch=1)
        [message] = await victim.take(queue.name, 1)
        headers = message.header.properties.headers or {}
        assert isinstance(message.delivery, aiormq.spec.Basic.Deliver)
        counts.append((headers.get("x-delivery-count"), message.delivery.redelivered))
        await victim.die()

    [buried] = await receive(dead, 1)
    assert counts[1:] == [(1, True), (2, True)]
    assert counts[0] in [(None, False), (0, False)]
    assert buried.body == b"poison"
    assert buried.headers["x-first-death-reason"] == "delivery_limit"
    assert await depth(channel, queue.name) == 0


async def test_a_killed_client_frees_its_messages_for_others(amqp_url: str, channel: AbstractChannel) -> None:
    """A worker's sudden death costs no message and no order."""
    queue = await channel.declare_queue(f"test.{uuid4().hex}", durable=True, arguments=QUORUM)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")
    victim = MortalClient(amqp_url)
    await victim.connect(prefetch=3)
    await victim.take(queue.name, 3)

    await victim.die()

    messages = await receive(queue, 3)
    assert bodies(messages) == [b"1", b"2", b"3"]
    assert [each.headers["x-delivery-count"] for each in messages] == [1, 1, 1]
    await queue.delete(if_unused=False, if_empty=False)


async def test_a_message_can_be_got_one_by_one(channel: AbstractChannel) -> None:
    """Looking into a queue takes its head, or says that it is empty."""
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2")

    first = await queue.get(timeout=10)
    assert (first.body, first.message_count) == (b"1", 1)
    await first.reject(requeue=True)
    again = await queue.get(timeout=10, no_ack=True)

    assert (again.body, again.redelivered) == (b"1", True)
    assert (await queue.get(timeout=10, no_ack=True)).body == b"2"
    assert await queue.get(timeout=10, fail=False) is None


async def test_recover_gives_back_everything_unsettled(connection: AbstractConnection) -> None:
    """A channel can hand all it holds back at once."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2")
    await receive(queue, 2)

    underlay = await channel.get_underlay_channel()
    await underlay.basic_recover(requeue=True)

    assert await depth(channel, queue.name) == 2


async def test_an_unknown_delivery_tag_closes_the_channel(connection: AbstractConnection) -> None:
    """Settling what is not held is a bug of the client, and is told as 406."""
    channel = await connection.channel()
    underlay = await channel.get_underlay_channel()
    closed: asyncio.Queue[BaseException | None] = asyncio.Queue()
    channel.close_callbacks.add(lambda _, error: closed.put_nowait(error))

    await underlay.basic_ack(99)

    async with asyncio.timeout(10):
        assert isinstance(error := await closed.get(), ChannelPreconditionFailed)
    assert "unknown delivery tag 99" in str(error)


async def test_a_consumer_hears_that_its_queue_was_deleted(connection: AbstractConnection, prefix: str) -> None:
    """A consumer does not wait for ever on a queue that is gone."""
    watching, deleting = await connection.channel(), await connection.channel()
    queue = await watching.declare_queue(prefix, durable=True, arguments=QUORUM)
    cancelled: asyncio.Queue[str | None] = asyncio.Queue()
    underlay = await watching.get_underlay_channel()

    async def note(frame: aiormq.spec.Basic.Cancel) -> None:
        await cancelled.put(frame.consumer_tag)

    underlay.on_consumer_cancel_callbacks.add(note)
    tag = await queue.consume(hold)

    await deleting.queue_delete(prefix)

    async with asyncio.timeout(10):
        assert await cancelled.get() == tag


async def test_an_exclusive_consumer_is_alone(connection: AbstractConnection) -> None:
    """While one consumer has a queue for itself, others are refused."""
    channel, other = await connection.channel(), await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.consume(hold, exclusive=True)

    with pytest.raises(ChannelAccessRefused):
        await (await other.get_queue(queue.name)).consume(hold)


# Declaring


async def test_declaring_again_the_same_changes_nothing(channel: AbstractChannel, prefix: str) -> None:
    """Every process may declare the topology at its start."""
    for _ in range(2):
        events, queues, _ = await declare_topology(channel, prefix)
        await send(events, "order.shipped", b"event")

    assert await depth(channel, queues["normal"].name) == 2


@pytest.mark.parametrize(
    "changed",
    [{"x-delivery-limit": 7}, {"x-dead-letter-exchange": "elsewhere"}, {"x-message-ttl": 1000}],
)
async def test_declaring_a_queue_differently_is_refused(
    connection: AbstractConnection, prefix: str, changed: dict[str, FieldValue]
) -> None:
    """A queue's arguments never change in place."""
    channel = await connection.channel()
    arguments: dict[str, FieldValue] = QUORUM | {"x-delivery-limit": 20, "x-dead-letter-exchange": "dlx"}
    await channel.declare_queue(prefix, durable=True, arguments=arguments)

    with pytest.raises(ChannelPreconditionFailed, match=f"inequivalent arg '{next(iter(changed))}'"):
        await channel.declare_queue(prefix, durable=True, arguments=arguments | changed)

    await (await connection.channel()).queue_delete(prefix)


@pytest.mark.parametrize(
    "changed",
    [{"type": ExchangeType.DIRECT}, {"internal": True}, {"durable": False}, {"auto_delete": True}],
)
async def test_declaring_an_exchange_differently_is_refused(
    connection: AbstractConnection, prefix: str, changed: dict[str, ExchangeType | bool]
) -> None:
    """Producers and Kabar must agree on the exchange they both declare."""
    channel = await connection.channel()
    await channel.declare_exchange(prefix, ExchangeType.TOPIC, durable=True)

    with pytest.raises(ChannelPreconditionFailed, match=f"inequivalent arg '{next(iter(changed))}'"):
        await channel.declare_exchange(prefix, **({"type": ExchangeType.TOPIC, "durable": True} | changed))  # type: ignore[arg-type] # spread

    await (await connection.channel()).exchange_delete(prefix)


async def test_asking_passively_for_what_is_missing_is_a_404(connection: AbstractConnection, prefix: str) -> None:
    """A look at a queue or exchange does not make it."""
    with pytest.raises(ChannelNotFoundEntity, match=f"no queue '{prefix}'"):
        await (await connection.channel()).declare_queue(prefix, passive=True)
    with pytest.raises(ChannelNotFoundEntity, match=f"no exchange '{prefix}'"):
        await (await connection.channel()).declare_exchange(prefix, passive=True)


async def test_asking_passively_counts_messages_and_consumers(channel: AbstractChannel) -> None:
    """A queue's depth can be watched over AMQP alone."""
    queue = await channel.declare_queue(exclusive=True)
    await channel.set_qos(prefetch_count=1)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")
    await queue.consume(hold)

    found = await channel.declare_queue(queue.name, passive=True)

    assert found.declaration_result.consumer_count == 1


async def test_binding_to_what_is_missing_is_a_404(connection: AbstractConnection, prefix: str) -> None:
    """A misspelt exchange is told at once."""
    queue = await (await connection.channel()).declare_queue(exclusive=True)

    with pytest.raises(ChannelNotFoundEntity):
        await queue.bind(prefix, "#")


async def test_an_exclusive_queue_ends_with_its_connection(amqp_url: str, connection: AbstractConnection) -> None:
    """A gateway's own queue is closed to others and gone when the gateway is."""
    async with await aio_pika.connect(amqp_url) as owner:
        queue = await (await owner.channel()).declare_queue(exclusive=True, auto_delete=True)
        assert queue.name.startswith("amq.gen-")
        with pytest.raises(ChannelLockedResource):
            await (await connection.channel()).declare_queue(queue.name, passive=True)

    with pytest.raises(ChannelNotFoundEntity):
        await (await connection.channel()).declare_queue(queue.name, passive=True)


async def test_an_auto_delete_queue_ends_with_its_last_consumer(connection: AbstractConnection) -> None:
    """A queue made for a consumer does not outlive it."""
    channel = await connection.channel()
    queue = await channel.declare_queue(f"test.{uuid4().hex}", auto_delete=True, exclusive=True)
    tag = await queue.consume(hold)

    await queue.cancel(tag)

    with pytest.raises(ChannelNotFoundEntity):
        await channel.declare_queue(queue.name, passive=True)


async def test_a_purge_empties_a_queue_and_says_of_how_much(channel: AbstractChannel) -> None:
    """An operator's purge leaves the queue in place and empty."""
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"1", b"2", b"3")

    purged = await queue.purge(timeout=10)

    assert purged.message_count == 3
    assert await depth(channel, queue.name) == 0


async def test_deleting_what_is_not_there_is_no_error(channel: AbstractChannel, prefix: str) -> None:
    """Tidying up can be repeated."""
    await channel.queue_delete(prefix)
    await channel.exchange_delete(prefix)

    assert not channel.is_closed


# The wire


async def test_the_broker_says_what_it_can_do(connection: AbstractConnection) -> None:
    """Clients find confirms, nacks, cancel notices and exchange bindings announced."""
    capabilities = properties_of(connection)["capabilities"]

    assert isinstance(capabilities, dict)
    assert all(
        capabilities[each]
        for each in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "exchange_exchange_bindings")
    )


async def test_another_protocol_is_told_ours_and_dropped(amqp_url: str) -> None:
    """A client of a wrong protocol learns the right one; of RabbitMQ 4, which speaks two, it learns AMQP 1.0."""
    client = await RawClient.connect(amqp_url)

    client.send(b"GET / HT")

    assert await client.rest() in (HANDSHAKE, b"AMQP\x03\x01\x00\x00")
    await client.aclose()


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"\x01\x00\x01\x00\x00\x00\x05\x00\x0a\x00\x0a\x00\xff", 501),
        (b"\x01\x00\x00\xff\xff\xff\xff\xce", 501),
        (b"\x03\x00\x01\x00\x00\x00\x01\x00\xce", 505),
        (b"\x01\x00\x07\x00\x00\x00\x04\x00\x5a\x00\x0a\xce", 504),
    ],
    ids=["bad frame end", "oversized", "body out of place", "unopened channel"],
)
async def test_a_broken_frame_ends_its_connection_and_no_other(
    amqp_url: str, channel: AbstractChannel, broken: bytes, code: int
) -> None:
    """Whatever one client sends, it is told what was wrong, and the others work on."""
    client = await RawClient.connect(amqp_url)
    await client.negotiate(amqp_url)

    client.send(broken)

    close = await client.expect(commands.Connection.Close)
    assert close.reply_code == code
    client.send_method(commands.Connection.CloseOk())
    await client.aclose()
    queue = await channel.declare_queue(exclusive=True)
    await send(channel.default_exchange, queue.name, b"alive")
    assert await depth(channel, queue.name) == 1


async def test_no_frame_is_larger_than_was_agreed(amqp_url: str, channel: AbstractChannel) -> None:
    """A client that asked for small frames, the smallest RabbitMQ 4 allows, gets a large body in small pieces."""
    queue = await channel.declare_queue(f"test.{uuid4().hex}", auto_delete=True)
    await send(channel.default_exchange, queue.name, b"x" * 20_000)
    client = await RawClient.connect(amqp_url)
    await client.negotiate(amqp_url, frame_max=8192)

    client.send_method(commands.Basic.Get(queue=queue.name, no_ack=True), 1)

    await client.expect(commands.Basic.GetOk)
    _, _, head = await client.receive()
    assert isinstance(head, header.ContentHeader)
    received = b""
    while len(received) < head.body_size:
        _, raw, piece = await client.receive()
        assert isinstance(piece, body.ContentBody)
        assert len(raw) <= 8192
        received += piece.value
    assert received == b"x" * 20_000
    await client.aclose()
    await queue.delete(if_unused=False, if_empty=False)


async def test_a_broker_beats_and_drops_the_silent(amqp_url: str) -> None:
    """A client that asked for heartbeats gets them, and is dropped when it sends none itself."""
    client = await RawClient.connect(amqp_url)
    await client.negotiate(amqp_url, heartbeat=1)

    received = await client.rest()

    assert received.startswith(b"\x08\x00\x00\x00\x00\x00\x00\xce")
    await client.aclose()
