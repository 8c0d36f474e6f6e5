"""Exchange and queue methods: declaring, binding, purging, deleting, with RabbitMQ's checks and words.

A declaration that repeats what is there answers as if it had made it; one that differs is refused (406). Knows nothing
of messages in flight.
"""

from __future__ import annotations

import secrets

from pamqp import base, commands, common

from worker.dev.broker import wire
from worker.dev.broker.errors import HardError, SoftError
from worker.dev.broker.exchange import TYPES, Binding, Exchange
from worker.dev.broker.queue import Queue, QueueSettings
from worker.dev.broker.vhost import VirtualHost

_LONGEST_NAME = 255
_OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")


class Declarer:
    """Answers one channel's exchange and queue methods for the connection `owner`."""

    def __init__(self, vhost: VirtualHost, owner: int) -> None:
        """Begin without a last declared queue."""
        self._vhost = vhost
        self._owner = owner
        self._last_queue = ""

    def answer(self, method: base.Frame, channel: int) -> bytes:
        """Do what an exchange or queue method asks and give the reply's frame; empty where it is another's method."""
        match method:
            case commands.Queue.Declare():
                queue = self._declare_queue(method)
                return wire.queue_declared_frame(channel, queue.name, len(queue.ready), len(queue.consumers))
            case commands.Queue.Purge():
                count = self.queue(method.queue).purge()
                return wire.method_frame(commands.Queue.PurgeOk(message_count=count), channel)
            case commands.Queue.Delete():
                count = self._delete_queue(method)
                return wire.method_frame(commands.Queue.DeleteOk(message_count=count), channel)
            case _:
                reply = self._change_routes(method)
                # Never by its truth: a pamqp frame without arguments is false.
                return b"" if reply is None else wire.method_frame(reply, channel)

    def queue(self, name: str | None) -> Queue:
        """Give the queue a method names; no name means the one this channel declared last."""
        if not name and not self._last_queue:
            raise SoftError(404, "no previously declared queue")
        return self._vhost.queue(name or self._last_queue, self._owner)

    def _change_routes(self, method: base.Frame) -> base.Frame | None:
        reply: base.Frame | None = None
        match method:
            case commands.Exchange.Declare():
                self._declare_exchange(method)
                reply = commands.Exchange.DeclareOk()
            case commands.Exchange.Delete():
                self._delete_exchange(method)
                reply = commands.Exchange.DeleteOk()
            case commands.Exchange.Bind():
                self._vhost.bind(method.source or "", self._exchange_binding(method))
                reply = commands.Exchange.BindOk()
            case commands.Exchange.Unbind():
                self._vhost.unbind(method.source or "", self._exchange_binding(method))
                reply = commands.Exchange.UnbindOk()
            case commands.Queue.Bind():
                self._vhost.bind(method.exchange or "", self._queue_binding(method))
                reply = commands.Queue.BindOk()
            case commands.Queue.Unbind():
                self._vhost.unbind(method.exchange or "", self._queue_binding(method))
                reply = commands.Queue.UnbindOk()
            case _:
                pass
        return reply

    def _exchange_binding(self, method: commands.Exchange.Bind | commands.Exchange.Unbind) -> Binding:
        self._refuse_default(method.source or "")
        self._refuse_default(method.destination or "")
        destination = self._vhost.exchange(method.destination or "").name
        self._vhost.exchange(method.source or "")
        return Binding("exchange", destination, method.routing_key or "", method.arguments or {})

    def _queue_binding(self, method: commands.Queue.Bind | commands.Queue.Unbind) -> Binding:
        self._refuse_default(method.exchange or "")
        queue = self.queue(method.queue)
        self._vhost.exchange(method.exchange or "")
        # As in the protocol's text: without queue and routing key, the queue's name is the key.
        key = method.routing_key or ("" if method.queue else queue.name)
        return Binding("queue", queue.name, key, method.arguments or {})

    def _declare_exchange(self, method: commands.Exchange.Declare) -> None:
        name = method.exchange or ""
        if method.passive:
            self._vhost.exchange(name)
            return
        self._refuse_default(name)
        if method.exchange_type not in TYPES:
            raise HardError(503, f"unknown exchange type '{method.exchange_type}'")
        wanted = Exchange(
            name,
            method.exchange_type,
            durable=bool(method.durable),
            auto_delete=bool(method.auto_delete),
            internal=bool(method.internal),
            alternate=str((method.arguments or {}).get("alternate-exchange", "")),
        )
        if name in self._vhost.exchanges:
            self._require_same_exchange(wanted, self._vhost.exchanges[name])
            return
        _refuse_reserved("exchange", name)
        self._vhost.add_exchange(wanted)

    def _require_same_exchange(self, wanted: Exchange, there: Exchange) -> None:
        where = f"exchange '{there.name}' in vhost '{self._vhost.name}'"
        for argument, received, current in (
            ("type", wanted.type, there.type),
            ("durable", wanted.durable, there.durable),
            ("auto_delete", wanted.auto_delete, there.auto_delete),
            ("internal", wanted.internal, there.internal),
            ("alternate-exchange", wanted.alternate, there.alternate),
        ):
            _require_equal(argument, received, current, where)

    def _delete_exchange(self, method: commands.Exchange.Delete) -> None:
        name = method.exchange or ""
        self._refuse_default(name)
        _refuse_reserved("exchange", name)
        exchange = self._vhost.exchanges.get(name)
        if exchange and method.if_unused and exchange.bindings:
            raise SoftError(406, f"exchange '{name}' in vhost '{self._vhost.name}' in use")
        self._vhost.delete_exchange(name)

    def _declare_queue(self, method: commands.Queue.Declare) -> Queue:
        name = method.queue or ""
        if method.passive:
            queue = self.queue(name)
        elif name in self._vhost.queues:
            queue = self._vhost.queue(name, self._owner)
            self._require_same_queue(queue, self._settings(method, name))
        else:
            if name:
                _refuse_reserved("queue", name)
            name = name or f"amq.gen-{secrets.token_urlsafe(16)}"
            queue = self._vhost.add_queue(name, self._settings(method, name))
        queue.touch()
        self._last_queue = queue.name
        return queue

    def _settings(self, method: commands.Queue.Declare, name: str) -> QueueSettings:
        arguments = {"x-queue-type": "classic"} | (method.arguments or {})
        where = f"queue '{name}' in vhost '{self._vhost.name}'"
        is_quorum = arguments["x-queue-type"] == "quorum"
        if is_quorum:
            _refuse_on_quorum(method, where)
        delivery_limit = _whole(arguments, "x-delivery-limit", where, least=None)
        return QueueSettings(
            durable=bool(method.durable),
            auto_delete=bool(method.auto_delete),
            owner=self._owner if method.exclusive else 0,
            arguments=arguments,
            ttl_ms=_whole(arguments, "x-message-ttl", where),
            expires_ms=_whole(arguments, "x-expires", where, least=1),
            max_length=_whole(arguments, "x-max-length", where),
            delivery_limit=delivery_limit,
            overflow=_overflow(arguments, where),
            dead_letter_exchange=_text(arguments, "x-dead-letter-exchange", where),
            dead_letter_routing_key=_text(arguments, "x-dead-letter-routing-key", where),
            counts=is_quorum or delivery_limit is not None,
        )

    def _require_same_queue(self, there: Queue, wanted: QueueSettings) -> None:
        where = f"queue '{there.name}' in vhost '{self._vhost.name}'"
        current = there.settings
        _require_equal("durable", wanted.durable, current.durable, where)
        _require_equal("auto_delete", wanted.auto_delete, current.auto_delete, where)
        _require_equal("exclusive", bool(wanted.owner), bool(current.owner), where)
        for key in sorted({*wanted.arguments, *current.arguments}):
            _require_equal(key, wanted.arguments.get(key), current.arguments.get(key), where)

    def _delete_queue(self, method: commands.Queue.Delete) -> int:
        if method.queue and method.queue not in self._vhost.queues:
            return 0
        queue = self.queue(method.queue)
        where = f"queue '{queue.name}' in vhost '{self._vhost.name}'"
        if method.if_unused and queue.consumers:
            raise SoftError(406, f"{where} in use")
        if method.if_empty and queue.ready:
            raise SoftError(406, f"{where} is not empty")
        return self._vhost.delete_queue(queue)

    def _refuse_default(self, exchange: str) -> None:
        if not exchange:
            raise SoftError(403, "operation not permitted on the default exchange")


def _refuse_reserved(kind: str, name: str) -> None:
    if name.startswith("amq."):
        raise SoftError(403, f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def _refuse_on_quorum(method: commands.Queue.Declare, where: str) -> None:
    for wrong, word in (
        (not method.durable, "non-durable"),
        (method.auto_delete, "auto-delete"),
        (method.exclusive, "exclusive-owner"),
    ):
        if wrong:
            raise SoftError(406, f"invalid property '{word}' for {where}")


def _require_equal(argument: str, received: object, current: object, where: str) -> None:
    if received != current:
        raise SoftError(
            406,
            f"inequivalent arg '{argument}' for {where}: received {_shown(received)} but current is {_shown(current)}",
        )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    return "none" if value in (None, "") else f"the value '{value}'"


def _whole(arguments: common.FieldTable, key: str, where: str, *, least: int | None = 0) -> int | None:
    value = arguments.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        raise SoftError(406, f"invalid arg '{key}' for {where}: {value!r}")
    return value


def _text(arguments: common.FieldTable, key: str, where: str) -> str | None:
    value = arguments.get(key)
    if value is not None and (not isinstance(value, str) or len(value.encode()) > _LONGEST_NAME):
        raise SoftError(406, f"invalid arg '{key}' for {where}: {value!r}")
    return value


def _overflow(arguments: common.FieldTable, where: str) -> str:
    value = _text(arguments, "x-overflow", where) or "drop-head"
    if value not in _OVERFLOWS:
        raise SoftError(406, f"invalid arg 'x-overflow' for {where}: {value!r}")
    return value
