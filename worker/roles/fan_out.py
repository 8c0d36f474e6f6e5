"""Telling a large audience: an event's members slice by slice, each slice a message of its own.

The message of the next slice is the event's own, with the cursor in a header, so that a crash, a poison or a dead
letter is handled as for any event. The ledger's cursor decides: of two messages for the same slice one writes it, and
the other ends there. Memory stays flat, because a slice is never larger than `SLICE_PEOPLE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.status import StatusChange
from worker import metrics
from worker.broker.publisher import Publisher, until_published
from worker.broker.topology import intake_queue
from worker.core.message import CURSOR, Event, RawMessage
from worker.core.plan import ChannelRule, Decision, Plan
from worker.core.routing import audience_of, slice_lane
from worker.ledger import fan_outs
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import queued_of
from worker.pipeline.decide import decide_slice
from worker.roles.announcer import Announcer
from worker.roles.text_watch import TextWatch
from worker.traces import traces

SLICE_PEOPLE = 500


class FanOut:
    """Tells large audiences, one slice at a time."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        announcer: Announcer,
        channels: Mapping[str, ChannelRule],
        texts: TextWatch,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._announcer = announcer
        self._channels = channels
        self._texts = texts

    async def begin(self, message: RawMessage, event: Event) -> None:
        """Publish the message of the first slice. Safe to repeat, also when others follow already."""
        await self._publish(message, event, "")

    async def is_known(self, event: Event) -> bool:
        """Say whether the event's audience is told in slices: only then does its message's cursor mean anything."""
        return await self._ledger.persist(lambda: fan_outs.find_fan_out(self._ledger, event.key)) is not None

    async def go_on(self, message: RawMessage, event: Event, now: datetime) -> None:
        """Write the slice after the message's cursor, publish its jobs, then the message of the next."""
        after = str(message.headers[CURSOR])
        roles = {role for route in event.info.routes for role in audience_of(event, route).roles}
        with metrics.Timed("address", 1) as timed:
            people = await self._ledger.persist(lambda: fan_outs.next_people(self._ledger, roles, after, SLICE_PEOPLE))
        if traces.is_on:
            traces.of_events(timed, [event])
        decision = decide_slice(event, people, self._channels, now)
        part = fan_outs.Slice(after, people[-1].id if people else after, len(people), len(people) < SLICE_PEOPLE)
        with metrics.Timed("dispatch", 1) as timed:
            edition = await self._texts.newest()
            tries = 0

            async def write() -> bool:
                nonlocal tries
                tries += 1
                return await fan_outs.record_slice(self._ledger, decision, part, edition)

            is_ours = await self._ledger.persist(write)
            may_be_ours = tries > 1 or message.deliveries_before > 0
            if not is_ours and not (may_be_ours and await self._is_unfinished(event, part)):
                return
            await self._publish_jobs(decision)
        if traces.is_on:
            traces.of_events(timed, [event])
        if is_ours:
            self._announcer.add_skipped(count_decided([decision]))
        if not part.is_last:
            await self._publish(message, event, part.until)

    async def _is_unfinished(self, event: Event, part: fan_outs.Slice) -> bool:
        """Say whether the slice stands in the ledger, and nothing after it.

        Asked for a message that came back, whose worker may have died after writing, and for a write whose answer was
        lost. Any other message was doubled, and whoever wrote the slice goes on.
        """
        found = await self._ledger.persist(lambda: fan_outs.find_fan_out(self._ledger, event.key))
        return found is not None and found["cursor"] == part.until

    async def _publish_jobs(self, decision: Decision) -> None:
        planned = [
            one.id
            for notification in decision.notifications
            for one in notification.deliveries
            if isinstance(one.decision, Plan)
        ]
        # Not those who had been told before.
        ready = await self._ledger.persist(lambda: queued_of(self._ledger, planned))
        await until_published(lambda: self._publisher.publish_jobs(ready))

    async def _publish(self, message: RawMessage, event: Event, cursor: str) -> None:
        queue = intake_queue(slice_lane(event.info))
        await until_published(
            lambda: self._publisher.move(message, exchange="", routing_key=queue, headers={CURSOR: cursor})
        )


def count_decided(decisions: Sequence[Decision]) -> list[StatusChange]:
    """Count plans and skips in the metrics; answers the skips, to be announced."""
    skipped = []
    planned: Counter[tuple[str, str]] = Counter()
    for decision, notification in ((one, two) for one in decisions for two in one.notifications):
        for delivery in notification.deliveries:
            if isinstance(delivery.decision, Plan):
                planned[delivery.channel, delivery.decision.lane] += 1
                continue
            reason = delivery.decision.reason
            metrics.skips.labels(delivery.channel, reason).inc()
            event = decision.event
            skipped.append(
                StatusChange(
                    delivery.id, notification.id, event.id, event.source, event.type, notification.person_id,
                    delivery.channel, "skipped", reason, 0, event.traceparent,
                )
            )  # fmt: skip
    for labels, number in planned.items():
        metrics.planned.labels(*labels).inc(number)
    return skipped
