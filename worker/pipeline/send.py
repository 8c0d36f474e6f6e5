"""Stage 7: hand one message to its provider. Touches one channel and no database."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import structlog

from worker.channels.base import Channel
from worker.core.fingerprint import bug
from worker.core.mask import mask_repeated
from worker.core.outcome import Outcome, Released, Sent, Unsure

SEND_SECONDS = 20.0
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
    """All texts of a channel's message, in whatever form they go on the wire."""
    values = [getattr(message, each.name) for each in fields(message)] if is_dataclass(message) else []
    return " ".join(
        value if isinstance(value, str) else value.decode(errors="replace")
        for value in values
        if isinstance(value, str | bytes)
    )
