"""One name space of exchanges, bindings and queues: routing, dead-lettering, and deleting what nobody needs any more.

Knows neither sockets nor channels. Refusals are `SoftError`s in RabbitMQ's words: clients show them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from enum import Enum, auto

from worker.dev.broker.errors import SoftError
from worker.dev.broker.exchange import Binding, Exchange
from worker.dev.broker.message import Death, Message, buried, deaths_of, headers_of
from worker.dev.broker.queue import Entry, Queue, QueueSettings

_PREDECLARED = {
    "": "direct",
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}
_ROUTES_KEPT = 10_000


class Publication(Enum):
    """What became of a publish: it reached every queue, there was none, or one of them refused it as full."""

    ROUTED = auto()
    UNROUTED = auto()
    REJECTED = auto()


class VirtualHost:
    """All entities under one name."""

    def __init__(self, name: str) -> None:
        """Make a host with the exchanges every broker has."""
        self.name = name
        self.exchanges = {each: Exchange(each, kind) for each, kind in _PREDECLARED.items()}
        self.queues: dict[str, Queue] = {}
        self._routes: dict[tuple[str, str], tuple[Queue, ...]] = {}
        self._graves: deque[tuple[Queue, Entry, str]] = deque()
        self._is_burying = False

    def exchange(self, name: str) -> Exchange:
        """Give an exchange; raises 404 where there is none."""
        if name not in self.exchanges:
            raise SoftError(404, f"no exchange '{name}' in vhost '{self.name}'")
        return self.exchanges[name]

    def queue(self, name: str, owner: int) -> Queue:
        """Give a queue to the connection `owner`; raises 404 where there is none, 405 where it is another's alone."""
        queue = self.queues.get(name)
        if queue is None:
            raise SoftError(404, f"no queue '{name}' in vhost '{self.name}'")
        if queue.settings.owner not in (0, owner):
            raise SoftError(
                405,
                f"cannot obtain exclusive access to locked queue '{name}' in vhost '{self.name}'. It could be"
                " originally declared on another connection or the exclusive property value does not match that of the"
                " original declaration.",
            )
        return queue

    def publish(self, message: Message) -> Publication:
        """Route a message to its queues; raises 404 where its exchange is missing."""
        queues = self._queues_for(self.exchange(message.exchange), message)
        if not queues:
            return Publication.UNROUTED
        taken = [queue.offer(message) for queue in queues]
        return Publication.ROUTED if all(taken) else Publication.REJECTED

    def add_queue(self, name: str, settings: QueueSettings) -> Queue:
        """Make a queue; the default exchange leads to it by its name."""
        queue = Queue(name, settings, bury=self._bury, expire=self.delete_queue)
        self.queues[name] = queue
        self._routes.clear()
        return queue

    def add_exchange(self, exchange: Exchange) -> None:
        """Make an exchange."""
        self.exchanges[exchange.name] = exchange
        self._routes.clear()

    def bind(self, source: str, binding: Binding) -> None:
        """Add a way on from an exchange. Safe to repeat."""
        bindings = self.exchange(source).bindings
        if binding not in bindings:
            bindings.append(binding)
            self._routes.clear()

    def unbind(self, source: str, binding: Binding) -> None:
        """Take a way away. Safe to repeat; an auto-delete exchange goes with its last one."""
        if source in self.exchanges and binding in self.exchanges[source].bindings:
            self._take_away(self.exchanges[source], [binding])

    def delete_queue(self, queue: Queue) -> int:
        """Delete a queue with its bindings and say how many messages were ready in it. Safe to call twice."""
        if queue.is_deleted:
            return 0
        del self.queues[queue.name]
        count = queue.retire()
        self._forget("queue", queue.name)
        return count

    def delete_exclusive_queues(self, owner: int) -> None:
        """Delete what was a connection's alone."""
        for queue in [each for each in self.queues.values() if each.settings.owner == owner]:
            self.delete_queue(queue)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange with the bindings to and from it. Safe to call twice."""
        if self.exchanges.pop(name, None):
            self._forget("exchange", name)

    def _forget(self, kind: str, name: str) -> None:
        self._routes.clear()
        for exchange in list(self.exchanges.values()):
            gone = [each for each in exchange.bindings if (each.kind, each.destination) == (kind, name)]
            if gone:
                self._take_away(exchange, gone)

    def _take_away(self, exchange: Exchange, bindings: list[Binding]) -> None:
        exchange.bindings = [each for each in exchange.bindings if each not in bindings]
        self._routes.clear()
        if exchange.auto_delete and not exchange.bindings:
            self.delete_exchange(exchange.name)

    def _queues_for(self, exchange: Exchange, message: Message) -> tuple[Queue, ...]:
        """Give a message's queues. Routes that hang on the routing key alone are kept until something changes."""
        key = (exchange.name, message.routing_key)
        known = self._routes.get(key)
        if known is not None:
            return known
        queues, by_key = self._walk(exchange, message)
        if by_key:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            self._routes[key] = queues
        return queues

    def _walk(self, first: Exchange, message: Message) -> tuple[tuple[Queue, ...], bool]:
        """Follow bindings and alternates on and on; say also whether no headers exchange was on the way."""
        found: dict[str, Queue] = {}
        seen = {first.name}
        waiting = [first]
        while waiting:
            exchange = waiting.pop()
            exchanges = self._step(exchange, message, found)
            waiting += [self.exchanges[name] for name in exchanges if name in self.exchanges and name not in seen]
            seen |= exchanges
        by_key = all(self.exchanges[name].type != "headers" for name in seen if name in self.exchanges)
        return tuple(found.values()), by_key

    def _step(self, exchange: Exchange, message: Message, found: dict[str, Queue]) -> set[str]:
        """Add the queues one exchange leads to, and give the names of the exchanges it leads to."""
        if not exchange.name:
            if message.routing_key in self.queues:
                found[message.routing_key] = self.queues[message.routing_key]
            return set()
        headers = headers_of(message) if exchange.type == "headers" else {}
        bindings = exchange.destinations(message.routing_key, headers)
        for binding in bindings:
            if binding.kind == "queue":
                found[binding.destination] = self.queues[binding.destination]
        if not bindings and exchange.alternate:
            return {exchange.alternate}
        return {each.destination for each in bindings if each.kind == "exchange"}

    def _bury(self, queue: Queue, entry: Entry, reason: str) -> None:
        """Let an entry die. Deaths that burials cause are queued, so that no chain of full queues recurses."""
        if queue.settings.dead_letter_exchange is None:
            return
        self._graves.append((queue, entry, reason))
        if self._is_burying:
            return
        self._is_burying = True
        try:
            while self._graves:
                self._dead_letter(*self._graves.popleft())
        finally:
            self._is_burying = False

    def _dead_letter(self, queue: Queue, entry: Entry, reason: str) -> None:
        exchange = self.exchanges.get(queue.settings.dead_letter_exchange or "")
        if exchange is None:
            return
        message = entry.message
        key = queue.settings.dead_letter_routing_key
        death = Death(queue.name, reason, message.exchange, (message.routing_key,), int(time.time()))
        dead = buried(
            message,
            death,
            exchange=exchange.name,
            routing_key=message.routing_key if key is None else key,
        )
        targets: Iterable[Queue] = self._queues_for(exchange, dead)
        if reason != "rejected":
            deaths = deaths_of(dead)
            targets = [each for each in targets if not _is_cycle(each, deaths)]
        for target in targets:
            target.offer(dead)


def _is_cycle(queue: Queue, deaths: list[Death]) -> bool:
    """Say whether a message would go round for ever: it died here before, and nobody rejected it since.

    The rule is RabbitMQ's ("Dead Letter Exchanges", "It is possible to form a cycle of message dead-lettering").
    """
    names = [each.queue for each in deaths]
    if queue.name not in names:
        return False
    return all(each.reason != "rejected" for each in deaths[: names.index(queue.name) + 1])
