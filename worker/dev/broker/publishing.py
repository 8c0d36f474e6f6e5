"""One channel's publishes: putting method, header and body together, routing the message, confirming it.

Knows its connection only as something to write to, and nothing of consumers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pamqp import commands

from worker.dev.broker import wire
from worker.dev.broker.errors import HardError, SoftError
from worker.dev.broker.message import EXPIRATION, Message, read_headers, split_properties
from worker.dev.broker.vhost import Publication, VirtualHost
from worker.dev.broker.wire import read_short_string

BODY_LIMIT = 16 * 1024 * 1024
_MANDATORY, _IMMEDIATE = 1, 2
_NO_ROUTE = 312
_PUBLISH_ARGUMENTS_AT = 6
"""After class, method and the unused ticket."""
_LONGEST_EXPIRATION_MS = 2**32 - 1


class Line(Protocol):
    """What a channel needs of its connection."""

    number: int
    frame_max: int
    is_writable: bool
    notifies_cancel: bool

    def write(self, data: bytes) -> None:
        """Send, in the order of calls."""
        ...

    def confirm_later(self, publisher: Publisher) -> None:
        """Call `publisher.send_confirms` before this batch of input ends."""
        ...


@dataclass(slots=True)
class _Incoming:
    """A publish of which the content has not arrived in full. `size` is unknown until its header came."""

    exchange: str
    routing_key: str
    address: bytes
    mandatory: bool
    size: int = -1
    received: int = 0
    properties: bytes = b""
    expiration_ms: int | None = None
    pieces: list[bytes] | None = None


class Publisher:
    """The publishing side of one channel."""

    def __init__(self, number: int, line: Line, vhost: VirtualHost) -> None:
        """Begin without confirms."""
        self.confirms = False
        self._number = number
        self._line = line
        self._vhost = vhost
        self._incoming: _Incoming | None = None
        self._published = 0
        self._confirmed = 0

    def begin(self, payload: bytes) -> None:
        """Take the payload of `basic.publish`."""
        self.refuse_inside_content()
        try:
            exchange, at = read_short_string(payload, _PUBLISH_ARGUMENTS_AT)
            routing_key, end = read_short_string(payload, at)
            flags = payload[end]
        except (ValueError, IndexError) as error:
            raise HardError(502, f"basic.publish cannot be read: {error}") from error
        if flags & _IMMEDIATE:
            raise HardError(540, "immediate=true")
        address = payload[_PUBLISH_ARGUMENTS_AT:end]
        self._incoming = _Incoming(exchange, routing_key, address, bool(flags & _MANDATORY))

    def header(self, payload: bytes) -> None:
        """Take a content header's payload."""
        incoming = self._incoming
        if incoming is None or incoming.size >= 0:
            raise HardError(505, "expected a method frame, got a content header")
        try:
            _, _, incoming.size = wire.CONTENT_HEAD.unpack_from(payload)
            incoming.properties = payload[wire.CONTENT_HEAD.size :]
            parts = split_properties(incoming.properties)
            read_headers(parts)
        except wire.BROKEN as error:
            raise HardError(502, f"a content header cannot be read: {error}") from error
        if incoming.size > BODY_LIMIT:
            self._incoming = None
            raise SoftError(406, f"message size {incoming.size} is larger than configured max size {BODY_LIMIT}")
        if EXPIRATION in parts:
            incoming.expiration_ms = _expiration_ms(parts[EXPIRATION][1:])
        if not incoming.size:
            self._publish(incoming, b"")

    def body(self, payload: bytes) -> None:
        """Take a piece of a body."""
        incoming = self._incoming
        if incoming is None or incoming.size < 0:
            raise HardError(505, "expected no content body")
        incoming.received += len(payload)
        if incoming.received > incoming.size:
            raise HardError(501, f"content body exceeds the {incoming.size} bytes its header announced")
        if incoming.received == incoming.size:
            self._publish(incoming, b"".join((*incoming.pieces, payload)) if incoming.pieces else payload)
        elif incoming.pieces is None:
            incoming.pieces = [payload]
        else:
            incoming.pieces.append(payload)

    def refuse_inside_content(self) -> None:
        """Raise 505 where the content of a publish is not complete: no method may come in between."""
        if self._incoming is not None:
            raise HardError(505, "expected content, got a method frame")

    def send_confirms(self) -> None:
        """Confirm everything published since the last time with one frame."""
        if self._confirmed < self._published:
            multiple = self._published - self._confirmed > 1
            self._confirmed = self._published
            self._line.write(wire.confirm_frame(self._number, self._published, multiple=multiple))

    def _publish(self, incoming: _Incoming, body: bytes) -> None:
        self._incoming = None
        exchange = self._vhost.exchange(incoming.exchange)
        if exchange.internal:
            raise SoftError(403, f"cannot publish to internal exchange '{exchange.name}' in vhost '{self._vhost.name}'")
        message = Message(
            incoming.exchange,
            incoming.routing_key,
            incoming.address,
            incoming.properties,
            body,
            incoming.expiration_ms,
        )
        publication = self._vhost.publish(message)
        if publication is Publication.UNROUTED and incoming.mandatory:
            method = wire.return_method(_NO_ROUTE, "NO_ROUTE", message.address)
            self._line.write(wire.content_frames(self._number, method, message.properties, body, self._line.frame_max))
        if self.confirms:
            self._confirm(publication)

    def _confirm(self, publication: Publication) -> None:
        if publication is Publication.REJECTED:
            self.send_confirms()
            self._published += 1
            self._confirmed += 1
            nack = commands.Basic.Nack(delivery_tag=self._published, multiple=False, requeue=False)
            self._line.write(wire.method_frame(nack, self._number))
            return
        if self._confirmed == self._published:
            self._line.confirm_later(self)
        self._published += 1


def _expiration_ms(raw: bytes) -> int:
    if not raw.isdigit() or int(raw) > _LONGEST_EXPIRATION_MS:
        raise SoftError(406, f"invalid expiration '{raw.decode(errors='replace')}'")
    return int(raw)
