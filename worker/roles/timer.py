"""The timer: what has waited long enough is made ready, what got stuck is healed, what died is brought to the ledger.

Any number may run side by side: rows are taken with SKIP LOCKED, so no leader is needed for correctness.

A job that was lost leaves a row that is ready and that nobody takes; so does one that waits in a long queue, and to
publish that again for its mere age would double the queue. The two are told apart by a mark: a job without
deliveries that the timer puts into the queue, behind all that is there. A courier whose turn it is at the mark sends
it back by way of the dead letters. What became ready well before it, and is ready still, has no job. The ledger keeps
how far each queue has come, so that any timer goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog
from pydantic import ValidationError

from schemas.catalogue import Lane
from schemas.jobs import Job, Mark
from schemas.status import CONTENT_TYPE, letter_batch
from worker import metrics
from worker.broker.consumer import Inbox, Received, ack
from worker.broker.publisher import Publisher, until_published
from worker.broker.topology import DEAD_DELIVER, DEAD_INTAKE, SUSPECT, deliver_queue, intake_queue
from worker.core.dead_letter import CODE, DeadLetter, read_dead
from worker.core.message import CURSOR, RawMessage
from worker.errors import BrokerAway
from worker.ledger import deliveries, fan_outs
from worker.ledger.connection import Ledger, is_outage
from worker.ledger.dead_letters import bury, count_open
from worker.roles.announcer import Announcer

TICK_SECONDS = 0.5
LOOK_SECONDS = 10.0
_BATCH = 500
_SWEEPS = 64
"""In so many looks all addresses' paces are swept."""
_NO_BACKLOG = 4
"""So many messages may be taken for lost, and the jobs among them be doubled."""
_log = structlog.get_logger("timer")
BuryAll = Callable[[Sequence[Received]], Awaitable[None]]


class Timer:
    """One timer."""

    def __init__(self, ledger: Ledger, publisher: Publisher, announcer: Announcer, channels: Sequence[str]) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._announcer = announcer
        self._channels = channels
        self._dead_events = Inbox(DEAD_INTAKE, prefetch=50)
        self._dead_jobs = Inbox(DEAD_DELIVER, prefetch=50)
        self._sweeps = 0
        self._stopping = asyncio.Event()
        self.inboxes = [self._dead_events, self._dead_jobs]

    async def run(self) -> None:
        """Work until `stop` was called; what is under way is finished."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick_loop())
            group.create_task(self._look_loop())
            group.create_task(self._bury_loop(self._dead_events, self._bury_events))
            group.create_task(self._bury_loop(self._dead_jobs, self._bury_jobs))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def _tick_loop(self) -> None:
        while not self._stopping.is_set():
            metrics.timer_ticks.inc()
            # A full batch means that more is due: no pause.
            if await self._wake() + await self._reap() < _BATCH:
                await self._pause(TICK_SECONDS)

    async def _wake(self) -> int:
        if self._publisher.link.outage or self._publisher.link.blocked:
            return 0  # they would only wait in another state
        ready = await self._ledger.persist(lambda: deliveries.wake(self._ledger, _BATCH))
        if ready:
            metrics.timer_work.labels("woken").inc(len(ready))
            await until_published(lambda: self._publisher.publish_jobs(ready))
        return len(ready)

    async def _reap(self) -> int:
        reaped = await self._ledger.persist(lambda: deliveries.reap(self._ledger, _BATCH))
        if reaped:
            metrics.timer_work.labels("reaped").inc(len(reaped))
            _log.warning("lease.ran_out", count=len(reaped))
            for one in reaped:
                if one.state == "waiting":
                    metrics.resends.labels(one.channel).inc()
            self._announcer.add_ended(reaped)
        return len(reaped)

    async def _look_loop(self) -> None:
        await self._publisher.link.up.wait()
        while not self._stopping.is_set():
            try:
                await self._look()
            except BrokerAway:
                _log.info("look.postponed")
            await self._gauge()
            await self._expire()
            await self._sweep()
            await self._pause(LOOK_SECONDS)

    async def _look(self) -> None:
        """Measure the queues, and publish again what they should hold and do not."""
        for lane in Lane:
            messages, _ = await self._measure(intake_queue(lane))
            if messages == 0:
                await self._heal_fan_outs(lane)
        for queue in (SUSPECT, DEAD_INTAKE, DEAD_DELIVER):
            await self._measure(queue)
        await self._look_for_lost_jobs()

    async def _measure(self, queue: str) -> tuple[int, int]:
        messages, consumers = await self._publisher.depth(queue)
        metrics.queue_messages.labels(queue).set(messages)
        return messages, consumers

    async def _look_for_lost_jobs(self) -> None:
        """Publish again what the couriers have passed over, and put new marks behind what they have not come to."""
        marked = []
        for channel in self._channels:
            for lane in Lane:
                messages, consumers = await self._measure(deliver_queue(channel, lane))
                await self._heal(channel, lane)
                if consumers or messages <= _NO_BACKLOG:
                    marked.append((channel, lane))
        for mark in await self._ledger.persist(lambda: deliveries.mark(self._ledger, marked)):
            await self._publisher.publish_mark(mark)
            messages, consumers = await self._publisher.depth(deliver_queue(mark.channel, mark.lane))
            # No courier is there to send it back. RabbitMQ says 0 of a queue whose leader is late to answer.
            if not consumers and 0 < messages <= _NO_BACKLOG:
                await self._return(mark)

    async def _return(self, mark: Mark) -> None:
        await self._ledger.persist(lambda: deliveries.mark_reached(self._ledger, mark))

    async def _heal(self, channel: str, lane: Lane) -> None:
        count = 0
        while lost := await self._ledger.persist(lambda: deliveries.overdue(self._ledger, channel, lane, _BATCH)):
            metrics.timer_work.labels("healed").inc(len(lost))
            await until_published(partial(self._publisher.publish_jobs, lost))
            count += len(lost)
        if count:
            _log.warning("job.published_again", channel=channel, lane=lane, count=count)

    async def _heal_fan_outs(self, lane: Lane) -> None:
        lost = await self._ledger.persist(lambda: fan_outs.stalled(self._ledger, lane, _BATCH))
        for message, cursor in lost:
            metrics.timer_work.labels("healed").inc()
            _log.warning("slice.published_again", event_id=message.message_id, lane=lane)
            move = partial(self._publisher.move, exchange="", routing_key=intake_queue(lane), headers={CURSOR: cursor})
            await until_published(partial(move, message))

    async def _expire(self) -> None:
        while expired := await self._ledger.persist(lambda: deliveries.expire(self._ledger, self._channels, _BATCH)):
            metrics.timer_work.labels("expired").inc(len(expired))
            self._announcer.add_ended(expired)

    async def _sweep(self) -> None:
        part, self._sweeps = self._sweeps % _SWEEPS, self._sweeps + 1
        await self._ledger.persist(lambda: deliveries.sweep_paces(self._ledger, part, _SWEEPS))

    async def _gauge(self) -> None:
        rows = await self._ledger.persist(lambda: deliveries.gauges(self._ledger))
        metrics.dead_letters_open.set(await self._ledger.persist(lambda: count_open(self._ledger)))
        metrics.unfinished.clear()
        metrics.oldest_waiting_seconds.clear()
        for row in rows:
            metrics.unfinished.labels(row["channel"], row["state"]).inc(row["deliveries"])
            if row["oldest_seconds"] is not None:
                age = max(0.0, float(row["oldest_seconds"]))
                metrics.oldest_waiting_seconds.labels(row["channel"], row["lane"]).set(age)

    async def _bury_loop(self, inbox: Inbox, bury_all: BuryAll) -> None:
        while batch := await inbox.take(50):
            await bury_all(batch)
            await ack(batch[-1], multiple=True)

    async def _bury_events(self, batch: Sequence[Received]) -> None:
        letters = [await self._bury_event(received.message) for received in batch]
        body = letter_batch([(str(one.id), one.event_id, one.event_type, one.reason) for one in letters], _now())
        await until_published(lambda: self._publisher.publish_status("event.dead", body, CONTENT_TYPE))

    async def _bury_event(self, message: RawMessage) -> DeadLetter:
        """Keep one letter. What cannot be read, by a defect of ours, is kept by its bytes alone."""
        try:
            letter = read_dead(message)
            await self._ledger.persist(lambda: bury(self._ledger, [letter], "event"))
        except Exception as error:
            if is_outage(error):
                raise
            metrics.defects.labels("bury").inc()
            _log.exception("dead_letter.unreadable", error_type=type(error).__name__)
            letter = read_dead(RawMessage(body=message.body, routing_key="", headers={CODE: "unreadable"}))
            await self._ledger.persist(lambda: bury(self._ledger, [letter], "event"))
        return letter

    async def _bury_jobs(self, batch: Sequence[Received]) -> None:
        """A job is only work: what of it is still to be done is published again, what cannot be read is kept.

        A mark comes this way, and is no dead letter.
        """
        for received in batch:
            body = received.message.body
            try:
                job = Job.model_validate_json(body)
                mark = None if job.is_work else Mark.model_validate_json(body)
            except ValidationError:
                await self._bury_job(received)
            else:
                await (self._return(mark) if mark else self._publish_again(job))

    async def _bury_job(self, received: Received) -> None:
        remedy = "no Kabar of this version wrote it: see who publishes to kabar.deliver"
        letter = replace(read_dead(received.message), stage="lease", reason="job_malformed", remedy=remedy)
        await self._ledger.persist(lambda: bury(self._ledger, [letter], "job"))

    async def _publish_again(self, job: Job) -> None:
        ready = await self._ledger.persist(lambda: deliveries.queued_of(self._ledger, job.ids))
        await until_published(lambda: self._publisher.publish_jobs(ready))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _now() -> datetime:
    return datetime.now(UTC)
