"""One channel: consuming, handing out deliveries, settling them. Its other methods are passed on.

Knows its connection only as something to write to. Publishing stands in `publishing`, exchange and queue methods in
`declarations`.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import dataclass

from pamqp import base, commands

from worker.dev.broker import wire
from worker.dev.broker.declarations import Declarer
from worker.dev.broker.errors import HardError, SoftError
from worker.dev.broker.publishing import Line, Publisher
from worker.dev.broker.queue import Entry, Queue
from worker.dev.broker.vhost import VirtualHost
from worker.dev.broker.wire import short_string


@dataclass(slots=True)
class _Consumer:
    """A subscription. `in_hand` counts what it was given and has not settled."""

    tag: str
    wire_tag: bytes
    channel: Channel
    queue: Queue
    exclusive: bool
    no_ack: bool
    prefetch: int
    in_hand: int = 0

    def can_take(self) -> bool:
        return (not self.prefetch or self.in_hand < self.prefetch) and self.channel.line.is_writable

    def take(self, entry: Entry) -> None:
        self.channel.deliver(self, entry)

    def queue_gone(self) -> None:
        self.channel.cancel_by_broker(self)


@dataclass(slots=True)
class _Held:
    """A delivery that waits for its ack. `consumer` is none where it was got, not consumed."""

    entry: Entry
    queue: Queue
    consumer: _Consumer | None


class Channel:
    """The state of one channel of one connection."""

    def __init__(self, number: int, line: Line, vhost: VirtualHost) -> None:
        """Open a channel."""
        self.number = number
        self.line = line
        self.is_closing = False
        self.publisher = Publisher(number, line, vhost)
        self._vhost = vhost
        self._declarer = Declarer(vhost, line.number)
        self._held: dict[int, _Held] = {}
        self._consumers: dict[str, _Consumer] = {}
        self._delivered = 0
        self._prefetch = 0

    # What comes in

    def handle(self, method: base.Frame) -> None:
        """Take any method but publish, ack, and the channel's own opening and closing."""
        self.publisher.refuse_inside_content()
        if isinstance(method, commands.Confirm.Select):
            self.publisher.confirms = True
            self._reply(commands.Confirm.SelectOk(), nowait=method.nowait)
        elif isinstance(method, commands.Channel.Flow):
            self._flow(method)
        elif isinstance(method, commands.Channel.FlowOk):
            pass
        elif reply := self._declarer.answer(method, self.number):
            if not getattr(method, "nowait", False):
                self.line.write(reply)
        else:
            self._handle_basic(method)

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Settle one delivery, or all up to a tag, as done."""
        self.publisher.refuse_inside_content()
        for queue in {held.queue for held in self._settle(tag, multiple=multiple)}:
            queue.pump()

    # What goes out

    def deliver(self, consumer: _Consumer, entry: Entry) -> None:
        """Send an entry to one of this channel's consumers."""
        self._delivered += 1
        if not consumer.no_ack:
            self._held[self._delivered] = _Held(entry, consumer.queue, consumer)
            consumer.in_hand += 1
        message = entry.message
        method = wire.deliver_method(consumer.wire_tag, self._delivered, message.address, redelivered=entry.redelivered)
        self._send_content(method, entry.properties, message.body)

    def cancel_by_broker(self, consumer: _Consumer) -> None:
        """Forget a consumer whose queue is gone, and tell the client if it said that it can hear it."""
        if self._consumers.pop(consumer.tag, None) and self.line.notifies_cancel:
            self._send(commands.Basic.Cancel(consumer_tag=consumer.tag, nowait=True))

    # The end

    def queues(self) -> set[Queue]:
        """Say from which queues this channel consumes."""
        return {consumer.queue for consumer in self._consumers.values()}

    def withdraw(self) -> None:
        """End all consumers. What they hold stays held."""
        self.is_closing = True
        consumers = list(self._consumers.values())
        self._consumers.clear()
        for consumer in consumers:
            self._leave(consumer)

    def release(self) -> dict[Queue, list[Entry]]:
        """Let go of all deliveries that were not settled, by queue, for their return."""
        held = list(self._held.values())
        self._held.clear()
        return _by_queue(held)

    # Consuming

    def _handle_basic(self, method: base.Frame) -> None:
        match method:
            case commands.Basic.Qos():
                self._qos(method)
            case commands.Basic.Consume():
                self._consume(method)
            case commands.Basic.Cancel():
                self._cancel(method)
            case commands.Basic.CancelOk():
                pass
            case commands.Basic.Get():
                self._get(method)
            case _:
                self._handle_settling(method)

    def _handle_settling(self, method: base.Frame) -> None:
        match method:
            case commands.Basic.Nack():
                self._nack(method.delivery_tag or 0, multiple=method.multiple, requeue=method.requeue)
            case commands.Basic.Reject():
                self._nack(method.delivery_tag or 0, multiple=False, requeue=method.requeue)
            case commands.Basic.Recover() | commands.Basic.RecoverAsync():
                self._recover(method)
            case _:
                raise HardError(540, f"method {method.name}")

    def _flow(self, method: commands.Channel.Flow) -> None:
        if not method.active:
            raise HardError(540, "active=false")
        self._send(commands.Channel.FlowOk(active=True))

    def _qos(self, method: commands.Basic.Qos) -> None:
        """Set the prefetch of consumers to come. A global one is taken per consumer, as RabbitMQ 4.3 does."""
        if method.prefetch_size:
            raise HardError(540, f"prefetch_size!=0 ({method.prefetch_size})")
        self._prefetch = method.prefetch_count or 0
        self._send(commands.Basic.QosOk())

    def _consume(self, method: commands.Basic.Consume) -> None:
        queue = self._declarer.queue(method.queue)
        tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
        if tag in self._consumers:
            raise HardError(530, f"attempt to reuse consumer tag '{tag}'")
        consumer = _Consumer(
            tag, short_string(tag), self, queue, bool(method.exclusive), bool(method.no_ack), self._prefetch
        )
        queue.add(consumer)
        self._consumers[tag] = consumer
        self._reply(commands.Basic.ConsumeOk(consumer_tag=tag), nowait=method.nowait)
        queue.pump()

    def _cancel(self, method: commands.Basic.Cancel) -> None:
        if consumer := self._consumers.pop(method.consumer_tag or "", None):
            self._leave(consumer)
        self._reply(commands.Basic.CancelOk(consumer_tag=method.consumer_tag), nowait=method.nowait)

    def _leave(self, consumer: _Consumer) -> None:
        queue = consumer.queue
        queue.remove(consumer)
        if queue.settings.auto_delete and not queue.consumers:
            self._vhost.delete_queue(queue)

    def _get(self, method: commands.Basic.Get) -> None:
        queue = self._declarer.queue(method.queue)
        entry = queue.pop()
        if entry is None:
            self._send(commands.Basic.GetEmpty())
            return
        self._delivered += 1
        if not method.no_ack:
            self._held[self._delivered] = _Held(entry, queue, None)
        message = entry.message
        method_payload = wire.get_method(
            self._delivered, message.address, len(queue.ready), redelivered=entry.redelivered
        )
        self._send_content(method_payload, entry.properties, message.body)

    # Settling

    def _settle(self, tag: int, *, multiple: bool) -> list[_Held]:
        """Take deliveries out of the held ones; tag 0 with `multiple` is all of them. Raises 406 on an unknown tag."""
        if multiple and tag == 0:
            tags = list(self._held)
        elif tag not in self._held:
            raise SoftError(406, f"unknown delivery tag {tag}")
        elif multiple:
            tags = [each for each in self._held if each <= tag]
        else:
            tags = [tag]
        settled = [self._held.pop(each) for each in tags]
        for held in settled:
            if held.consumer is not None:
                held.consumer.in_hand -= 1
        return settled

    def _nack(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        settled = self._settle(tag, multiple=multiple)
        for queue, entries in _by_queue(settled).items():
            if requeue:
                queue.give_back(entries)
                continue
            for entry in entries:
                queue.reject(entry)
            queue.pump()

    def _recover(self, method: commands.Basic.Recover | commands.Basic.RecoverAsync) -> None:
        if not method.requeue:
            raise HardError(540, "requeue=false")
        for queue, entries in _by_queue(self._settle(0, multiple=True)).items():
            queue.give_back(entries)
        if isinstance(method, commands.Basic.Recover):
            self._send(commands.Basic.RecoverOk())

    # Sending

    def _reply(self, method: base.Frame, *, nowait: bool) -> None:
        if not nowait:
            self._send(method)

    def _send(self, method: base.Frame) -> None:
        self.line.write(wire.method_frame(method, self.number))

    def _send_content(self, method: bytes, properties: bytes, body: bytes) -> None:
        self.line.write(wire.content_frames(self.number, method, properties, body, self.line.frame_max))


def _by_queue(held: list[_Held]) -> dict[Queue, list[Entry]]:
    grouped: defaultdict[Queue, list[Entry]] = defaultdict(list)
    for each in held:
        grouped[each.queue].append(each.entry)
    return grouped
