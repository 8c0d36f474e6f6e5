"""The courier of one channel: jobs from its three lanes become leased, rendered, sent and settled deliveries.

A job is acknowledged once all its deliveries have been leased: from then on the ledger knows of them. No more is
leased than can be sent at once (`WINDOW` per channel and process), in half-windows, so that the next lease overlaps
the sends of the last. Outcomes are settled within milliseconds of their arrival, whatever their neighbours do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import structlog
from pydantic import ValidationError

from schemas.catalogue import Catalogue, Lane
from schemas.jobs import Job
from worker import metrics
from worker.broker.consumer import Inbox, Received, ack, reject
from worker.broker.topology import deliver_queue
from worker.channels.inbox import InboxMessage
from worker.core.editions import Editions
from worker.core.fingerprint import bug
from worker.core.outcome import Deferred, Outcome, Refused, Released
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import Leased
from worker.pipeline.lease import LEASE_SECONDS, lease
from worker.pipeline.render import Rendered, needs, render
from worker.pipeline.send import SEND_SECONDS
from worker.pipeline.settle import Tried
from worker.roles.announcer import Announcer
from worker.roles.holds import Holds
from worker.roles.providers import Providers, Sending
from worker.roles.settler import Settler
from worker.roles.text_watch import TextWatch
from worker.traces import traces

WINDOW = 64
URGENT_ROOM = 16
"""How many more an urgent job may bring into flight when the window is full of others."""
JOB_PREFETCH = 4
_log = structlog.get_logger("courier")


class _Ready(NamedTuple):
    """A delivery to be sent; `message` is its channel's own, `version` its text's. `begin_by`: monotonic clock."""

    leased: Leased
    message: object
    version: str
    begin_by: float


class _Lane:
    """The jobs of one lane whose deliveries have not all been leased yet."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._jobs: deque[tuple[deque[UUID], Received]] = deque()

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._jobs)

    def add(self, job: Job, received: Received) -> None:
        self._jobs.append((deque(job.ids if job.is_work else ()), received))

    def take(self, limit: int) -> tuple[list[UUID], list[Received]]:
        """Take up to `limit` deliveries; answers also the jobs that are used up by it. Stops at a mark."""
        ids: list[UUID] = []
        used_up: list[Received] = []
        while self._jobs and len(ids) < limit and not self._is_at_mark():
            waiting, received = self._jobs[0]
            while waiting and len(ids) < limit:
                ids.append(waiting.popleft())
            if not waiting:
                used_up.append(received)
                self._jobs.popleft()
        return ids, used_up

    def take_mark(self) -> Received | None:
        """Take the mark whose turn it is; None where a job comes first."""
        return self._jobs.popleft()[1] if self._is_at_mark() else None

    def _is_at_mark(self) -> bool:
        """Say whether a mark is next: a job is taken out with the last of its deliveries."""
        return bool(self._jobs) and not self._jobs[0][0]


class Courier:
    """Delivers one channel. Any number may run side by side, in one process or many."""

    def __init__(
        self,
        providers: Providers,
        ledger: Ledger,
        settler: Settler,
        announcer: Announcer,
        catalogue: Catalogue,
        texts: TextWatch,
    ) -> None:
        self._providers = providers
        self._channel = channel = providers.channel
        self._ledger = ledger
        self._settler = settler
        self._announcer = announcer
        self._catalogue = catalogue
        self._texts = texts
        self._lanes = {lane: _Lane(Inbox(deliver_queue(channel.name, lane), JOB_PREFETCH)) for lane in Lane}
        self._window = max(WINDOW, 2 * channel.abilities.concurrency)
        self._in_flight = 0
        metrics.in_flight.labels(channel.name).set_function(lambda: self._in_flight)
        self._changed = asyncio.Event()
        self._send_seconds = metrics.send_seconds.labels(channel.name)
        providers.on_change(self._changed.set)
        self._to_send: dict[Lane, deque[_Ready]] = {lane: deque() for lane in Lane}
        self._sendable = asyncio.Semaphore(0)
        self._holds = Holds()
        self._stopping = False
        self.inboxes = [lane.inbox for lane in self._lanes.values()]

    async def run(self) -> None:
        """Work until `stop` was called and everything in flight is settled."""
        async with asyncio.TaskGroup() as group:
            intakes = [group.create_task(self._receive(lane)) for lane in self._lanes.values()]
            senders = [group.create_task(self._send_loop()) for _ in range(self._channel.abilities.concurrency)]
            await self._lease_loop()
            for task in (*intakes, *senders):
                task.cancel()

    def stop(self) -> None:
        """Lease nothing more and give back what has not begun; sends under way are finished."""
        self._stopping = True
        self._changed.set()
        for waiting in self._to_send.values():
            while waiting:
                self._finish(waiting.popleft().leased, Released("shutdown"), 0.0)

    async def _receive(self, lane: _Lane) -> None:
        while batch := await lane.inbox.take(JOB_PREFETCH):
            for received in batch:
                try:
                    lane.add(Job.model_validate_json(received.message.body), received)
                except ValidationError:
                    metrics.defects.labels("lease").inc()
                    _log.error("job.malformed", queue=lane.inbox.queue)
                    await reject(received)
            self._changed.set()

    async def _lease_loop(self) -> None:
        while not (self._stopping and self._in_flight == 0):
            self._changed.clear()
            if self._stopping or not await self._lease_some():
                await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        # Nothing changes by the mere passing of time but what a provider takes, and only work waits for that.
        pause = self._providers.pause() if any(map(len, self._lanes.values())) else None
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _lease_some(self) -> bool:
        """Lease the most pressing that fits. Answers false where there is nothing to do now."""
        await self._return_marks()
        for lane, waiting in self._lanes.items():
            space = self._window + (URGENT_ROOM if lane is Lane.URGENT else 0) - self._in_flight
            # A lease of few costs as much as a lease of many: wait for half a window, or for all there is.
            wanted = min(len(waiting), self._window // 2)
            if wanted and space >= (wanted if lane is not Lane.URGENT else 1):
                room = await self._providers.room(min(wanted, space), self._unbegun())
                if room:
                    await self._lease(lane, waiting, min(wanted, space, room))
                return room > 0
        return False

    async def _return_marks(self) -> None:
        """Send back the marks before which nothing is left to be leased, by way of the dead letters."""
        for waiting in self._lanes.values():
            while mark := waiting.take_mark():
                await reject(mark)

    def _unbegun(self) -> int:
        return sum(map(len, self._to_send.values()))

    async def _lease(self, lane: Lane, waiting: _Lane, room: int) -> None:
        ids, used_up = waiting.take(room)
        self._in_flight += len(ids)
        begin_by = time.monotonic() + LEASE_SECONDS - SEND_SECONDS - 1
        with metrics.Timed("lease", len(ids)) as timed:
            leased, ended = await lease(self._ledger, ids, self._channel.abilities.per_address)
        if traces.is_on:
            traces.of_deliveries(timed, leased)
        for received in used_up:
            await ack(received)
        self._in_flight -= len(ids) - len(leased)
        self._announcer.add_ended(ended)
        editions = await self._texts_for(leased)
        with metrics.Timed("render", len(leased)) as timed:
            for one in leased:
                self._render(one, editions, lane, begin_by)
        if traces.is_on:
            traces.of_deliveries(timed, leased)

    async def _texts_for(self, leased: Sequence[Leased]) -> Editions:
        """Have every text at hand before rendering. Waits only for what was published just now or long ago."""
        editions = await self._texts.ready_for(leased)
        old = [one for one in leased if one.template_edition is not None and one.template_edition < editions.newest]
        return await self._texts.prepare(needs(one, self._catalogue) for one in old) if old else editions

    def _render(self, leased: Leased, editions: Editions, lane: Lane, begin_by: float) -> None:
        try:
            message, version = render(leased, self._catalogue, editions, self._channel)
        except Exception as error:  # noqa: BLE001 - a bug over one delivery must not stop its neighbours
            metrics.defects.labels("render").inc()
            _log.exception("render.failed", delivery_id=str(leased.id), error_type=type(error).__name__)
            message, version = Rendered(Refused("render_bug", bug(error), fault="ours"))
        if isinstance(message, Refused | Deferred):
            self._finish(leased, message, 0.0, version)
            return
        ready = _Ready(leased, message, version, begin_by)
        if leased.delay_seconds > 0:
            asyncio.get_running_loop().call_later(leased.delay_seconds, self._offer, ready, lane)
        else:
            self._offer(ready, lane)

    def _offer(self, ready: _Ready, lane: Lane) -> None:
        """Hand it to the next sender that is free."""
        if self._stopping:
            self._finish(ready.leased, Released("shutdown"), 0.0)
            return
        self._to_send[lane].append(ready)
        self._sendable.release()

    async def _send_loop(self) -> None:
        """One of the channel's standing senders: takes the most pressing, sends it, passes the outcome on."""
        while True:
            await self._sendable.acquire()
            ready = next((waiting.popleft() for waiting in self._to_send.values() if waiting), None)
            if ready is None:
                continue  # it was given back meanwhile
            outcome, provider, seconds = await self._send(ready)
            if traces.is_on:
                traces.of_send(ready.leased, outcome, seconds)
            shown = ready.message if isinstance(ready.message, InboxMessage) else None
            self._finish(ready.leased, outcome, seconds, ready.version, shown, provider)

    async def _send(self, ready: _Ready) -> Sending:
        leased = ready.leased
        if objection := self._holds.objection(leased.address, time.monotonic()):
            return Sending(objection)
        sending = await self._providers.send(ready.message, leased.id, ready.begin_by)
        if isinstance(sending.outcome, Deferred) and sending.outcome.scope == "address":
            self._holds.note(sending.outcome, leased.address, time.monotonic())
        return sending

    def _finish(
        self,
        leased: Leased,
        outcome: Outcome,
        seconds: float,
        version: str = "",
        shown: InboxMessage | None = None,
        provider: str = "",
    ) -> None:
        tried = Tried(
            leased,
            outcome,
            self._channel.abilities,
            random.random(),  # noqa: S311 - jitter
            int(seconds * 1000),
            shown,
            version,
            provider,
        )
        self._settler.add(tried, self._settled)
        self._send_seconds.observe(seconds)

    def _settled(self) -> None:
        self._in_flight -= 1
        self._changed.set()


def inboxes_of(couriers: Sequence[Courier]) -> list[Inbox]:
    """Answer all queues these couriers consume."""
    return [inbox for courier in couriers for inbox in courier.inboxes]
