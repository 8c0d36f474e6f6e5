"""The intake: events from the broker become rows and jobs (stages 1 to 4).

One loop per lane, so that lanes cannot hold each other up, and one for suspects: messages that have come back
twice, because a worker died over them or near them. Those are taken alone, so that the one that kills dies alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog

from schemas.catalogue import Catalogue, Lane
from schemas.events.directory import PersonChanged, PersonRemoved, PreferenceChanged
from worker import metrics
from worker.broker.consumer import Inbox, Received, ack, ack_all, reject
from worker.broker.publisher import Publisher, until_published
from worker.broker.topology import DEAD_LETTER, SUSPECT, intake_queue
from worker.core.dead_letter import CODE, FIELD, PLACE, REMEDY
from worker.core.fingerprint import own_frame
from worker.core.message import CURSOR, Event, RawMessage, Rejected, body_too_large
from worker.core.plan import ChannelRule, Decision
from worker.core.routing import slices
from worker.ledger.connection import Ledger, is_outage
from worker.ledger.directory import DirectoryChange, PersonChange, PersonRemoval, PreferenceChange, apply_changes
from worker.pipeline.accept import accept
from worker.pipeline.address import address
from worker.pipeline.decide import decide
from worker.pipeline.dispatch import dispatch
from worker.roles.announcer import Announcer
from worker.roles.fan_out import FanOut, count_decided
from worker.roles.text_watch import TextWatch
from worker.traces import traces

BATCH = 256
PREFETCH = 2 * BATCH
SLICE_PEOPLE = 2000
"""About how many people one statement writes for, so that neither memory nor its time grows with the audience."""
_RETURNS_OF_A_SUSPECT = 2
_MAX_HEADER_ROOM = 64 * 1024
_log = structlog.get_logger("intake")


class Intake:
    """One intake. Any number may run side by side; the ledger's keys keep them from doing anything twice."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        announcer: Announcer,
        catalogue: Catalogue,
        channels: Mapping[str, ChannelRule],
        texts: TextWatch,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._announcer = announcer
        self._catalogue = catalogue
        self._channels = channels
        self._texts = texts
        self._fan_out = FanOut(ledger, publisher, announcer, channels, texts)
        self._suspects = Inbox(SUSPECT, prefetch=1)
        self.inboxes = [*(Inbox(intake_queue(lane), PREFETCH) for lane in Lane), self._suspects]

    async def run(self) -> None:
        """Work until the inboxes are closed; the batch under way is finished."""
        async with asyncio.TaskGroup() as group:
            for inbox in self.inboxes:
                group.create_task(self._loop(inbox), name=f"intake {inbox.queue}")

    async def _loop(self, inbox: Inbox) -> None:
        limit = 1 if inbox is self._suspects else BATCH
        while batch := await inbox.take(limit):
            if inbox is not self._suspects:
                batch = await self._without_suspects(batch)
            if batch:
                await self._process(batch)
                await ack_all(batch)

    async def _without_suspects(self, batch: list[Received]) -> list[Received]:
        suspects = [one for one in batch if _is_suspect(one.message)]
        if not suspects:
            return batch
        for suspect in suspects:
            await until_published(partial(self._publisher.move, suspect.message, exchange="", routing_key=SUSPECT))
            await ack(suspect)
        metrics.events.labels("suspect").inc(len(suspects))
        _log.warning("event.suspected", count=len(suspects))
        return [one for one in batch if not _is_suspect(one.message)]

    async def _process(self, batch: Sequence[Received]) -> None:
        """Take a batch through the stages. A bug over one event buries that event and no other."""
        try:
            await self._pass_on(batch)
        except Exception as error:
            if is_outage(error):
                raise
            if len(batch) == 1:
                await self._bury_for_bug(batch[0], error)
                return
            for one in batch:
                if not one.is_buried:
                    await self._process([one])

    async def _pass_on(self, batch: Sequence[Received]) -> None:
        now = await self._ledger.persist(self._ledger.now)
        with metrics.Timed("accept", len(batch)) as timed:
            judged = accept([received.message for received in batch], self._catalogue, now)
        if traces.is_on:
            traces.of_events(timed, (one for one in judged if isinstance(one, Event)))
        fresh: list[tuple[Received, Event]] = []
        slices_to_tell: list[tuple[Received, Event]] = []
        for received, one in zip(batch, judged, strict=True):
            if isinstance(one, Rejected):
                await self._bury(received, one)
            elif CURSOR in received.message.headers and await self._fan_out.is_known(one):
                slices_to_tell.append((received, one))
            else:
                fresh.append((received, one))
        if fresh:
            await self._take_in(fresh, now)
        for received, one in slices_to_tell:
            await self._fan_out.go_on(received.message, one, now)

    async def _take_in(self, fresh: Sequence[tuple[Received, Event]], now: datetime) -> None:
        """Take in events as they came from their producers; one may have come in several copies."""
        events: dict[UUID, Event] = {}
        for _, one in fresh:
            events.setdefault(one.key, one)
        origin = {one.key: received for received, one in fresh}
        copies = Counter(one.key for _, one in fresh)
        known = await self._decide_and_dispatch(list(events.values()), origin, copies, now)
        _note_wait(events.values())
        metrics.events.labels("accepted").inc(len(events) - known)
        metrics.events.labels("repeated").inc(len(fresh) - len(events) + known)

    async def _decide_and_dispatch(
        self, events: list[Event], origin: Mapping[UUID, Received], copies: Mapping[UUID, int], now: datetime
    ) -> int:
        """Answer how many of the events had been seen before."""
        changes = [change for event in events for change in _directory_change(event, now)]
        if changes:
            await self._ledger.persist(lambda: apply_changes(self._ledger, changes))
        with metrics.Timed("address", len(events)) as timed:
            facts = await self._ledger.persist(lambda: address(self._ledger, events))
        if traces.is_on:
            traces.of_events(timed, events)
        known = 0
        for part in slices(events, facts, SLICE_PEOPLE):
            with metrics.Timed("decide", len(part)) as timed:
                decided = decide(part, facts, self._channels, now)
            if traces.is_on:
                traces.of_events(timed, part)
            for event, verdict in zip(part, decided, strict=True):
                if isinstance(verdict, Rejected):
                    await self._bury(origin[event.key], verdict)
            decisions = [one for one in decided if isinstance(one, Decision)]
            known += await self._dispatch(decisions, copies)
            for decision in decisions:
                if decision.fan_out:
                    await self._fan_out.begin(origin[decision.event.key].message, decision.event)
        return known

    async def _dispatch(self, decisions: Sequence[Decision], copies: Mapping[UUID, int]) -> int:
        with metrics.Timed("dispatch", len(decisions)) as timed:
            edition = await self._texts.newest()
            known = await dispatch(self._ledger, self._publisher, decisions, copies, edition)
        if traces.is_on:
            traces.of_events(timed, (one.event for one in decisions))
        self._announcer.add_skipped(count_decided([one for one in decisions if one.event.key not in known]))
        return len(known)

    async def _bury_for_bug(self, received: Received, error: Exception) -> None:
        place = own_frame(error)
        metrics.defects.labels("intake").inc()
        _log.exception("event.failed", error_type=type(error).__name__, place=place)
        remedy = "a defect in Kabar or in a product's own event type: see the log, then replay"
        await self._bury(received, Rejected("worker_error", type(error).__name__, remedy), place)

    async def _bury(self, received: Received, rejected: Rejected, place: str = "") -> None:
        """Send an event to the dead letters with its reason. What cannot be published again goes as it is."""
        received.is_buried = True
        metrics.events.labels("rejected").inc()
        metrics.rejects.labels(rejected.code).inc()
        _log.warning(
            "event.rejected", reason=rejected.code, field=rejected.field,
            event_id=rejected.event_id or received.message.message_id, event_type=rejected.event_type,
        )  # fmt: skip
        if not _can_be_moved(received.message):
            await reject(received)
            return
        reason = {CODE: rejected.code, FIELD: rejected.field, REMEDY: rejected.remedy, PLACE: place}
        await until_published(
            lambda: self._publisher.move(received.message, exchange=DEAD_LETTER, routing_key="intake", headers=reason)
        )


def _is_suspect(message: RawMessage) -> bool:
    """It came back twice. One that cannot be published again is none: `accept` refuses it at a glance."""
    return message.deliveries_before >= _RETURNS_OF_A_SUSPECT and _can_be_moved(message)


def _can_be_moved(message: RawMessage) -> bool:
    """Say whether the headers and a reason fit into one frame, and the body is no larger than any broker takes.

    One that was given a lower limit, as by an upgrade, closes the channel over what it has taken before.
    """
    room = len(str(message.headers).encode(errors="replace"))
    return room <= _MAX_HEADER_ROOM and not body_too_large(message.body)


def _directory_change(event: Event, now: datetime) -> Iterator[DirectoryChange]:
    at = min(event.time, now)  # a producer's clock that runs ahead must not make later changes look old
    match event.payload:
        case PersonChanged() as new:
            yield PersonChange(new.person_id, at, new.name, new.locale, new.time_zone, new.roles, new.addresses)
        case PersonRemoved() as gone:
            yield PersonRemoval(gone.person_id, at)
        case PreferenceChanged() as wish:
            yield PreferenceChange(wish.person_id, at, wish.scope, wish.channel, wish.enabled)
        case _:
            return


def _note_wait(events: Collection[Event]) -> None:
    """Tell how long the oldest of a batch was on its way. Nearly all of a batch are of one lane."""
    wait = datetime.now(UTC) - min(event.time for event in events)
    metrics.event_wait_seconds.labels(next(iter(events)).info.lane).observe(max(0.0, wait.total_seconds()))
