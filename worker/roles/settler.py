"""Collects outcomes of all couriers of a process and settles them together, within milliseconds of their arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from worker import metrics
from worker.broker.publisher import Publisher, until_published
from worker.ledger.connection import Ledger, is_outage
from worker.ledger.intake import Ready
from worker.pipeline.settle import Tried, settle
from worker.roles.announcer import Announcer
from worker.traces import traces

LINGER_SECONDS = 0.004
"""How long an outcome waits for neighbours. What dies within it is unsure, so it is short."""
_log = structlog.get_logger("settle")


class Settler:
    """The way back to the ledger. Bounded by what the couriers may have in flight."""

    def __init__(self, ledger: Ledger, publisher: Publisher, announcer: Announcer) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._announcer = announcer
        self._waiting: list[tuple[Tried, Callable[[], None]]] = []
        self._arrived = asyncio.Event()
        self._stopping = False

    def add(self, tried: Tried, settled: Callable[[], None]) -> None:
        """Take in an outcome; `settled` is called when it stands in the ledger."""
        self._waiting.append((tried, settled))
        self._arrived.set()

    def stop(self) -> None:
        """Settle what is here, then end."""
        self._stopping = True
        self._arrived.set()

    async def run(self) -> None:
        """Settle until `stop` was called and nothing waits."""
        async with asyncio.TaskGroup() as publishing:
            while self._waiting or not self._stopping:
                await self._arrived.wait()
                self._arrived.clear()
                if not self._stopping:
                    await asyncio.sleep(LINGER_SECONDS)
                if self._waiting:
                    await self._flush(publishing)

    async def _settle(self, tried: Sequence[Tried]) -> list[tuple[Tried, str]]:
        """Settle a batch; where it cannot be written, by a defect of ours, its members alone.

        What cannot be written even so keeps its lease, which runs out and is told as unsure.
        """
        try:
            return await settle(self._ledger, tried)
        except Exception as error:
            if is_outage(error):
                raise
            metrics.defects.labels("settle").inc()
            _log.exception("settle.failed", error_type=type(error).__name__, count=len(tried))
            if len(tried) == 1:
                return []
            return [one for each in tried for one in await self._settle([each])]

    async def _flush(self, publishing: asyncio.TaskGroup) -> None:
        batch, self._waiting = self._waiting, []
        with metrics.Timed("settle", len(batch)) as timed:
            written = await self._settle([tried for tried, _ in batch])
        if traces.is_on:
            traces.of_deliveries(timed, (tried.leased for tried, _ in batch))
        for _, settled in batch:
            settled()
        self._announcer.add_settled(written)
        back = [
            Ready(one.leased.id, one.leased.channel, one.leased.lane) for one, state in written if state == "queued"
        ]
        if back:
            # Not waited for: while the broker is away, outcomes are settled all the same.
            publishing.create_task(until_published(lambda: self._publisher.publish_jobs(back)))
        if len(written) < len(batch):
            _log.warning("delivery.lease_lost", count=len(batch) - len(written))
