"""Tells the world on `kabar.status` what became of deliveries: one message per flush, state and channel.

Counts the same in metrics, and logs each delivery that failed. Never holds up a courier: while the broker is away
the newest announcements are kept, up to a limit, and the older dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import structlog

from schemas.status import CONTENT_TYPE, StatusChange, batch
from worker import metrics
from worker.broker.publisher import Publisher
from worker.core.outcome import Sent, Unsure
from worker.errors import BrokerAway
from worker.ledger.deliveries import Ended
from worker.pipeline.settle import Tried

LINGER_SECONDS = 0.1
"""How long an announcement waits for neighbours: a message for every settled handful costs more than the settling."""
_MOST_WAITING = 20_000
_log = structlog.get_logger("status")


class Announcer:
    """The process's voice on `kabar.status`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[StatusChange] = deque(maxlen=_MOST_WAITING)
        self._arrived = asyncio.Event()
        self._stopping = False

    def add_settled(self, written: Sequence[tuple[Tried, str]]) -> None:
        """Announce what a courier brought to an end or to rest."""
        self._count((tried.leased.channel, state) for tried, state in written)
        now = datetime.now(UTC)
        for tried, state in written:
            leased = tried.leased
            if isinstance(tried.outcome, Unsure) and state == "waiting":
                metrics.resends.labels(leased.channel).inc()
            if isinstance(tried.outcome, Sent):
                age = now - leased.created_at
                metrics.delivery_age(leased.channel, leased.lane).observe(max(0.0, age.total_seconds()))
            else:
                _log_failure(tried, state)
            self._add(
                StatusChange(
                    leased.id, leased.notification_id, leased.event_id, leased.event_source, leased.event_type,
                    leased.person_id, leased.channel, state, "" if state == "sent" else tried.outcome.reason,  # type: ignore[union-attr]
                    leased.attempt, leased.traceparent,
                )
            )  # fmt: skip

    def add_ended(self, ended: Sequence[Ended]) -> None:
        """Announce what ended on looking again, at lease or by the timer."""
        self._count((one.channel, one.state) for one in ended)
        for one in ended:
            self._add(
                StatusChange(
                    one.delivery_id, one.notification_id, one.event_id, one.event_source, one.event_type,
                    one.person_id, one.channel, one.state, one.reason, one.attempt, one.traceparent,
                )
            )  # fmt: skip

    def add_skipped(self, skipped: Iterable[StatusChange]) -> None:
        """Announce what was decided not to be sent."""
        self._waiting.extend(skipped)
        self._arrived.set()

    def stop(self) -> None:
        """Say what is here, then end."""
        self._stopping = True
        self._arrived.set()

    async def run(self) -> None:
        """Announce until `stop` was called and nothing waits, or the broker is away then."""
        while self._waiting or not self._stopping:
            await self._arrived.wait()
            if not self._stopping:
                await asyncio.sleep(LINGER_SECONDS)
            self._arrived.clear()
            changes = list(self._waiting)
            self._waiting.clear()
            if changes and not await self._publish(changes):
                if self._stopping:
                    return
                # What arrived meanwhile is newer, and stays: `extendleft` would push it out.
                room = _MOST_WAITING - len(self._waiting)
                self._waiting.extendleft(reversed(changes[-room:] if room else []))
                self._arrived.set()
                await asyncio.sleep(0.5)

    def _count(self, ends: Iterable[tuple[str, str]]) -> None:
        for (channel, state), number in Counter(ends).items():
            metrics.outcomes.labels(channel, state).inc(number)

    def _add(self, change: StatusChange) -> None:
        self._waiting.append(change)
        self._arrived.set()

    async def _publish(self, changes: Sequence[StatusChange]) -> bool:
        groups: dict[str, list[StatusChange]] = defaultdict(list)
        for change in changes:
            groups[f"delivery.{change.state}.{change.channel}"].append(change)
        now = datetime.now(UTC)
        try:
            async with asyncio.TaskGroup() as tasks:
                for key, group in groups.items():
                    tasks.create_task(self._publisher.publish_status(key, batch(group, now), CONTENT_TYPE))
        except* BrokerAway:
            pass
        else:
            return True
        return False


def _log_failure(tried: Tried, state: str) -> None:
    leased = tried.leased
    _log.warning(
        f"delivery.{state}",
        delivery_id=str(leased.id),
        event_id=leased.event_id,
        event_type=leased.event_type,
        channel=leased.channel,
        attempt=leased.attempt,
        reason=getattr(tried.outcome, "reason", ""),
        duration_ms=tried.duration_ms,
    )
