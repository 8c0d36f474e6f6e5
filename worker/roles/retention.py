"""Retention: what is older than its type is kept is deleted, a batch at a time, so that the ledger stops growing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import structlog

from schemas.catalogue import Catalogue
from worker import metrics
from worker.ledger import retention
from worker.ledger.connection import Ledger

ROUND_SECONDS = 60.0
_BATCH = 500
_log = structlog.get_logger("retention")


class Retention:
    """Sweeps. Any number may run side by side: a row that another deletes is passed over."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, kept: timedelta) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._kept = kept
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep once a minute until `stop` was called; the batch under way is finished."""
        while not self._stopping.is_set():
            swept = await self._round()
            if swept:
                metrics.timer_work.labels("swept").inc(swept)
                _log.info("events.swept", count=swept)
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopping.set()

    async def _round(self) -> int:
        await self._all(partial(retention.sweep_letters, self._ledger, self._kept, _BATCH))
        swept = 0
        for name in await self._ledger.persist(lambda: retention.types_known(self._ledger)):
            info = self._catalogue.find(name)
            kept = (info.retention if info else None) or self._kept
            swept += await self._all(partial(retention.sweep, self._ledger, name, kept, _BATCH))
        return swept

    async def _all(self, sweep: Callable[[], Awaitable[int]]) -> int:
        total = 0
        while not self._stopping.is_set():
            done = await self._ledger.persist(sweep)
            total += done
            if done < _BATCH:
                break
        return total
