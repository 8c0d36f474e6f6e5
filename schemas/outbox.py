"""The transactional outbox: an event is written in the caller's own transaction and published once that committed.

    metadata = MetaData()
    outbox = outbox_table(metadata)                                   # the service's own migrations create it

    event_id = session.scalar(add_event(outbox, PaymentFailed(...), source="checkout"))    # in the transaction
    event_id = await session.scalar(add_event(outbox, ...))                                # the same with AsyncSession

    await Relay(engine, outbox, producer).run()                       # in as many processes as one likes

Needs SQLAlchemy beside what the producer needs. The relay is for PostgreSQL: elsewhere (SQLite in a service's own
tests) `add_event` works too, but there is no SKIP LOCKED, so that two relays may publish the same event.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Unpack

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert

from schemas.catalogue import EventData
from schemas.producer import Attributes, Encoded, Producer, PublishError, encode

BATCH: Final = 200
PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def outbox_table(metadata: MetaData, name: str = "kabar_outbox") -> Table:
    """Add the outbox's table to the service's metadata. It holds only what has not been published yet."""
    return Table(
        name,
        metadata,
        Column("position", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
        Column("event_id", Text, nullable=False),
        Column("routing_key", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("added_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    )


def add_event(outbox: Table, data: EventData, *, source: str, **attributes: Unpack[Attributes]) -> ReturningInsert[str]:
    """Answer the statement that adds an event; executed by any session or connection, its scalar is the event's id.

    `source` names the service, as in its `Producer`. The event is published if and only if the transaction commits.
    Raises `TooLarge` and `ValueError` as `encode` does, before anything is written.
    """
    event = encode(data, source=source, **attributes)
    values = {"event_id": event.event_id, "routing_key": event.routing_key, "body": event.body}
    return insert(outbox).values(values).returning(outbox.c.event_id)


class Relay:
    """Publishes what was committed to an outbox, and deletes it once the broker has confirmed it.

    Any number may run at once: each takes rows that no other holds. Events go out in the order of their writing as far
    as they are committed; a transaction that stayed open longer follows later. Killed between confirm and delete, an
    event is published again with the same id, which Kabar takes once. `poll_seconds`: how long an idle relay rests.
    """

    def __init__(self, engine: AsyncEngine, outbox: Table, producer: Producer, *, poll_seconds: float = 0.25) -> None:
        self._engine = engine
        self._outbox = outbox
        self._producer = producer
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Relay until cancelled. Broker and database may be away: it says so in the log and tries again."""
        while True:
            try:
                pause = 0.0 if await self.relay_batch() == BATCH else self._poll_seconds
            except (ExceptionGroup, SQLAlchemyError, OSError) as error:
                cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                _log.warning("outbox.relay_failed", extra={"error_type": type(cause).__name__, "reason": str(cause)})
                pause = PAUSE_AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def relay_batch(self) -> int:
        """Publish and delete at most 200 events, and answer how many; 0 means that nothing free is left.

        Raises the `ExceptionGroup` of `publish_many` if some were not confirmed: these stay, the others are deleted.
        """
        # The row locks are held while publishing, at most for the producer's deadline: a relay that dies gives its
        # rows back at once that way, where a lease would have to run out first.
        failed: ExceptionGroup[PublishError] | None = None
        kept: set[str] = set()
        async with self._engine.begin() as connection:
            rows = (await connection.execute(self._claim())).all()
            if not rows:
                return 0
            try:
                await self._producer.publish_many([Encoded(*row[1:]) for row in rows])
            except* PublishError as group:
                failed = group
                kept = {error.event_id for error in group.exceptions if isinstance(error, PublishError)}
            positions = [row.position for row in rows if row.event_id not in kept]
            await connection.execute(delete(self._outbox).where(self._outbox.c.position.in_(positions)))
        if failed is not None:
            raise failed
        return len(rows)

    def _claim(self) -> Select[int, str, str, bytes]:
        columns = self._outbox.c
        wanted = select(columns.position, columns.event_id, columns.routing_key, columns.body)
        return wanted.order_by(columns.position).limit(BATCH).with_for_update(skip_locked=True)
