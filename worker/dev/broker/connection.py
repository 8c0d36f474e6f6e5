"""One client's socket: negotiation, frames, heartbeats, back-pressure, closing. A protocol, so it has no task.

Whatever arrives, the answer is a close with the right code; a broken frame ends its connection and nothing else.
What is sent within one turn of the event loop leaves as one write. Knows nothing of exchanges and queues.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Protocol, cast

from pamqp import base, commands

from worker.dev.broker import negotiation, wire
from worker.dev.broker.channels import ChannelTable, read_method
from worker.dev.broker.errors import AmqpError, HardError, SoftError
from worker.dev.broker.heartbeat import Heartbeat
from worker.dev.broker.publishing import Publisher
from worker.dev.broker.vhost import VirtualHost

_NEGOTIATION_SECONDS = 10
_CLOSE_SECONDS = 5
_WRITE_AT_ONCE = 64 * 1024
_STOP_DELIVERING = 256 * 1024
_STOP_READING = 4 * 1024 * 1024


class Host(Protocol):
    """What a connection needs of its broker."""

    def enter(self, connection: Connection) -> int:
        """Count a connection in; its number is never given twice."""
        ...

    def leave(self, connection: Connection) -> None:
        """Count it out."""
        ...

    def vhost(self, name: str) -> VirtualHost:
        """Give the virtual host of that name, made on first use."""
        ...


class _Stage(Enum):
    HEADER = auto()
    START = auto()
    TUNE = auto()
    OPEN = auto()
    RUNNING = auto()
    CLOSING = auto()


class Connection(asyncio.Protocol):
    """One connection from accept to end. `closed` is done when its socket is."""

    def __init__(self, host: Host) -> None:
        """Wait for a socket."""
        self.frame_max = wire.FRAME_MAX
        self.is_writable = True
        self.notifies_cancel = False
        self._host = host
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport
        self._stage = _Stage.HEADER
        self._channels: ChannelTable | None = None
        self._channel_max = negotiation.CHANNEL_MAX
        self._rest = b""
        self._out: list[bytes] = []
        self._out_size = 0
        self._unconfirmed: list[Publisher] = []
        self._is_reading = True
        self._heartbeat = Heartbeat(0, beat=self._beat, drop=self.abort)
        self._timer: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a client that does not finish negotiating within seconds is dropped."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_STOP_DELIVERING)
        self.number = self._host.enter(self)
        self._timer = self._loop.call_later(_NEGOTIATION_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what arrived: all whole frames now, the rest with what comes next."""
        self._heartbeat.heard = True
        buffer = self._rest + data if self._rest else data
        self._rest = b""
        if self._stage is _Stage.CLOSING:
            self._await_close_ok(buffer)
            return
        try:
            position = self._protocol_header(buffer) if self._stage is _Stage.HEADER else 0
            self._rest = buffer[self._frames(buffer, position) :]
        except HardError as error:
            self.close(error)
        self._finish_batch()

    def pause_writing(self) -> None:
        """Stop delivering to a client that does not read."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """Deliver again."""
        self.is_writable = True
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
        if self._channels is not None:
            self._channels.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back that the client had."""
        self.is_writable = False
        self._stop_timers()
        self._release()
        self._host.leave(self)
        if not self.closed.done():
            self.closed.set_result(None)

    # What channels call

    def write(self, data: bytes) -> None:
        """Send with the next write; what grows past a bound is written at once, so that back-pressure is felt."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= _WRITE_AT_ONCE:
            self._flush()

    def confirm_later(self, publisher: Publisher) -> None:
        """Let a channel confirm when this batch of input is done."""
        self._unconfirmed.append(publisher)

    # Closing

    def close(self, error: AmqpError, *, class_id: int = 0, method_id: int = 0) -> None:
        """Tell the client why, and wait a few seconds for its answer before hanging up. Safe to call twice."""
        if self._stage is _Stage.CLOSING or self._transport.is_closing():
            return
        if self._stage is _Stage.HEADER:
            self._transport.close()
            return
        self._stage = _Stage.CLOSING
        self._rest = b""
        self._release()
        self._send(
            commands.Connection.Close(
                reply_code=error.code, reply_text=error.text, class_id=class_id, method_id=method_id
            )
        )
        self._flush()
        self._stop_timers()
        self._timer = self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Hang up without a word."""
        self._transport.abort()

    def _await_close_ok(self, buffer: bytes) -> None:
        """Look for the answer to our close. The stream may be out of step, so its bytes are sought, not its frames."""
        if wire.CLOSE_OK_FRAME in buffer:
            self._transport.close()
        self._rest = buffer[-len(wire.CLOSE_OK_FRAME) :]

    def _release(self) -> None:
        if self._channels is not None:
            self._channels.release()
        self._unconfirmed.clear()

    # Frames in

    def _protocol_header(self, buffer: bytes) -> int:
        if len(buffer) < len(wire.PROTOCOL_HEADER):
            if not wire.PROTOCOL_HEADER.startswith(buffer):
                self._refuse_protocol()
            return 0
        if not buffer.startswith(wire.PROTOCOL_HEADER):
            self._refuse_protocol()
            return 0
        self._stage = _Stage.START
        self._send(negotiation.start())
        return len(wire.PROTOCOL_HEADER)

    def _refuse_protocol(self) -> None:
        """Name the protocol we speak and hang up (AMQP 0-9-1 section 4.2.2)."""
        self._transport.write(wire.PROTOCOL_HEADER)
        self._transport.close()

    def _frames(self, buffer: bytes, position: int) -> int:
        """Handle every whole frame from `position` on, and give the position of the first that is not."""
        end = len(buffer)
        while end - position >= wire.OVERHEAD and self._stage not in (_Stage.HEADER, _Stage.CLOSING):
            kind, number, size = wire.HEAD.unpack_from(buffer, position)
            if size > self.frame_max - wire.OVERHEAD:
                raise HardError(501, f"frame of {size} bytes is larger than the negotiated {self.frame_max}")
            start = position + wire.HEAD.size
            stop = start + size
            if stop >= end:
                break
            if buffer[stop] != wire.END:
                raise HardError(501, "frame does not end in 0xCE")
            self._frame(kind, number, buffer[start:stop])
            position = stop + 1
        return position

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        index = int.from_bytes(payload[:4]) if kind == wire.METHOD else 0
        try:
            if kind == wire.HEARTBEAT:
                return
            if number == 0:
                self._connection_frame(kind, payload)
            else:
                self._channel_frame(kind, index, number, payload)
        except HardError as error:
            self.close(error, class_id=index >> 16, method_id=index & 0xFFFF)

    def _channel_frame(self, kind: int, index: int, number: int, payload: bytes) -> None:
        if self._channels is None:
            raise HardError(504, f"channel {number} before 'connection.open'")
        try:
            self._channels.handle(kind, index, number, payload)
        except SoftError as error:
            self._channels.close(number, error, index)

    # Channel 0

    def _connection_frame(self, kind: int, payload: bytes) -> None:
        method = read_method(kind, payload)
        match method, self._stage:
            case commands.Connection.Close(), _:
                self._send(commands.Connection.CloseOk())
                self._release()
                self._flush()
                self._transport.close()
            case commands.Connection.StartOk(), _Stage.START:
                self._start(method)
            case commands.Connection.TuneOk(), _Stage.TUNE:
                self._tune(method)
            case commands.Connection.Open(), _Stage.OPEN:
                vhost = self._host.vhost(method.virtual_host or "/")
                self._channels = ChannelTable(self, vhost, channel_max=self._channel_max)
                self._stage = _Stage.RUNNING
                self._send(commands.Connection.OpenOk())
            case commands.Connection.UpdateSecret(), _Stage.RUNNING:
                self._send(commands.Connection.UpdateSecretOk())
            case _:
                raise HardError(503, f"'{method.name}' is out of place")

    def _start(self, method: commands.Connection.StartOk) -> None:
        self.notifies_cancel = negotiation.hears_cancel(method)
        self._stage = _Stage.TUNE
        self._send(negotiation.tune())

    def _tune(self, method: commands.Connection.TuneOk) -> None:
        self.frame_max, self._channel_max = negotiation.agree(method)
        self._stage = _Stage.OPEN
        self._stop_timers()
        self._heartbeat = Heartbeat(method.heartbeat or 0, beat=self._beat, drop=self.abort)

    # Frames out

    def _finish_batch(self) -> None:
        waiting, self._unconfirmed = self._unconfirmed, []
        for publisher in waiting:
            publisher.send_confirms()
        self._flush()
        if self._is_reading and self._transport.get_write_buffer_size() > _STOP_READING:
            self._is_reading = False
            self._transport.pause_reading()

    def _beat(self) -> None:
        self.write(wire.HEARTBEAT_FRAME)

    def _stop_timers(self) -> None:
        self._heartbeat.stop()
        if self._timer:
            self._timer.cancel()

    def _send(self, method: base.Frame, channel: int = 0) -> None:
        self.write(wire.method_frame(method, channel))

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
            self._heartbeat.spoke = True
        self._out.clear()
        self._out_size = 0
