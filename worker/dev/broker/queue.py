"""One queue: what is ready, who consumes, what expires. Knows neither sockets nor exchanges.

`ready` is always in the order of arrival; what comes back takes its old place again. Whoever can take a message has
been given one: each change that could make that untrue ends with `pump`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pamqp import common

from worker.dev.broker.errors import SoftError
from worker.dev.broker.message import Message, with_delivery_count


@dataclass(slots=True)
class Entry:
    """A message in one queue. `sequence` is its place of arrival, `deliveries` counts how often it came back."""

    sequence: int
    message: Message
    expires_at: float | None = None
    """On the event loop's clock."""
    deliveries: int = 0
    redelivered: bool = False
    counts: bool = False

    @property
    def properties(self) -> bytes:
        """What a consumer is shown: the publisher's properties, and `x-delivery-count` from the first return on."""
        if self.counts and self.deliveries:
            return with_delivery_count(self.message.properties, self.deliveries)
        return self.message.properties


class Consumer(Protocol):
    """Who takes from a queue."""

    @property
    def exclusive(self) -> bool:
        """Whether nobody else may consume beside it."""
        ...

    def can_take(self) -> bool:
        """Whether its prefetch and its socket have room for one more."""
        ...

    def take(self, entry: Entry) -> None:
        """Deliver; only after `can_take`."""
        ...

    def queue_gone(self) -> None:
        """Its queue was deleted."""
        ...


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What a queue was declared as. `owner` is the connection of an exclusive queue, 0 where anybody may use it."""

    durable: bool
    auto_delete: bool
    owner: int
    arguments: common.FieldTable
    ttl_ms: int | None
    expires_ms: int | None
    max_length: int | None
    delivery_limit: int | None
    overflow: str
    dead_letter_exchange: str | None
    dead_letter_routing_key: str | None
    counts: bool
    """Whether `x-delivery-count` is kept, as quorum queues do."""


class Queue:
    """A queue of one virtual host. `bury` is told each entry that dies and why; `expire`, when unused for long."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        *,
        bury: Callable[[Queue, Entry, str], None],
        expire: Callable[[Queue], object],
    ) -> None:
        """Make an empty queue on the running event loop."""
        self.name = name
        self.settings = settings
        self.ready: deque[Entry] = deque()
        self.consumers: deque[Consumer] = deque()
        self.is_deleted = False
        self._bury = bury
        self._expire = expire
        self._sequence = 0
        self._loop = asyncio.get_running_loop()
        self._head_timer: asyncio.TimerHandle | None = None
        self._unused_timer: asyncio.TimerHandle | None = None
        self.touch()

    def offer(self, message: Message) -> bool:
        """Take a message in, or answer false where the queue is full and `x-overflow` says to reject."""
        settings = self.settings
        limit = settings.max_length
        if limit is not None and settings.overflow != "drop-head" and len(self.ready) >= limit:
            if settings.overflow == "reject-publish-dlx":
                self._bury(self, Entry(0, message), "maxlen")
            return False
        self._sequence += 1
        entry = Entry(self._sequence, message, self._expiry(message), counts=settings.counts)
        # A consumer with room comes before expiry: a message with a time to live of 0 still reaches it.
        if not self.ready and (consumer := self._next_consumer()):
            consumer.take(entry)
            return True
        self.ready.append(entry)
        if limit is not None and len(self.ready) > limit:
            self._bury(self, self.ready.popleft(), "maxlen")
        if entry.expires_at is not None:
            self._watch_head()
        return True

    def pump(self) -> None:
        """Hand out what is ready, in turn, to consumers that have room. Safe to call at any time."""
        while self.ready and self.consumers:
            self._bury_expired()
            consumer = self._next_consumer() if self.ready else None
            if consumer is None:
                break
            consumer.take(self.ready.popleft())
        self._watch_head()

    def pop(self) -> Entry | None:
        """Take the head for a `basic.get`."""
        self.touch()
        self._bury_expired()
        entry = self.ready.popleft() if self.ready else None
        self._watch_head()
        return entry

    def give_back(self, entries: list[Entry]) -> None:
        """Take back what was delivered and not settled, each to its old place; each return is counted.

        Past the delivery limit an entry dies instead. Does nothing once the queue is deleted.
        """
        if self.is_deleted or not entries:
            return
        limit = self.settings.delivery_limit
        kept: list[Entry] = []
        for entry in sorted(entries, key=lambda each: each.sequence):
            entry.deliveries += 1
            entry.redelivered = True
            if limit is not None and entry.deliveries > limit:
                self._bury(self, entry, "delivery_limit")
            else:
                kept.append(entry)
        self._merge(kept)
        self.pump()

    def reject(self, entry: Entry) -> None:
        """Let a rejected entry die."""
        if not self.is_deleted:
            self._bury(self, entry, "rejected")

    def add(self, consumer: Consumer) -> None:
        """Begin to deliver to a consumer; raises 403 where it, or one that is there, wants to be alone."""
        if self.consumers and (consumer.exclusive or self.consumers[0].exclusive):
            raise SoftError(403, f"queue '{self.name}' in exclusive use")
        self.consumers.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Deliver no more to a consumer."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)
            self.touch()

    def purge(self) -> int:
        """Drop what is ready and say how many that were."""
        count = len(self.ready)
        self.ready.clear()
        self._watch_head()
        return count

    def touch(self) -> None:
        """Begin the time without use anew that `x-expires` allows."""
        if self.settings.expires_ms is not None and not self.is_deleted:
            if self._unused_timer:
                self._unused_timer.cancel()
            self._unused_timer = self._loop.call_later(self.settings.expires_ms / 1000, self._unused)

    def retire(self) -> int:
        """End the queue: tell its consumers, stop its timers, and say how many messages went with it."""
        self.is_deleted = True
        count = self.purge()
        if self._unused_timer:
            self._unused_timer.cancel()
        for consumer in list(self.consumers):
            consumer.queue_gone()
        self.consumers.clear()
        return count

    def _next_consumer(self) -> Consumer | None:
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.can_take():
                return consumer
        return None

    def _merge(self, entries: list[Entry]) -> None:
        """Put entries, which are in order, where they were. Only the part of the queue they fall into is moved."""
        if not entries:
            return
        moved = list(entries)
        while self.ready and self.ready[0].sequence < entries[-1].sequence:
            moved.append(self.ready.popleft())
        self.ready.extendleft(sorted(moved, key=lambda each: each.sequence, reverse=True))

    def _expiry(self, message: Message) -> float | None:
        spans = [each for each in (self.settings.ttl_ms, message.expiration_ms) if each is not None]
        return self._loop.time() + min(spans) / 1000 if spans else None

    def _bury_expired(self) -> None:
        now = self._loop.time()
        while self.ready and self.ready[0].expires_at is not None and self.ready[0].expires_at <= now:
            self._bury(self, self.ready.popleft(), "expired")

    def _watch_head(self) -> None:
        """Wake when the head expires. As in RabbitMQ, what lies behind it has to wait for its turn."""
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
        if self.ready and (expires_at := self.ready[0].expires_at) is not None:
            self._head_timer = self._loop.call_at(expires_at, self._head_expired)

    def _head_expired(self) -> None:
        self._bury_expired()
        self._watch_head()

    def _unused(self) -> None:
        if self.consumers:
            self.touch()
        else:
            self._expire(self)
