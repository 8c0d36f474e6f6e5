"""Watches for texts published in the running system, so that a process renders from what holds.

A look at one number each second; what is new is loaded and compiled in a thread, and takes the place of the old at
one stroke. So nobody waits for a publish but the couriers that were handed a delivery planned with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from worker.core.editions import Editions
from worker.errors import ServiceUnavailable
from worker.ledger.connection import Ledger, advice
from worker.ledger.deliveries import Leased
from worker.ledger.texts import newest_edition, published_since

LOOK_SECONDS = 1.0
_log = structlog.get_logger("texts")
Need = tuple[str, str, int | None]
"""An event type as texts name it, an audience, and the edition a delivery was planned with."""


class TextWatch:
    """The texts of one process. `editions` None: it renders nothing, and only has to know what is newest."""

    def __init__(self, ledger: Ledger, editions: Editions | None) -> None:
        self._ledger = ledger
        self._editions = editions
        self._edition: int | None = None
        self._loading = asyncio.Lock()
        self._stopping = asyncio.Event()

    @property
    def editions(self) -> Editions:
        """What can be rendered from now."""
        if self._editions is None:
            raise RuntimeError("this process was not given any texts")
        return self._editions

    async def run(self) -> None:
        """Look again and again until `stop` was called."""
        while not self._stopping.is_set():
            await self._look()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def newest(self) -> int:
        """The newest edition this process has heard of. Asks the ledger only before the first look is done."""
        if self._edition is None:
            await self._look()
        return self._edition or 0

    async def ready_for(self, leased: Iterable[Leased]) -> Editions:
        """The editions, with those that these deliveries were planned with among them."""
        edition = self._edition
        if edition is None or any((one.template_edition or 0) > edition for one in leased):
            await self._look()
        return self.editions

    async def prepare(self, needs: Iterable[Need]) -> Editions:
        """Compile what only deliveries of an older plan still need."""
        async with self._loading:
            for event_type, audience, edition in set(needs):
                if self.editions.find(event_type, audience, edition) is None:
                    self._editions = await asyncio.to_thread(self.editions.prepared, event_type, audience, edition)
        return self.editions

    async def _look(self) -> None:
        try:
            await self._ledger.persist(self._load)
        except Exception as error:
            if remedy := advice(error):
                raise ServiceUnavailable(remedy) from error
            raise

    async def _load(self) -> None:
        async with self._loading:
            newest = await newest_edition(self._ledger)
            if self._editions is not None and newest > self._editions.newest:
                published = await published_since(self._ledger, self._editions.newest)
                self._editions = await asyncio.to_thread(self._editions.after, published)
                self._tell(self._editions, {one.place[:2] for one in published})
            self._edition = max(newest, self._editions.newest if self._editions else 0)

    def _tell(self, editions: Editions, changed: Iterable[tuple[str, str]]) -> None:
        _log.info("texts.loaded", edition=editions.newest)
        for event_type, audience in changed:
            wording = editions.find(event_type, audience, None)
            if wording is not None and wording.problem:
                _log.error("texts.unusable", event_type=event_type, reason=wording.problem)
