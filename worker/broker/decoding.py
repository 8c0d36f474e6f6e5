"""Makes the AMQP library read properties that it would take for a broken frame.

AMQP does not say that a short string is UTF-8, nor how far a timestamp reaches. pamqp refuses both, aiormq then drops
the connection, and the broker hands the message out again: one odd message would stop all consumption. So such a
value is read as something that `accept` can refuse by name. Only what could not be read at all is read differently.
"""

from __future__ import annotations

import struct
from datetime import datetime

from pamqp import decode
from pamqp.common import FieldTable, FieldValue

from worker.core.message import UNREADABLE_HEADERS, UNREADABLE_TIME

_LONGEST = 255
_DEEPEST = 100
"""Levels of headers. Reading more than some 300 exhausts the stack; a dead letter's JSON holds 254, two for a table."""


def read_leniently() -> None:
    """Put these readers in the place of pamqp's own, for the whole process. Safe to call twice."""
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp
    decode.METHODS["table"] = _table
    decode.TABLE_MAPPING[b"x"] = _byte_array


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0]
    raw = value[1 : length + 1]
    try:
        return length + 1, raw.decode()
    except UnicodeDecodeError:
        # Written as escapes it stays different from others of its kind, and can be published again.
        return length + 1, raw.decode(errors="backslashreplace").encode()[:_LONGEST].decode(errors="ignore")


def _timestamp(value: bytes) -> tuple[int, datetime]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, UNREADABLE_TIME


def _byte_array(value: bytes) -> tuple[int, FieldValue]:
    """Text that is not UTF-8 is bytes; so are these, for whoever reads a header."""
    length, array = decode.byte_array(value)
    return length, bytes(array)


def _table(value: bytes) -> tuple[int, FieldTable]:
    try:
        length, table = decode.field_table(value)
    except (ValueError, IndexError, OverflowError, RecursionError):
        return _unreadable(value)
    return (length, table) if _is_shallow(table) else _unreadable(value)


def _unreadable(value: bytes) -> tuple[int, FieldTable]:
    (length,) = struct.unpack_from(">I", value)
    unreadable: FieldValue = True
    return 4 + int(length), {UNREADABLE_HEADERS: unreadable}


def _is_shallow(table: FieldTable) -> bool:
    """Say whether there are at most `_DEEPEST` levels of tables and lists."""
    level: list[object] = [table]
    for _ in range(_DEEPEST):
        inside: list[object] = []
        for one in level:
            inside += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        if not inside:
            return True
        level = inside
    return False
