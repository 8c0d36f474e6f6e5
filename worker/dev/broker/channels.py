"""The channels of one connection: opening, closing, and giving back what they held.

After this side has closed a channel, all that still comes for it is passed over until the client agrees.
"""

from __future__ import annotations

from collections import defaultdict
from typing import cast

from pamqp import base, commands, frame

from worker.dev.broker import wire
from worker.dev.broker.channel import Channel
from worker.dev.broker.errors import HardError, SoftError
from worker.dev.broker.publishing import Line
from worker.dev.broker.queue import Entry, Queue
from worker.dev.broker.vhost import VirtualHost


class ChannelTable:
    """A connection's channels by number."""

    def __init__(self, line: Line, vhost: VirtualHost, *, channel_max: int) -> None:
        """Begin without a channel."""
        self._line = line
        self._vhost = vhost
        self._channel_max = channel_max
        self._channels: dict[int, Channel] = {}

    def handle(self, kind: int, index: int, number: int, payload: bytes) -> None:
        """Take a frame of any channel."""
        channel = self._channels.get(number)
        if channel is None:
            self._open(number, read_method(kind, payload))
        elif channel.is_closing:
            self._end(number, kind, index)
        elif index == wire.PUBLISH:
            channel.publisher.begin(payload)
        elif index == wire.ACK:
            tag, multiple = wire.read_ack(payload)
            channel.ack(tag, multiple=multiple)
        elif kind == wire.HEADER:
            channel.publisher.header(payload)
        elif kind == wire.BODY:
            channel.publisher.body(payload)
        else:
            self._method(channel, read_method(kind, payload))

    def _method(self, channel: Channel, method: base.Frame) -> None:
        match method:
            case commands.Channel.Open():
                raise HardError(504, "second 'channel.open' seen")
            case commands.Channel.Close():
                channel.publisher.send_confirms()
                del self._channels[channel.number]
                channel.withdraw()
                _give_back([channel])
                self._send(commands.Channel.CloseOk(), channel.number)
            case _:
                channel.handle(method)

    def _open(self, number: int, method: base.Frame) -> None:
        if not isinstance(method, commands.Channel.Open):
            raise HardError(504, f"expected 'channel.open' on channel {number}, got '{method.name}'")
        if number > self._channel_max:
            raise HardError(530, f"number of channels opened exceeds the negotiated channel_max {self._channel_max}")
        self._channels[number] = Channel(number, self._line, self._vhost)
        self._send(commands.Channel.OpenOk(), number)

    def close(self, number: int, error: SoftError, index: int) -> None:
        """Close a channel for what the method of that index did."""
        channel = self._channels[number]
        channel.publisher.send_confirms()
        channel.withdraw()
        _give_back([channel])
        close = commands.Channel.Close(
            reply_code=error.code, reply_text=error.text, class_id=index >> 16, method_id=index & 0xFFFF
        )
        self._send(close, number)

    def _end(self, number: int, kind: int, index: int) -> None:
        """On a channel that we closed only the closing counts; all else was sent before the client knew."""
        if kind != wire.METHOD:
            return
        if index == commands.Channel.CloseOk.index:
            del self._channels[number]
        elif index == commands.Channel.Close.index:
            self._send(commands.Channel.CloseOk(), number)

    def pump(self) -> None:
        """Deliver what waited while the client did not read."""
        for queue in {queue for channel in self._channels.values() for queue in channel.queues()}:
            queue.pump()

    def release(self) -> None:
        """End all consumers before giving back, so that nothing is delivered to this very client again."""
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            channel.withdraw()
        self._vhost.delete_exclusive_queues(self._line.number)
        _give_back(channels)

    def _send(self, method: base.Frame, channel: int) -> None:
        self._line.write(wire.method_frame(method, channel))


def read_method(kind: int, payload: bytes) -> base.Frame:
    """Decode a method through pamqp; raises 502 where it is broken, 505 on any other frame."""
    if kind != wire.METHOD:
        raise HardError(505 if kind in (wire.HEADER, wire.BODY) else 501, f"unexpected frame of type {kind}")
    try:
        _, _, method = frame.unmarshal(wire.HEAD.pack(kind, 0, len(payload)) + payload + bytes((wire.END,)))
    except wire.BROKEN as error:
        raise HardError(502, f"a method cannot be read: {error}") from error
    return cast("base.Frame", method)


def _give_back(channels: list[Channel]) -> None:
    returning: defaultdict[Queue, list[Entry]] = defaultdict(list)
    for channel in channels:
        for queue, entries in channel.release().items():
            returning[queue] += entries
    for queue, entries in returning.items():
        queue.give_back(entries)
