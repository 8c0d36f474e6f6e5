"""Sending dead letters again: batch by batch, at a rate, and never what has been delivered.

A delivery is made ready by one statement a batch, which looks at its state again; then its job is published. An
event is published first and its letter closed after, for the ledger knows an event that comes twice. So a replay that
is killed at any line can be run again: what it had done is not done twice, and what it had not is still open or due.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from schemas.catalogue import Catalogue, Lane
from schemas.status import CONTENT_TYPE, StatusChange, batch
from worker.broker.consumer import ORIGINAL_KEY
from worker.broker.publisher import Publisher
from worker.broker.topology import intake_queue
from worker.commands.dead_choice import Choice, choose
from worker.commands.dead_judge import JOB_OBSTACLE, judge, message_of, obstacles
from worker.commands.dead_report import Fate, Report
from worker.commands.session import open_ledger, open_publisher, operator
from worker.deployment import build_catalogue
from worker.errors import BrokerAway
from worker.ledger import dead_letters
from worker.ledger.connection import Ledger, Record
from worker.ledger.intake import Ready
from worker.settings import Settings

BATCH = 500
_BATCHES_A_SECOND = 10
_UNCONFIRMED = "was not confirmed by the broker: see that it is well and that a worker has run once, then repeat"
_LATER = "replayed; the broker did not confirm its job, so the timer hands it out in about a minute"
_ELSEWHERE = "is in the hands of another replay, or its event is not in the ledger any more"


async def foresee(settings: Settings, choice: Choice) -> int:
    """Say what `replay` would do, and change nothing; answers the exit code that it would have."""
    catalogue = build_catalogue(settings)
    async with open_ledger(settings) as ledger:
        chosen = await choose(ledger, choice)
        with Report("looking at", total=chosen.total, is_long=bool(choice.ids)) as report:
            async for page in chosen.pages(BATCH):
                report.add(await judge(ledger, catalogue, settings.channels, page))
    return report.exit_code


async def replay(settings: Settings, choice: Choice, rate: float) -> int:
    """Send letters again; answers the exit code. Nothing is sent unless each id names one letter.

    `rate`: letters a second; 0: as fast as it goes. Ends where the broker does not confirm: the rest stays open.
    """
    pace = _Pace(rate)
    catalogue = build_catalogue(settings)
    async with open_ledger(settings) as ledger:
        chosen = await choose(ledger, choice)
        async with open_publisher(settings) as publisher:
            sender = _Sender(ledger, publisher, settings, catalogue, choice.told())
            with Report("replaying", total=chosen.total, is_long=bool(choice.ids)) as report:
                async for page in chosen.pages(pace.size):
                    fates = await sender.send(page)
                    report.add(fates)
                    if any(fate.what == _UNCONFIRMED for fate in fates):
                        break
                    await pace.keep(len(page))
    return report.exit_code


class _Pace:
    """Keeps to a rate in small even steps. Time that was lost is not made up for by a burst."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.size = max(1, min(BATCH, int(rate / _BATCHES_A_SECOND))) if rate else BATCH
        self._next_at = time.monotonic()

    async def keep(self, number: int) -> None:
        """Wait until more may follow on so many."""
        if self._rate:
            now = time.monotonic()
            self._next_at = max(self._next_at, now - 1 / _BATCHES_A_SECOND) + number / self._rate
            await asyncio.sleep(max(0.0, self._next_at - now))


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends the letters of one run. `choice` is how they were chosen, for the audit."""

    ledger: Ledger
    publisher: Publisher
    settings: Settings
    catalogue: Catalogue
    choice: str

    async def send(self, letters: Sequence[Record]) -> list[Fate]:
        """Send a batch again."""
        by_kind: dict[str, list[Record]] = defaultdict(list)
        for letter in letters:
            by_kind[letter["kind"]].append(letter)
        return [
            *(await self._send_deliveries(by_kind["delivery"]) if by_kind["delivery"] else ()),
            *(await self._send_events(by_kind["event"]) if by_kind["event"] else ()),
            *(Fate(letter, is_done=False, what=JOB_OBSTACLE) for letter in by_kind["job"]),
        ]

    async def _send_deliveries(self, letters: Sequence[Record]) -> list[Fate]:
        attempts, channels = self.settings.attempt_limit, self.settings.channels
        ids = [letter["id"] for letter in letters]
        detail = self._noted(f"{attempts} more attempts")
        revived = await dead_letters.revive_deliveries(
            self.ledger, ids, attempts=attempts, channels=channels, actor=operator(), detail=detail
        )
        what = await self._hand_out(revived) if revived else ""
        done = {row["letter_id"] for row in revived}
        left = [letter for letter in letters if letter["id"] not in done]
        in_the_way = await obstacles(self.ledger, channels, left) if left else {}
        return [
            *(Fate(letter, is_done=True, what=what) for letter in letters if letter["id"] in done),
            *(Fate(letter, is_done=False, what=in_the_way[letter["id"]] or _ELSEWHERE) for letter in left),
        ]

    async def _hand_out(self, revived: Sequence[Record]) -> str:
        """Publish the jobs of what is ready again; answers what to tell of it."""
        ready = {row["id"]: Ready(row["id"], row["channel"], Lane(row["lane"])) for row in revived}
        with suppress(BrokerAway):  # nobody has to listen, and the ledger stays the truth
            await self._announce(revived)
        is_published = True
        try:
            await self.publisher.publish_jobs(ready.values())
        except* BrokerAway:
            is_published = False
        return "replayed" if is_published else _LATER

    async def _announce(self, revived: Sequence[Record]) -> None:
        changes: dict[str, dict[UUID, StatusChange]] = defaultdict(dict)
        for row in revived:
            changes[row["channel"]][row["id"]] = StatusChange(
                row["id"], row["notification_id"], row["event_id"], row["source"], row["type"], row["person_id"],
                row["channel"], "queued", "replayed", row["attempt"], row["traceparent"],
            )  # fmt: skip
        for channel, group in changes.items():
            body = batch(list(group.values()), datetime.now(UTC))
            await self.publisher.publish_status(f"delivery.queued.{channel}", body, CONTENT_TYPE)

    async def _send_events(self, letters: Sequence[Record]) -> list[Fate]:
        in_the_way = await obstacles(self.ledger, (), letters)
        sendable = [letter for letter in letters if not in_the_way[letter["id"]]]
        confirmed = await asyncio.gather(*map(self._publish, sendable))
        published = [(letter, queue) for letter, queue in zip(sendable, confirmed, strict=True) if queue]
        noted = [(letter, self._noted(queue)) for letter, queue in published]
        closed = await dead_letters.close_published(self.ledger, noted, operator()) if noted else set()
        sent: set[UUID] = {letter["id"] for letter, _ in published}
        return [_fate_of(letter, in_the_way[letter["id"]], sent, closed) for letter in letters]

    async def _publish(self, letter: Record) -> str:
        """Publish an event to its lane's queue, as its producer did; answers the queue, '' where nobody confirmed."""
        info = self.catalogue.find(letter["event_type"])
        queue = intake_queue(info.lane if info else Lane.NORMAL)
        message = message_of(letter)
        headers = {**message.headers, ORIGINAL_KEY: letter["routing_key"]}
        try:
            await self.publisher.publish_raw(message, exchange="", routing_key=queue, headers=headers)
        except BrokerAway:
            return ""
        return queue

    def _noted(self, what: str) -> str:
        return f"{what}, by {self.choice}" if self.choice else what


def _fate_of(letter: Record, obstacle: str, sent: set[UUID], closed: set[UUID]) -> Fate:
    if obstacle:
        return Fate(letter, is_done=False, what=obstacle)
    if letter["id"] not in sent:
        return Fate(letter, is_done=False, what=_UNCONFIRMED)
    if letter["id"] not in closed:
        return Fate(letter, is_done=False, what="was replayed, and has failed again: `kabar dead show` says why")
    return Fate(letter, is_done=True, what="replayed")
