"""The errors of AMQP 0-9-1 (section 4.8): a soft one closes its channel, a hard one closes the connection.

They are exceptions and not values, because that is what they are on the wire: whatever a method did, it ends there.

    AmqpError
      ├─ SoftError   404 403 405 406
      └─ HardError   320 403 501 502 503 504 505 530 540
"""

from __future__ import annotations

from typing import ClassVar


class AmqpError(Exception):
    """A reply code of the protocol with its text, as a close method carries them."""

    names: ClassVar[dict[int, str]] = {
        320: "CONNECTION_FORCED",
        403: "ACCESS_REFUSED",
        404: "NOT_FOUND",
        405: "RESOURCE_LOCKED",
        406: "PRECONDITION_FAILED",
        501: "FRAME_ERROR",
        502: "SYNTAX_ERROR",
        503: "COMMAND_INVALID",
        504: "CHANNEL_ERROR",
        505: "UNEXPECTED_FRAME",
        530: "NOT_ALLOWED",
        540: "NOT_IMPLEMENTED",
    }

    def __init__(self, code: int, detail: str) -> None:
        """Keep the code and RabbitMQ's form of the text, cut to the 255 bytes that the wire can carry."""
        text = f"{self.names[code]} - {detail}"
        super().__init__(text)
        self.code = code
        self.text = text.encode()[:255].decode(errors="ignore")


class SoftError(AmqpError):
    """The channel is closed with this; its connection lives on."""


class HardError(AmqpError):
    """The connection is closed with this."""
