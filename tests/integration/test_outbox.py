"""The transactional outbox on real PostgreSQL and RabbitMQ, through rollbacks, kills and rivals."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal

import pytest
from sqlalchemy import MetaData, create_engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from schemas.envelope import MAX_BODY_BYTES
from schemas.events.billing import PaymentFailed
from schemas.outbox import Relay, add_event, outbox_table
from schemas.producer import Producer, TooLarge, Unroutable
from tests.listener import PATIENCE_SECONDS, listening

FAILED = PaymentFailed(user_id="u1", payment_id="p1", amount=Decimal("9.90"), currency="EUR", reason="card expired")
METADATA = MetaData()
OUTBOX = outbox_table(METADATA)

RELAY_PROCESS = """
import asyncio, sys
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from schemas.outbox import Relay, outbox_table
from schemas.producer import Producer

async def main(database, broker):
    async with Producer(broker, source="checkout") as producer:
        await Relay(create_async_engine(database), outbox_table(MetaData()), producer).run()

asyncio.run(main(*sys.argv[1:]))
"""
HOLD_DELETES = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN OLD; END'
"""
ON_EACH_DELETE = "CREATE TRIGGER hold BEFORE DELETE ON kabar_outbox FOR EACH ROW EXECUTE FUNCTION hold()"


@pytest.fixture
async def engine(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(empty_database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield engine
    await engine.dispose()


async def written(engine: AsyncEngine, *ids: str) -> None:
    async with engine.begin() as connection:
        for event_id in ids:
            await connection.execute(add_event(OUTBOX, FAILED, source="checkout", id=event_id))


@asynccontextmanager
async def deletes_held(engine: AsyncEngine) -> AsyncIterator[None]:
    """Stop every relay between the confirm and the end of its transaction, for as long as the block lasts."""
    async with engine.begin() as connection:
        await connection.execute(text(HOLD_DELETES))
        await connection.execute(text(ON_EACH_DELETE))
    async with engine.connect() as gate:
        await gate.execute(text("SELECT pg_advisory_lock(1)"))
        yield
        await gate.execute(text("SELECT pg_advisory_unlock(1)"))


class Alarm(logging.Handler):
    """Hears what relays complain of."""

    def __init__(self) -> None:
        super().__init__()
        self._reasons: asyncio.Queue[str] = asyncio.Queue()
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        assert record.getMessage() == "outbox.relay_failed"
        self._reasons.put_nowait(vars(record)["reason"])

    async def next(self) -> str:
        """Answer the next reason that differs from the last one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (reason := await self._reasons.get()) == self._last:
                pass
        self._last = reason
        return reason


@contextmanager
def alarmed() -> Iterator[Alarm]:
    alarm = Alarm()
    logger = logging.getLogger("schemas.outbox")
    logger.addHandler(alarm)
    yield alarm
    logger.removeHandler(alarm)


async def waiting(engine: AsyncEngine) -> int | None:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(OUTBOX))


async def test_an_event_of_a_transaction_that_was_rolled_back_is_never_published(
    engine: AsyncEngine, rabbitmq_url: str
) -> None:
    """Nobody is notified of something that in the end did not happen."""
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        async with AsyncSession(engine) as session:
            await session.execute(add_event(OUTBOX, FAILED, source="checkout"))
            await session.rollback()

        published = await Relay(engine, OUTBOX, producer).relay_batch()

        await producer.publish(FAILED, id="last")
        assert (published, await listener.ids_until("last")) == (0, [])


async def test_an_event_of_a_committed_transaction_is_published_once(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """What happened is told exactly as it was written, and then forgotten by the outbox."""
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        async with AsyncSession(engine) as session, session.begin():
            event_id = await session.scalar(add_event(OUTBOX, FAILED, source="checkout", id="e1", subject="p1"))
        relay = Relay(engine, OUTBOX, producer)

        published = [await relay.relay_batch(), await relay.relay_batch()]

        await producer.publish(FAILED, id="last")
        message = await listener.next()
        assert (event_id, published) == ("e1", [1, 0])
        assert (message.message_id, message.routing_key) == ("e1", "payment.failed")
        assert b'"subject":"p1"' in message.body
        assert await listener.ids_until("last") == []
        assert await waiting(engine) == 0


async def test_events_are_published_in_the_order_of_their_writing(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """A service's events arrive in the order in which it wrote them, over several batches."""
    ids = [f"e{number}" for number in range(450)]
    await written(engine, *ids, "last")
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        relay = Relay(engine, OUTBOX, producer)

        while await relay.relay_batch():
            pass

        assert await listener.ids_until("last") == ids


async def test_a_relay_killed_before_it_deleted_publishes_again_with_the_same_id(
    engine: AsyncEngine, rabbitmq_url: str
) -> None:
    """A relay that dies at the worst moment loses nothing, and what it repeats can be recognised."""
    await written(engine, "e1")
    database_url = engine.url.render_as_string(hide_password=False)
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        async with deletes_held(engine):
            command = (sys.executable, "-c", RELAY_PROCESS, database_url, rabbitmq_url)
            process = await asyncio.create_subprocess_exec(*command)
            first = await listener.next()

            process.kill()
            await process.wait()

        relay = Relay(engine, OUTBOX, producer)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await relay.relay_batch() == 0:  # until PostgreSQL has noticed the death and freed the row
                pass

        second = await listener.next()
        assert (first.message_id, second.message_id) == ("e1", "e1")
        assert first.body == second.body
        assert await waiting(engine) == 0


async def test_two_relays_share_the_events(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """A second relay works at the same time as the first, makes nothing double and leaves nothing out."""
    ids = [f"e{number:03}" for number in range(500)]
    await written(engine, *ids)
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        one, other = (Relay(engine, OUTBOX, producer) for _ in range(2))
        async with deletes_held(engine):
            batches = asyncio.gather(one.relay_batch(), other.relay_batch())
            heard = [(await listener.next()).message_id for _ in range(400)]  # while neither has deleted any

        shares = [*await batches, await one.relay_batch(), await other.relay_batch()]

        await producer.publish(FAILED, id="last")
        heard += await listener.ids_until("last")
        assert shares == [200, 200, 100, 0]
        assert sorted(map(str, heard)) == ids


async def test_a_row_that_another_holds_stops_no_relay(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """A relay that hangs delays only what it holds."""
    await written(engine, "e1", "e2")
    async with listening(rabbitmq_url) as listener, Producer(rabbitmq_url, source="checkout") as producer:
        relay = Relay(engine, OUTBOX, producer)
        async with engine.begin() as other:
            await other.execute(select(OUTBOX).where(OUTBOX.c.event_id == "e1").with_for_update())

            assert await relay.relay_batch() == 1
            assert (await listener.next()).message_id == "e2"

        assert await relay.relay_batch() == 1
        assert (await listener.next()).message_id == "e1"


async def test_events_stay_in_the_outbox_until_the_broker_takes_them(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """While events cannot be published they wait, and the reason is told."""
    await written(engine, "e1", "e2")
    async with Producer(rabbitmq_url, source="checkout") as producer:
        with pytest.raises(ExceptionGroup, match="2 of 2") as caught:
            await Relay(engine, OUTBOX, producer).relay_batch()

    assert all(isinstance(error, Unroutable) for error in caught.value.exceptions)
    assert await waiting(engine) == 2


async def test_a_running_relay_outlives_failures_and_then_delivers(engine: AsyncEngine, rabbitmq_url: str) -> None:
    """A relay needs no restart when broker and database are right again, and says in the log what was wrong."""
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)
    with alarmed() as alarm:
        async with Producer(rabbitmq_url, source="checkout") as producer:
            relaying = asyncio.create_task(Relay(engine, OUTBOX, producer, poll_seconds=0.01).run())
            assert "kabar_outbox" in await alarm.next()

            async with engine.begin() as connection:
                await connection.run_sync(METADATA.create_all)
            await written(engine, "e1")
            assert "start Kabar once" in await alarm.next()

            async with listening(rabbitmq_url) as listener:
                assert (await listener.next()).message_id == "e1"
                await written(engine, "e2")
                assert (await listener.next()).message_id == "e2"

            relaying.cancel()
            await asyncio.gather(relaying, return_exceptions=True)


def test_a_synchronous_session_or_connection_writes_the_same_statement() -> None:
    """A service without asyncio writes events in its own transactions too, and can test that on SQLite."""
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)

    with Session(engine) as session, session.begin():
        of_session = session.scalar(add_event(OUTBOX, FAILED, source="checkout"))
    with engine.begin() as connection:
        of_connection = connection.scalar(add_event(OUTBOX, FAILED, source="checkout"))

    with engine.connect() as connection:
        stored = connection.scalars(select(OUTBOX.c.event_id).order_by(OUTBOX.c.position)).all()
    engine.dispose()
    assert stored == [of_session, of_connection]


def test_an_event_over_the_limit_never_enters_the_outbox() -> None:
    """A transaction learns at once that its event is too large, instead of leaving it stuck."""
    with pytest.raises(TooLarge):
        add_event(OUTBOX, FAILED.model_copy(update={"reason": "x" * MAX_BODY_BYTES}), source="checkout")
