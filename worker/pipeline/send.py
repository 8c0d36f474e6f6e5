"""Stage 7: hand one message to its provider. Touches one channel and no database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from itertools import chain
from typing import Any

import orjson
import structlog

from worker.channels.base import Channel
from worker.core.fingerprint import bug
from worker.core.outcome import Outcome, Released, Sent, Unsure
from worker.core.repetition import mask_repeated

SEND_SECONDS = 20.0
_PRIVATE_HEADERS = ("to", "subject", "list-unsubscribe")
_log = structlog.get_logger("send")


async def send(channel: Channel[Any], message: object) -> Outcome:
    """Send within `SEND_SECONDS`. A bug in a channel is an outcome too: the message may have gone out.

    What the provider repeats of the message does not stand in the outcome.
    """
    try:
        outcome = await channel.send(message, timeout_seconds=SEND_SECONDS)
    except Exception as error:  # noqa: BLE001 - the courier's loop must outlive a channel's bug
        _log.exception("send.failed", channel=channel.name, error_type=type(error).__name__)
        return Unsure("channel_bug", bug(error))
    if isinstance(outcome, Sent | Released) or not outcome.detail:
        return outcome
    return replace(outcome, detail=mask_repeated(outcome.detail, _words_of(message)))


def _words_of(message: object) -> str:
    """All texts of a channel's message, read from whatever form they go on the wire in."""
    values = [getattr(message, each.name) for each in fields(message)] if is_dataclass(message) else []
    return " ".join(chain.from_iterable(map(_texts, values)))


def _texts(value: object) -> Iterator[str]:
    match value:
        case bool():
            return
        case str() | int():
            yield str(value)
        case bytes():
            yield from _texts(_read(value)) if value[:1] == b"{" else _texts_of_mail(value)
        case dict():
            yield from chain.from_iterable(map(_texts, value.values()))
        case list():
            yield from chain.from_iterable(map(_texts, value))
        case _:
            return


def _read(json: bytes) -> object:
    try:
        return orjson.loads(json)
    except orjson.JSONDecodeError:
        return json.decode(errors="replace")


def _texts_of_mail(data: bytes) -> Iterator[str]:
    """What a person reads of a mail, and its headers as they are written; the HTML part says the same as the other."""
    mail = message_from_bytes(data)
    for raw in (str(mail.get(name, "")) for name in _PRIVATE_HEADERS):
        yield raw
        with suppress(HeaderParseError, LookupError, UnicodeError):
            yield str(make_header(decode_header(raw)))
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            yield bytes(part.get_payload(decode=True)).decode(errors="replace")
