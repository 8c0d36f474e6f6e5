"""Stage 7: hand one message to its provider. Touches one channel and no database."""

from __future__ import annotations

from typing import Any

import structlog

from worker.channels.base import Channel
from worker.core.fingerprint import bug
from worker.core.outcome import Outcome, Unsure

SEND_SECONDS = 20.0
_log = structlog.get_logger("send")


async def send(channel: Channel[Any], message: object) -> Outcome:
    """Send within `SEND_SECONDS`. A bug in a channel is an outcome too: the message may have gone out."""
    try:
        return await channel.send(message, timeout_seconds=SEND_SECONDS)
    except Exception as error:  # noqa: BLE001 - the courier's loop must outlive a channel's bug
        _log.exception("send.failed", channel=channel.name, error_type=type(error).__name__)
        return Unsure("channel_bug", bug(error))
