"""The client against real brokers, and against a wire that fails at the worst moment."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Self

import aio_pika
import pytest
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event
from pamqp.common import FieldTable
from yarl import URL

from schemas.events.billing import PaymentFailed
from schemas.producer import Encoded, NotConfirmed, Producer, PublishError, TooLarge, Unroutable
from tests.listener import Listener, listening
from tests.proxy import proxy
from worker.dev.broker import DevelopmentBroker
from worker.dev.rabbitmq import RabbitMQ

FAILED = PaymentFailed(user_id="u1", payment_id="p1", amount=Decimal("9.90"), currency="EUR", reason="card expired")


class Wire:
    """A hop between producer and broker that can be cut, mended, or lose one answer. Without a broker it is silent."""

    def __init__(self, broker_port: int | None) -> None:
        self.loses_next_answer = False
        self.missed = asyncio.Event()
        """Set when somebody tries to connect while it is cut."""
        self._broker_port = broker_port
        self._is_cut = False
        self._writers: set[StreamWriter] = set()
        self._served: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"amqp://guest:guest@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(task for task in self._served if task is not None))

    async def mend(self) -> None:
        self._is_cut = False

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._served.add(asyncio.current_task())
        self._writers.add(writer)
        if self._is_cut:
            self.missed.set()
            writer.close()
        elif self._broker_port is None:
            await reader.read()
            writer.close()
        else:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
            await asyncio.gather(self._ask(reader, broker_writer), self._answer(broker_reader, writer))

    async def _ask(self, reader: StreamReader, writer: StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
        writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if self.loses_next_answer:
                self.loses_next_answer = False
                break
            writer.write(chunk)
        writer.close()


@asynccontextmanager
async def wired(broker: DevelopmentBroker) -> AsyncIterator[tuple[Wire, Producer, Listener]]:
    """A producer that has published once over a wire, and a listener that has heard it directly."""
    async with (
        listening(broker.url) as listener,
        Wire(broker.port) as wire,
        Producer(wire.url, source="checkout") as producer,
    ):
        assert await producer.publish(FAILED) == (await listener.next()).message_id
        yield wire, producer, listener


@pytest.fixture
async def broker() -> AsyncIterator[DevelopmentBroker]:
    broker = DevelopmentBroker()
    await broker.start()
    yield broker
    await broker.aclose()


async def test_a_published_event_arrives_as_a_cloud_event(rabbitmq_url: str) -> None:
    """What a service publishes is there when `publish` answers, persistent, and readable by any CloudEvents library."""
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        event_id = await producer.publish(FAILED, subject="p1")

        message = await listener.next()

    assert (message.routing_key, message.message_id) == ("payment.failed", event_id)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    event = from_rabbitmq_event(RabbitMQMessage({}, message.content_type, message.body))
    assert (event.get_id(), event.get_source(), event.get_subject()) == (event_id, "checkout", "p1")
    assert event.get_data() == FAILED.model_dump(mode="json")


async def test_an_event_that_no_queue_takes_is_an_error(rabbitmq_url: str) -> None:
    """A service hears that Kabar was never started, instead of publishing into nothing."""
    async with Producer(rabbitmq_url, source="checkout") as producer:
        with pytest.raises(Unroutable, match="start Kabar once") as caught:
            await producer.publish(FAILED, id="e1")

    assert caught.value.event_id == "e1"


async def test_what_is_too_large_is_said_at_once_and_harms_no_neighbour(rabbitmq_url: str) -> None:
    """An event over Kabar's limit, as an outbox of one's own may hold it, is never sent; the others are."""
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        good = producer.encode(FAILED)

        with pytest.raises(ExceptionGroup) as caught:
            await producer.publish_many([Encoded("e1", "payment.failed", b"x" * 17_000_000), good])

        assert (await listener.next()).message_id == good.event_id
    (refused,) = caught.value.exceptions
    assert isinstance(refused, TooLarge)
    assert str(refused) == "event e1: 17000000 bytes, but the limit is 262144; publish a link instead"


async def test_a_broker_with_a_smaller_limit_is_not_asked_again(rabbitmq_node: RabbitMQ) -> None:
    """The broker closes the channel over one event: that one is told with the limit, its neighbours are published."""
    await rabbitmq_node.ctl("eval", "application:set_env(rabbit, max_message_size, 100000).")
    async with listening(rabbitmq_node.url), Producer(rabbitmq_node.url, source="checkout") as producer:
        neighbours = [producer.encode(FAILED) for _ in range(100)]
        large = Encoded("e1", "payment.failed", b"x" * 100_001)

        with pytest.raises(ExceptionGroup) as caught:
            await producer.publish_many([*neighbours[:50], large, *neighbours[50:]], timeout_seconds=30)

    (refused,) = caught.value.exceptions
    assert isinstance(refused, TooLarge)
    assert str(refused) == "event e1: 100001 bytes, but the broker's limit is 100000; publish a link instead"


async def test_a_full_queue_is_an_error_until_there_is_room(rabbitmq_url: str) -> None:
    """An event that the broker refuses is reported, and the same event can be published later."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("kabar.events", aio_pika.ExchangeType.TOPIC, durable=True)
        arguments: FieldTable = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("small", durable=True, arguments=arguments)
        await queue.bind(exchange, "#")
        async with Producer(rabbitmq_url, source="checkout") as producer:
            await producer.publish(FAILED)

            with pytest.raises(NotConfirmed, match="full") as caught:
                await producer.publish(FAILED, timeout_seconds=0.5)
            await queue.purge()

            assert await producer.publish(FAILED, id=caught.value.event_id) == caught.value.event_id


async def test_many_events_are_confirmed_in_order(rabbitmq_url: str) -> None:
    """A burst is published without waiting for each confirm, and keeps its order."""
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        events = [producer.encode(FAILED, id=f"e{number}") for number in range(1000)]

        await producer.publish_many([*events, producer.encode(FAILED, id="last")])

        assert await listener.ids_until("last") == [event.event_id for event in events]


async def test_each_event_of_many_that_was_not_confirmed_is_named(rabbitmq_url: str) -> None:
    """After a failed burst a service knows exactly which events to publish again."""
    async with Producer(rabbitmq_url, source="checkout") as producer:
        events = [producer.encode(FAILED, id=f"e{number}") for number in range(300)]

        with pytest.raises(ExceptionGroup, match="300 of 300") as caught:
            await producer.publish_many(events)

    errors = [error for error in caught.value.exceptions if isinstance(error, Unroutable)]
    assert [error.event_id for error in errors] == [event.event_id for event in events]


async def test_a_broker_that_is_away_costs_no_more_than_the_deadline(broker: DevelopmentBroker) -> None:
    """A service is not held up by a missing broker, and publishes again by itself once the broker is back."""
    async with Producer(broker.url, source="checkout") as producer:
        async with listening(broker.url):
            await producer.publish(FAILED)
        await broker.aclose()

        async with asyncio.timeout(2):
            with pytest.raises(NotConfirmed, match="publish it again with the same id") as caught:
                await producer.publish(FAILED, timeout_seconds=0.5)

        await broker.start()
        async with listening(broker.url) as listener:
            await producer.publish(FAILED, id=caught.value.event_id)
            assert (await listener.next()).message_id == caught.value.event_id


async def test_a_publish_waits_for_a_broker_that_comes_back_in_time(broker: DevelopmentBroker) -> None:
    """A restart of the broker shorter than the deadline is not noticed by the service."""
    async with wired(broker) as (wire, producer, listener):
        await wire.cut()
        publishing = asyncio.create_task(producer.publish(FAILED, id="e1", timeout_seconds=20))
        await wire.missed.wait()

        await wire.mend()

        assert await publishing == "e1"
        assert (await listener.next()).message_id == "e1"


async def test_an_event_whose_confirm_was_lost_is_published_again_with_the_same_id(broker: DevelopmentBroker) -> None:
    """When the answer is lost on the way the event is repeated, and Kabar can tell that it is the same."""
    async with wired(broker) as (wire, producer, listener):
        await producer.publish(FAILED, id="first")
        wire.loses_next_answer = True

        await producer.publish(FAILED, id="e1")

        await producer.publish(FAILED, id="last")
        assert await listener.ids_until("last") == ["first", "e1", "e1"]


async def test_another_node_is_tried_when_one_is_away(broker: DevelopmentBroker) -> None:
    """With the URLs of a cluster one missing node stops nobody."""
    async with Wire(broker.port) as wire, listening(broker.url) as listener:
        await wire.cut()

        async with Producer([wire.url, broker.url], source="checkout") as producer:
            event_id = await producer.publish(FAILED)

        assert (await listener.next()).message_id == event_id


async def test_a_node_that_confirms_nothing_is_left_for_the_next(rabbitmq_url: str) -> None:
    """An event goes by another node when this one keeps its connection open and says nothing more."""
    async with proxy(rabbitmq_url) as wire, listening(rabbitmq_url) as listener:
        async with Producer([wire.url, rabbitmq_url], source="shop") as producer:
            await producer.publish(FAILED, id="first")
            wire.fall_silent()

            await producer.publish(FAILED, id="second", timeout_seconds=15)

        assert [(await listener.next()).message_id for _ in range(2)] == ["first", "second"]
        wire.speak()


async def test_a_broker_that_never_answers_costs_no_more_than_the_deadline() -> None:
    """A frozen broker holds no service up."""
    async with Wire(None) as wire, Producer(wire.url, source="checkout") as producer, asyncio.timeout(2):
        with pytest.raises(NotConfirmed):
            await producer.publish(FAILED, timeout_seconds=0.3)


async def test_the_reason_is_in_the_error_and_the_password_is_not(rabbitmq_url: str) -> None:
    """A wrong password is found by reading the error, and is not printed."""
    url = URL(rabbitmq_url).with_password("s3cret")
    async with Producer(str(url), source="checkout") as producer:
        with pytest.raises(NotConfirmed, match="ACCESS_REFUSED") as caught:
            await producer.publish(FAILED, timeout_seconds=2)

    assert "s3cret" not in str(caught.value)


async def test_a_caller_that_gives_up_is_really_cancelled(broker: DevelopmentBroker) -> None:
    """Cancelling a publish ends it, and the producer goes on for others."""
    async with wired(broker) as (wire, producer, listener):
        await wire.cut()
        publishing = asyncio.create_task(producer.publish(FAILED, timeout_seconds=20))
        await wire.missed.wait()

        publishing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await publishing
        await wire.mend()
        await producer.publish(FAILED, id="e2")
        assert (await listener.next()).message_id == "e2"


async def test_closing_ends_what_still_waits(broker: DevelopmentBroker) -> None:
    """A service that stops is not held up by events that cannot be published, and hears which they are."""
    async with wired(broker) as (wire, producer, _):
        await wire.cut()
        publishing = asyncio.create_task(producer.publish(FAILED, id="e1", timeout_seconds=20))
        await wire.missed.wait()

        async with asyncio.timeout(2):
            await producer.aclose()
            with pytest.raises(PublishError, match="closed") as caught:
                await publishing

    assert caught.value.event_id == "e1"
