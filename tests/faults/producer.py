"""Publishes numbered events and writes each down, to the disk, once the broker has confirmed it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import orjson

from schemas.producer import Producer, PublishError
from tests.faults.events import Marked
from tests.faults.people import person_id

SOURCE = "scene"
_TRY_SECONDS = 10.0
_AT_ONCE = 64


def event_id(number: int) -> str:
    """Name the event of that number."""
    return f"{number:07}"


class NumberedProducer:
    """Every number is one event for one person; the same number is always the same event.

    `confirmed`: what the broker has confirmed, with the moment just before its first publishing (CLOCK_MONOTONIC).
    What is not confirmed is published again, with the same id, until it is. `confirms`: the moment of each confirm.
    """

    def __init__(self, producer: Producer, log: Path, people: int) -> None:
        self._producer = producer
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._people = people
        self._next = 0
        self.confirmed: dict[int, float] = {}
        self.confirms: list[float] = []

    @staticmethod
    @asynccontextmanager
    async def connect(urls: Sequence[str], log: Path, *, people: int) -> AsyncIterator[NumberedProducer]:
        """Publish to this broker, or to the nodes of a cluster, until the block ends."""
        async with Producer(urls, source=SOURCE) as producer:
            made = NumberedProducer(producer, log, people)
            try:
                yield made
            finally:
                os.close(made._log)

    def take(self, count: int) -> range:
        """Reserve new numbers."""
        taken = range(self._next, self._next + count)
        self._next = taken.stop
        return taken

    async def publish(self, numbers: Iterable[int]) -> None:
        """Publish these as fast as confirms come; returns when all are confirmed."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with room:
                await self._until_confirmed(number)

        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(one(number))

    async def _until_confirmed(self, number: int) -> None:
        began = monotonic()
        event = Marked(user_id=person_id(number % self._people), number=event_id(number))
        while True:
            try:
                await self._producer.publish(event, timeout_seconds=_TRY_SECONDS, id=event_id(number))
            except PublishError:
                await asyncio.sleep(0.1)  # nobody confirmed it: it may or may not have arrived
            else:
                break
        self.confirms.append(monotonic())
        os.write(self._log, orjson.dumps({"number": number, "id": event_id(number), "began": began}) + b"\n")
        os.fsync(self._log)
        self.confirmed.setdefault(number, began)
