"""What broker and client agree on before the first channel: mechanism, capabilities, limits. Pure."""

from __future__ import annotations

from pamqp import commands, common

from worker.dev.broker import wire
from worker.dev.broker.errors import HardError

SERVER_PROPERTIES: common.FieldTable = {
    "product": "Kabar development broker",
    "version": "0.0.0-dev",
    "platform": "Python",
    "information": "Keeps everything in memory. Not for production: use RabbitMQ.",
    "capabilities": {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "consumer_priorities": False,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
    },
}
CHANNEL_MAX = 2047
HEARTBEAT_SECONDS = 60
_MECHANISMS = ("PLAIN", "AMQPLAIN")
_SMALLEST_FRAME_MAX = 4096


def start() -> commands.Connection.Start:
    """Say who we are and what we can do. The product is how a version check tells this broker from RabbitMQ."""
    return commands.Connection.Start(server_properties=SERVER_PROPERTIES, mechanisms=" ".join(_MECHANISMS))


def hears_cancel(answer: commands.Connection.StartOk) -> bool:
    """Let anybody in, as this broker keeps nothing; say if the client understands `basic.cancel`.

    Raises 403 on a mechanism that was not offered.
    """
    if answer.mechanism not in _MECHANISMS:
        raise HardError(403, f"mechanism '{answer.mechanism}' is not one of {', '.join(_MECHANISMS)}")
    capabilities = (answer.client_properties or {}).get("capabilities")
    return isinstance(capabilities, dict) and bool(capabilities.get("consumer_cancel_notify"))


def tune() -> commands.Connection.Tune:
    """Propose limits and a heartbeat."""
    return commands.Connection.Tune(channel_max=CHANNEL_MAX, frame_max=wire.FRAME_MAX, heartbeat=HEARTBEAT_SECONDS)


def agree(answer: commands.Connection.TuneOk) -> tuple[int, int]:
    """Give the frame and channel limits that hold from here on; 0 leaves them to us. Raises 530 on absurd frames."""
    frame_max = answer.frame_max or wire.FRAME_MAX
    if not _SMALLEST_FRAME_MAX <= frame_max <= wire.FRAME_MAX:
        raise HardError(530, f"frame_max={frame_max} is not in {_SMALLEST_FRAME_MAX} to {wire.FRAME_MAX}")
    return frame_max, min(answer.channel_max or CHANNEL_MAX, CHANNEL_MAX)
