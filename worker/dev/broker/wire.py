"""Frames as bytes. The hot methods are packed here by hand: pamqp's generic way costs ten times as much.

Also here: the methods that carry an entity's name back, because pamqp refuses names that RabbitMQ accepts.
"""

from __future__ import annotations

import struct

from pamqp import base, frame
from pamqp.exceptions import PAMQPException

from worker.dev.broker.errors import HardError

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE
OVERHEAD = 8
"""Bytes of a frame that are not payload."""
FRAME_MAX = 131_072
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"
CLOSE_OK_FRAME = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"
PUBLISH, ACK = 0x003C0028, 0x003C0050

HEAD = struct.Struct(">BHI")
CONTENT_HEAD = struct.Struct(">HHQ")
ACK_BODY = struct.Struct(">QB")
_CONFIRM = struct.Struct(">BHIIQBB")
_GET_COUNT = struct.Struct(">I")
_BASIC = 60
# What decoding a hostile frame can raise besides pamqp's own: it slices, unpacks and recurses on trust.
BROKEN = (
    PAMQPException,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    OSError,
    struct.error,
    RecursionError,
)
_ACK_SIZE = 13
_END = b"\xce"


def method_frame(method: base.Frame, channel: int) -> bytes:
    """Pack any method through pamqp."""
    return frame.marshal(method, channel)


def confirm_frame(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Pack the `basic.ack` by which a broker confirms a publish."""
    return _CONFIRM.pack(METHOD, channel, _ACK_SIZE, ACK, tag, multiple, END)


def queue_declared_frame(channel: int, name: str, messages: int, consumers: int) -> bytes:
    """Pack `queue.declare-ok`."""
    return _method(channel, b"\x00\x32\x00\x0b" + short_string(name) + struct.pack(">II", messages, consumers))


def deliver_method(consumer_tag: bytes, tag: int, address: bytes, *, redelivered: bool) -> bytes:
    """Pack the payload of `basic.deliver`. `consumer_tag` and `address` are short strings already."""
    return b"\x00\x3c\x00\x3c" + consumer_tag + ACK_BODY.pack(tag, redelivered) + address


def get_method(tag: int, address: bytes, left: int, *, redelivered: bool) -> bytes:
    """Pack the payload of `basic.get-ok`; `left` messages stay in the queue."""
    return b"\x00\x3c\x00\x47" + ACK_BODY.pack(tag, redelivered) + address + _GET_COUNT.pack(left)


def return_method(code: int, text: str, address: bytes) -> bytes:
    """Pack the payload of `basic.return`."""
    return b"\x00\x3c\x00\x32" + struct.pack(">H", code) + short_string(text) + address


def content_frames(channel: int, method: bytes, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Pack a method with its content: header frame, then as many body frames as `frame_max` asks for."""
    size = len(body)
    start = b"".join(
        (
            HEAD.pack(METHOD, channel, len(method)),
            method,
            _END,
            HEAD.pack(HEADER, channel, CONTENT_HEAD.size + len(properties)),
            CONTENT_HEAD.pack(_BASIC, 0, size),
            properties,
            _END,
        )
    )
    room = frame_max - OVERHEAD
    if 0 < size <= room:
        return b"".join((start, HEAD.pack(BODY, channel, size), body, _END))
    return start + b"".join(
        HEAD.pack(BODY, channel, len(piece)) + piece + _END
        for piece in (body[at : at + room] for at in range(0, size, room))
    )


def short_string(text: str) -> bytes:
    """Pack a short string; raises `ValueError` past 255 bytes."""
    raw = text.encode()
    return bytes((len(raw),)) + raw


def read_short_string(payload: bytes, at: int) -> tuple[str, int]:
    """Give the short string at `at` and where it ends; raises `ValueError` or `IndexError` where it is broken."""
    end = at + 1 + payload[at]
    if end > len(payload):
        raise ValueError("a short string runs past its frame")
    return payload[at + 1 : end].decode(), end


def read_ack(payload: bytes) -> tuple[int, bool]:
    """Give tag and `multiple` of a `basic.ack`; raises 502 where it is broken."""
    try:
        tag, flags = ACK_BODY.unpack_from(payload, 4)
    except struct.error as error:
        raise HardError(502, f"basic.ack cannot be read: {error}") from error
    return tag, bool(flags & 1)


def _method(channel: int, payload: bytes) -> bytes:
    return HEAD.pack(METHOD, channel, len(payload)) + payload + _END
